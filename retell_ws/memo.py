"""What a call must remember to go on in another process: written down with each step, read when it is taken over. Pure.

Retell's transcript holds what was said and comes whole with every message. A memo holds what it lacks. It is written as
a few parts, each of which is written anew only when it has changed: the question of the open answer grows with the
call, the rest is small.

Only versions that know each other's memos may share a store: a memo that cannot be read is left out, and the call goes
on from its transcript alone.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from .intent import Intent
from .transcript import Place
from .wire import AgentConfig

__all__ = ["AnswerMemo", "AsidesMemo", "CallMemo", "MAX_PART", "StandingMemo", "read", "written"]

MAX_PART: Final = 256 * 1024
"""Bytes of one part; one that is larger is left out. Text of a two-hour call has fewer."""


class AnswerMemo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer but for its question; see `answer.Answer`. Text that was not sent is there only when it is all."""

    generation: int
    response_id: int
    text: str = ""
    sent: int = 0
    started: bool = False
    done: bool = False
    failed: bool = False
    intent: Intent | None = None
    intent_at: int = 0
    completed_on: int = 0


class StandingMemo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agent means to do; see `standing.Standing`."""

    wanted: tuple[Intent, str] | None = None
    intent: Intent | None = None
    silences: int = 0
    times: int = 0
    since: int = 0
    places: tuple[tuple[int, Place], ...] = ()


class AsidesMemo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said beside the answers; see `asides.Asides`."""

    config: AgentConfig | None = None
    interrupts: int = 0
    waiting: tuple[bytes, ...] = ()


class CallMemo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a call stands; see `call.CallMachine`.

    Attributes:
        sockets: How many it had.
        heard_on: The number of the newest one that brought a message.
        greeted_on: The number of the newest one that words of the greeting were written to.
        began_ms: When the first one was accepted, in milliseconds since the epoch.
        in_doubt: Nobody can tell whether the greeting was heard. The numbers of the sockets do not tell it any more
            when a socket that came since has brought a message.
    """

    answer: AnswerMemo
    standing: StandingMemo
    asides: AsidesMemo
    sockets: int
    heard_on: int
    began_ms: int
    turns: int
    generations: int
    greeted_on: int = 0
    awaiting_details: bool = False
    in_doubt: bool = False
    leaving: bool = False
    after: tuple[str, ...] = ()


_Memo = TypeVar("_Memo")


def written(memo: object) -> bytes | None:
    """Write a part down; None when it is too large, or cannot be written."""
    try:
        part = msgspec.json.encode(memo)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return part if len(part) <= MAX_PART else None


def read(part: bytes | None, kind: type[_Memo]) -> _Memo | None:
    """Read a part; None when there is none, or another version wrote it."""
    if not part:
        return None
    try:
        return msgspec.json.decode(part, type=kind)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
