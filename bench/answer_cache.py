"""How soon is an answer from the cache there, whole, and is it the right one? It shows nothing about first askers.

A hundred calls ask common questions right after the greeting; each was answered once before the window. Measured is
request sent → frame read that completes the answer, and every answer is held against the one the scripted model gives
to that question. The same calls with the cache off say what it saves; with every call asking as soon as it has its
answer, how many answers a second one core gives.

Not shown: a real network, TLS, a real model, a store on another machine, or how often real callers ask the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cyclopts
import msgspec

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ms
from bench.harness.machine import Cores
from bench.harness.plans import Recalling, RecallingResult
from bench.harness.processes import started
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, carry_out, interleaved

TTFT_MS, SPACING_MS = 200, 15
"""How the scripted model speaks when it is asked."""


class Way(msgspec.Struct, frozen=True):
    """One way to ask.

    Attributes:
        name: As results keep it.
        label: As charts and tables say it.
        colour: Of its bar.
        cycle_s: From one question of a call to its next; 0 for at once.
        cached: Whether the cache is on.
    """

    name: str
    label: str
    colour: str
    cycle_s: float
    cached: bool = True


COLUMNS = [
    Column("calls", "label"),
    Column("whole answer p50 ms", "complete_p50_ms"),
    Column("p99 ms", "complete_p99_ms"),
    Column("longest ms", "complete_max_ms"),
    Column("first frame p50 ms", "first_p50_ms"),
    Column("answers/s", "per_s"),
    Column("CPU ms/answer", "cpu_per_answer_ms"),
    Column("frames/answer", "frames"),
    Column("answers", "turns"),
    Column("wrong", "wrong"),
    Column("failed", "failed"),
]


def main(
    *,
    calls: int = 100,
    cycle_s: float = 0.5,
    window_s: float = 10.0,
    rounds: int = 3,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure answers from the cache.

    Args:
        calls: Calls at once.
        cycle_s: Seconds from one question of a call to its next.
        window_s: Seconds that are measured, each round.
        rounds: How often each way is measured.
        quick: A few calls for a moment: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    if quick:
        calls, window_s, rounds = 10, 1.0, 1
    ways = [
        Way("hits", "from the cache", "#0b6e4f", cycle_s),
        Way("flood", "from the cache, as fast as they can", "#58b09c", 0.0),
        Way("model", "the model is asked", "#8a8a8a", cycle_s, cached=False),
    ]
    cores = machine.cores()
    machine.raise_file_limit()
    found: list[dict[str, Any]] = []
    with Screen.shown("answers from the cache", rounds * len(ways)) as screen:
        for number, way in interleaved(ways, rounds):
            screen.begin(way.label)
            found.append(_round(way, number, calls, window_s, cores, screen))
            screen.end()
    settings = {"calls": calls, "cycle_s": cycle_s, "window_s": window_s, "rounds": rounds, "quick": quick}
    report = _report(ways, found, settings)
    charts.bars(
        out / "answer_cache.png",
        title=f"{calls} calls ask what was asked before",
        x_label="request → whole answer, ms (p50; whisker p99)",
        values=[
            (row["label"], way.colour, row["complete_p50_ms"], row["complete_p99_ms"])
            for row, way in zip(report.rows, ways, strict=True)
        ],
        source="loopback, one core for the server; medians over rounds",
    )
    report.publish(out)
    return 0


def _round(way: Way, number: int, calls: int, window_s: float, cores: Cores, screen: Screen) -> dict[str, Any]:
    argv = [
        *("-m", "retell_ws", "serve", "bench/harness/cached_receptionist.py", "--port", "0", "--model", "scripted"),
        *("--scripted-ttft-ms", str(TTFT_MS), "--scripted-spacing-ms", str(SPACING_MS)),
        *("--max-calls", "5000", "--drain-s", "0", "--log-level", "error"),
        "--answer-cache" if way.cached else "--no-answer-cache",
    ]
    with started(argv, core=cores.server) as server:
        plan = Recalling(
            url=server.ready["ws"],
            pids={"server": server.pid},
            calls=calls,
            cycle_s=way.cycle_s,
            warm_s=1.0,
            window_s=window_s,
        )
        result = carry_out(plan, RecallingResult, cores=cores, progress=screen.at)
    turns = max(1, result.turns)
    return {
        "way": way.name,
        "round": number,
        "complete_p50_ms": ms(result.complete_ns, 50),
        "complete_p99_ms": ms(result.complete_ns, 99),
        "complete_max_ms": ms(result.complete_ns, 100),
        "first_p50_ms": ms(result.first_ns, 50),
        "per_s": result.turns / (result.cost.wall_ns / 1e9),
        "cpu_per_answer_ms": result.cost.cpu_ns["server"] / 1e6 / turns,
        "frames": sum(result.frames) / turns,
        "turns": result.turns,
        "wrong": result.wrong,
        "failed": result.failed,
        "foreign_percent": result.cost.foreign_percent,
        "stolen_percent": result.cost.stolen_percent,
    }


def _report(ways: list[Way], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    rows: list[dict[str, Any]] = []
    for way in ways:
        own = [row for row in found if row["way"] == way.name]
        kept, unmixed = clean(own)
        row = {column.key: median_of(kept, column.key) for column in COLUMNS if column.key in kept[0]}
        sums = {key: sum(one[key] for one in own) for key in ("turns", "wrong", "failed")}
        rows.append({"way": way.name, "label": way.label + ("" if unmixed else " (!)"), **row, **sums})
    by_way = {row["way"]: row for row in rows}
    cached = [by_way["hits"], by_way["flood"]]
    answers = max(1, sum(row["turns"] for row in cached))
    return Report(
        name="answer_cache",
        title="How soon an answer from the cache is there, whole",
        method=(
            "Calls ask eight common questions in turn, each as the first one after the greeting; one machine, "
            f"loopback, one core for the server. The scripted model needs {TTFT_MS} ms to its first word and "
            f"{SPACING_MS} ms to each other one. Medians over interleaved rounds; {foreign_note(found)}, left out "
            "where possible, else marked (!). Wrong are answers other than the model's to that question."
        ),
        silent_about="networks, TLS, a real model, a store on another machine, how often real callers ask the same.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim(
                f"{settings['calls']} calls, request → whole answer from the cache, p99 ms",
                by_way["hits"]["complete_p99_ms"],
                10.0,
            ),
            Claim(
                "answers from the cache that are wrong or failed, %",
                100.0 * sum(row["wrong"] + row["failed"] for row in cached) / answers,
                0.0,
            ),
        ],
        rounds=found,
        charts=["answer_cache.png"],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
