"""Whose milliseconds they are: Retell's own figures of a call (§7) beside what we measured of its turns. No I/O.

Retell's `llm` is the time from its request to our first whole sentence, as Retell saw it. So it holds the way to us and
back, which Retell measures too, and our own time, which we do. What is left is nobody's: queues between the two. And in
`e2e`, from the caller's last word to the agent's first, `llm` is one part beside hearing (`asr`) and speaking (`tts`).

A percentile of a difference is not the difference of two percentiles: what is left is exact as a mean, over the same
turns, and a good guess for the median. For the slow ones there is none, and none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .facts import TurnMeasured

__all__ = ["OWNERS", "Owner", "Part", "Spread", "first_sentences_ms", "parts", "reported", "spread_of"]

Owner: TypeAlias = Literal["all", "retell", "network", "ours", "unknown"]
"""Whose the time of a part is."""

OWNERS: Final[Mapping[str, Owner]] = {
    "e2e": "all",
    "asr": "retell",
    "llm": "all",
    "llm_websocket_network_rtt": "network",
    "ours": "ours",
    "llm_rest": "unknown",
    "tts": "retell",
    "e2e_rest": "retell",
}
"""The parts, in the order in which a table shows them.

`ours` is in `llm`, as are `llm_websocket_network_rtt` and `llm_rest`. `e2e` has `asr`, `llm`, `tts` and `e2e_rest` in
it, which is mostly the time Retell waits to see whether the caller goes on.
"""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a time was spread over the turns, in milliseconds; None is not known.

    Attributes:
        mean: The mean.
        num: How many turns.
    """

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    num: int = 0


class Part(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        name: One of `OWNERS`.
        owner: Whose time it is.
        spread: How much of it.
    """

    name: str
    owner: Owner
    spread: Spread


def spread_of(values_ms: Iterable[float]) -> Spread:
    """Sum up times; percentiles are by the nearest rank, so that each was really measured."""
    ranked = sorted(values_ms)
    if not ranked:
        return Spread()

    def percentile(percent: int) -> float:
        return ranked[-(-len(ranked) * percent // 100) - 1]

    return Spread(
        p50=percentile(50),
        p90=percentile(90),
        p95=percentile(95),
        p99=percentile(99),
        min=ranked[0],
        max=ranked[-1],
        mean=sum(ranked) / len(ranked),
        num=len(ranked),
    )


def first_sentences_ms(turns: Iterable[TurnMeasured]) -> list[float]:
    """Give our own time of each turn: from the arrival of Retell's request to its first whole sentence.

    Retell has no figure of the greeting, nor of turns that the caller spoke into before there was a sentence.
    """
    return [
        1000 * ((turn.queued_s or 0.0) + turn.first_sentence_s)
        for turn in turns
        if turn.response_id > 0 and turn.first_sentence_s is not None
    ]


def reported(call: Mapping[str, Any]) -> dict[str, Spread]:
    """Read Retell's figures out of a call object (`WebhookReceived.call`), as far as they can be read."""
    latency = call.get("latency")
    if not isinstance(latency, Mapping):
        return {}
    return {
        name: spread
        for name, figures in latency.items()
        if isinstance(figures, Mapping) and (spread := _spread(figures)) != Spread()
    }


def _spread(figures: Mapping[str, Any]) -> Spread:
    given = figures.get("values")
    values = [value for value in given if _is_number(value)] if isinstance(given, Sequence) else []
    told = {name: figures[name] for name in ("p50", "p90", "p95", "p99", "min", "max") if _is_number(figures.get(name))}
    number = figures.get("num")
    made = spread_of(values)
    return msgspec.structs.replace(made, **told, num=number if type(number) is int and number > 0 else made.num)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def parts(retell: Mapping[str, Spread], ours: Spread) -> tuple[Part, ...]:
    """Make the table of one call, or of many.

    Args:
        retell: Retell's figures, as `reported` gives them.
        ours: Our own time, in milliseconds.

    Returns:
        The parts of which something is known, in the order of `OWNERS`.
    """
    known = {name: retell.get(name, Spread()) for name in ("e2e", "asr", "llm", "llm_websocket_network_rtt", "tts")}
    known["ours"] = ours
    # Without keepalive there is no figure of the network, and its part stays in the rest.
    network = known["llm_websocket_network_rtt"]
    known["llm_rest"] = _rest(known["llm"], [ours] if network == Spread() else [network, ours])
    known["e2e_rest"] = _rest(known["e2e"], [known["asr"], known["llm"], known["tts"]])
    return tuple(
        Part(name, owner, known[name]) for name, owner in OWNERS.items() if known[name] != Spread(num=known[name].num)
    )


def _rest(whole: Spread, pieces: Iterable[Spread]) -> Spread:
    """Give what is left of a time without its parts; nothing is, when clocks or turns differ a little."""
    pieces = list(pieces)

    def left(name: Literal["p50", "mean"]) -> float | None:
        times: list[float | None] = [getattr(spread, name) for spread in (whole, *pieces)]
        first, *others = times
        if first is None or None in others:
            return None
        return max(0.0, first - sum(other for other in others if other is not None))

    return Spread(p50=left("p50"), mean=left("mean"), num=whole.num)
