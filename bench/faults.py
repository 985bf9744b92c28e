"""Does a call survive what happens to servers, to Redis, and to the network between them?

Some hundred people call a fleet of three servers behind HAProxy, with Redis for where their calls stand, while a fault
is brought about. Every answer is made of numbered words, so that whatever is lost, repeated or mixed up shows; what
everybody heard is written down and judged in the end (`harness/faults/checks.py`). One violation, and the exit status
is 1. The scenarios:

    kill        one server is struck dead every five seconds, and started again at once
    roll        all servers are restarted, one after the other
    redis-gone  Redis is struck dead, and comes back empty
    stale       one server is stopped for half a minute and then goes on, its calls long elsewhere
    cut         one server is cut off from Redis
    slow        Redis answers after 300 ms
    empty       Redis comes back empty while calls are on, then a server is killed

Not shown: several machines, real networks and their partitions, a Redis with replicas or a cluster, TLS, a model that
fails at the same time, Retell itself: what it does with a request that was on its way when the line broke is not
documented; here it is lost.
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
from bench.harness.faults.calls import Habits
from bench.harness.faults.checks import Heard, Verdict, heard_in, judge
from bench.harness.faults.figures import first_frames, greetings, summary, takeovers
from bench.harness.faults.fleet import Sizes, fleet
from bench.harness.faults.history import write_rows
from bench.harness.faults.scenarios import SCENARIOS, Scenario, Windows
from bench.harness.figures import percentile
from bench.harness.report import RESULTS, Claim, Column, Report, results_in
from bench.harness.rounds import Screen

COLUMNS = [
    Column("fault", "label"),
    Column("calls", "calls"),
    Column("lost", "lost_calls"),
    Column("lines broken", "broken"),
    Column("answers moved", "resumed"),
    Column("resumed p99 ms", "resumed_p99_ms"),
    Column("silent p50 ms", "silent_p50_ms"),
    Column("silent p99 ms", "silent_p99_ms"),
    Column("turns cut", "cut_turns"),
    Column("words lost", "words_lost"),
    Column("asks lost", "requests_lost"),
    Column("first p99 ms before", "quiet_p99_ms"),
    Column("first p99 ms then", "fault_p99_ms"),
    Column("greets p99 ms then", "fault_greeting_p99_ms"),
    Column("in doubt", "unknown_effects"),
    Column("violations", "violations"),
]
COLOURS = ("#0b6e4f", "#d08c2f", "#b3423a", "#58b09c", "#7d6b91", "#8a8a8a", "#4a6fa5")
MANY = 20
"""Violations printed in words."""


def main(
    *,
    scenarios: str = ",".join(SCENARIOS),
    calls: int = 200,
    servers: int = 3,
    seconds: float = 0.0,
    every_s: float = 5.0,
    seed: int = 0,
    speculate: bool = False,
    quick: bool = False,
    history: Path | None = None,
    out: Path = RESULTS,
) -> int:
    """Bring faults about while people call.

    Args:
        scenarios: Which, by name, separated by commas.
        calls: How many at once.
        servers: How many.
        seconds: How long each fault lasts; 0 takes the scenario's own: 60, for `stale` 30.
        every_s: Seconds between two kills.
        seed: Of everything that is drawn; 0 draws one. The same seed draws the same calls and the same victims.
        speculate: Let the servers ask the model before Retell asks.
        quick: A few calls and faults: shows that the bench runs, and that nothing is violated.
        history: A folder for histories and logs, which are otherwise kept only when something was violated.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    wanted = _chosen(scenarios)
    machine.raise_file_limit()
    found: list[dict[str, Any]] = []
    taken: dict[str, list[float]] = {}
    console = Console(stderr=True)
    with Screen.shown("faults", len(wanted)) as screen:
        for scenario in wanted:
            screen.begin(scenario.label)
            sizes = _sizes(scenario, calls, servers, seconds, every_s, seed, speculate=speculate, quick=quick)
            folder = Path(tempfile.mkdtemp(prefix=f"faults-{scenario.name}-"))
            row, verdict, times = uvloop.run(_play(scenario, sizes, folder, screen))
            found.append(row)
            taken[scenario.name] = times
            screen.end()
            _tell(console, scenario, verdict, seed)
            if history is not None:
                shutil.copytree(folder, history / scenario.name, dirs_exist_ok=True)
            if verdict.violations:
                console.print(f"history and logs: {folder}", highlight=False)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    report = _report(_with_older(found, out), {"calls": calls, "servers": servers, "seed": seed, "quick": quick})
    _draw(taken, report, out)
    report.publish(out)
    return 1 if any(row["violations"] for row in found) else 0


