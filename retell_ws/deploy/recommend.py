"""Which blueprint fits: the decision matrix, need by need, with its reasons. No I/O.

The smallest blueprint that is meant for all that is needed is the one: each next one is more to run. How fast the first
sentence has to come decides about levers, which every blueprint has, and not about the blueprint: Redis and Kafka make
no answer faster. So whoever wants more never gets less to run. Figures of levers are those of bench/RESULTS.md, and a
test holds them against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ..errors import UsageError
from ..plural import many
from ..settings import BUDGETS_MS
from .files import Blueprint
from .needs import NEEDS
from .next_setup import REDIS
from .turning_on import turning_on

__all__ = ["BLUEPRINTS", "LEVERS", "Advice", "Row", "Want", "advise"]

BLUEPRINTS: Final[tuple[Blueprint, ...]] = ("single", "distributed", "events")

MOST_CALLS: Final[dict[Blueprint, int]] = {"single": 9, "distributed": 99}
"""Calls at once up to which a blueprint is meant; `events` has no such bound."""

MODEL_MS: Final = (400, 700)
"""What a model needs to its first token; no server is faster than that without a lever."""

LEVERS: Final = {"p50": (536, 181), "p95": (1794, 1161)}
"""First sentence in milliseconds without and with all levers, in the conversations of `bench.first_sentence`."""


class Want(msgspec.Struct, frozen=True):
    """What is wanted.

    Attributes:
        calls: At once.
        p95_ms: From Retell's request to the first sentence, for 19 of 20 turns; None: nobody says.
        needs: Names out of `NEEDS`.
    """

    calls: int
    p95_ms: int | None = None
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise UsageError(f"--calls: {self.calls} is too few")
        if self.p95_ms is not None and self.p95_ms < 1:
            raise UsageError(f"--p95-ms: {self.p95_ms} is too few")
        for name in self.needs:
            if name not in NEEDS:
                raise UsageError(f"--needs: {name!r} is none of {', '.join(NEEDS)}")


class Row(msgspec.Struct, frozen=True):
    """One row of the matrix.

    Attributes:
        need: What is needed.
        single: What `single` gives; empty: it does not.
        distributed: Likewise.
        events: Likewise.
        first: The first blueprint that will do.
        decides: It is one of the reasons why no smaller blueprint will do.
        why: The reason.
    """

    need: str
    single: str
    distributed: str
    events: str
    first: Blueprint
    decides: bool
    why: str


class Advice(msgspec.Struct, frozen=True):
    """What fits.

    Attributes:
        blueprint: Which one.
        rows: The matrix.
        runs: What has to run.
        measure: What nobody can promise, so that it has to be measured.
        apply: The command that writes it.
        then: What that leaves to be turned on; those that begin with `$ ` are commands.
        speculates: The model is asked before Retell asks.
        is_shared: Calls are in Redis, so that one process can take those of another one.
        is_several: There is more than one server.
        is_on_bus: Facts go to Kafka.
    """

    blueprint: Blueprint
    rows: tuple[Row, ...]
    runs: tuple[str, ...]
    measure: tuple[str, ...]
    apply: str
    then: tuple[str, ...]
    speculates: bool
    is_shared: bool
    is_several: bool
    is_on_bus: bool


def advise(want: Want) -> Advice:
    """Decide.

    Args:
        want: What is wanted.
    """
    names = tuple(dict.fromkeys(want.needs))
    needs = [NEEDS[name] for name in names]
    rows = [_calls(want.calls)]
    if want.p95_ms is not None:
        rows.append(_latency(want.p95_ms))
    for name, need in zip(names, needs, strict=True):
        rows.append(Row(name, need.single, need.distributed, need.events, need.first, decides=False, why=need.why))
    chosen = _largest(row.first for row in rows)
    rows = [msgspec.structs.replace(row, decides=row.first == chosen != "single") for row in rows]
    several = want.calls > MOST_CALLS["single"] or any(need.several for need in needs)
    # Facts of several servers are together in Kafka alone.
    kafka = chosen == "events" and (several or any(need.kafka for need in needs))
    several = several or kafka
    shared = several or any(need.redis for need in needs)
    hurries = want.p95_ms is not None and want.p95_ms < BUDGETS_MS["single"]
    speculates = chosen != "single" or hurries or "speculation" in names
    return Advice(
        chosen,
        tuple(rows),
        _runs(chosen, several=several, shared=shared, kafka=kafka),
        _measure(want),
        _apply(chosen, several=several, shared=shared, kafka=kafka),
        turning_on(chosen, names, p95_ms=want.p95_ms, speculates=speculates, several=several, kafka=kafka),
        speculates=speculates,
        is_shared=shared,
        is_several=several,
        is_on_bus=kafka,
    )


def _largest(blueprints: Iterable[Blueprint]) -> Blueprint:
    return max(blueprints, key=BLUEPRINTS.index)


def _calls(calls: int) -> Row:
    if calls <= MOST_CALLS["single"]:
        first, why = BLUEPRINTS[0], "so few calls that one process can have them all"
    elif calls <= MOST_CALLS["distributed"]:
        first, why = BLUEPRINTS[1], "one process could do it, but they should not all end with it"
    else:
        first, why = BLUEPRINTS[2], "so many calls that nobody can listen to them: figures and archive have to"
    need = f"{many(calls, 'call')} at once"
    return Row(need, "fewer than 10", "10 to 99", "100 and more", first, decides=False, why=why)


def _latency(p95_ms: int) -> Row:
    usual = f"{MODEL_MS[0]} to {MODEL_MS[1]} ms"
    levers = "levers (speculation, answers from the cache, servers near the model)"
    if p95_ms < BUDGETS_MS["events"]:
        why = f"no blueprint is meant for less than {BUDGETS_MS['events']} ms; what helps are {levers}, in any of them"
    elif p95_ms < BUDGETS_MS["single"]:
        why = f"a model needs {usual} to its first token: {levers} hide that, in any blueprint"
    elif p95_ms < LEVERS["p95"][0]:
        why = f"a model's usual {usual} fit; against its slow answers {levers} help, in any blueprint"
    else:
        why = f"a model's usual {usual} fit, and most of its slow answers, in any blueprint"
    single, distributed, events = (f"budget {BUDGETS_MS[name]} ms" for name in BLUEPRINTS)
    on = "speculation is on"
    return Row(
        f"p95 within {p95_ms} ms",
        f"{single}; speculation with --speculate",
        f"{distributed}; {on}",
        f"{events}; {on}",
        BLUEPRINTS[0],
        decides=False,
        why=why,
    )


def _runs(blueprint: Blueprint, *, several: bool, shared: bool, kafka: bool) -> tuple[str, ...]:
    if several:
        found = ["two or more servers of retell_ws, with a proxy that ends TLS before them"]
    elif shared:
        found = ["one server of retell_ws, of several processes, with a proxy that ends TLS before it"]
    else:
        found = ["one server of retell_ws, with a proxy that ends TLS before it"]
    if shared:
        found.append("Redis 7 or Valkey")
    if kafka:
        found.append("Kafka, and the consumers: analytics, archive, escalation")
    elif blueprint == "events":
        found.append("no Kafka: the server starts the consumers itself, and one machine's disk has the facts")
    return tuple(found)


def _apply(blueprint: Blueprint, *, several: bool, shared: bool, kafka: bool) -> str:
    """Give the command that writes as much as has to run, and no more."""
    found = f"retell_ws blueprint apply {blueprint} --into DIR"
    if shared and not several:
        found += " --servers 1"
        if blueprint == "events":  # which has one server without Redis, unless it is told
            found += f" --redis-url {REDIS}"
    return f"{found} --kafka HOST:9092" if kafka else found


def _measure(want: Want) -> tuple[str, ...]:
    found = ["your model's own time: retell_ws bench URL, and then retell_ws_first_sentence_seconds while it runs"]
    (p50_off, p50_on), (p95_off, p95_on) = LEVERS["p50"], LEVERS["p95"]
    if want.p95_ms is not None and want.p95_ms < p95_off:
        found.append(
            "levers: speculation (--speculate; on in distributed and events), hedging, the prompt cache, answers from "
            "the cache (Agent(cache=True)). In bench/RESULTS.md, with a model whose times vary much, all of them bring "
            f"the first sentence from {p50_off} to {p50_on} ms at the median, and from {p95_off} to {p95_on} ms at p95"
        )
    if want.p95_ms is not None and want.p95_ms < p95_on:
        found.append(
            f"a p95 of {want.p95_ms} ms was not reached there: it takes a model that is faster at p95, or answers from "
            "the cache. No blueprint promises it"
        )
    return tuple(found)
