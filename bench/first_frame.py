"""What does the server add to the first words of one call? It shows nothing about many calls at once.

One call asks about once a second; the fake model answers after 200 ms with its own receive and write times in
its first delta. Overhead is request sent → first frame with words read, less the model's own time. Beside the
stacks runs the floor, at the same pace: raw TCP through a relay on the server's core to an echo on the model's
core, which waits as long as the model does. Those are the two loopback round trips no server can avoid.

Not shown: a real network, TLS, a real model, speech recognition and synthesis, or a busy server. At one call
the machine is asleep most of the time, so waking it is part of every figure, the floor's included.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ms, ratios
from bench.harness.machine import Cores
from bench.harness.paced_round import Speech, paced_round
from bench.harness.plans import Floor, PacedResult
from bench.harness.processes import started
from bench.harness.relay import REPLY_BYTES
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, carry_out, interleaved
from bench.harness.stacks import COLOURS, Stack, chosen

REQUEST_BYTES = 4200
"""About a request of the synthetic call."""

FLOOR, FLOOR_AT_ONCE = "floor", "floor-at-once"
_LABELS = {FLOOR: "two raw round trips, paced", FLOOR_AT_ONCE: "two raw round trips, no model wait"}

COLUMNS = [
    Column("stack", "label"),
    Column("p50 ms", "overhead_p50_ms"),
    Column("p99 ms", "overhead_p99_ms"),
    Column("× floor p50", "x_floor"),
    Column("× demo p50", "x_demo"),
    Column("to model p50 ms", "inward_p50_ms"),
    Column("from model p50 ms", "outward_p50_ms"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
    Column("turns", "turns"),
]


def main(
    *,
    stacks: str = "ours,ours-sdk,websockets-sdk,demo",
    rounds: int = 4,
    turns: int = 40,
    cycle_s: float = 0.95,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure the overhead of the first frame with one call.

    Args:
        stacks: Which, by name, separated by commas.
        rounds: How often each is measured.
        turns: Turns of a round.
        cycle_s: Seconds from one turn to the next.
        quick: One round of a few fast turns: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    speech = Speech()
    if quick:
        rounds, turns, cycle_s, speech = 1, 4, 0.3, Speech(ttft_ms=20, deltas=5, spacing_ms=5)
    cores = machine.cores()
    items: list[Stack | str] = [FLOOR, FLOOR_AT_ONCE, *chosen(stacks)]
    found: list[dict[str, Any]] = []
    machine.raise_file_limit()
    with Screen.shown("first frame, one call", rounds * len(items)) as screen:
        for number, item in interleaved(items, rounds):
            screen.begin(_LABELS[item] if isinstance(item, str) else item.label)
            if isinstance(item, str):
                waits = speech.ttft_ms if item == FLOOR else 0
                found.append(_floor(item, number, waits, turns, cycle_s, cores, screen.at))
            else:
                found.append(
                    paced_round(
                        item,
                        number,
                        calls=1,
                        cycle_s=cycle_s,
                        warm_s=cycle_s,
                        window_s=turns * cycle_s,
                        updates=1,
                        speech=speech,
                        cores=cores,
                        progress=screen.at,
                    )
                )
            screen.end()
    report = _report(items, found, {"rounds": rounds, "turns": turns, "cycle_s": cycle_s, "quick": quick})
    _draw(report, out)
    report.publish(out)
    return 0


def _floor(
    name: str,
    number: int,
    ttft_ms: float,
    turns: int,
    cycle_s: float,
    cores: Cores,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    argv = ["-m", "bench.harness.relay", "--request-bytes", str(REQUEST_BYTES)]
    with (
        started([*argv, "--ttft-ms", str(ttft_ms)], core=cores.load) as echo,
        started([*argv, "--to", str(echo.ready["port"])], core=cores.server) as relay,
    ):
        plan = Floor(
            port=relay.ready["port"],
            pids={"server": relay.pid, "model": echo.pid},
            request_bytes=REQUEST_BYTES,
            reply_bytes=REPLY_BYTES,
            turns=turns + 1,
            cycle_s=cycle_s,
        )
        result = carry_out(plan, PacedResult, cores=cores, progress=progress)
    assert result.cost is not None
    return {
        "stack": name,
        "round": number,
        "turns": result.turns,
        "overhead_p50_ms": ms(result.overhead_ns, 50),
        "overhead_p99_ms": ms(result.overhead_ns, 99),
        "cpu_per_turn_ms": result.cost.cpu_ns["server"] / 1e6 / result.turns,
        "foreign_percent": result.cost.foreign_percent,
        "stolen_percent": result.cost.stolen_percent,
    }


def _report(items: list[Stack | str], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    by_name = {
        name: [row for row in found if row["stack"] == name] for name in dict.fromkeys(r["stack"] for r in found)
    }
    rows: list[dict[str, Any]] = []
    for item in items:
        name, label = (item, _LABELS[item]) if isinstance(item, str) else (item.name, item.label)
        kept, unmixed = clean(by_name[name])
        keys = [column.key for column in COLUMNS if column.key in kept[0]]
        rows.append(
            {
                "stack": name,
                "label": label + ("" if unmixed else " (!)"),
                **{key: median_of(kept, key) for key in keys},
                "x_floor": ratios(kept, by_name[FLOOR], "overhead_p50_ms"),
                "x_demo": ratios(kept, by_name.get("demo", []), "overhead_p50_ms"),
                "turns": sum(row["turns"] for row in kept),
            }
        )
    by_row = {row["stack"]: row for row in rows}
    claims = []
    if "ours" in by_row:
        measured = by_row["ours"]["x_floor"]
        claims.append(Claim("one call, first frame p50 in two raw loopback round trips", measured, 4.0))
    note = foreign_note(found)
    return Report(
        name="first_frame",
        title="What the server adds to the first words of one call",
        method=(
            "One call, one machine, loopback; the server alone on one core, load client and fake model (200 ms to "
            f"the first token) on the other. Medians over interleaved rounds; {note}, left out where possible, "
            "else marked (!). Ratios are taken within a round."
        ),
        silent_about="networks, TLS, a real model, other calls on the same server (see fleet).",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=claims,
        rounds=found,
        charts=["first_frame.png"],
    )


def _draw(report: Report, out: Path) -> None:
    shown = [row for row in report.rows if row["stack"] != FLOOR_AT_ONCE]
    floor = next(row["overhead_p50_ms"] for row in report.rows if row["stack"] == FLOOR)
    charts.bars(
        out / "first_frame.png",
        title="One call: what each server adds before the first words",
        x_label="first-frame overhead beyond the model's own time, ms (p50; whisker p99)",
        values=[
            (row["label"], COLOURS.get(row["stack"], "#444444"), row["overhead_p50_ms"], row["overhead_p99_ms"])
            for row in shown
        ],
        bound=("4 × the raw round trips", 4 * floor),
        source="loopback, one core for the server; medians over rounds",
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
