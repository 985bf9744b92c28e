"""`retell_ws blueprint recommend`: say which blueprint fits, and why."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter, Token
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ..deploy.machines import MOST_CALLS, TURN_EVERY_S, Capacity, Machine, capacity
from ..deploy.needs import Needed
from ..deploy.recommend import BLUEPRINTS, Advice, Want, advise
from ..plural import many
from .interrupts import interruptible
from .self_bench import CALLS, TURNS, measured

__all__ = ["recommend"]

WIDEST: Final = 1000
"""Columns in which the matrix has room however long its reasons are."""

LABEL: Final = len("distributed  ")


def _listed(_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Read names with commas or blanks between; which of them there are is known to `Want`."""
    return tuple(name.strip() for token in tokens for name in token.value.split(",") if name.strip())


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Read a whole number: of 9.9 calls nobody knows which way to round.

    Raises:
        ValueError: It is none.
    """
    (token,) = tokens
    try:
        return int(token.value)
    except ValueError:
        raise ValueError(f"{token.value!r} is no whole number") from None


Whole = Annotated[int, Parameter(converter=_whole)]


def recommend(
    *,
    calls: Whole,
    p95_ms: Whole | None = None,
    needs: Annotated[
        tuple[Needed, ...], Parameter(converter=_listed, consume_multiple=True, negative="", show_default=False)
    ] = (),
    measure: Annotated[bool, Parameter(negative="--no-measure")] = True,
    json: bool = False,
) -> int:
    """Say which blueprint fits, and why, and how many calls this machine can have.

    A server, a fake of the model's API and synthetic callers run for some seconds: nothing is asked of anybody else.

    Args:
        calls: Calls at once, at the busiest time.
        p95_ms: From Retell's request to the first sentence, in milliseconds, for 19 of 20 turns.
        needs: What else is needed, with commas or blanks between.
        measure: Measure what a turn costs on this machine.
        json: Print it as one JSON object.

    Raises:
        UsageError: A need is unknown, or nothing can be measured here.
    """
    want = Want(calls, p95_ms, needs)
    advice = advise(want)
    machine = _measured(advice) if measure else None
    found = None if machine is None else capacity(machine, calls, shared=advice.is_shared, several=advice.is_several)
    if json:
        told = {"want": want, "advice": advice, "measured": machine, "derived": found}
        sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    else:
        _show(Console(highlight=False), advice, machine, found, calls)
    return 0


def _measured(advice: Advice) -> Machine:
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(f"{CALLS} synthetic callers", total=CALLS * TURNS)
        turns = measured(
            lambda: bars.advance(task), keeps_facts=advice.blueprint == "events", speculates=advice.speculates
        )
        return asyncio.run(interruptible(turns))


def _show(console: Console, advice: Advice, machine: Machine | None, found: Capacity | None, calls: int) -> None:
    table = _table(advice)
    if console.measure(table, options=console.options.update(width=WIDEST)).maximum <= console.width:
        console.print(table)
    else:
        _rows(console, advice)
    console.print(f"\nRecommended: [bold green]{advice.blueprint}[/]")
    _list(console, "To run", advice.runs)
    _list(console, "To be measured", advice.measure)
    if machine is not None and found is not None:
        _list(console, "This machine", _capacity(advice, machine, found, calls))
    console.print(f"\nNext: [cyan]{advice.apply}[/]", soft_wrap=True)
    if advice.then:
        _next(console, advice.then)


def _table(advice: Advice) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", *BLUEPRINTS, "why"):
        table.add_column(Text(heading, style="bold green" if heading == advice.blueprint else "bold"), overflow="fold")
    for row in advice.rows:
        cells = [
            Text(getattr(row, name) or "–", style="green" if row.first == name and row.decides else "")
            for name in BLUEPRINTS
        ]
        table.add_row(Text(row.need, style="bold" if row.decides else ""), *cells, Text(row.why))
    return table


def _rows(console: Console, advice: Advice) -> None:
    """Show the matrix where it is too wide for a table: a need, and below it a line for each blueprint."""
    for row in advice.rows:
        decides = f"  decides for {row.first}" if row.decides else ""
        console.print(Text.assemble("\n", (row.need, "bold" if row.decides else ""), (decides, "green")))
        for name in BLUEPRINTS:
            style = "green" if row.first == name and row.decides else ""
            _hang(console, f"{name:<{LABEL}}", getattr(row, name) or "–", style)
        _hang(console, f"{'why':<{LABEL}}", row.why, "dim")


def _hang(console: Console, label: str, text: str, style: str = "") -> None:
    """Print a text behind its label, with its further lines below its first one, and no blank behind any."""
    told = textwrap.fill(
        text,
        max(40, console.width - 1),
        initial_indent=f"  {label}",
        subsequent_indent=" " * (2 + len(label)),
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(Text(told, style=style), soft_wrap=True)


def _list(console: Console, title: str, lines: tuple[str, ...]) -> None:
    console.print(f"\n[bold]{title}[/]")
    for line in lines:
        _hang(console, "- ", line)


def _next(console: Console, lines: tuple[str, ...]) -> None:
    """Show what is to be turned on; a command stays on its line, to be copied."""
    console.print("\nThen, before the servers are started:")
    for line in lines:
        if line.startswith("$ "):
            console.print(Text(f"  {line}", style="cyan"), soft_wrap=True)
        else:
            _hang(console, "- ", line)


def _capacity(advice: Advice, machine: Machine, found: Capacity, calls: int) -> tuple[str, ...]:
    facts = ", its facts in a journal" if advice.blueprint == "events" else ""
    frame = "" if machine.first_frame_ms is None else f"; first frame {machine.first_frame_ms:.1f} ms after the model's"
    place = f"on {many(machine.cores, 'core')}, a process on each" if advice.is_shared else "in the one process"
    needed = f"{many(calls, 'call')} at once {'needs' if calls == 1 else 'need'}"
    if found.machines > 1 and not advice.is_several:
        machines = "a faster machine"
    else:
        machines = "one such machine" if found.machines == 1 else f"{found.machines} such machines"
        machines += ", one of them to spare" if advice.is_several else ""
    bound = f"max_calls is {MOST_CALLS}: a process takes no more, unless you set it"
    return (
        f"measured: {machine.cpu_ms:.2f} ms of processor time for a turn ({many(machine.turns, 'turn')}{facts}){frame}",
        f"derived: {many(found.calls_per_core, 'call')} a core, {found.calls_here} {place}, half busy; "
        f"a question every {TURN_EVERY_S:g} s",
        *((bound,) if found.calls_per_core > MOST_CALLS else ()),
        f"derived: {needed} {machines}",
        f"not in it: {', '.join(_unmeasured(advice))}",
    )


def _unmeasured(advice: Advice) -> list[str]:
    """Give what the server that was measured did not have, or did not do."""
    found = ["the model provider's limits", "the network", "the balancer"]
    if advice.speculates:
        found.append("speculations in vain")
    if advice.is_shared:
        found.append("keeping calls in Redis")
    if advice.is_on_bus:
        found.append("handing facts on to Kafka")
    if advice.blueprint == "events":
        found.append("the consumers of facts")
    return found
