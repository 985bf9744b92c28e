"""Runs the conformance checks against any custom-LLM server. Knows no check by name and never raises for the server.

    report = await run("ws://127.0.0.1:8080/llm-websocket")
    assert report.is_conformant, report.failures

Checks make calls of their own, so most run beside each other; the ones that load the server or measure it run alone,
after the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

import msgspec

from ..errors import UsageError
from .checking import Check, Failed, Outcome, Patience, Server, Severity, Skipped
from .checks import ALL
from .dial import call_url
from .retell import CallEnded

__all__ = ["Report", "Result", "chosen", "run"]

AT_ONCE = 6
"""Checks beside each other: enough to hide the model's time, few enough not to be a load test."""

DEFAULT_PATIENCE = Patience()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How one check ended.

    Attributes:
        name: The check.
        topic: Its group.
        section: The section of the protocol it proves.
        meaning: What holds when it passes.
        severity: `must` or `should`.
        outcome: `pass`, `warn` (a `should` that failed), `fail` or `skip`.
        seen: What was seen, or why it was skipped.
        took_s: Seconds it took.
    """

    name: str
    topic: str
    section: str
    meaning: str
    severity: Severity
    outcome: Outcome
    seen: str
    took_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How the suite ended.

    Attributes:
        url: The server.
        results: One for each check, in the order of the suite.
        took_s: Seconds for all of them.
    """

    url: str
    results: tuple[Result, ...]
    took_s: float

    @property
    def was_checked(self) -> bool:
        """Whether a check came to a result: an agent without tools has all those of tools skipped."""
        return self.count(Outcome.SKIPPED) < len(self.results)

    @property
    def is_conformant(self) -> bool:
        """Whether something was checked and no check failed; warnings do not count."""
        return self.was_checked and not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.outcome is Outcome.FAILED)

    def count(self, outcome: str) -> int:
        """How many checks ended so."""
        return sum(result.outcome == outcome for result in self.results)


def chosen(only: Collection[str]) -> tuple[Check, ...]:
    """The checks with these names or topics; all of them when none is given.

    Raises:
        UsageError: A name is neither.
    """
    known = {check.name for check in ALL} | {check.topic for check in ALL}
    for name in only:
        if name not in known:
            topics = ", ".join(dict.fromkeys(check.topic for check in ALL))
            raise UsageError(f"no check and no topic is called {name!r}; the topics are {topics}")
    return tuple(check for check in ALL if not only or check.name in only or check.topic in only)


async def run(
    url: str,
    *,
    only: Collection[str] = (),
    deadline_s: float = 30.0,
    patience: Patience = DEFAULT_PATIENCE,
    on_result: Callable[[Result], None] | None = None,
) -> Report:
    """Run the checks.

    Args:
        url: The configured URL of the server, without a call id.
        only: Names or topics of checks; empty runs all.
        deadline_s: Seconds for each check.
        patience: How long the checks wait for the server.
        on_result: Called with each result when it is there.

    Raises:
        UsageError: The URL is none, or a name of `only` is unknown. Whatever the server does raises nothing.
    """
    checks = chosen(only)
    call_url(url, "call")
    server = Server(url, patience)
    started = time.perf_counter()
    results: dict[str, Result] = {}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(check: Check) -> None:
        result = await _run(check, server, deadline_s)
        results[check.name] = result
        if on_result is not None:
            on_result(result)

    async def beside_others(check: Check) -> None:
        async with gate:
            await one(check)

    async with asyncio.TaskGroup() as tasks:
        for check in checks:
            if not check.alone:
                tasks.create_task(beside_others(check))
    for check in checks:
        if check.alone:
            await one(check)
    ordered = tuple(results[check.name] for check in checks)
    return Report(url=url, results=ordered, took_s=round(time.perf_counter() - started, 3))


async def _run(check: Check, server: Server, deadline_s: float) -> Result:
    started = time.perf_counter()
    failed = Outcome.FAILED if check.severity is Severity.MUST else Outcome.WARNED
    try:
        async with asyncio.timeout(deadline_s):
            outcome, seen = Outcome.PASSED, await check.body(server)
    except Skipped as exc:
        outcome, seen = Outcome.SKIPPED, str(exc)
    except Failed as exc:
        outcome, seen = failed, str(exc)
    except CallEnded as exc:
        outcome, seen = failed, f"the call ended: {exc}"
    except TimeoutError:
        outcome, seen = failed, f"not finished after {deadline_s:g} s"
    except Exception as exc:  # a server must not be able to crash the suite; a fault of ours shows its type
        outcome, seen = failed, f"{type(exc).__name__}: {exc}"
    return Result(
        name=check.name,
        topic=check.topic,
        section=check.section,
        meaning=check.meaning,
        severity=check.severity,
        outcome=outcome,
        seen=seen,
        took_s=round(time.perf_counter() - started, 3),
    )
