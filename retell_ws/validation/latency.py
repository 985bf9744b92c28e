"""First sentences against the budget, while several callers talk at once."""

from __future__ import annotations

from typing import Final

from ..blueprints import KEY
from ..plural import many
from ..testing.callers import Plan, run_calls
from ..testing.verdict import Verdict, judge
from .book import Book, Entry
from .conformance import REACH, serving
from .line import Latency
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 120.0

TURNS: Final = 5
PAUSE_S: Final = 0.8
TURN_S: Final = 15.0

PONG_MS: Final = 500.0
"""A tenth of what Retell waits for before it gives a line up (protocol §1.5)."""


async def check(setup: Setup, book: Book) -> Latency | None:
    """Let callers talk for some seconds.

    Returns:
        What was measured; None when nothing was.
    """
    latency: Latency | None = None
    verdict: Verdict | None = None
    of = _whose(setup)
    # A spare server takes no more than the real one; of a stranger's nobody knows how many that are.
    callers = setup.callers if setup.url else min(setup.callers, setup.settings.max_calls)
    budget_ms = round(1000 * setup.settings.budget_s())
    async with (
        book.line("first sentence", limit_s=LIMIT_S, advice=REACH) as line,
        serving(setup, "latency", ttft_ms=0, spacing_ms=0) as url,  # the model's time is nothing: what is left is ours
    ):
        plan = Plan(url=url, calls=callers, turns=TURNS, pause_s=PAUSE_S, turn_s=TURN_S)
        tally = await run_calls(plan, lambda: None)
        verdict = judge(plan, tally, budget_ms)
        figures = verdict.first_sentence_ms
        if figures.p50 is None or figures.p95 is None or figures.p99 is None:
            why = ", ".join(verdict.failures) or "no turn"
            line.fails(f"no first sentence was heard: {why}", REACH)
        else:
            latency = Latency(
                callers=callers,
                budget_ms=budget_ms,
                p50_ms=round(figures.p50, 2),
                p95_ms=round(figures.p95, 2),
                p99_ms=round(figures.p99, 2),
                of=of,
                sentences_ms=[round(1000 * one, 2) for one in sorted(tally.first_sentence_s)],
            )
            _judge(line, verdict, latency)
    if verdict is not None and verdict.pong_ms.p99 is not None:
        _keepalive(book, verdict.pong_ms.p99)
    return latency


def _whose(setup: Setup) -> str:
    if setup.url:
        return "the server's and its model's, and the network's between"
    if setup.settings.model == "scripted" or not (setup.settings.model or setup.environment.get(KEY)):
        return "the server's share alone: the scripted model answers at once, a real one adds its own time"
    return "the server's and its model's"


def _judge(line: Entry, verdict: Verdict, latency: Latency) -> None:
    seen = (
        f"p50 {latency.p50_ms:.1f}, p95 {latency.p95_ms:.1f}, p99 {latency.p99_ms:.1f} ms of {latency.budget_ms} ms, "
        f"{many(latency.callers, 'caller')}, {many(verdict.first_sentence_ms.count, 'turn')} ({latency.of})"
    )
    if verdict.failed:
        line.fails(
            f"{many(verdict.failed, 'turn')} failed: {', '.join(verdict.failures)}; {seen}", "see the server's log"
        )
    elif not verdict.passed:
        line.fails(
            seen,
            "a quicker model, --speculate, Agent(cache=True), a machine with cores to spare; or a blueprint or "
            "--budget-ms with more time",
        )
    else:
        line.passes(seen)


def _keepalive(book: Book, p99_ms: float) -> None:
    seen = f"pings come back within {p99_ms:.1f} ms (p99)"
    if p99_ms > PONG_MS:
        book.put(
            "keepalive", "warn", seen, "Retell gives a line up after 5 s: something holds the event loop, or the way"
        )
    else:
        book.put("keepalive", "pass", seen)
