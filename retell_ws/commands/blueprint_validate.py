"""`retell_ws blueprint validate`: prove a set-up, as a table, as JSON, as a page."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..agent_file import load as load_agent
from ..errors import UsageError
from ..settings import load
from ..validation.line import TOPICS, Line, Report, Topic, by_topic
from .findings import Finding, console_of_findings, show
from .flags import Flags, given
from .interrupts import interruptible
from .output import put_whole
from .serve import EXAMPLE
from .target import MaybeFile

if TYPE_CHECKING:
    from ..validation.setup import Setup

__all__ = ["validate"]


def validate(
    agent: MaybeFile = EXAMPLE,
    /,
    *,
    url: str = "",
    report: Path | None = None,
    open: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    only: Annotated[tuple[Topic, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
    callers: Annotated[int, Parameter(validator=Number(gte=1, lte=200))] = 8,
    agent_id: str = "",
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Prove a set-up: what it is asked for is there, fits together, and does what it should.

    Give it the agent and the settings that `serve` gets. It starts spare servers with them, on ports and in a folder of
    their own, and calls those: a server that runs already is left alone, and so are its topics; in its archive one
    object is put, read and deleted. With a key the real model answers some 250 questions, and may call the agent's
    tools; `--model scripted` costs nothing.

    Args:
        agent: FILE.py, FILE.py:NAME or MODULE:NAME; without it a small receptionist is on trial.
        url: A server that runs already, as it would stand in Retell: conformance and latency are checked there.
        report: Write a page as well.
        open: Open the page in a browser.
        json: Print one JSON document instead of a table.
        only: Topics to look at; all of them without.
        callers: Synthetic callers at once, for the latency.
        agent_id: Retell's id of the agent, to see whether Retell dials this server.
        config: A TOML file of settings; flags and the environment override it.
        flags: The settings.

    Returns:
        0 when nothing failed, 1 when something did, or nothing could be checked.

    Raises:
        UsageError: There is no such agent or setting, or the page cannot be written.
    """
    from ..testing.dial import call_url
    from ..validation.folder import own_folder
    from ..validation.setup import Setup

    if url:
        call_url(url, "")
    if open and report is None:
        report = Path("retell_ws-validation.html")
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"cannot write {report}: there is no folder {report.absolute().parent}")
    if report is not None and report.is_dir():
        raise UsageError(f"cannot write {report}: it is a folder")
    settings = load(given(flags), config=config)
    with own_folder() as folder:
        setup = Setup(
            target=agent,
            agent=load_agent(agent),
            settings=settings,
            folder=folder,
            run=f"validate_{secrets.token_hex(4)}",
            url=url,
            callers=callers,
            agent_id=agent_id,
            environment=dict(os.environ),
        )
        found = asyncio.run(_validate(setup, only))
    if json:
        sys.stdout.buffer.write(_json(found) + b"\n")
        sys.stdout.flush()
    else:
        _show(found, console_of_findings())
    if report is not None:
        from ..validation.page import page

        put_whole(page(found), report)
        Console(stderr=True).print(f"the report is in {report}", highlight=False, markup=False)
        if open:
            webbrowser.open(report.absolute().as_uri())
    return 0 if found.is_proved else 1


async def _validate(setup: Setup, only: tuple[Topic, ...]) -> Report:
    from ..validation.run import validate as run

    columns = (TextColumn("{task.description:<40}"), BarColumn(bar_width=16), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(only) or len(TOPICS))
        begun: list[str] = []

        def begin(topic: str, name: str) -> None:
            if not name:
                begun.append(topic)
            said = f"{topic}: {name}" if name else topic
            progress.update(bar, completed=len(begun) - 1, description=said[:40])

        return await interruptible(run(setup, only=dict.fromkeys(only), begin=begin))


def _json(report: Report) -> bytes:
    document = {
        "proved": report.is_proved,
        "verdict": report.verdict,
        "counts": {mark: report.count(mark) for mark in ("pass", "warn", "fail", "skip", "info")},
        **{name: getattr(report, name) for name in report.__struct_fields__},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2, default=_plain)


def _plain(value: object) -> object:
    import msgspec

    return msgspec.to_builtins(value)


def _show(report: Report, console: Console) -> None:
    topics = by_topic(report.lines).items()
    show(console, ((_topic(topic), [_finding(line) for line in lines]) for topic, lines in topics))
    # As on the page: what should be otherwise is no failure, and no reason to be content.
    style = "bold red" if not report.is_proved else "bold yellow" if report.count("warn") else "bold green"
    told = Text(f"{report.verdict}: ", style=style).append(f"{report.counts}, in {report.took_s:.0f} s.", style="")
    console.print()
    console.print(told)


def _topic(topic: str) -> Text:
    return Text(topic, style="bold").append(f"  {TOPICS[topic]}", style="not bold dim")


def _finding(line: Line) -> Finding:
    seen = Text(line.seen, style="" if line.outcome in ("warn", "fail") else "dim")
    if line.advice:
        seen.append(f"\n→ {line.advice}", style="italic dim" if line.outcome == "skip" else "italic")
    return Finding(line.outcome, Text(line.name), seen)
