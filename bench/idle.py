"""What does a call cost while nobody speaks, and how fast does a server start? It shows nothing about speaking calls.

A thousand calls are opened and greeted once; then only Retell's pings go on, one every two seconds and call. A
call's memory is the growth of the server's resident memory from the first few calls to all of them, divided by
the calls in between: what the first calls load or allocate for good is not charged to the others. Start-up is
process start → ready line, with a warm file cache, and the resident memory then.

Not shown: memory after hours of speaking calls, kernel memory of sockets, TLS buffers, a cold disk.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ratios
from bench.harness.plans import Idle, IdleResult
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, carry_out, interleaved
from bench.harness.stacks import COLOURS, chosen, fake_model, serving

COLUMNS = [
    Column("stack", "label"),
    Column("KiB/idle call", "call_kib"),
    Column("× demo", "x_demo"),
    Column("RSS MiB, all calls", "full_mib"),
    Column("CPU µs/ping", "ping_us"),
    Column("ready s", "ready_s"),
    Column("RSS MiB at start", "start_mib"),
]
PING_EVERY_S = 2.0


def main(
    *,
    stacks: str = "ours,ours-sdk,websockets-sdk,demo",
    calls: int = 1000,
    few: int = 50,
    hold_s: float = 6.0,
    rounds: int = 3,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure idle calls and start-up.

    Args:
        stacks: Which, by name, separated by commas.
        calls: How many idle calls.
        few: The base from which a call's memory is reckoned.
        hold_s: Seconds that calls stay before memory is read.
        rounds: How often each is measured.
        quick: A few calls: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    if quick:
        calls, few, hold_s, rounds = 30, 5, 0.5, 1
    cores = machine.cores()
    wanted = chosen(stacks)
    found: list[dict[str, Any]] = []
    machine.raise_file_limit()
    with Screen.shown("idle calls", rounds * len(wanted)) as screen:
        for number, stack in interleaved(wanted, rounds):
            screen.begin(stack.label)
            with (
                fake_model(cores, ttft_ms=200, deltas=40, spacing_ms=15) as model,
                serving(stack, cores, model.ready["url"]) as server,
            ):
                start_bytes = machine.rss_bytes(server.pid)
                plan = Idle(
                    url=server.ready["ws"],
                    pids={"server": server.pid, "model": model.pid},
                    calls=calls,
                    few=few,
                    hold_s=hold_s,
                )
                result = carry_out(plan, IdleResult, cores=cores, progress=screen.at)
            grown = result.calls_rss_bytes - result.few_rss_bytes
            pings = calls * (result.held.wall_ns / 1e9) / PING_EVERY_S
            found.append(
                {
                    "stack": stack.name,
                    "round": number,
                    "call_kib": grown / (result.calls - result.few) / 1024,
                    "full_mib": result.calls_rss_bytes / 2**20,
                    "ping_us": result.held.cpu_ns["server"] / 1e3 / pings,
                    "ready_s": server.ready_s,
                    "start_mib": start_bytes / 2**20,
                    "foreign_percent": result.held.foreign_percent,
                    "stolen_percent": result.held.stolen_percent,
                }
            )
            screen.end()
    rows: list[dict[str, Any]] = []
    for stack in wanted:
        own = [row for row in found if row["stack"] == stack.name]
        kept, unmixed = clean(own)
        row = {key: median_of(kept, key) for key in (column.key for column in COLUMNS) if key in kept[0]}
        label = stack.label + ("" if unmixed else " (!)")
        demo = [other for other in found if other["stack"] == "demo"]
        rows.append({"stack": stack.name, "label": label, **row, "x_demo": ratios(kept, demo, "call_kib")})
    settings = {"calls": calls, "few": few, "hold_s": hold_s, "rounds": rounds, "quick": quick}
    report = _report(rows, found, settings)
    charts.bars(
        out / "idle.png",
        title="What a silent call holds in the server's memory",
        x_label="resident memory per idle call, KiB",
        values=[(row["label"], COLOURS[row["stack"]], row["call_kib"], None) for row in rows],
        bound=("promised: 40 KiB", 40.0),
        source=f"{calls} calls, greeted once, pinged every 2 s; medians over rounds",
    )
    report.publish(out)
    return 0


def _report(rows: list[dict[str, Any]], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    ours = next((row for row in rows if row["stack"] == "ours"), None)

    def of_ours(key: str) -> float:
        return float(ours[key]) if ours else math.nan

    return Report(
        name="idle",
        title="What a call costs while nobody speaks, and how fast a server starts",
        method=(
            "Calls are greeted once and then only pinged; memory is the growth from the first few calls to all, "
            "per call. One machine, loopback, medians over interleaved rounds; "
            f"{foreign_note(found)}."
        ),
        silent_about="memory after hours of speaking calls, kernel memory, TLS buffers, a cold disk.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim("resident memory per idle call, KiB", of_ours("call_kib"), 40.0),
            Claim("process start → ready, s", of_ours("ready_s"), 0.6),
            Claim("resident memory when ready, MiB", of_ours("start_mib"), 60.0),
        ],
        rounds=found,
        charts=["idle.png"],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
