"""What do 1 to 1000 calls at once cost, and who hears it? It shows nothing about several processes or machines.

Each call asks every four seconds (every second at ten calls and fewer, for enough turns), gets four updates a
turn and a ping every two seconds, all with a transcript of 4 KB. The fake model answers after 200 ms with 40
deltas, 15 ms apart; about one call in five streams at any moment. `--streaming` adds rounds in which every call
streams nearly all the time (100 deltas, 30 ms apart, a new turn every 3.4 s), to see whether pings are answered
then.

Per turn: first-frame overhead as in `first_frame`; how long after the model's last delta was due the completion
was read (`tail`, with the model's timer jitter in it); the server's CPU time, everything included.

Not shown: networks, TLS, real models, more than one core, hours of running. The callers wait for an answer
before they ask again, so a collapsed server's queue looks shorter than it would be; `late` counts the turns
that were not over when the next was due. Our server joins deltas after the first sentence into fewer frames,
the peers send every delta as a frame: CPU per turn includes that choice.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ratios
from bench.harness.paced_round import Speech, paced_round
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from bench.harness.stacks import COLOURS, Stack, chosen

COLUMNS = [
    Column("stack", "label"),
    Column("calls", "calls"),
    Column("p50 ms", "overhead_p50_ms"),
    Column("p99 ms", "overhead_p99_ms"),
    Column("delta p50 ms", "outward_p50_ms"),
    Column("tail p99 ms", "tail_p99_ms"),
    Column("pong p99 ms", "pong_p99_ms"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
    Column("CPU %", "cpu_percent"),
    Column("RSS MiB", "rss_mib"),
    Column("frames/turn", "frames_per_turn"),
    Column("failed", "failed"),
    Column("late", "late"),
    Column("× demo p50", "x_p50"),
    Column("p99", "x_p99"),
    Column("CPU", "x_cpu"),
]
_MEDIANS = [column.key for column in COLUMNS if column.key.endswith(("_ms", "_percent", "_mib", "_turn"))]
STREAMING = "streaming"
"""Stands in the place of a number of calls for the round in which all of them speak."""

Case = tuple[str, int]


def main(
    *,
    stacks: str = "ours,websockets-sdk,demo",
    calls: str = "1,10,100,300,1000",
    streaming: int = 500,
    rounds: int = 3,
    window_s: float = 12.0,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure a fleet of paced calls.

    Args:
        stacks: Which, by name, separated by commas.
        calls: How many at once, separated by commas.
        streaming: Calls of the round in which every call streams; 0 leaves it out. Only ours runs it.
        rounds: How often each is measured.
        window_s: Seconds of a round that count.
        quick: One short round of few calls: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    speech, long_speech, warm_s = Speech(), Speech(deltas=100, spacing_ms=30), 2.0
    sizes = [int(size) for size in calls.split(",")]
    if quick:
        sizes, streaming, rounds, window_s, warm_s = [1, 5], 5, 1, 1.5, 0.3
        speech = long_speech = Speech(ttft_ms=50, deltas=10, spacing_ms=10)
    cores = machine.cores()
    wanted = chosen(stacks)
    items: list[tuple[Case, Stack]] = [(("paced", size), stack) for size in sizes for stack in wanted]
    items += [((STREAMING, streaming), stack) for stack in wanted if streaming and stack.name == "ours"]
    found: list[dict[str, Any]] = []
    machine.raise_file_limit()
    with Screen.shown("fleet", rounds * len(items)) as screen:
        for number, ((case, size), stack) in interleaved(items, rounds):
            screen.begin(f"{stack.label}, {size} calls {'' if case == 'paced' else case}")
            # An answer of 0.2 + 40 × 0.015 s ends within a second, one of 0.2 + 100 × 0.03 s within 3.4 s.
            cycle_s = 3.4 if case == STREAMING else 1.0 if size <= 10 else 4.0
            row = paced_round(
                stack,
                number,
                calls=size,
                cycle_s=cycle_s,
                warm_s=warm_s,
                window_s=window_s,
                updates=1 if cycle_s == 1.0 else 4,
                speech=long_speech if case == STREAMING else speech,
                cores=cores,
                progress=screen.at,
            )
            found.append({"case": case, **row})
            screen.end()
    settings = {"rounds": rounds, "window_s": window_s, "quick": quick}
    report = _report(items, found, settings)
    _draw(report, out, wanted)
    report.publish(out)
    return 0


def _report(items: list[tuple[Case, Stack]], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    def rounds_of(case: Case, stack: str) -> list[dict[str, Any]]:
        return [row for row in found if (row["case"], row["calls"]) == case and row["stack"] == stack]

    rows: list[dict[str, Any]] = []
    for case, stack in items:
        own, demo = rounds_of(case, stack.name), rounds_of(case, "demo")
        kept, unmixed = clean(own)
        notes = (" (all streaming)" if case[0] == STREAMING else "") + ("" if unmixed else " (!)")
        rows.append(
            {
                "stack": stack.name,
                "case": case[0],
                "label": stack.label + notes,
                "calls": case[1],
                **{key: median_of(kept, key) for key in _MEDIANS if key in kept[0]},
                # A failure is a failure, whoever else was running.
                "failed": sum(row["failed"] for row in own),
                "late": sum(row["late"] for row in own),
                "turns": sum(row["turns"] for row in own),
                "x_p50": ratios(kept, demo, "overhead_p50_ms"),
                "x_p99": ratios(kept, demo, "overhead_p99_ms"),
                "x_cpu": ratios(kept, demo, "cpu_per_turn_ms"),
            }
        )
    note = foreign_note(found)
    return Report(
        name="fleet",
        title="What 1 to 1000 calls at once cost, and who hears it",
        method=(
            "Paced calls on one machine, loopback; the server alone on one core, load client and fake model (200 ms "
            f"to the first token, 40 deltas × 15 ms) on the other. Medians over interleaved rounds; {note}, left "
            "out where possible, else marked (!). Failed and late are sums over all rounds. Ratios are taken "
            "within a round, against the demo shape at its best."
        ),
        silent_about=(
            "networks, TLS, real models, several processes, hours of running. Ours joins deltas after the first "
            "sentence into fewer frames; the peers send one frame a delta."
        ),
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=_claims(rows),
        rounds=found,
        charts=["fleet.png", "fleet_cpu.png"],
    )


def _claims(rows: list[dict[str, Any]]) -> list[Claim]:
    def at(case: str, calls: int, key: str) -> float:
        found = [r for r in rows if (r["stack"], r["case"], r["calls"]) == ("ours", case, calls)]
        return float(found[0][key]) if found else math.nan

    return [
        Claim("300 calls: first-frame overhead p50, × demo", at("paced", 300, "x_p50"), 0.25),
        Claim("300 calls: first-frame overhead p99, × demo", at("paced", 300, "x_p99"), 0.2),
        Claim("300 calls: CPU per turn, × demo", at("paced", 300, "x_cpu"), 0.25),
        Claim("1000 calls: % of one core", at("paced", 1000, "cpu_percent"), 60.0),
        Claim("1000 calls: first-frame overhead p99, ms", at("paced", 1000, "overhead_p99_ms"), 10.0),
        Claim("1000 calls: failed turns", at("paced", 1000, "failed"), 0.0),
        Claim("500 calls, all streaming: pong p99, ms", at(STREAMING, 500, "pong_p99_ms"), 20.0),
    ]


def _draw(report: Report, out: Path, stacks: list[Stack]) -> None:
    def points(stack: Stack, key: str) -> dict[float, float]:
        return {r["calls"]: r[key] for r in report.rows if (r["stack"], r["case"]) == (stack.name, "paced")}

    latency = [
        charts.Line(f"{stack.label}, {name}", COLOURS[stack.name], points(stack, key), dashed=name == "p99")
        for stack in stacks
        for name, key in (("p50", "overhead_p50_ms"), ("p99", "overhead_p99_ms"))
    ]
    source = "one core for the server, 200 ms to the first token, 40 deltas × 15 ms, 4 KB transcript; loopback"
    charts.lines(
        out / "fleet.png",
        title="What callers wait for the server, beyond the model",
        x_label="calls at once",
        y_label="first-frame overhead, ms",
        series=latency,
        source=source,
    )
    charts.lines(
        out / "fleet_cpu.png",
        title="What one answered turn costs the server",
        x_label="calls at once",
        y_label="CPU time per turn, ms",
        series=[charts.Line(stack.label, COLOURS[stack.name], points(stack, "cpu_per_turn_ms")) for stack in stacks],
        source=source,
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
