"""The row of one call in the archive: made of what the socket told, or Retell's webhooks, or both. No I/O.

Several entries tell of the same call, in any order and any number of times, and the row must be the same in the end.
So rows are `joined`, and it makes no difference which comes first, or whether one comes twice:

    what was said   of the best one that came: Retell's own transcript, which has the last words too, above the
                    socket's; of the socket's the one of the later epoch; one with words above one without
    turns           the most that any of them counted
    agent_left      when any of them says so
    the others      of whichever knows them

This is all that keeps a call at one row: whoever finds two rows of a call, in whichever parts, joins them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from ..entries import Entry
from ..speech_facts import CallTranscript, Line, WebhookReceived

__all__ = ["FINAL", "Row", "as_text", "day_of", "joined", "row_of"]

FINAL: Final = frozenset({"call_ended", "call_analyzed"})
"""Events of Retell's after which nothing is said any more."""

_TALKS: Final = (
    "transcript_with_tool_calls",
    "transcript_object",
    "scrubbed_transcript_with_tool_calls",
    "scrubbed_transcript_object",
)
"""Where a call object has what was said: the first that holds something tells most (protocol §6.6)."""

_LEAVING: Final = frozenset({"agent_hangup", "call_transfer"})

# A time outside these years is a mistake, and a day made of it would be one that nobody looks for.
_EARLIEST_S: Final = 1_000_000_000.0
_LATEST_S: Final = 10_000_000_000.0

_AHEAD_S: Final = 86_400.0
"""Seconds by which Retell's clock may be ahead of the one of the server that was told."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as the archive has it. The fields are the columns, in this order.

    Attributes:
        call_id: Retell's id of the call.
        day: Of the call's end, in UTC: `2026-11-28`.
        ended_at: When it ended, in seconds since 1970: Retell's own time, or when the socket was given up.
        began_at: When it began.
        duration_s: Seconds from one to the other.
        turns: Requests answered; None when only Retell told of the call.
        agent_id: Retell's id of the agent; like the four after it empty when nobody told.
        call_type: `web_call` or `phone_call`.
        direction: `inbound` or `outbound`.
        from_number: Who called, masked.
        to_number: Who was called, masked.
        agent_left: The agent hung up, or handed the call on.
        source: Whose transcript it is: `retell`, or what the `socket` told last.
        epoch: Of the socket's; 0 for Retell's.
        line_count: How many lines there are.
        lines: What was said, oldest first.
        text: The same, one line for each, to be searched.
        entry_id: The entry it was made of.
    """

    call_id: str
    day: str
    ended_at: float
    began_at: float
    duration_s: float
    turns: int | None = None
    agent_id: str = ""
    call_type: str = ""
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    agent_left: bool = False
    source: Literal["socket", "retell"]
    epoch: int = 0
    line_count: int = 0
    lines: tuple[Line, ...] = ()
    text: str = ""
    entry_id: str = ""


_KNOWN: Final = ("agent_id", "call_type", "direction", "from_number", "to_number")


def row_of(entry: Entry) -> Row | None:
    """Make the row of the call that an entry tells of; None when it tells of no talk that is over."""
    match entry.fact:
        case CallTranscript() as fact:
            return _of_socket(entry, fact)
        case WebhookReceived(event=event, call=call) if event in FINAL:
            return _of_retell(entry, call)
    return None


def joined(one: Row, other: Row) -> Row:
    """Make one row of two of the same call. The order makes no difference, nor does a row that is in it already."""
    best = max(one, other, key=_rank)
    return msgspec.structs.replace(
        best,
        turns=max((row.turns for row in (one, other) if row.turns is not None), default=None),
        agent_left=one.agent_left or other.agent_left,
        # They are the same wherever they are known; were they not, the order still must not matter.
        **{name: max(getattr(one, name), getattr(other, name)) for name in _KNOWN},
    )


def as_text(lines: Iterable[Line]) -> str:
    """Write a talk down, one line of text for each of its lines."""
    return "\n".join(
        f"{line.role}{' ' if line.name else ''}{line.name}: {' '.join(line.text.split())}" for line in lines
    )


