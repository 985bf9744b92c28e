"""`retell_ws report`: what the figures of calls say, as a page or as JSON."""

from __future__ import annotations

import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from ..errors import SinkError, UsageError
from ..extras import needing
from ..report.figures import Figures
from ..report.page import page
from ..report.since import moment
from ..report.words import milliseconds, number, percent
from ..settings import BUDGETS_MS, DATA, load
from .output import put_whole

__all__ = ["report"]

NAME = "retell_ws-report.html"


def report(
    *,
    since: str = "1d",
    archive: str | None = None,
    data: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    open: Annotated[bool, Parameter(negative="")] = False,
    budget_ms: int | None = None,
    blueprint: Literal["single", "distributed", "events"] | None = None,
    config: Path | None = None,
) -> int:
    """Tell how calls went: first sentences against the budget, where the time went, tools, tokens and cost.

    It reads what the consumer `analytics` has written, and nothing else: it may run while calls last, and on any
    machine that sees the folder or the bucket.

    Args:
        since: From when on: 30m, 12h, 1d, 2w, or a day like 2026-11-20, in UTC.
        archive: Where the figures are: a folder, or s3://BUCKET/PREFIX; as `serve` has it.
        data: The data folder, when they are there; as `serve` has it.
        json: Print the figures as one JSON object, and write no page unless `--out` names it.
        out: Where the page is written; by default `retell_ws-report.html`.
        open: Open the page in a browser.
        budget_ms: What first sentences are held against; by default what the settings say.
        blueprint: The same, by the budget of a blueprint; by default `events`.
        config: A TOML file of settings.

    Returns:
        0; 1 when nothing was told of that time, or it cannot be read.

    Raises:
        UsageError: There is no such time or folder, or the page cannot be written.
    """
    settings = load({"archive": archive, "data": data}, config=config)
    where = settings.archive_place() or DATA
    now = time.time()
    begin = moment(since, now)
    if budget_ms is not None and budget_ms <= 0:
        raise UsageError("--budget-ms is at least 1")
    budget = budget_ms or (not blueprint and settings.budget_ms) or BUDGETS_MS[blueprint or "events"]
    try:
        figures, latest = _read(where, begin, now, budget / 1000)
    except (SinkError, OSError) as exc:
        why = str(exc) if isinstance(exc, SinkError) else exc.strerror or type(exc).__name__
        sys.stderr.write(f"retell_ws: cannot read {where}: {why}\n")
        return 1
    if figures is None:
        sys.stderr.write(f"retell_ws: no figures in {where} since {since}{_hint(latest)}\n")
        return 1
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
        sys.stdout.flush()
    if json and out is None and not open:
        return 0
    out = out or Path(NAME)
    put_whole(page(figures, written=now), out)
    first = figures.first_sentence
    sys.stderr.write(
        f"{_many(figures.calls.count, 'call')}, {_many(first.turns, 'turn')}; first sentence p50 "
        f"{milliseconds(first.times.p50_ms)}, p95 {milliseconds(first.times.p95_ms)}, "
        f"{percent(first.within)} within {budget} ms: {out}\n"
    )
    if open:
        webbrowser.open(out.absolute().as_uri())
    return 0


def _read(where: str, since: float, until: float, budget_s: float) -> tuple[Figures | None, str]:
    """Gather the figures, and the latest day there is."""
    with needing("analytics", "report"):
        from ..consumers.analytics import FIGURES
        from ..consumers.parts import Parts, place, reaching
        from ..report.questions import gather
    if "://" not in where and not Path(where).is_dir():
        return None, ""  # to open it would make it
    with Parts(place(where), FIGURES) as parts, reaching("the figures"):
        figures = gather(parts, since, until, budget_s)
        return figures, "" if figures else str(max(parts.days(), default=""))


def _many(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def _hint(latest: str) -> str:
    if latest:
        return f"; the latest are of {latest}: --since {latest}"
    how = "servers write some with --blueprint events, with Kafka `consume analytics` does"
    return f"; {how}; --data or --archive says where"
