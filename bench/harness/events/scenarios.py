"""What is done to the way of the facts while people call, and what came of it. Each scenario does one thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bench.harness.events.arrived import journalled
from bench.harness.events.checks import Verdict, once
from bench.harness.events.consumed import ARCHIVED, TOTALS, expected, judge_archive, judge_totals
from bench.harness.events.escalating import FIRST, RULES, Waited, escalate
from bench.harness.events.kept import archived_calls, reported_totals
from bench.harness.events.known import known_in, totals
from bench.harness.events.server import HUMAN, NUMBER
from bench.harness.events.site import Sizes, site
from bench.harness.faults.checks import Violation, heard_in, judge
from bench.harness.faults.figures import first_frames
from bench.harness.faults.history import Row, write_rows
from bench.harness.faults.scenarios import Progress, rest
from bench.harness.figures import percentile
from retell_ws.facts import Escalated

__all__ = ["SCENARIOS", "Played", "Scenario"]

HANDED_ON: Final = "who wants a human gets one, and it is told once"

CAUGHT_UP: Final = 100
"""Facts that may wait in the journal while people call: what a server tells in the time of a question about it."""


class Played(msgspec.Struct, kw_only=True):
    """What came of a scenario.

    Attributes:
        rows: Lines for the table.
        violations: All of them.
        times: Times in milliseconds for a chart, by what they are.
        checks: How often each check was violated, zeros included.
    """

    rows: list[dict[str, Any]]
    violations: list[Violation]
    times: dict[str, list[float]]
    checks: dict[str, int]


class Scenario(msgspec.Struct, frozen=True):
    """One scenario.

    Attributes:
        name: As `--scenarios` takes it.
        label: What it does, in a few words.
        play: Does it, with logs and data in a folder, and tells how far it is.
    """

    name: str
    label: str
    play: Callable[[Sizes, Path, Progress], Coroutine[Any, Any, Played]]


class _Windows(msgspec.Struct):
    """First frames are told apart by when they were asked for."""

    found: dict[str, list[tuple[float, float]]] = {}

    def add(self, name: str, begin: float, end: float) -> None:
        self.found.setdefault(name, []).append((begin, end))

    def times(self, rows: Sequence[Row]) -> dict[str, list[float]]:
        calls = heard_in(rows).values()
        return {
            name: [ms for begin, end in windows for ms in first_frames(calls, begin, end)]
            for name, windows in self.found.items()
        }


def _played(
    name: str,
    label: str,
    rows: Sequence[Row],
    windows: _Windows,
    folder: Path,
    verdict: Verdict | None,
    more: Sequence[Violation] = (),
    **figures: Any,
) -> Played:
    """Judge the calls, put it all together, and keep the history."""
    write_rows(folder / "history.jsonl", rows)
    calls, times = judge(rows), windows.times(rows)
    lost = () if verdict is None else verdict.violations
    checks = dict(calls.by_check) if verdict is None else {**calls.by_check, **verdict.by_check}
    for violation in more:
        checks[violation.check] = checks.get(violation.check, 0) + 1
    told = {} if verdict is None else verdict.counts
    failed = told.get("failed", 0)
    row = {
        "scenario": name,
        "label": label,
        "calls": calls.counts["calls"],
        "turns": sum(len(call.asked) for call in known_in(rows).values()),
        # A phrase is an apology or a holding phrase: the caller heard that something was wrong.
        "affected": len(calls.violations) + calls.losses.phrases + (failed if name == "outage" else 0),
        "facts": told.get("facts"),
        "lost": None if verdict is None else len(lost),
        "duplicates": told.get("duplicates"),
        **{f"{window}_p{percent}_ms": percentile(ms, percent) for window, ms in times.items() for percent in (50, 99)},
        **figures,
    }
    violations = [*calls.violations, *lost, *more]
    row["violations"] = len(violations)
    return Played(rows=[row], violations=violations, times=times, checks=checks)


async def _outage(sizes: Sizes, folder: Path, progress: Progress) -> Played:
    """Kafka is struck dead under load, stays away, and comes back with what it had."""
    windows, peak_bytes, peak_waiting = _Windows(), 0, 0.0
    async with site(sizes, folder) as running:
        async with running.callers as callers:
            await callers.full()
            windows.add("quiet", *await rest(sizes.before_s, progress, 0, 0.1))
            await running.broker.kill()
            callers.note("fault", "kafka", "gone")
            began = time.monotonic()
            while (passed := time.monotonic() - began) < sizes.fault_s:
                await rest(min(1.0, sizes.fault_s - passed), lambda _: progress(0.1 + 0.7 * passed / sizes.fault_s))
                peak_bytes = max(peak_bytes, running.journal_bytes())
                peak_waiting = max(peak_waiting, await running.waiting())
            windows.add("fault", began, time.monotonic())
            await running.broker.start()
            callers.note("fault", "kafka", "back")
            back = time.monotonic()
            async with asyncio.timeout(sizes.arrive_s):
                while await running.waiting() > CAUGHT_UP:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            caught_up_s = time.monotonic() - back
            windows.add("after", back, (await rest(sizes.after_s, progress, 0.85, 0.95))[1])
        verdict, _ = await running.judged()
        return _played(
            "outage",
            f"Kafka away for {sizes.fault_s:.0f} s",
            running.history(),
            windows,
            folder,
            verdict,
            journal_mb=peak_bytes / 1e6,
            waiting=peak_waiting,
            caught_up_s=caught_up_s,
        )


async def _kill(sizes: Sizes, folder: Path, progress: Progress) -> Played:
    """A server is struck dead with facts that Kafka, which is away, does not have; then both come back."""
    windows = _Windows()
    async with site(sizes, folder) as running:
        async with running.callers as callers:
            await callers.full()
            windows.add("quiet", *await rest(sizes.before_s, progress, 0, 0.3))
            await running.broker.kill()
            callers.note("fault", "kafka", "gone")
            await rest(sizes.every_s, progress, 0.3, 0.4)
            waiting = await running.waiting()
            await running.kill_server()
            kept = await asyncio.to_thread(journalled, running.data)
            await running.server.start()
            await running.broker.start()
            callers.note("fault", "kafka", "back")
            await rest(sizes.after_s, progress, 0.5, 0.9)
        verdict, arrived = await running.judged(kept)
        return _played(
            "kill",
            "Kafka away, then the server killed",
            running.history(),
            windows,
            folder,
            verdict,
            journalled=len(kept),
            waiting=waiting,
            epochs=len({(record.entry.call_id, record.entry.epoch) for record in arrived}),
        )


async def _consumers(sizes: Sizes, folder: Path, progress: Progress) -> Played:
    """Two processes of each consumer; one of the four is struck dead, again and again, at random moments."""
    windows, kills = _Windows(), 0
    async with site(sizes, folder, consumers=("analytics1", "analytics2", "archive1", "archive2")) as running:
        async with running.callers as callers:
            await callers.full()
            began = time.monotonic()
            while (passed := time.monotonic() - began) < sizes.fault_s:
                progress(0.8 * passed / sizes.fault_s)
                await asyncio.sleep(running.chance.uniform(0.2, 2) * sizes.every_s)
                await running.kill_consumer(running.chance.choice(list(running.consumers)))
                kills += 1
            windows.add("fault", began, time.monotonic())
        rows = running.history()
        verdict, _ = await running.judged()
        consumed_s = await running.consumed(("analytics", "archive"))
        for program in running.consumers.values():
            await program.stop()
        known = known_in(rows)
        wanted = expected(totals(known, rows), verdict.counts["crossed"])
        archived = await asyncio.to_thread(archived_calls, running.archive)
        reported = await asyncio.to_thread(reported_totals, running.data)
        more = [*judge_archive(known, archived), *judge_totals(wanted, reported)]
        played = _played(
            "consumers",
            f"consumers killed {kills} times",
            rows,
            windows,
            folder,
            verdict,
            more,
            kills=kills,
            consumed_s=consumed_s,
            archived=len(archived),
            **{f"counted_{name}": count for name, count in wanted.items()},
            **{f"reported_{name}": reported.get(name) for name in wanted},
        )
        played.checks = {ARCHIVED: 0, TOTALS: 0, **played.checks}
        return played


async def _escalation(sizes: Sizes, folder: Path, progress: Progress) -> Played:
    """The same with the journal and with Kafka: people ask for a human while others call."""
    both = Played(rows=[], violations=[], times={}, checks={})
    for number, bus in enumerate(("journal", "kafka")):
        where = folder / bus
        where.mkdir()
        played = await _escalated(bus, sizes, where, lambda done: progress((number + done) / 2))  # type: ignore[arg-type]  # noqa: B023
        both.rows += played.rows
        both.violations += played.violations
        both.times |= played.times
        for check, count in played.checks.items():
            both.checks[check] = both.checks.get(check, 0) + count
    return both


async def _escalated(bus: Literal["kafka", "journal"], sizes: Sizes, folder: Path, progress: Progress) -> Played:
    rules = folder / "rules.toml"
    rules.write_text(RULES.format(to=HUMAN))
    # The same processes: with the journal each reads it for itself, with Kafka each is a group.
    names = ("analytics", "archive", "escalation")
    verdict: Verdict | None = None
    told: list[Escalated] = []
    async with site(sizes, folder, bus=bus, consumers=names, rules=rules) as running:
        async with running.callers as callers:
            await callers.full()
            waited = await escalate(
                callers.url,
                sizes.escalations,
                at_once=max(2, sizes.calls // 5),
                seed=sizes.seed,
                progress=lambda done: progress(0.9 * done),
            )
        if bus == "kafka":
            await running.consumed(names)
            verdict, arrived = await running.judged(apart=range(FIRST, FIRST + sizes.escalations))
            told = [one.entry.fact for one in once(arrived) if isinstance(one.entry.fact, Escalated)]
        rows = running.history()
    wrong = list(_wrongly(waited))
    if verdict is not None and [fact.outcome for fact in told] != ["done"] * len(waited):
        wrong.append(Violation(HANDED_ON, -1, 0.0, f"{len(waited)} asked for a human, and {len(told)} were told of"))
    times = [one.waited_ms for one in waited if one.waited_ms is not None]
    played = _played(
        "escalation",
        f"a human, facts by {'Kafka' if bus == 'kafka' else 'the journal'}",
        rows,
        _Windows(),
        folder,
        verdict,
        wrong,
        bus=bus,
        escalations=len(waited),
        escalated_p50_ms=percentile(times, 50),
        escalated_p99_ms=percentile(times, 99),
        rule_p99_ms=percentile([1000 * fact.after_s for fact in told], 99),
    )
    played.times = {f"by {bus}": times}
    played.checks = {HANDED_ON: 0, **played.checks}
    return played


def _wrongly(waited: Sequence[Waited]) -> list[Violation]:
    return [
        Violation(HANDED_ON, one.number - FIRST, 0.0, f"handed on to {one.to or 'nobody'} after {one.waited_ms} ms")
        for one in waited
        if one.waited_ms is None or one.to != NUMBER
    ]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("outage", "Kafka away under load", _outage),
        Scenario("kill", "the server killed with facts it has not passed on", _kill),
        Scenario("consumers", "consumers killed again and again", _consumers),
        Scenario("escalation", "callers who want a human", _escalation),
    )
}
"""Every scenario but the cost, by name."""