def day_of(at: float) -> str:
    """Name the day, in UTC, of a time in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _rank(row: Row) -> tuple[Any, ...]:
    # What stands after the epoch decides only between two of Retell's, or what must not be: two of one epoch.
    lines = [(line.role, line.text, line.name, line.start_s or 0.0, line.end_s or 0.0) for line in row.lines]
    times = row.ended_at, row.began_at, row.duration_s
    return bool(lines), row.source == "retell", row.epoch, len(lines), len(row.text), lines, times, row.entry_id


def _of_socket(entry: Entry, fact: CallTranscript) -> Row:
    ended_at = _time(entry.at, entry.at)
    duration_s = min(max(0.0, fact.duration_s), _EARLIEST_S)
    return Row(
        call_id=entry.call_id,
        day=day_of(ended_at),
        ended_at=ended_at,
        began_at=round(ended_at - duration_s, 3),
        duration_s=duration_s,
        turns=fact.turns,
        agent_id=fact.agent_id,
        call_type=fact.call_type,
        direction=fact.direction,
        from_number=fact.from_number,
        to_number=fact.to_number,
        agent_left=fact.agent_left,
        source="socket",
        epoch=entry.epoch,
        line_count=len(fact.lines),
        lines=fact.lines,
        text=as_text(fact.lines),
        entry_id=entry.id,
    )


def _of_retell(entry: Entry, call: dict[str, Any]) -> Row | None:
    lines = next((lines for name in _TALKS if (lines := _lines(call.get(name)))), ())
    if not lines:  # nobody answered, or Retell was told to keep no talk: what the socket has is all there is
        return None
    ended_at = _time(_number(call.get("end_timestamp"), 1000), entry.at)
    if ended_at > entry.at + _AHEAD_S:  # a day to come is one that retention never reaches
        ended_at = _time(entry.at, entry.at)
    began_at = _time(_number(call.get("start_timestamp"), 1000), ended_at)
    duration_s = _number(call.get("duration_ms"), 1000)
    return Row(
        call_id=entry.call_id,
        day=day_of(ended_at),
        ended_at=ended_at,
        began_at=min(began_at, ended_at),
        duration_s=max(0.0, round(ended_at - began_at, 3) if duration_s is None else duration_s),
        agent_id=_word(call.get("agent_id")),
        call_type=_word(call.get("call_type")),
        direction=_word(call.get("direction")),
        from_number=_word(call.get("from_number")),
        to_number=_word(call.get("to_number")),
        agent_left=_word(call.get("disconnection_reason")) in _LEAVING,
        source="retell",
        line_count=len(lines),
        lines=lines,
        text=as_text(lines),
        entry_id=entry.id,
    )


def _lines(items: object) -> tuple[Line, ...]:
    """Read Retell's items, as far as they can be read: one odd one must not cost the others."""
    if not isinstance(items, list):
        return ()
    return tuple(_line(item) for item in items if isinstance(item, dict) and isinstance(item.get("role"), str))


def _line(item: dict[str, Any]) -> Line:
    words = item.get("words")
    spoken: Sequence[Any] = [word for word in words if isinstance(word, dict)] if isinstance(words, list) else []
    start_s, end_s = (spoken[0].get("start"), spoken[-1].get("end")) if spoken else (item.get("time_sec"), None)
    return Line(
        item["role"],
        _word(item.get("content")) or _word(item.get("digit")) or _word(item.get("arguments")),
        name=_word(item.get("name")),
        start_s=_number(start_s, 1),
        end_s=_number(end_s, 1),
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object, unit: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = value / unit
    except OverflowError:
        return None
    return number if abs(number) <= _LATEST_S else None


def _time(at: float | None, otherwise: float) -> float:
    """Give a time that is one; else the other, which is put between the earliest and the latest."""
    if at is None or not _EARLIEST_S <= at <= _LATEST_S:
        at = min(max(otherwise, _EARLIEST_S), _LATEST_S)
    return round(at, 3)  # as Retell has them; and a file keeps no more than microseconds
