"""What servers write to each other: a command for a call that another has, a look at one, a roll call. No I/O.

Whoever can write to the channel can command, so what comes from there is trusted in what it asks, but not in its form.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from .control import Command, Reply
from .errors import WireError
from .views import CallView, ServerView

__all__ = ["MAX_LETTER", "Letter", "Present", "Request", "RollCall", "Show", "Shown", "Told", "decode", "encode"]

MAX_LETTER: Final = 256 * 1024
"""Bytes of a letter: the longest view of a call (`console/lens.py`), every character escaped, and some room.

A command usually has some hundred bytes, a view some ten thousand.
"""

Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,128}\Z")]
"""Of a server, a call or a request: harmless in the name of a channel, and in a log."""


class Request(msgspec.Struct, frozen=True, tag_field="letter", tag="request"):
    """Do this.

    Attributes:
        id: No other request has it; the same one may come twice, and is done once.
        sender: The server that wants to know what came of it.
        call_id: The call.
        command: What.
    """

    id: Name
    sender: Name
    call_id: Name
    command: Command


class Told(msgspec.Struct, frozen=True, tag_field="letter", tag="told"):
    """What came of a request.

    Attributes:
        id: The request's.
        sender: The server that was asked.
        reply: What it says.
    """

    id: Name
    sender: Name
    reply: Reply


class Show(msgspec.Struct, frozen=True, tag_field="letter", tag="show"):
    """Show a call. Nothing is done, so it may come as often as it likes.

    Attributes:
        id: No other letter has it.
        sender: The server that wants to see it.
        call_id: The call.
    """

    id: Name
    sender: Name
    call_id: Name


class Shown(msgspec.Struct, frozen=True, tag_field="letter", tag="shown"):
    """The answer to `Show`.

    Attributes:
        id: That of the `Show`.
        sender: The server that was asked.
        view: The call; None when it is not there, or cannot be shown now.
    """

    id: Name
    sender: Name
    view: CallView | None


class RollCall(msgspec.Struct, frozen=True, tag_field="letter", tag="roll_call"):
    """Say how you are doing, all who hear this.

    Attributes:
        id: No other letter has it.
        sender: The server that wants to know.
    """

    id: Name
    sender: Name


class Present(msgspec.Struct, frozen=True, tag_field="letter", tag="present"):
    """The answer to `RollCall`.

    Attributes:
        id: That of the `RollCall`.
        sender: Who answers.
        view: How it is doing.
    """

    id: Name
    sender: Name
    view: ServerView


Letter: TypeAlias = Request | Told | Show | Shown | RollCall | Present

_decoder: msgspec.json.Decoder[Letter] = msgspec.json.Decoder(Letter)


def encode(letter: Letter) -> bytes:
    """Write a letter."""
    return msgspec.json.encode(letter)


def decode(data: bytes) -> Letter:
    """Read a letter.

    Raises:
        WireError: It is none, or too long. The text quotes nothing of it.
    """
    if len(data) > MAX_LETTER:
        raise WireError("too long for a letter")
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("no letter of ours") from None
