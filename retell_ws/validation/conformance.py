"""Whether the server speaks Retell's protocol: the suite of `retell_ws check`, against a spare server or a URL."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

from ..plural import many
from ..testing.checking import Patience
from ..testing.conformance import Report, run
from ..testing.dial import DialPolicy
from ..testing.retell import FakeRetell
from .book import Book
from .setup import Setup

__all__ = ["check", "counted", "serving"]

LIMIT_S: Final = 180.0

TTFT_MS: Final = 50
SPACING_MS: Final = 5
"""Quick, and still word by word."""

REACH: Final = "see that the server runs, and that --url has its path and its secret: ws://host:8080/llm-websocket"


@asynccontextmanager
async def serving(setup: Setup, name: str, *, ttft_ms: int, spacing_ms: int) -> AsyncIterator[str]:
    """Give the URL of the server on trial: the one that was named, which must be there, or a spare one.

    Args:
        setup: What is validated.
        name: Of the spare one.
        ttft_ms: The scripted model's time to its first word there, when that one answers.
        spacing_ms: And between two words.

    Raises:
        DialError: Nobody answers at the URL.
        SpareError: The spare one does not start.
    """
    if setup.url:
        policy = DialPolicy(attempts=1)
        async with FakeRetell(setup.url, call_id=setup.call_id(name), dial_policy=policy, redials=False):
            pass
        yield setup.url
        return
    async with setup.served(name, scripted_ttft_ms=ttft_ms, scripted_spacing_ms=spacing_ms) as spare:
        yield spare.url


async def check(
    setup: Setup, book: Book, *, only: Collection[str] = (), progress: Callable[[str], None] = lambda name: None
) -> None:
    """Run the suite, and tell of what is not as it should be.

    Args:
        setup: What is validated.
        book: Takes it down.
        only: Names or topics of its checks; none: all.
        progress: Is told of each check that ended.
    """
    report: Report | None = None
    async with (
        book.line("the protocol", limit_s=LIMIT_S, advice=REACH) as line,
        serving(setup, "conformance", ttft_ms=TTFT_MS, spacing_ms=SPACING_MS) as url,
    ):
        patience = Patience(calls=min(50, setup.settings.max_calls))
        report = await run(url, only=only, patience=patience, on_result=lambda result: progress(result.name))
        if failed := len(report.failures):
            line.fails(f"{failed} failed, {counted(report)}", "the lines below say which; retell_ws check tells more")
        else:
            line.passes(counted(report))
    for result in report.results if report is not None else ():
        if result.outcome in ("fail", "warn"):
            advice = f"{result.meaning} (§{result.section.lstrip('§')}): retell_ws check URL --only {result.name}"
            book.put(result.name, "fail" if result.outcome == "fail" else "warn", result.seen, advice)


def counted(report: Report) -> str:
    """Say how many checks ended how, and why some were skipped: mostly for want of something the agent has not.

    Args:
        report: Of the suite.
    """
    reasons = Counter(result.seen for result in report.results if result.outcome == "skip")
    why = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common())
    passed = f"{many(report.count('pass'), 'check')} passed, {report.count('warn')} warned"
    return f"{passed}, {report.count('skip')} skipped{f' ({why})' if why else ''}"
