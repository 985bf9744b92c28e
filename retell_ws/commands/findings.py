"""Findings as people read them: a table where there is room for one, otherwise a paragraph each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from .plain import plain

__all__ = ["MARKS", "Finding", "console_of_findings", "show"]

MARKS: Final = {
    "pass": ("pass", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("FAIL", "bold red"),
    "skip": ("skip", "dim"),
    "info": ("info", "blue"),
}

ROOM: Final = 110
"""Columns from which on there is room for a column of names."""

COLUMNS: Final = 160
"""Of what no terminal shows."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        outcome: A key of `MARKS`.
        name: What it is.
        seen: What was seen, and what to do. Text and not markup: it may come from a stranger's server.
    """

    outcome: str
    name: Text
    seen: Text


def console_of_findings() -> Console:
    """Make a console as wide as the terminal, or wide enough for whoever reads through a pipe."""
    return Console(width=None if sys.stdout.isatty() else COLUMNS)


def show(console: Console, topics: Iterable[tuple[Text, Sequence[Finding]]]) -> None:
    """Print findings below their topics.

    Args:
        console: Where.
        topics: The line of each topic, and what was found.
    """
    topics = list(topics)
    widest = max((finding.name.cell_len for _, findings in topics for finding in findings), default=0)
    for topic, findings in topics:
        _print(console, topic)
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        if console.width >= ROOM:
            table.add_column(width=2 + widest)
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
        else:
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
        for outcome, name, seen in ((each.outcome, _plain(each.name), _plain(each.seen)) for each in findings):
            word, style = MARKS[outcome]
            if console.width >= ROOM:
                table.add_row(Text("  ").append_text(name), Text(word, style=style), seen)
            else:
                table.add_row(Text("  ").append(word, style=style), name.copy().append("  ").append_text(seen))
        _print(console, table)


def _plain(text: Text) -> Text:
    """Give a text that does nothing to a terminal. Of the same length, so that its styles stay where they are."""
    made = text.copy()
    made.plain = plain(text.plain)
    return made


def _print(console: Console, shown: Table | Text) -> None:
    """Print without the blanks that a table puts behind its lines."""
    for line in console.render_lines(shown, pad=False):
        while line and not line[-1].text.strip():
            line.pop()
        if line:
            line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
        console.print(Segments([*line, Segment.line()]), soft_wrap=True)
