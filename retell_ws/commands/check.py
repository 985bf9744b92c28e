"""`retell_ws check`: protocol conformance of any custom-LLM server, as a table or as JSON."""

from __future__ import annotations

import asyncio
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..errors import UsageError
from ..protocol import SECTIONS
from .findings import MARKS, Finding, console_of_findings, show

if TYPE_CHECKING:
    from ..testing.conformance import Report, Result

__all__ = ["check"]


def check(
    url: str,
    /,
    *,
    json: bool = False,
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    deadline_s: Annotated[float, Parameter(validator=Number(gt=0))] = 30.0,
) -> int:
    """Check the protocol conformance of any custom-LLM server.

    It makes some 160 calls, up to 50 at once, and has some 200 questions answered: with a real model that costs a
    little, and a server must let so many calls in. Exits with 1 when a check fails or none could be made, and with 2
    when nobody answers at the URL.

    Args:
        url: The URL as it would stand in Retell, without a call id: wss://host/llm-websocket.
        json: Print one JSON document instead of a table.
        only: Names or topics of the checks to run; all of them without.
        deadline_s: Seconds for each check.
    """
    return asyncio.run(_check(url, as_json=json, only=only, deadline_s=deadline_s))


async def _check(url: str, *, as_json: bool, only: tuple[str, ...], deadline_s: float) -> int:
    from ..testing.conformance import chosen, run

    total = len(chosen(only))
    await _expect_somebody(url)
    progress = Progress(
        TextColumn("{task.description:<40}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        bar = progress.add_task("calling …", total=total)

        def told(result: Result) -> None:
            progress.update(bar, advance=1, description=f"{result.topic}: {result.name}"[:40])

        report = await run(url, only=only, deadline_s=deadline_s, on_result=told)
    if as_json:
        sys.stdout.buffer.write(_json(report) + b"\n")
        sys.stdout.flush()
    else:
        _show(report, console_of_findings())
    return 0 if report.is_conformant else 1


async def _expect_somebody(url: str) -> None:
    """One dial, so that a wrong URL gives one line and not a table of failures."""
    from ..testing.dial import DialError, DialPolicy
    from ..testing.retell import FakeRetell

    try:
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=1)):
            pass
    except DialError as exc:
        raise UsageError(f"{url}: {exc}") from None


def _json(report: Report) -> bytes:
    document = {
        "url": report.url,
        "conformant": report.is_conformant,
        "took_s": report.took_s,
        "counts": {mark: report.count(mark) for mark in MARKS},
        "results": [
            {name: getattr(result, name) for name in result.__struct_fields__} | {"rule": SECTIONS[_number(result)]}
            for result in report.results
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _number(result: Result) -> str:
    return result.section.lstrip("§")


def _show(report: Report, console: Console) -> None:
    topics = groupby(report.results, key=lambda result: result.topic)
    show(console, [(Text(topic, style="bold"), [_finding(result) for result in results]) for topic, results in topics])
    counts = {mark: report.count(mark) for mark in MARKS}
    parts = [f"{counts['pass']} passed"]
    parts += [f"{counts[mark]} {word}" for mark, word in (("warn", "warned"), ("skip", "skipped")) if counts[mark]]
    if counts["fail"]:
        parts.append(f"{counts['fail']} failed")
        verdict, style = "Retell would be let down by this server", "bold red"
    elif not report.was_checked:
        verdict, style = "Nothing could be checked", "bold yellow"
    else:
        verdict, style = "This server speaks Retell's protocol", "bold green"
    console.print()
    console.print(Text(f"{verdict}: ", style=style).append(f"{', '.join(parts)}, in {report.took_s:.1f} s.", style=""))


def _finding(result: Result) -> Finding:
    seen = Text(result.seen, style="" if result.outcome in ("fail", "warn") else "dim")
    if result.outcome == "fail":
        seen.append(f"\n{result.meaning}\n§{_number(result)}: {SECTIONS[_number(result)]}", style="italic dim")
    return Finding(result.outcome, Text(result.name).append(f" §{_number(result)}", style="dim"), seen)
