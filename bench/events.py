"""What do facts cost, and are any lost?

Facts of all calls go through a server's journal to Kafka, and consumers read them there. No turn is to wait for any of
it, and no fact is to be lost. The scenarios:

    cost        first words and CPU of paced calls, without facts, with the journal, and with Kafka; what a fact takes
    outage      Kafka is away for ten minutes under load, then back
    kill        Kafka is away, and the server struck dead with facts that it has not passed on
    consumers   the processes of analytics and archive are struck dead at random while people call
    escalation  callers want a human; a rule hands them on while they are on the line

Callers write down what they asked and heard. In the end all that lies in Kafka is read and compared with it: each call,
question, answer and transcript must be there once, in order, without a gap. One violation, and the exit status is 1.

Not shown: several brokers, one of which fails, disks that are full, networks in between, several servers on one
journal, a bucket instead of a folder, days of load.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import cyclopts
import msgspec
import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from bench.harness import charts, machine
from bench.harness.events.cost import COLOURS, KAFKA, Pace, cost, summed_up
from bench.harness.events.scenarios import SCENARIOS, Played
from bench.harness.events.site import Sizes
from bench.harness.faults.calls import Habits
from bench.harness.paced_round import Speech
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen

COLUMNS = [
    Column("what", "label"),
    Column("calls", "calls"),
    Column("turns", "turns"),
    Column("first p50 ms", "quiet_p50_ms"),
    Column("p99 ms", "quiet_p99_ms"),
    Column("× off p50", "x_p50"),
    Column("p99", "x_p99"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
    Column("a fact p50 µs", "fact_p50_us"),
    Column("p99 µs", "fact_p99_us"),
    Column("first p99 ms then", "fault_p99_ms"),
    Column("turns affected", "affected"),
    Column("facts", "facts"),
    Column("again", "duplicates"),
    Column("lost", "lost"),
    Column("journal MB", "journal_mb"),
    Column("caught up s", "caught_up_s"),
    Column("to a human p50 ms", "escalated_p50_ms"),
    Column("p99 ms", "escalated_p99_ms"),
    Column("violations", "violations"),
]
COST = "cost"
ALL = (COST, *SCENARIOS)
MANY = 20
"""Violations printed in words."""


def main(
    *,
    scenarios: str = ",".join(ALL),
    calls: int = 100,
    paced: int = 300,
    rounds: int = 4,
    window_s: float = 20.0,
    outage_s: float = 600.0,
    kills_s: float = 90.0,
    escalations: int = 300,
    seed: int = 0,
    short: bool = False,
    history: Path | None = None,
    out: Path = RESULTS,
) -> int:
    """Measure what facts cost, and bring about what might lose them.

    Args:
        scenarios: Which, by name, separated by commas.
        calls: How many at once, in all but `cost`.
        paced: How many at once in `cost`.
        rounds: How often each server is measured there.
        window_s: Seconds of such a round that count.
        outage_s: How long Kafka is away.
        kills_s: How long consumers are killed.
        escalations: Callers who want a human, for each bus.
        seed: Of everything that is drawn; 0 draws one.
        short: A few calls and seconds: shows that the bench runs, and that nothing is violated.
        history: A folder for histories and logs, which are otherwise kept only when something was violated.
        out: Folder of the results.
    """
    out = results_in(out, quick=short)
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    wanted = _chosen(scenarios)
    machine.raise_file_limit()
    usual = Sizes(calls=calls, escalations=escalations, seed=seed)
    pace = Pace(calls=paced, rounds=rounds, window_s=window_s)
    if short:
        habits = Habits(shortest_s=4, longest_s=6, pause_s=0.5, words=18)
        usual = Sizes(
            calls=6, before_s=1, after_s=1, every_s=1, escalations=4, arrive_s=40, seed=seed, habits=habits
        )  # fmt: skip
        pace = Pace(calls=4, rounds=1, cycle_s=1, warm_s=0.3, window_s=2, speech=Speech(50, 10, 10))
        outage_s, kills_s = 3.0, 4.0
    found: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = []
    times: dict[str, dict[str, list[float]]] = {}
    failed = False
    console = Console(stderr=True)
    steps = sum(3 * pace.rounds if name == COST else 1 for name in wanted)
    with Screen.shown("events", steps) as screen:
        for name in wanted:
            folder = Path(tempfile.mkdtemp(prefix=f"events-{name}-"))
            if name == COST:
                measured = uvloop.run(cost(pace, machine.cores(), folder, screen))
                found += summed_up(measured)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            screen.begin(SCENARIOS[name].label)
            sizes = msgspec.structs.replace(usual, fault_s=kills_s if name == "consumers" else outage_s)
            try:
                played = uvloop.run(SCENARIOS[name].play(sizes, folder, screen.at))
            except BaseException:
                console.print(f"history and logs: {folder}", highlight=False)
                raise
            screen.end()
            for row in played.rows:
                row |= {"seed": seed, "checks": played.checks}
            found += played.rows
            times[name] = played.times
            _tell(console, name, played, seed)
            if history is not None:
                shutil.copytree(folder, history / name, dirs_exist_ok=True)
            if played.violations:
                failed = True
                console.print(f"history and logs: {folder}", highlight=False)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    settings = {"calls": calls, "paced": paced, "outage_s": outage_s, "seed": seed, "short": short}
    rows, rounds_kept = _with_older(found, measured, out)
    report = _report(rows, rounds_kept, settings, out, _draw(found, times, settings, out))
    report.publish(out)
    return int(failed)


def _chosen(names: str) -> list[str]:
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in ALL]:
        raise SystemExit(f"unknown scenario {', '.join(unknown)}; there are {', '.join(ALL)}")
    return wanted


def _tell(console: Console, name: str, played: Played, seed: int) -> None:
    console.print(f"{name}, seed {seed}: {SCENARIOS[name].label}", highlight=False)
    table = Table()
    table.add_column("what must hold")
    table.add_column("violations", justify="right")
    for check, count in played.checks.items():
        table.add_row(check, f"[red]{count}[/]" if count else "0")
    console.print(table)
    for violation in played.violations[:MANY]:
        console.print(f"  call {violation.call}: {violation.check}: {violation.detail}", highlight=False, markup=False)
    if (more := len(played.violations) - MANY) > 0:
        console.print(f"  and {more} more")


def _with_older(
    found: list[dict[str, Any]], measured: list[dict[str, Any]], out: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Keep what an earlier run has told of the scenarios that were not played now."""
    path = out / "events.json"
    older = orjson.loads(path.read_bytes()) if path.exists() else {"rows": [], "rounds": []}
    played = {row["scenario"] for row in found}
    rows = [*found, *(row for row in older["rows"] if row["scenario"] not in played)]
    return sorted(rows, key=lambda row: ALL.index(row["scenario"])), measured or older["rounds"]


