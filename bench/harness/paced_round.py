"""One round of paced calls against one stack: fresh server, fresh fake model, the figures. It keeps no state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from bench.harness.figures import ms
from bench.harness.machine import Cores
from bench.harness.plans import Paced, PacedResult
from bench.harness.rounds import carry_out
from bench.harness.stacks import Stack, fake_model, serving

__all__ = ["Speech", "paced_round"]


class Speech(msgspec.Struct, frozen=True):
    """How the fake model speaks: milliseconds to its first delta, deltas, milliseconds between them."""

    ttft_ms: int = 200
    deltas: int = 40
    spacing_ms: int = 15


def paced_round(
    stack: Stack,
    number: int,
    *,
    calls: int,
    cycle_s: float,
    warm_s: float,
    window_s: float,
    updates: int,
    speech: Speech,
    cores: Cores,
    progress: Callable[[float], None],
    beside: Mapping[str, int] | None = None,
) -> dict[str, float | str]:
    """Measure a stack once.

    Args:
        stack: What.
        number: Of the round.
        calls: How many at once.
        cycle_s: From one request of a call to its next.
        warm_s: Load before what counts.
        window_s: What counts.
        updates: `update_only` messages per turn.
        speech: How the model speaks.
        cores: Where.
        progress: Is told how far it is, from 0 to 1.
        beside: Processes of the bench's own that run all the while, by name: they are no strangers.

    Returns:
        Figures by name: milliseconds (`_ms`), percent of a core, MiB, counts.
    """
    with (
        fake_model(cores, ttft_ms=speech.ttft_ms, deltas=speech.deltas, spacing_ms=speech.spacing_ms) as model,
        serving(stack, cores, model.ready["url"]) as server,
    ):
        plan = Paced(
            url=server.ready["ws"],
            pids={"server": server.pid, "model": model.pid, **server.beside, **(beside or {})},
            calls=calls,
            cycle_s=cycle_s,
            warm_s=warm_s,
            window_s=window_s,
            updates=updates,
            deltas=speech.deltas,
            spacing_ms=speech.spacing_ms,
        )
        result = carry_out(plan, PacedResult, cores=cores, progress=progress)
    return {"stack": stack.name, "round": number, "calls": calls, **_figures(result)}


def _figures(result: PacedResult) -> dict[str, float]:
    assert result.cost is not None
    cost, turns = result.cost, max(1, result.turns)
    ours = [name for name in cost.cpu_ns if name == "server" or name.startswith("worker")]
    return {
        "turns": result.turns,
        "overhead_p50_ms": ms(result.overhead_ns, 50),
        "overhead_p99_ms": ms(result.overhead_ns, 99),
        "inward_p50_ms": ms(result.inward_ns, 50),
        "outward_p50_ms": ms(result.outward_ns, 50),
        "outward_p99_ms": ms(result.outward_ns, 99),
        "tail_p50_ms": ms(result.tail_ns, 50),
        "tail_p99_ms": ms(result.tail_ns, 99),
        "pong_p50_ms": ms(result.pongs_ns, 50),
        "pong_p99_ms": ms(result.pongs_ns, 99),
        "frames_per_turn": sum(result.frames) / max(1, len(result.frames)),
        "cpu_percent": sum(cost.percent(name) for name in ours),
        "cpu_per_turn_ms": sum(cost.cpu_ns[name] for name in ours) / 1e6 / turns,
        "load_cpu_percent": cost.percent("load"),
        "model_cpu_percent": cost.percent("model"),
        "rss_mib": result.rss_bytes / 2**20,
        "failed": result.failed + result.unopened,
        "late": result.late,
        "foreign_percent": cost.foreign_percent,
        "stolen_percent": cost.stolen_percent,
    }
