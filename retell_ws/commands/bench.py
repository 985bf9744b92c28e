"""`retell_ws bench`: synthetic callers measure any custom-LLM server against a latency budget."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Literal

import msgspec
import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..errors import UsageError
from ..plural import many
from ..settings import BUDGETS_MS
from ..testing.callers import Plan, run_calls
from ..testing.dial import call_url
from ..testing.verdict import Verdict, judge
from .plain import one_line

__all__ = ["bench"]

DEFAULT_URL = "ws://127.0.0.1:8080/llm-websocket"


Count = Annotated[int, Parameter(validator=Number(gte=1))]


def bench(
    url: str = DEFAULT_URL,
    /,
    *,
    calls: Count = 10,
    turns: Count = 5,
    budget_ms: Count | None = None,
    blueprint: Literal["single", "distributed", "events"] = "single",
    pause_s: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0,
    turn_s: Annotated[float, Parameter(validator=Number(gt=0))] = 15.0,
    json: bool = False,
) -> int:
    """Let synthetic callers measure a server against its latency budget.

    The first sentence counts most: Retell begins to speak when it has one. Times are as these callers see
    them, the network between included. A deployed server asks its real model, so a bench costs tokens.

    Args:
        url: The server's URL, without the call id.
        calls: Callers at once.
        turns: Turns of each caller.
        budget_ms: Longest p95 of the first sentence in milliseconds; the blueprint's when it is not given.
        blueprint: Whose budget applies: 800, 500 or 300 ms.
        pause_s: Seconds a caller waits between an answer and the next request.
        turn_s: Seconds after which a turn without completion has failed.
        json: Print the result as one JSON object.

    Returns:
        0 when the budget is kept and no turn failed, otherwise 1.

    Raises:
        UsageError: The URL is none, or nobody answers there.
    """
    call_url(url, "")
    plan = Plan(url=url, calls=calls, turns=turns, pause_s=pause_s, turn_s=turn_s)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(many(calls, "caller"), total=calls * turns)
        tally = asyncio.run(run_calls(plan, lambda: bars.advance(task)))
    if len(tally.unreached) == calls:
        raise UsageError(f"{url}: {tally.unreached[0]}")
    verdict = judge(plan, tally, budget_ms or BUDGETS_MS[blueprint])
    if json:
        sys.stdout.write(orjson.dumps(msgspec.to_builtins(verdict)).decode() + "\n")
    else:
        _show(verdict)
    return 0 if verdict.passed else 1


def _show(verdict: Verdict) -> None:
    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"

    table = Table(title=f"{many(verdict.calls, 'caller')} × {many(verdict.turns, 'turn')}", title_justify="left")
    for heading in ("ms", "p50", "p95", "p99", "longest", "measured"):
        table.add_column(heading, justify="left" if heading == "ms" else "right")
    for name, figures in (
        ("first frame", verdict.first_frame_ms),
        ("first sentence", verdict.first_sentence_ms),
        ("pong", verdict.pong_ms),
    ):
        times = (figures.p50, figures.p95, figures.p99, figures.longest)
        table.add_row(name, *map(cell, times), str(figures.count))
    console = Console()
    console.print(table)
    for why, count in verdict.failures.items():
        console.print(f"{count} × {one_line(why)}", markup=False)
    style, word = ("green", "kept") if verdict.passed else ("red", "missed")
    said = f"p95 of the first sentence {cell(verdict.first_sentence_ms.p95)} ms of {verdict.budget_ms} ms"
    console.print(f"[{style}]budget {word}[/]: {said}, {many(verdict.failed, 'failed turn')}")
