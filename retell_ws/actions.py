"""What the call machine tells its driver, `session.py`, to do: in order and at once. No I/O."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .facts import Fact
from .intent import Intent
from .transcript import Question

__all__ = [
    "Action",
    "AdoptTurn",
    "AwaitDetails",
    "AwaitQuiet",
    "CancelTurn",
    "DropSocket",
    "Echo",
    "Record",
    "Send",
    "StartGrace",
    "StartTurn",
    "StopGrace",
    "sends",
]


class _Action(msgspec.Struct, frozen=True, gc=False):
    pass


class Send(_Action, frozen=True):
    """Write this frame, as text, to the call's socket."""

    frame: bytes


class Echo(Send, frozen=True):
    """Answer a ping with this frame. It tells nothing of the call, and changes nothing."""


class StartTurn(msgspec.Struct, frozen=True):
    """Start a generation.

    Attributes:
        generation: Its number, to be given back with `say`, `finish` and `fail`.
        response_id: The id it is bound to at first; None for a speculation.
        question: What is asked; None for the greeting.
        interrupted: What was about to happen to the call when the caller spoke into it.
        said: What another server has said of the answer, which is to be gone on with.
        goes_on: Another server has begun the answer, and perhaps said something of it.
    """

    generation: int
    response_id: int | None
    question: Question | None
    interrupted: Intent | None = None
    said: str = ""
    goes_on: bool = False


class AdoptTurn(msgspec.Struct, frozen=True):
    """A speculation answers this id from now on. Its words so far have been sent.

    Attributes:
        generation: The speculation.
        response_id: The id.
        question: What is asked: the same words, perhaps written otherwise.
    """

    generation: int
    response_id: int
    question: Question


class CancelTurn(_Action, frozen=True):
    """Stop this generation. Not to be waited for: it is mute already, stopping it only saves tokens."""

    generation: int


class AwaitDetails(_Action, frozen=True):
    """Call `details_due` after a short time, whatever else happens."""


class AwaitQuiet(_Action, frozen=True):
    """Call `quiet` after so many seconds, unless this action comes again before."""

    seconds: float


class DropSocket(_Action, frozen=True):
    """The older socket of two: abort it."""


class StartGrace(_Action, frozen=True):
    """Call `closed` after the grace time."""


class StopGrace(_Action, frozen=True):
    """Retell is back: forget the grace time."""


class Record(msgspec.Struct, frozen=True):
    """Make this fact known."""

    fact: Fact


Action: TypeAlias = (
    Send | StartTurn | AdoptTurn | CancelTurn | AwaitDetails | AwaitQuiet | DropSocket | StartGrace | StopGrace | Record
)


def sends(frames: list[bytes]) -> tuple[Action, ...]:
    """Write these frames, in order."""
    return tuple([Send(frame) for frame in frames])