def _report(
    rows: list[dict[str, Any]], rounds: list[dict[str, Any]], settings: dict[str, Any], out: Path, drawn: list[str]
) -> Report:
    return Report(
        name="events",
        title="What facts cost, and whether any is lost",
        method=(
            "*Cost*: paced calls against one server, its calls in Redis, without facts, with its journal alone, and "
            "with genuine Kafka behind it; medians over interleaved rounds, ratios within a round; first frame is what "
            "the server adds to the model's own time; *a fact* is the time its call spends on it, by a clock in the "
            "server's process. Server and Redis on one core, callers, fake model and Kafka on the other; "
            f"{foreign_note(rounds)}. *The others*: people call a server whose model speaks in numbered words, and "
            "write down what they heard; then all of Kafka is read and compared. *First* is from the request to the "
            "first frame, the model's 150 ms included, before the fault, and *then*, while it lasts. *Again* are "
            "facts that were delivered once more, and counted once. *To a human* is from the request in which the "
            "caller says so to the frame that hands them on, all consumers in processes of their own. One machine, "
            "loopback; everything shares its cores."
        ),
        silent_about=(
            "several brokers, one of which fails, disks that are full, networks in between, several servers on one "
            "journal, a bucket instead of a folder, days of load."
        ),
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=_claims(rows),
        rounds=rounds,
        charts=sorted({*drawn, *(name for name in CHARTS if (out / name).exists())}),
    )


