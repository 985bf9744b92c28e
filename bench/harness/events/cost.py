"""What facts cost the calls: the same server without them, with its journal, and with Kafka behind it, in turns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.harness.events.timed import read
from bench.harness.figures import clean, median_of, percentile, ratios
from bench.harness.kafka_server import KafkaServer
from bench.harness.machine import Cores
from bench.harness.paced_round import Speech, paced_round
from bench.harness.ports import free_ports
from bench.harness.rounds import Screen, interleaved
from bench.harness.stacks import STACKS, Stack

__all__ = ["COLOURS", "KAFKA", "OFF", "Pace", "cost", "summed_up"]

OFF, JOURNAL, KAFKA = "off", "journal", "kafka"
LABELS: Final = {OFF: "no facts", JOURNAL: "facts in the journal", KAFKA: "facts to Kafka"}
COLOURS: Final = {OFF: "#8a8a8a", JOURNAL: "#58b09c", KAFKA: "#0b6e4f"}

# All else alike: a second port, calls in Redis, a budget of the same length, and no speculation.
ALIKE: Final = ("--no-speculate", "--drain-delay-s", "0", "--http-port", "0", "--budget-ms", "300")


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The load of a round.

    Attributes:
        calls: At once.
        rounds: How often each server is measured.
        cycle_s: From one question of a call to its next.
        warm_s: Load before what counts, in seconds.
        window_s: What counts, in seconds.
        speech: How the model speaks.
    """

    calls: int = 300
    rounds: int = 4
    cycle_s: float = 4.0
    warm_s: float = 2.0
    window_s: float = 20.0
    speech: Speech = Speech()


def _stacks(folder: Path, bootstrap: str, timings: Path) -> list[Stack]:
    """Make the three; each start of one has a data folder of its own."""
    numbers = itertools.count(1)

    def argv(*flags: str, kept: bool = True) -> Callable[[str], list[str]]:
        def make(url: str) -> list[str]:
            (_, _, *usual), data = STACKS["ours"].argv(url), folder / f"data{next(numbers)}"
            return [
                *("-m", "bench.harness.events.timed", str(timings), *usual, *ALIKE, *flags),
                *(("--blueprint", "events", "--no-consume", "--data", str(data)) if kept else ()),
            ]

        return make

    return [
        Stack(OFF, LABELS[OFF], argv("--blueprint", "distributed", kept=False), keeps=True),
        Stack(JOURNAL, LABELS[JOURNAL], argv(), keeps=True),
        Stack(KAFKA, LABELS[KAFKA], argv("--kafka-bootstrap", bootstrap), keeps=True),
    ]


async def cost(pace: Pace, cores: Cores, folder: Path, screen: Screen) -> list[dict[str, Any]]:
    """Measure all three, in turns. The broker runs all the while, beside the callers.

    Args:
        pace: The load.
        cores: Where.
        folder: For data and times; it is there.
        screen: Shows how far it is.

    Returns:
        The figures of each round.
    """
    timings: Path = folder / "timings"
    found: list[dict[str, Any]] = []
    port, controller_port = free_ports(1, 1)
    async with KafkaServer(folder, port=port, controller_port=controller_port, core=cores.load) as kafka:
        for number, stack in interleaved(_stacks(folder, kafka.bootstrap, timings), pace.rounds):
            screen.begin(f"{stack.label}, {pace.calls} calls")
            await asyncio.to_thread(timings.unlink, missing_ok=True)
            # In a thread: it waits for processes, and pins those it starts from the thread it runs in.
            row: dict[str, Any] = await asyncio.to_thread(
                paced_round,
                stack,
                number,
                calls=pace.calls,
                cycle_s=pace.cycle_s,
                warm_s=pace.warm_s,
                window_s=pace.window_s,
                updates=4,
                speech=pace.speech,
                cores=cores,
                progress=screen.at,
                beside={"kafka": kafka.pid},
            )
            taken = read(timings)
            row |= {
                "facts_taken": len(taken),
                "fact_p50_us": percentile(taken, 50) / 1000,
                "fact_p99_us": percentile(taken, 99) / 1000,
            }
            found.append(row)
            screen.end()
    return found


def summed_up(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take medians over rounds, and ratios within a round."""
    base = [row for row in rounds if row["stack"] == OFF]
    rows = []
    for name, label in LABELS.items():
        kept, is_clean = clean([row for row in rounds if row["stack"] == name])
        if not kept:
            continue
        rows.append(
            {
                "scenario": "cost",
                "stack": name,
                "label": label + ("" if is_clean else " (!)"),
                "calls": rounds[0]["calls"],
                "turns": sum(row["turns"] for row in rounds if row["stack"] == name),
                "affected": sum(row["failed"] for row in rounds if row["stack"] == name),
                "quiet_p50_ms": median_of(kept, "overhead_p50_ms"),
                "quiet_p99_ms": median_of(kept, "overhead_p99_ms"),
                "cpu_per_turn_ms": median_of(kept, "cpu_per_turn_ms"),
                "fact_p50_us": median_of(kept, "fact_p50_us"),
                "fact_p99_us": median_of(kept, "fact_p99_us"),
                "x_p50": ratios(kept, base, "overhead_p50_ms"),
                "x_p99": ratios(kept, base, "overhead_p99_ms"),
                "x_cpu": ratios(kept, base, "cpu_per_turn_ms"),
                "violations": 0,
            }
        )
    return rows
