"""What does it cost that any server can take any call? It shows nothing about servers that die (see faults).

The same paced calls as in `fleet`, one of them and a hundred at once, against one server that keeps its calls in its
memory and one that keeps them in Redis, side by side; then five hundred calls against two worker processes that share a
port and a Redis. Overhead is request sent → first frame with words read, less the fake model's own time.

Neither asks the model ahead of Retell, though `distributed` does by default: what is compared is where calls are kept.
Redis runs on the servers' core, and so do both workers: there are two cores, and the other one has the callers.

Not shown: a Redis beyond a network, TLS, a cluster, more cores than two, transcripts of hours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ratios
from bench.harness.paced_round import Speech, paced_round
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from bench.harness.stacks import COLOURS, STACKS, Stack

COLUMNS = [
    Column("server", "label"),
    Column("calls", "calls"),
    Column("p50 ms", "overhead_p50_ms"),
    Column("p99 ms", "overhead_p99_ms"),
    Column("× memory p50", "x_p50"),
    Column("p99", "x_p99"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
    Column("× memory", "x_cpu"),
    Column("pong p99 ms", "pong_p99_ms"),
    Column("failed", "failed"),
    Column("late", "late"),
    Column("turns", "turns"),
]
MEMORY, SHARED, WORKERS = "ours", "shared", "workers"


def main(
    *,
    calls: str = "1,100",
    crowd: int = 500,
    rounds: int = 4,
    window_s: float = 12.0,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure calls kept in memory and in Redis side by side.

    Args:
        calls: How many at once, separated by commas.
        crowd: Calls at once against two workers; 0 leaves them out.
        rounds: How often each is measured.
        window_s: Seconds of a round that count; for one call three times as many.
        quick: One short round of few calls: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    speech, warm_s, sizes = Speech(), 2.0, [int(size) for size in calls.split(",")]
    if quick:
        sizes, crowd, rounds, window_s, warm_s = [2], 6, 1, 1.5, 0.3
        speech = Speech(ttft_ms=50, deltas=10, spacing_ms=10)
    items = [(STACKS[name], size) for size in sizes for name in (MEMORY, SHARED)]
    items += [(STACKS[WORKERS], crowd)] if crowd else []
    found: list[dict[str, Any]] = []
    cores = machine.cores()
    machine.raise_file_limit()
    with Screen.shown("shared state", rounds * len(items)) as screen:
        for number, (stack, size) in interleaved(items, rounds):
            screen.begin(f"{stack.label}, {size} calls")
            cycle_s = 1.0 if size <= 10 else 4.0  # an answer of 0.2 + 40 × 0.015 s ends within a second
            row = paced_round(
                stack,
                number,
                calls=size,
                cycle_s=cycle_s,
                warm_s=warm_s,
                window_s=window_s * (3 if size == 1 else 1),
                updates=1 if cycle_s == 1.0 else 4,
                speech=speech,
                cores=cores,
                progress=screen.at,
            )
            found.append(row)
            screen.end()
    report = _report(items, found, {"rounds": rounds, "window_s": window_s, "quick": quick})
    _draw(report, out)
    report.publish(out)
    return 0


def _report(items: list[tuple[Stack, int]], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    rows: list[dict[str, Any]] = []
    for stack, size in items:
        mine = [row for row in found if (row["stack"], row["calls"]) == (stack.name, size)]
        base = [row for row in found if (row["stack"], row["calls"]) == (MEMORY, size)]
        kept, unmixed = clean(mine)
        keys = [column.key for column in COLUMNS if column.key.endswith(("_ms", "_percent"))]
        rows.append(
            {
                "stack": stack.name,
                "label": stack.label + ("" if unmixed else " (!)"),
                "calls": size,
                **{key: median_of(kept, key) for key in keys},
                **{key: sum(row[key] for row in mine) for key in ("failed", "late", "turns")},
                "x_p50": ratios(kept, base, "overhead_p50_ms"),
                "x_p99": ratios(kept, base, "overhead_p99_ms"),
                "x_cpu": ratios(kept, base, "cpu_per_turn_ms"),
            }
        )
    claims = [
        Claim(f"{row['calls']} calls, first frame p50 with Redis, × in memory", row["x_p50"], 1.1)
        for row in rows
        if row["stack"] == SHARED
    ]
    claims += [
        Claim(f"{row['calls']} calls on two workers, first frame p99 ms", row["overhead_p99_ms"], 10.0)
        for row in rows
        if row["stack"] == WORKERS
    ]
    return Report(
        name="shared_state",
        title="What it costs that any server can take any call",
        method=(
            "One machine, loopback; servers and Redis on one core, callers and fake model (200 ms to a first token) on "
            f"the other. Medians over interleaved rounds; {foreign_note(found)}, left out where possible, else marked "
            "(!). Ratios are taken within a round."
        ),
        silent_about="a Redis beyond a network, TLS, a cluster; servers that die (see faults).",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=claims,
        rounds=found,
        charts=["shared_state.png"],
    )


def _draw(report: Report, out: Path) -> None:
    charts.bars(
        out / "shared_state.png",
        title="What keeping calls in Redis adds",
        x_label="first-frame overhead beyond the model's own time, ms (p50; whisker p99)",
        values=[
            (
                f"{row['label']}, {row['calls']} call{'s' if row['calls'] > 1 else ''}",
                COLOURS[row["stack"]],
                row["overhead_p50_ms"],
                row["overhead_p99_ms"],
            )
            for row in report.rows
        ],
        source="loopback; one core for servers and Redis, the other for callers and model; medians over rounds",
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
