"""What does it cost the calls' loop that facts are kept? It shows nothing about sockets, models or servers.

A loop that is busy for a fifth of its time puts 400 facts a second, as 300 calls do, and keeps five; a timer that looks
every millisecond says how late the loop is. That is done with an outbox that writes the journal, with one that waits
for the disk, with one that hands the journal on to a bus, and with none. Loop and outbox share one core, so what the
outbox's thread works is in the figures.

Not shown: Kafka's client, a disk under other load, a loop that is busier than its core.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cyclopts
import msgspec
import uvloop

from bench.harness import machine
from bench.harness.figures import clean, median_of, percentile
from bench.harness.processes import pinned_to
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import ToolFinished, TurnFinished, TurnMeasured, TurnStarted
from retell_ws.outbox import Outbox
from retell_ws.ports import Written
from retell_ws.speech_facts import CallerSaid, WebhookReceived

TICK_S = 0.001

TICKS_A_FACT = 2.5

TICKS_A_KEEP = 200

BUSY_NS = 200_000

TURN: tuple[AnyFact, ...] = (
    CallerSaid(7, "response", "Could you call me back at 415 555 0123 when there is a table for Tuesday evening?"),
    TurnStarted(7, "response"),
    TurnMeasured(7, "finished", first_token_s=0.41, first_frame_s=0.42, first_sentence_s=0.55, done_s=0.9, rounds=1),
    ToolFinished("book", "done", 0.2),
    TurnFinished(7, 120, 0.9),
)

COLUMNS = [
    Column("facts", "label"),
    Column("put p50 µs", "put_p50_us"),
    Column("p99 µs", "put_p99_us"),
    Column("kept p50 ms", "keep_p50_ms"),
    Column("p99 ms", "keep_p99_ms"),
    Column("loop late p50 µs", "late_p50_us"),
    Column("p99 µs", "late_p99_us"),
    Column("longest ms", "late_max_ms"),
    Column("CPU %", "cpu_percent"),
    Column("facts put", "put"),
    Column("lost", "lost"),
]

WAYS = {
    "none": "none",
    "journal": "to the journal",
    "disk": "to the disk, each time",
    "bus": "to the journal, to a bus",
}


class Swallow:
    """A bus that acknowledges what it is sent."""

    name = "swallow"

    def __init__(self) -> None:
        self._news: list[int] = []

    def send(self, entries: Sequence[Written]) -> int:
        self._news += [entry.position for entry in entries]
        return len(entries)

    def acknowledged(self, wait_s: float) -> Sequence[int]:
        news, self._news = self._news, []
        return news

    def figures(self) -> dict[str, float]:
        return {"sent": 0, "acknowledged": 0, "failed": 0, "degraded": 0}

    def close(self, wait_s: float) -> Sequence[int]:
        return self.acknowledged(0.0)


class Taken(msgspec.Struct):
    """What one round has taken down, in nanoseconds."""

    put_ns: list[int] = []
    keep_ns: list[int] = []
    late_ns: list[int] = []
    lost: int = 0


@asynccontextmanager
async def outbox_of(way: str) -> AsyncIterator[Outbox | None]:
    """Have what takes the facts."""
    if way == "none":
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        bus = Swallow() if way == "bus" else None
        async with Outbox(Path(folder), server="bench", bus=bus, sync=way == "disk") as outbox:
            yield outbox


async def carry_out(way: str, window_s: float) -> Taken:
    """Load a loop for a while."""
    taken = Taken()
    async with outbox_of(way) as outbox, asyncio.TaskGroup() as keeping:
        facts = 0
        calls = [f"call_{number}" for number in range(300)]
        end = time.perf_counter() + window_s
        ticks = 0
        while (now := time.perf_counter()) < end:
            await asyncio.sleep(TICK_S)
            taken.late_ns.append(round((time.perf_counter() - now - TICK_S) * 1e9))
            ticks += 1
            busy = time.perf_counter_ns()
            while facts < ticks / TICKS_A_FACT:
                facts += 1
                fact, call_id = TURN[facts % len(TURN)], calls[facts // len(TURN) % len(calls)]
                begun = time.perf_counter_ns()
                if outbox is not None:
                    outbox.put(call_id, 1, facts, fact)
                taken.put_ns.append(time.perf_counter_ns() - begun)
            if outbox is not None and ticks % TICKS_A_KEEP == 0:
                keeping.create_task(_keep(outbox, ticks, taken))
            while time.perf_counter_ns() - busy < BUSY_NS:
                pass
    if outbox is not None:
        figures = outbox.figures()
        taken.lost = round(figures["recorded"] - figures["written"])
    return taken


async def _keep(outbox: Outbox, number: int, taken: Taken) -> None:
    entry = Entry(
        id=f"webhook/{number}",
        call_id="call_1",
        epoch=1,
        seq=number,
        at=time.time(),
        server="bench",
        fact=WebhookReceived("call_ended", {"call_id": "call_1", "transcript": "User: hello\nAgent: hello\n" * 20}),
    )
    begun = time.perf_counter_ns()
    if await outbox.keep(entry):
        taken.keep_ns.append(time.perf_counter_ns() - begun)


def main(*, window_s: float = 10.0, rounds: int = 5, quick: bool = False, out: Path = RESULTS) -> int:
    """Measure what facts cost.

    Args:
        window_s: Seconds that are measured, each round.
        rounds: How often each way is measured.
        quick: A moment: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    if quick:
        window_s, rounds = 1.0, 1
    found: list[dict[str, Any]] = []
    watched = {"bench": os.getpid()}
    with Screen.shown("facts", rounds * len(WAYS)) as screen, pinned_to(machine.cores().server):
        for number, way in interleaved(list(WAYS), rounds):
            screen.begin(WAYS[way])
            before = machine.sample(watched)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                taken = runner.run(carry_out(way, window_s))
            cost = machine.cost(before, machine.sample(watched))
            found.append(
                {
                    "way": way,
                    "round": number,
                    "put_p50_us": percentile(taken.put_ns, 50) / 1e3,
                    "put_p99_us": percentile(taken.put_ns, 99) / 1e3,
                    "keep_p50_ms": percentile(taken.keep_ns, 50) / 1e6,
                    "keep_p99_ms": percentile(taken.keep_ns, 99) / 1e6,
                    "late_p50_us": percentile(taken.late_ns, 50) / 1e3,
                    "late_p99_us": percentile(taken.late_ns, 99) / 1e3,
                    "late_max_ms": max(taken.late_ns) / 1e6,
                    "cpu_percent": 100 * cost.cpu_ns["bench"] / cost.wall_ns,
                    "put": len(taken.put_ns),
                    "lost": taken.lost,
                    "foreign_percent": cost.foreign_percent,
                    "stolen_percent": cost.stolen_percent,
                }
            )
            screen.end()
    _report(found, {"window_s": window_s, "rounds": rounds, "quick": quick}).publish(out)
    return 0


def _report(found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    rows: list[dict[str, Any]] = []
    for way, label in WAYS.items():
        own = [row for row in found if row["way"] == way]
        kept, unmixed = clean(own)
        row = {column.key: median_of(kept, column.key) for column in COLUMNS if column.key in kept[0]}
        sums = {key: sum(one[key] for one in own) for key in ("put", "lost")}
        rows.append({"way": way, "label": label + ("" if unmixed else " (!)"), **row, **sums})
    by_way = {row["way"]: row for row in rows}
    return Report(
        name="facts",
        title="What it costs the calls that facts are kept",
        method=(
            "400 facts a second and five that are waited for, put by a loop that works a fifth of its time, in one "
            "process on one core; a timer of a millisecond tells how late the loop is. Medians over interleaved "
            f"rounds; {foreign_note(found)}, left out where possible, else marked (!)."
        ),
        silent_about="Kafka's client, a disk under other load, a loop that is busier than its core.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim("to put a fact, p50 µs", by_way["journal"]["put_p50_us"], 5.0),
            Claim("facts put that were not written", float(sum(row["lost"] for row in rows)), 0.0),
        ],
        rounds=found,
        charts=[],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
