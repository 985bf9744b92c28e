"""The calls of the fake REST API: filters and pages of its list, and some to look at. No I/O (protocol §6.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .fake_retell_agents import Refused

__all__ = ["SAID", "page", "sample_calls", "selected"]

SAID: Final = ("transcript", "transcript_object", "transcript_with_tool_calls")
"""What get-call has of a call and list-calls has not."""

_NUMBERS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "eq": lambda value, bound: value == bound,
    "ne": lambda value, bound: value != bound,
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
}

_FIELDS: Final[Mapping[str, str]] = {
    "call_status": "enum",
    "call_type": "enum",
    "direction": "enum",
    "disconnection_reason": "enum",
    "start_timestamp": "number",
    "end_timestamp": "number",
    "duration_ms": "number",
    "e2e_latency_p50": "number",
}


def selected(calls: Sequence[dict[str, Any]], criteria: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the calls that fit all filters.

    Raises:
        Refused: A filter is none of the API's, or none that this fake knows.
    """
    found = list(calls)
    for name, wanted in criteria.items():
        if name == "agent":
            ids = {one.get("agent_id") for one in wanted}
            found = [call for call in found if call.get("agent_id") in ids]
            continue
        if name not in _FIELDS:
            raise Refused(400, f"unknown filter: {name}")
        fits = _test(name, wanted)
        found = [call for call in found if fits(_value(call, name))]
    return found


def page(
    calls: Sequence[dict[str, Any]], key_of: str, limit: Any, after: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """Cut one page out of a list; gives it and the key of the next one.

    Raises:
        Refused: The key, or the limit, is none.
    """
    if type(limit) is not int or not 1 <= limit <= 1000:
        raise Refused(422, "limit must be from 1 to 1000")
    first = 0
    if after is not None:
        places = [place for place, call in enumerate(calls) if call[key_of] == after]
        if not places:
            raise Refused(422, "unknown pagination_key")
        first = places[0] + 1
    cut = list(calls[first : first + limit])
    return cut, cut[-1][key_of] if first + limit < len(calls) else None


def sample_calls(now_ms: int, agent_id: str = "agent_sample") -> list[dict[str, Any]]:
    """Make some calls of the last hours, as they end in practice."""
    return [
        _call(number, now_ms - number * 1_620_000, agent_id, reason, status, duration_ms, e2e_ms)
        for number, (reason, status, duration_ms, e2e_ms) in enumerate(
            (
                (None, "ongoing", None, None),
                ("user_hangup", "ended", 84_000, 910),
                ("agent_hangup", "ended", 132_500, 870),
                ("call_transfer", "ended", 61_200, 1040),
                ("error_llm_websocket_open", "error", None, None),
                ("user_hangup", "ended", 40_900, 1420),
                ("error_llm_websocket_lost_connection", "error", 55_000, 980),
                ("dial_no_answer", "not_connected", None, None),
                ("error_llm_websocket_runtime", "error", 21_300, 940),
                ("inactivity", "ended", 605_000, None),
                ("error_llm_websocket_open", "error", None, None),
                ("error_user_not_joined", "error", None, None),
                ("voicemail_reached", "ended", 18_000, 760),
            )
        )
    ]


def _call(
    number: int,
    at_ms: int,
    agent_id: str,
    reason: str | None,
    status: str,
    duration_ms: int | None,
    e2e_ms: int | None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "call_id": f"call_{number:027x}",
        "call_type": "web_call",
        "agent_id": agent_id,
        "agent_version": 1,
        "call_status": status,
        "start_timestamp": at_ms,
        "transcript": "Agent: Harbor Clinic, this is Ana.\nUser: Good morning.\n",
    }
    if reason is not None:
        made["disconnection_reason"] = reason
    if duration_ms is not None:
        made |= {"duration_ms": duration_ms, "end_timestamp": at_ms + duration_ms}
    if e2e_ms is not None:
        made["latency"] = {
            "e2e": _figures(e2e_ms),
            "asr": _figures(120),
            "tts": _figures(190),
            "llm": _figures(e2e_ms - 420),
            "llm_websocket_network_rtt": _figures(38),
        }
    return made


def _figures(p50: float) -> dict[str, Any]:
    return {
        "p50": p50,
        "p90": p50 * 1.3,
        "p95": p50 * 1.5,
        "p99": p50 * 1.8,
        "min": p50 * 0.8,
        "max": p50 * 2,
        "num": 7,
    }


def _value(call: Mapping[str, Any], name: str) -> Any:
    if name == "e2e_latency_p50":
        return call.get("latency", {}).get("e2e", {}).get("p50")
    return call.get(name)


def _test(name: str, wanted: Any) -> Callable[[Any], bool]:
    kind = _FIELDS[name]
    match wanted:
        case {"type": "enum", "op": "in", "value": list(values)} if kind == "enum":
            return lambda value: value in values
        case {"type": "number", "op": str(op), "value": int() | float() as bound} if (
            kind == "number" and op in _NUMBERS
        ):
            return lambda value: value is not None and _NUMBERS[op](value, bound)
        case {"type": "range", "op": "bt", "value": [low, high]} if kind == "number":
            return lambda value: value is not None and low <= value <= high
    raise Refused(422, f"filter {name} is not as it should be")
