"""A call of Retell's in one row: when, how long, how it ended, whose its milliseconds were. No I/O, no transcript."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..latency import Spread, reported
from .reasons import reason_of

__all__ = ["Row", "Split", "filters", "lacks_latency", "row_of"]

FAILED: Final = ("error",)


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time between the caller's last word and the agent's first went, in milliseconds; None is not known.

    The parts are made of medians: good guesses, that need not add up.

    Attributes:
        e2e_p50: All of it, at the median.
        e2e_p95: And in the slow turns.
        retell: Retell's own part: hearing, speaking, and waiting whether the caller goes on.
        network: Between Retell and this server, there and back.
        ours: From the request to the first sentence, without the network.
        has_network: The network is in `ours`: without keepalive Retell does not measure it.
    """

    e2e_p50: float | None = None
    e2e_p95: float | None = None
    retell: float | None = None
    network: float | None = None
    ours: float | None = None
    has_network: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        started_ms: When it began, in milliseconds since 1970.
        ended: How, in plain words.
        check: What to look at.
        is_ours: The socket to this server was the trouble.
    """

    call_id: str
    agent_id: str | None
    agent_version: int | None
    call_type: str | None
    status: str | None
    started_ms: float | None
    duration_ms: float | None
    disconnection_reason: str | None
    ended: str
    check: str
    is_ours: bool
    split: Split


def row_of(call: Mapping[str, Any]) -> Row:
    """Read a call object of the API; what it does not hold, or cannot be read, is None."""
    reason, status = _text(call, "disconnection_reason"), _text(call, "call_status")
    means = reason_of(reason, status)
    version = call.get("agent_version")
    return Row(
        call_id=_text(call, "call_id") or "?",
        agent_id=_text(call, "agent_id"),
        agent_version=version if type(version) is int else None,
        call_type=_text(call, "call_type"),
        status=status,
        started_ms=_number(call, "start_timestamp"),
        duration_ms=_number(call, "duration_ms"),
        disconnection_reason=reason,
        ended=means.said,
        check=means.check,
        is_ours=means.is_ours,
        split=_split(reported(call)),
    )


def lacks_latency(call: Mapping[str, Any]) -> bool:
    """Tell whether a call may have figures that are not in this object: it is over, and somebody may have spoken."""
    return call.get("call_status") in ("ended", "error") and not reported(call) and bool(_number(call, "duration_ms"))


def filters(*, since_ms: float | None = None, agent_id: str | None = None, failed: bool = False) -> dict[str, Any]:
    """Write what is listed in the API's words (protocol §6.5)."""
    made: dict[str, Any] = {}
    if agent_id is not None:
        made["agent"] = [{"agent_id": agent_id}]
    if since_ms is not None:
        made["start_timestamp"] = {"type": "number", "op": "ge", "value": since_ms}
    if failed:
        made["call_status"] = {"type": "enum", "op": "in", "value": list(FAILED)}
    return made


def _split(figures: Mapping[str, Spread]) -> Split:
    def median(name: str) -> float | None:
        return figures.get(name, Spread()).p50

    e2e, llm, network = median("e2e"), median("llm"), median("llm_websocket_network_rtt")
    own = [value for value in (median("asr"), median("tts")) if value is not None]
    if e2e is not None and llm is not None:
        retell: float | None = max(0.0, e2e - llm)
    else:
        retell = sum(own) if own else None
    return Split(
        e2e_p50=e2e,
        e2e_p95=figures.get("e2e", Spread()).p95,
        retell=retell,
        network=network,
        ours=None if llm is None else max(0.0, llm - (network or 0.0)),
        has_network=llm is not None and network is None,
    )


def _text(call: Mapping[str, Any], name: str) -> str | None:
    value = call.get(name)
    return value if isinstance(value, str) and value else None


def _number(call: Mapping[str, Any], name: str) -> float | None:
    value = call.get(name)
    return value if type(value) in (int, float) else None
