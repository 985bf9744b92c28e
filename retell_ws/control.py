"""What may be asked of a live call from outside, and what comes of it: commands and replies as tagged structs. No I/O.

A command acts on the call as a hook of its agent's would (`handle.Call`): outside of any turn.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from .errors import CallError, TargetError, WireError
from .handle import Call

__all__ = [
    "MAX_TEXT",
    "Command",
    "Done",
    "End",
    "Look",
    "NotHere",
    "Order",
    "Outcome",
    "Refused",
    "Reply",
    "Say",
    "Seen",
    "Status",
    "Transfer",
    "Update",
    "Why",
    "perform",
    "read",
]

MAX_TEXT: Final = 2000
"""Characters that may be said at once: two minutes of speech."""

Spoken: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class _Command(msgspec.Struct, frozen=True, tag_field="command", forbid_unknown_fields=True, omit_defaults=True):
    pass


class Say(_Command, frozen=True, tag="say"):
    """Say this, when the answer under way has come to its end, or else now."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("`text` is blank")


class End(_Command, frozen=True, tag="end"):
    """Hang up, once this was said; without a message the agent's own goodbye."""

    message: Spoken = ""


class Transfer(_Command, frozen=True, tag="transfer"):
    """Hand the caller on.

    Attributes:
        to: A label of the agent's directory, or a number in it.
        message: What is said before; without one the target's own.
        show_caller: As in `handle.Call.transfer`.
    """

    to: Annotated[str, Meta(min_length=1, max_length=100)]
    message: Spoken = ""
    show_caller: bool | None = None


class Update(_Command, frozen=True, tag="update", kw_only=True):
    """Change how the agent behaves for the rest of the call (protocol §3.6)."""

    responsiveness: Share | None = None
    interruption_sensitivity: Share | None = None
    reminder_trigger_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    reminder_max_count: Annotated[int, Meta(ge=0, le=100)] | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in self.__struct_fields__):
            raise ValueError(f"there is nothing to change: give one of {', '.join(self.__struct_fields__)}")


class Look(_Command, frozen=True, tag="look"):
    """Tell where the call stands."""


Order: TypeAlias = Say | End | Transfer | Update
"""What changes something."""

Command: TypeAlias = Order | Look


class Status(msgspec.Struct, frozen=True):
    """Where a call stands. Holds nothing of what was said.

    Attributes:
        id: Retell's id of the call.
        since_s: Seconds since this server has it.
        attached: A socket is there.
        turn: What the agent does.
    """

    id: str
    since_s: float
    attached: bool
    turn: Literal["idle", "answering", "leaving"]


class _Reply(msgspec.Struct, frozen=True, tag_field="reply"):
    pass


class Done(_Reply, frozen=True, tag="done"):
    """It was done, or will be.

    Attributes:
        waits_for: What has to come before the caller notices: the end of the answer under way, or Retell's redial.
    """

    waits_for: Literal["", "answer", "redial"] = ""


class Seen(_Reply, frozen=True, tag="seen"):
    """The reply to `Look`."""

    status: Status


Why: TypeAlias = Literal["impossible", "no_target", "unknown", "moved", "unanswered", "unreachable"]
"""Why nothing was done.

`impossible`: the call cannot do it now. `no_target`: the directory has no such target. `unknown`: no server has such a
call. `moved`: it is between two servers, or two sockets. `unanswered`: the server that has it took the command and gave
no reply, so nobody knows whether it was done. `unreachable`: the other servers cannot be reached.
"""


class Refused(_Reply, frozen=True, tag="refused"):
    """Nothing was done (but see `unanswered`).

    Attributes:
        kind: Why, in a word.
        why: Why, for a person.
    """

    kind: Why
    why: str


class NotHere(_Reply, frozen=True, tag="not_here"):
    """This server cannot do it, and another one perhaps can. Nothing was done.

    Attributes:
        away: Where the call stands, when the server has it, but no socket of it.
    """

    away: Status | None = None


Outcome: TypeAlias = Done | Seen | Refused
"""What whoever asked is told."""

Reply: TypeAlias = Outcome | NotHere
"""What one server says of a command."""

_C = TypeVar("_C", bound=Command)


def read(data: bytes, kind: type[_C]) -> _C:
    """Read a command of one kind.

    Args:
        data: A JSON object; empty for one without fields.
        kind: The command.

    Raises:
        WireError: It is none. The text says which field is wrong, and quotes no value.
    """
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as exc:
        raise WireError(str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("the body is no JSON object") from None


def perform(command: Order, call: Call) -> Refused | None:
    """Do what a command asks of a call.

    Args:
        command: What.
        call: The call, as its hooks see it.

    Returns:
        Why nothing was done; None when it was.
    """
    try:
        match command:
            case Say():
                call.say(command.text)
            case End():
                call.end(command.message)
            case Transfer():
                call.transfer(command.to, command.message, show_caller=command.show_caller)
            case _:  # Update
                call.update(
                    responsiveness=command.responsiveness,
                    interruption_sensitivity=command.interruption_sensitivity,
                    reminder_trigger_ms=command.reminder_trigger_ms,
                    reminder_max_count=command.reminder_max_count,
                )
    except TargetError as exc:
        return Refused("no_target", str(exc))
    except CallError as exc:
        return Refused("impossible", str(exc))
    return None
