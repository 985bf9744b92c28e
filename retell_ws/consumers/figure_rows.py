"""A fact as a row of the table of figures. No I/O.

There is one table for all facts: one row a fact, one column for each field that any kind of fact has. Most of a row is
NULL, which costs nothing in Parquet, and a field that a fact is given later needs no line here.

No row holds speech, nor a number anybody was called at. Of the facts with speech, the caller's words have no row, a
transcript has its length and who left, and of a webhook there are Retell's own words for what happened and its figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from ..entries import Entry, UnknownFact
from ..facts import Fact
from ..speech_facts import CallerSaid, CallTranscript, WebhookReceived

__all__ = ["COLUMNS", "row_of"]

ROOM: Final = 200
"""Characters of a text; all of ours are shorter, and the names of a model's or a tool's should be."""

LARGEST: Final = 2**53
"""A count beyond it is nobody's."""

WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""What Retell's own words look like. Whatever else stands in their place may be somebody's speech."""

LATENCIES: Final = ("e2e", "asr", "llm", "llm_websocket_network_rtt", "tts", "knowledge_base", "s2s")
"""What Retell times in a call (protocol §7)."""

PERCENTILES: Final = ("p50", "p90", "p95", "p99")

_ENTRY: Final = {
    "id": "VARCHAR",
    "call_id": "VARCHAR",
    "epoch": "BIGINT",
    "seq": "BIGINT",
    "at": "DOUBLE",
    "server": "VARCHAR",
    "fact": "VARCHAR",
}

_TRANSCRIPT: Final = ("duration_s", "turns", "agent_left", "call_type", "direction", "agent_id")
"""Fields of a transcript that hold no speech."""

_WEBHOOK: Final = {
    "event": "VARCHAR",
    "call_status": "VARCHAR",
    "disconnection_reason": "VARCHAR",
    "call_type": "VARCHAR",
    "direction": "VARCHAR",
    "agent_id": "VARCHAR",
    "user_sentiment": "VARCHAR",
    "call_successful": "BOOLEAN",
    "in_voicemail": "BOOLEAN",
    "duration_ms": "DOUBLE",
    "call_cost_cents": "DOUBLE",
    **{f"{key}_{percent}_ms": "DOUBLE" for key in LATENCIES for percent in PERCENTILES},
    **{f"{key}_count": "DOUBLE" for key in LATENCIES},
}


_KINDS: Final[Mapping[object, str]] = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}


def _kind_of(hint: Any) -> str:
    """Find DuckDB's type for a field's."""
    if get_origin(hint) is UnionType:
        (hint,) = (kind for kind in get_args(hint) if kind is not NoneType)
    if get_origin(hint) is Literal:
        return "VARCHAR"
    if get_origin(hint) is tuple:
        return f"{_kind_of(get_args(hint)[0])}[]"
    return _KINDS[hint]


def _columns() -> dict[str, str]:
    columns = dict(_ENTRY)
    transcript = get_type_hints(CallTranscript)
    for fields in (
        *(get_type_hints(kind) for kind in get_args(Fact)),
        {name: transcript[name] for name in _TRANSCRIPT},
    ):
        for name, hint in fields.items():
            if name in _ENTRY or columns.setdefault(name, _kind_of(hint)) != _kind_of(hint):
                raise AssertionError(f"two columns {name!r}")
    return {**columns, **_WEBHOOK}


COLUMNS: Final[Mapping[str, str]] = _columns()
"""Types of DuckDB by name."""


def row_of(entry: Entry) -> dict[str, Any] | None:
    """Make a row.

    Returns:
        What is not NULL, by column; None for a fact without figures, or of a kind this version does not know: nobody
        can say whether it holds speech.
    """
    match fact := entry.fact:
        case UnknownFact() | CallerSaid() | WebhookReceived(event="transcript_updated"):
            return None
        case WebhookReceived():
            fields = _told(fact)
        case CallTranscript():
            fields = {name: getattr(fact, name) for name in _TRANSCRIPT}
        case _:
            fields = {name: getattr(fact, name) for name in fact.__struct_fields__}
    row = {name: fitting for name, value in fields.items() if (fitting := _fitting(value)) is not None}
    for name in _ENTRY:
        row[name] = entry.kind if name == "fact" else _fitting(getattr(entry, name))
    return row


def _fitting(value: Any) -> Any:
    """Make a value fit its column; None when it cannot."""
    match value:
        case str():
            return value[:ROOM]
        case bool() | float():
            return value
        case int():
            return min(max(value, -LARGEST), LARGEST)
        case tuple():
            return [_fitting(one) for one in value]
    return None


def _told(fact: WebhookReceived) -> dict[str, Any]:
    """Take the figures out of what Retell tells of a call. It may lack anything, and hold anything."""
    call = fact.call
    analysis, cost, latency = (_object(call.get(name)) for name in ("call_analysis", "call_cost", "latency"))
    told: dict[str, Any] = {"event": _word(fact.event)}
    for name in ("call_status", "disconnection_reason", "call_type", "direction", "agent_id"):
        told[name] = _word(call.get(name))
    told["user_sentiment"] = _word(analysis.get("user_sentiment"))
    for name in ("call_successful", "in_voicemail"):
        told[name] = value if isinstance(value := analysis.get(name), bool) else None
    told["duration_ms"] = _number(call.get("duration_ms"))
    told["call_cost_cents"] = _number(cost.get("combined_cost"))
    for key in LATENCIES:
        figures = _object(latency.get(key))
        for percent in PERCENTILES:
            told[f"{key}_{percent}_ms"] = _number(figures.get(percent))
        told[f"{key}_count"] = _number(figures.get("num"))
    return told


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and WORD.fullmatch(value) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        return None
    return float(value)
