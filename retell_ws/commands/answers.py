"""`retell_ws answers warm`: ask the model ahead for what callers ask at the beginning."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..agent import Agent
from ..agent_file import load
from ..answer_file import AnswerFile, Opening, steps, write
from ..errors import UsageError
from ..settings import Settings
from ..settings import load as load_settings
from ..warming import Warmed, Warming
from .flags import Flags, given
from .plain import one_line
from .target import MaybeFile

__all__ = ["warm"]


def warm(
    file: Path,
    agent: MaybeFile,
    /,
    *,
    out: Path | None = None,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Ask the model once for each opening in a file, and show which answers may be kept.

    With `--blueprint distributed --redis-url URL` they are kept for all servers, as long as the agent's cache says.

    A `single` server keeps its answers in its own memory, so this fills none. Give the openings to one, `serve
    --answers-file FILE`, and it asks them itself when it is ready, and again before the answers grow old; or look the
    answers over here, and give it those: `--out ANSWERS.json`, then `serve --answers-file ANSWERS.json`.

    Args:
        file: What callers say right after the greeting, one a line; a JSON list of several for a longer talk, in which
            the agent's own answers stand in between.
        agent: FILE.py, FILE.py:NAME or MODULE:NAME; it must allow the cache: Agent(cache=True).
        out: Where the answers are written.
        config: A TOML file of settings.
        flags: The settings of `serve`.

    Returns:
        0 when every answer is kept, otherwise 1.

    Raises:
        UsageError: The file cannot be read or written, or no answer of the agent's can be kept.
    """
    from ..blueprints import read_answers
    from ..log import configure

    settings = load_settings(given(flags), config=config)
    configure("warning")
    found = read_answers(file)
    if isinstance(found, AnswerFile):
        raise UsageError(f"{file} holds answers already; give the openings")
    warmed, written, missed = asyncio.run(_warm(load(agent), settings, found))
    if out is not None:
        try:
            out.write_bytes(written)
        except OSError as exc:
            raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    _show(warmed, Console())
    kept = sum(not one.why_not for one in warmed)
    if settings.blueprint == "distributed":
        where = "in Redis, for every server of this prefix" + (f", and written to {out}" if out is not None else "")
    elif out is not None:
        where = f"written to {out}: give them to serve --answers-file {out}"
    else:
        where = "not written: add --out"
    if missed:
        where = f"not all in Redis, which did not take {missed} of them" + (f", but written to {out}" if out else "")
    Console(stderr=True).print(f"{kept} of {len(warmed)} answers may be kept; they are {where}", highlight=False)
    return int(missed > 0 or any(one.why_not for one in warmed))


async def _warm(agent: Agent, settings: Settings, found: tuple[Opening, ...]) -> tuple[list[Warmed], bytes, int]:
    """Ask; returns what came of it, what is written to a file, and how many answers Redis has not taken."""
    from ..blueprints import build_model, keeping_answers, recalling

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    model = build_model(settings)
    try:
        async with keeping_answers(settings) as kept:
            # Its own end closes the other one too; refused, there is only that.
            model = recall = recalling(agent, model, settings, kept)
            warming = Warming(recall, agent, settings)
            console = Console(stderr=True)
            with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
                task = bars.add_task("asking", total=sum(map(len, steps(found))))
                warmed = await warming.ask(found, lambda one: bars.advance(task))
            return warmed, write(warming.to_keep(warmed, time.time())), kept[0].missed
    finally:
        await model.aclose()


def _show(warmed: list[Warmed], console: Console) -> None:
    if not console.is_terminal:  # through a pipe Rich assumes 80 columns, too few for whole answers
        console.width = max(console.width, 160)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 1, 0))
    for title in ("question", "answer", "tokens", "kept"):
        table.add_column(title, justify="right" if title == "tokens" else "left")
    for one in warmed:
        # Text, not markup: it comes from a file, and from the model.
        table.add_row(
            Text(one_line(" / ".join(one.opening))),
            Text(one_line(one.text)),
            str(one.tokens or ""),
            Text(f"no: {one_line(one.why_not)}", style="yellow") if one.why_not else Text("yes", style="green"),
        )
    console.print(table)