def _claims(rows: list[dict[str, Any]]) -> list[Claim]:
    def of(key: str, scenario: str, **which: str) -> float:
        for row in rows:
            if row["scenario"] == scenario and all(row.get(name) == value for name, value in which.items()):
                return float(row[key]) if row.get(key) is not None else float("nan")
        return float("nan")

    slower = of("fault_p99_ms", "outage") - of("quiet_p99_ms", "outage")
    return [
        Claim("first frame p50 with Kafka, × without facts", of("x_p50", COST, stack=KAFKA), 1.05),
        Claim("first frame p99 with Kafka, × without facts", of("x_p99", COST, stack=KAFKA), 1.05),
        Claim("a fact, p50 µs", of("fact_p50_us", COST, stack=KAFKA), 5.0),
        Claim("Kafka away: turns affected", of("affected", "outage"), 0.0),
        Claim("Kafka away: first frame p99, ms more", slower, 20.0),
        Claim("Kafka away: facts lost, out of order or without their call", of("lost", "outage"), 0.0),
        Claim("server killed: facts lost that were journalled", of("lost", "kill"), 0.0),
        Claim("consumers killed: violations", of("violations", "consumers"), 0.0),
        Claim("a human, by the journal, p99 ms", of("escalated_p99_ms", "escalation", bus="journal"), 1000.0),
        Claim("a human, by Kafka, p99 ms", of("escalated_p99_ms", "escalation", bus="kafka"), 1000.0),
        Claim("violations in all scenarios", float(sum(row["violations"] for row in rows)), 0.0),
    ]


CHARTS = ("events.png", "events_outage.png", "events_escalation.png")
WINDOWS = {"quiet": ("before", "#8a8a8a"), "fault": ("while Kafka is away", "#b3423a"), "after": ("after", "#0b6e4f")}


def _draw(
    found: list[dict[str, Any]], times: dict[str, dict[str, list[float]]], settings: dict[str, Any], out: Path
) -> list[str]:
    drawn = []
    if paced := [row for row in found if row["scenario"] == COST]:
        charts.bars(
            out / CHARTS[0],
            title="What facts add to the first words",
            x_label="first-frame overhead beyond the model's own time, ms (p50; whisker p99)",
            values=[(row["label"], COLOURS[row["stack"]], row["quiet_p50_ms"], row["quiet_p99_ms"]) for row in paced],
            source=f"{paced[0]['calls']} calls at once; a core for the server and Redis, the other for all else",
        )
        drawn.append(CHARTS[0])
    if outage := times.get("outage"):
        charts.shares(
            out / CHARTS[1],
            title="First words while Kafka is away",
            x_label="request → first frame, ms; the model takes 150 of them",
            y_label="of all turns, %",
            series=[(*WINDOWS[name], ms) for name, ms in outage.items() if ms],
            budgets=(300.0,),
            source=f"{settings['calls']} calls at once, Kafka away for {settings['outage_s']:.0f} s; loopback",
        )
        drawn.append(CHARTS[1])
    if waited := {name: ms for name, ms in times.get("escalation", {}).items() if ms}:
        charts.shares(
            out / CHARTS[2],
            title="From 'I want to speak to a human' to the transfer",
            x_label="request → frame with the number, ms",
            y_label="of all who asked, %",
            series=[
                (name, colour, ms) for (name, ms), colour in zip(waited.items(), ("#58b09c", "#0b6e4f"), strict=False)
            ],
            budgets=(1000.0,),
            source=f"{settings['calls']} calls at once beside them; consumers in processes of their own; loopback",
        )
        drawn.append(CHARTS[2])
    return drawn


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