def _chosen(names: str) -> list[Scenario]:
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in SCENARIOS]:
        raise SystemExit(f"unknown scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in wanted]


def _sizes(
    scenario: Scenario,
    calls: int,
    servers: int,
    seconds: float,
    every_s: float,
    seed: int,
    *,
    speculate: bool,
    quick: bool,
) -> Sizes:
    usual = {"stale": 30.0, "cut": 30.0, "slow": 30.0, "empty": 10.0}.get(scenario.name, 60.0)
    sizes = Sizes(
        calls=calls,
        servers=servers,
        seconds=seconds or usual,
        every_s=every_s,
        before_s=20.0 if scenario.name == "redis-gone" else 10.0,
        seed=seed,
        speculate=speculate,
        # Retell redials four times in a call: none may live through a fifth kill.
        habits=Habits(
            longest_s=min(Habits().longest_s, 3.2 * every_s), shortest_s=min(Habits().shortest_s, 2 * every_s)
        ),
    )
    if not quick:
        return sizes
    short = {"kill": 3.0, "stale": 8.0}.get(scenario.name, 3.0)
    habits = Habits(shortest_s=6, longest_s=8, pause_s=0.5, words=24)
    return msgspec.structs.replace(
        sizes, calls=6, seconds=short, every_s=1.5, before_s=0.5, after_s=1.0, drain_s=0.5, habits=habits
    )


async def _play(
    scenario: Scenario, sizes: Sizes, folder: Path, screen: Screen
) -> tuple[dict[str, Any], Verdict, list[float]]:
    windows = Windows()
    async with fleet(sizes, folder, faulty=scenario.faulty) as running:
        await running.callers.full()
        load = machine.Load()
        await scenario.play(running, windows, screen.at)
        cpu_percent = load.percent()
    rows = running.history()
    write_rows(folder / "history.jsonl", rows)
    verdict, calls = judge(rows), heard_in(rows)
    losses = verdict.losses
    row: dict[str, Any] = {
        "scenario": scenario.name,
        "label": scenario.label,
        "seed": sizes.seed,
        **verdict.counts,
        "broken": sum(len(heard.gone) for heard in calls.values()),
        **summary(calls, sizes.ttft_ms),
        "words_lost": losses.words,
        "requests_lost": losses.requests,
        "greetings_lost": losses.greetings,
        "unknown_effects": losses.unknown,
        "phrases": losses.phrases,
        **_waits(calls, "quiet", windows.quiet),
        **_waits(calls, "fault", windows.fault),
        "violations": len(verdict.violations),
        "checks": verdict.by_check,
        "machine_cpu_percent": cpu_percent,
        **windows.figures,
    }
    return row, verdict, [one.silent_ms for one in takeovers(calls.values(), sizes.ttft_ms)]


def _waits(calls: dict[int, Heard], name: str, windows: list[tuple[float, float]]) -> dict[str, float]:
    frames = [ms for begin, end in windows for ms in first_frames(calls.values(), begin, end)]
    greeted = [ms for begin, end in windows for ms in greetings(calls.values(), begin, end)]
    return {
        **{f"{name}_p{percent}_ms": percentile(frames, percent) for percent in (50, 99)},
        **{f"{name}_greeting_p{percent}_ms": percentile(greeted, percent) for percent in (50, 99)},
    }


def _tell(console: Console, scenario: Scenario, verdict: Verdict, seed: int) -> None:
    console.print(f"{scenario.name}, seed {seed}: {scenario.label}", highlight=False)
    table = Table()
    table.add_column("what must hold")
    table.add_column("violations", justify="right")
    for check, count in verdict.by_check.items():
        table.add_row(check, f"[red]{count}[/]" if count else "0")
    console.print(table)
    lost = ", ".join(f"{name} {value}" for name, value in msgspec.structs.asdict(verdict.losses).items() if value)
    console.print(f"lost within bounds: {lost or 'nothing'}", highlight=False)
    for violation in verdict.violations[:MANY]:
        console.print(f"  call {violation.call}: {violation.check}: {violation.detail}", highlight=False, markup=False)
    if (more := len(verdict.violations) - MANY) > 0:
        console.print(f"  and {more} more")


def _with_older(found: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Keep what an earlier run has told of the scenarios that were not played now."""
    path = out / "faults.json"
    older = orjson.loads(path.read_bytes())["rows"] if path.exists() else []
    played = {row["scenario"]: row for row in (*older, *found)}
    return [played[name] for name in SCENARIOS if name in played]


def _report(rows: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    return Report(
        name="faults",
        title="What calls survive",
        method=(
            "People call a fleet behind HAProxy while a fault is brought about; what everybody heard is judged in the "
            "end. *Resumed*: from Retell's accepted redial to the first further word, the model's own time (150 ms) "
            "taken off. *Silent*: from the break to that word, the model's time included. When seventy lines break at "
            "once the callers' own loop reads the handshakes late, which hides a little of *resumed* and nothing of "
            "*silent*; the line of a stopped server breaks when Retell gives it up, after up to five seconds. *First* "
            "is the first frame of answers, before the fault and while it lasts, *greets* that of calls that begin "
            "then. *In doubt*: side effects that were refused, or of which nobody knows. One machine, loopback; "
            "servers, balancer, Redis and callers share its cores."
        ),
        silent_about=(
            "several machines, partitions of real networks, Redis with replicas or a cluster, TLS, a model that fails "
            "at the same time. What Retell does with a request that was on its way when the line broke is not "
            "documented; here it is lost, and counted."
        ),
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=_claims({row["scenario"]: row for row in rows}),
        rounds=[],
        charts=["faults.png"],
    )


def _claims(rows: dict[str, dict[str, Any]]) -> list[Claim]:
    def of(scenario: str, key: str) -> float:
        return float(rows.get(scenario, {}).get(key, float("nan")))

    slower = of("redis-gone", "fault_p99_ms") - of("redis-gone", "quiet_p99_ms")
    return [
        Claim("violations in all scenarios", float(sum(row["violations"] for row in rows.values())), 0.0),
        Claim("kill: calls lost", of("kill", "lost_calls"), 0.0),
        Claim("kill: answer resumed on another server, p99 ms", of("kill", "resumed_p99_ms"), 100.0),
        Claim("roll: calls lost", of("roll", "lost_calls"), 0.0),
        Claim("roll: turns cut mid-sentence", of("roll", "cut_turns"), 0.0),
        Claim("Redis gone: calls lost", of("redis-gone", "lost_calls"), 0.0),
        Claim("Redis gone: first frame p99, ms more", slower, 20.0),
        Claim("stale: writes of the stale owner accepted", of("stale", "stale_writes"), 0.0),
    ]


def _draw(taken: dict[str, list[float]], report: Report, out: Path) -> None:
    series = [
        (SCENARIOS[name].label, COLOURS[number % len(COLOURS)], times)
        for number, (name, times) in enumerate(taken.items())
        if times
    ]
    if not series:
        return
    charts.shares(
        out / "faults.png",
        title="How long the caller hears nothing when a server goes",
        x_label="line broken → next word of the same answer, ms; the model takes 150 of them",
        y_label="of all answers taken over, %",
        series=series,
        budgets=(Sizes().ttft_ms,),
        source=f"{report.settings['calls']} calls at once, {report.settings['servers']} servers; loopback. "
        "The line of a stopped server breaks when Retell gives it up, after up to five seconds",
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
