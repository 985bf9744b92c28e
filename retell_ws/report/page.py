"""A report as a page: one file that asks nothing of any network and runs no script. No I/O.

Whatever comes from a call (a tool's name, a model's, an id) is text, and is escaped where it is put into the page.
"""

from __future__ import annotations

import math
from html import escape
from typing import Final

from . import charts, sections
from .charts import Axis, Point, Series
from .figures import Bucket, Figures
from .html import card, document, key
from .words import NARROW, clock, dollars, milliseconds, number, percent, seconds, stamp

__all__ = ["page"]


_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"))
"""Of buckets, which are no shorter than a minute."""


def page(figures: Figures, *, written: float) -> str:
    """Write the page.

    Args:
        figures: What it tells.
        written: When it is written, in seconds since 1970.
    """
    whole = (
        _over_time(figures),
        sections.sources(figures),
        sections.whose(figures),
        sections.stages(figures),
        sections.ahead(figures),
        sections.turns(figures),
        sections.hangups(figures),
        sections.tools(figures),
        sections.models(figures),
        sections.escalations(figures),
        sections.trouble(figures),
        sections.slowest(figures),
        sections.longest(figures),
    )
    return document(
        f"Calls since {stamp(figures.since)} UTC",
        f"<header><h1>Calls</h1><p>{stamp(figures.since)} to {stamp(figures.until)} UTC</p></header>"
        f'{_tiles(figures)}<div class="cards">{"".join(whole)}</div>'
        f"<footer>Written by retell_ws report, {stamp(written)} UTC. Times are percentiles of what was measured; "
        "greetings do not count, nobody waits for them.</footer>",
    )


def _tiles(figures: Figures) -> str:
    first, calls, turns = figures.first_sentence, figures.calls, figures.turns
    minutes = seconds(calls.minutes * 60) if calls.minutes else "no length known"
    tokens = sum(
        one.input_tokens + one.output_tokens + one.cache_read_tokens + one.cache_write_tokens for one in figures.models
    )
    usd = figures.usd if figures.is_priced else None
    unpriced = f", {'not all' if figures.is_priced else 'none'} of them priced" if figures.unpriced else ""
    tiles = (
        ("Calls", number(calls.count), minutes),
        ("Turns", number(turns.count), f"{percent(_share(turns.failed, turns.count))} failed"),
        ("First sentence, p50", milliseconds(first.times.p50_ms), "half came sooner"),
        ("p95", milliseconds(first.times.p95_ms), f"p99 {milliseconds(first.times.p99_ms)}"),
        (f"Within {milliseconds(figures.budget_ms)}", percent(first.within), f"of {number(first.judged)} turns"),
        ("Cost of the models", dollars(usd), f"{number(tokens)} tokens{unpriced}"),
    )
    return '<dl class="tiles">{}</dl>'.format(
        "".join(
            f'<div class="tile"><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>'
            f'<dd class="note">{escape(note)}</dd></div>'
            for name, value, note in tiles
        )
    )


def _over_time(figures: Figures) -> str:
    buckets = figures.over_time
    is_long = figures.bucket_s >= 86_400
    first = figures.since // figures.bucket_s * figures.bucket_s
    steps = range(math.ceil((figures.until - first) / figures.bucket_s))
    places = [first + step * figures.bucket_s for step in steps]
    if figures.until - figures.since > 2 * 86_400 and not is_long:  # days are enough
        marks = [(at, clock(at, day=True)) for at in places if at % 86_400 < figures.bucket_s and at >= figures.since]
    else:
        marks = [(at, clock(at, day=is_long)) for at in places]
    axis = Axis(first, first + len(places) * figures.bucket_s, figures.bucket_s, marks)
    if not any(bucket.turns for bucket in buckets):
        return card("First sentence over time", "", is_whole=True)
    points = [Point(bucket.at, _told(bucket)) for bucket in buckets]
    series = (
        Series("orange", [bucket.p95_ms for bucket in buckets]),
        Series("blue", [bucket.p50_ms for bucket in buckets]),
    )
    pictures = []
    for kind, width, high, low in (("broad", 1120, 300, 110), ("narrow", 350, 230, 100)):
        said = "First sentences over time: half came sooner than the lower line, 95 of 100 sooner than the upper one"
        above = charts.lines(
            axis, points, series, width=width, height=high, label=milliseconds, line=figures.budget_ms, about=said
        )
        within = charts.columns(
            axis,
            points,
            Series("green", [bucket.within for bucket in buckets]),
            width=width,
            height=low,
            label=lambda share: f"{100 * share:.0f}{NARROW}%",
            highest=1.0,
            about="Share of turns within the budget, over time",
        )
        turns = charts.columns(
            axis,
            points,
            Series("grey", [bucket.turns for bucket in buckets]),
            width=width,
            height=low,
            label=number,
            whole=True,
            about="Turns over time",
        )
        pictures.append(f'<div class="{kind}">{above}<h3>Within the budget</h3>{within}<h3>Turns</h3>{turns}</div>')
    colours = key(
        (("blue", "p50", ""), ("orange", "p95", ""), ("dashed", "the budget", milliseconds(figures.budget_ms)))
    )
    note = f"From Retell's request to the first sentence on its socket, for each {_length(figures.bucket_s)}, in UTC."
    return card("First sentence over time", colours + "".join(pictures), note, is_whole=True)


def _told(bucket: Bucket) -> str:
    return (
        f"{stamp(bucket.at)}: p50 {milliseconds(bucket.p50_ms)}, p95 {milliseconds(bucket.p95_ms)}, "
        f"{percent(bucket.within)} within the budget, {number(bucket.turns)} turns in {number(bucket.calls)} calls"
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _length(length_s: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if length_s >= size)
    count = length_s // size
    return unit if count == 1 else f"{count} {unit}s"
