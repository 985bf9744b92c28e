"""Where results go: JSON, a table on the terminal, a section of RESULTS.md. It computes no figure."""

from __future__ import annotations

import datetime
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
from rich.console import Console
from rich.table import Table

from bench.harness import machine
from bench.harness.figures import FOREIGN_LIMIT_PERCENT, contaminated
from bench.harness.processes import ROOT

__all__ = ["RESULTS", "Claim", "Column", "Report", "foreign_note", "number", "replace_section", "results_in"]

RESULTS = ROOT / "bench" / "results"
_PAGE = ROOT / "bench" / "RESULTS.md"
_TITLE = "# Results\n\nThe latest run of each bench; the JSON and PNG files stand in `results/`.\n"


class Claim(msgspec.Struct, frozen=True):
    """A bound the project promises, and what was measured.

    Attributes:
        text: What is promised.
        measured: The figure; NaN when this run could not tell.
        bound: The most it may be.
    """

    text: str
    measured: float
    bound: float

    @property
    def verdict(self) -> str:
        """`holds`, `missed`, or `not measured`."""
        if math.isnan(self.measured):
            return "not measured"
        return "holds" if self.measured <= self.bound else "missed"


class Column(msgspec.Struct, frozen=True):
    """A column of the table: its heading and where its figure stands in a row."""

    heading: str
    key: str


class Report(msgspec.Struct, kw_only=True):
    """One run of one bench.

    Attributes:
        name: Of the bench; its files are called so.
        title: The question it answers.
        method: How it was measured, in a sentence or two.
        silent_about: What it does not show.
        settings: The sizes of this run.
        rows: One per line of the table: figures by key.
        columns: The table's columns, left to right.
        claims: What was promised.
        rounds: Every round's figures, for who wants to reckon again.
        charts: Names of the PNG files.
    """

    name: str
    title: str
    method: str
    silent_about: str
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    columns: list[Column]
    claims: list[Claim]
    rounds: list[dict[str, Any]]
    charts: list[str]

    def publish(self, folder: Path, page: Path | None = None) -> None:
        """Write the files and print the table.

        Args:
            folder: Where the JSON goes; charts are there already.
            page: The RESULTS.md to bring up to date; the project's when the folder is the project's, else none.
        """
        folder.mkdir(parents=True, exist_ok=True)
        when = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
        facts = machine.facts()
        whole = {
            "bench": self.name,
            "at": when,
            "machine": facts,
            "settings": self.settings,
            "rows": self.rows,
            "claims": [
                {"text": c.text, "measured": c.measured, "bound": c.bound, "verdict": c.verdict} for c in self.claims
            ],
            "rounds": self.rounds,
        }
        (folder / f"{self.name}.json").write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")
        if page is None and folder == RESULTS:
            page = _PAGE
        if page is not None:
            before = page.read_text() if page.exists() else _TITLE
            page.write_text(replace_section(before, self.name, self._section(when, facts)))
        self._print()

    def _print(self) -> None:
        table = Table(title=self.title, title_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column.heading, justify="left" if index == 0 else "right", no_wrap=index == 0)
        for row in self.rows:
            table.add_row(*(number(row.get(column.key)) for column in self.columns))
        console = Console()
        # Through a pipe Rich assumes 80 columns, too few to read the figures.
        console.width = max(console.width, 170, 48 + 10 * len(self.columns))
        console.print(table)
        for claim in self.claims:
            style = {"holds": "green", "missed": "red"}.get(claim.verdict, "yellow")
            said = f"{claim.text}: {number(claim.measured)} (at most {number(claim.bound)})"
            console.print(f"[{style}]{claim.verdict:>12}[/]  {said}")

    def _section(self, when: str, facts: dict[str, str]) -> str:
        lines = [
            f"## {self.title}",
            "",
            self.method,
            "",
            "| " + " | ".join(column.heading for column in self.columns) + " |",
            "|---|" + "---:|" * (len(self.columns) - 1),
        ]
        lines += ["| " + " | ".join(number(row.get(column.key)) for column in self.columns) + " |" for row in self.rows]
        if self.claims:
            lines += ["", "| promise | measured | at most | |", "|---|---:|---:|---|"]
            for claim in self.claims:
                figures = f"{number(claim.measured)} | {number(claim.bound)}"
                lines.append(f"| {claim.text} | {figures} | {claim.verdict} |")
        lines += ["", *(f"![{self.title}](results/{chart})" for chart in self.charts), ""]
        lines += [f"Not shown: {self.silent_about}", ""]
        sizes = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        versions = ", ".join(f"{key} {value}" for key, value in facts.items())
        lines.append(f"{when}; {sizes}; {versions}.")
        return "\n".join(lines)


def results_in(out: Path, *, quick: bool) -> Path:
    """Give the folder for results. A quick run measures nothing, and must not take the place of what is published."""
    return Path(tempfile.mkdtemp(prefix="bench-")) if quick and out == RESULTS else out


def number(value: Any) -> str:
    """Write a figure for a table: three significant digits, a dash when there is none."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        if value == 0 or abs(value) >= 100:
            return f"{value:.0f}"
        return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return str(value)


def replace_section(page: str, name: str, section: str) -> str:
    """Put a section between its markers, in place of the one that stands there, or at the end.

    Args:
        page: The whole page.
        name: Of the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
        section: What goes between them.

    Returns:
        The page with the section; everything outside the markers is as it was.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    whole = f"{begin}\n{section.strip()}\n{end}"
    head, found, rest = page.partition(begin)
    if found:
        _, closed, tail = rest.partition(end)
        if closed:
            return head + whole + tail
    return page.rstrip("\n") + f"\n\n{whole}\n"


def foreign_note(rounds: Sequence[dict[str, Any]]) -> str:
    """Say how many rounds others disturbed."""
    disturbed = sum(map(contaminated, rounds))
    limit = f"more than {FOREIGN_LIMIT_PERCENT:.0f} % of a core used by others"
    return f"{disturbed} of {len(rounds)} rounds were contaminated ({limit})"
