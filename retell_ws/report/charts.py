"""The charts of a report, as SVG that needs nothing but the page's style. No I/O.

What is read is drawn in its own size, for a wide page and for a phone, since text in a picture that is scaled cannot be
read. A bar in a row of a table is as wide as its cell, and holds no text. Every mark has its figures in a `<title>`,
which browsers show when it is pointed at, and screen readers read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Axis", "Point", "Series", "bar", "columns", "lines", "span", "stack", "ticks"]

TOP: Final = 14
BOTTOM: Final = 26
LEFT: Final = 56
RIGHT: Final = 14
LABEL_WIDTH: Final = 62
"""Room for one label of the lower axis."""


class Point(NamedTuple):
    """A place on the lower axis.

    Attributes:
        at: Its beginning.
        about: What is said of it where it is pointed at.
    """

    at: float
    about: str


class Series(NamedTuple):
    """A line, or the heights of columns.

    Attributes:
        name: A word of the style sheet, which colours it.
        values: One for each point; None where there is none.
    """

    name: str
    values: Sequence[float | None]


class Axis(NamedTuple):
    """The lower axis.

    Attributes:
        since: Where it begins.
        until: Where it ends.
        step: From point to point.
        marks: Where it has labels, and which; of too many each second, third, … is left.
    """

    since: float
    until: float
    step: float
    marks: Sequence[tuple[float, str]]


LEAST: Final = 1e-12
"""A highest value at or below this is drawn as if all were nothing."""


def ticks(highest: float, count: int = 4, *, whole: bool = False) -> list[float]:
    """Give round values from 0 on, the last of which is not below the highest.

    Args:
        highest: Of what is shown.
        count: About so many steps.
        whole: What is shown are counts: there is nothing between 0 and 1.
    """
    if not highest > LEAST:
        return [0.0, 1.0]
    rough = highest / count
    size = 10.0 ** math.floor(math.log10(rough))
    if whole:
        size = max(size, 1.0)
    sizes = (size * nice for nice in (1, 2, 2.5, 5, 10, 20) if not whole or (size * nice).is_integer())
    step = next(step for step in sizes if step * count >= highest * (1 - 1e-9))
    steps = max(min(math.ceil(highest / step - 1e-9), count), 1)
    return [step * number for number in range(steps + 1)]


def lines(
    axis: Axis,
    points: Sequence[Point],
    series: Sequence[Series],
    *,
    width: int,
    height: int,
    label: Callable[[float], str],
    line: float | None = None,
    about: str,
) -> str:
    """Draw lines over time; where a value is missing, or a point, the line is broken.

    Args:
        axis: The lower axis.
        points: In order; each is in the middle of its step.
        series: The lines; the last one is drawn on top.
        width: In pixels.
        height: In pixels.
        label: Writes a value of the left axis.
        line: A value that is marked right across.
        about: What the picture shows, for who does not see it.
    """
    values = [value for one in series for value in one.values if value is not None]
    steps = ticks(max([*values, *([] if line is None else [line])], default=0.0))
    frame = _Frame(axis, steps[-1], width, height)
    drawn = [frame.grid(steps, label)]
    if line is not None:
        y = frame.y(line)
        drawn.append(f'<line class="limit" x1="{LEFT}" x2="{width - RIGHT}" y1="{y}" y2="{y}"/>')
    for one in series:
        for run in _runs(axis, points, one.values):
            path = " ".join(f"{frame.x(at + axis.step / 2)},{frame.y(value)}" for at, value in run)
            drawn.append(f'<polyline class="{escape(one.name)}" points="{path}"/>')
            if len(run) == 1 or len(points) <= 40:
                drawn += [
                    f'<circle class="{escape(one.name)}" cx="{frame.x(at + axis.step / 2)}" cy="{frame.y(value)}" '
                    f'r="2.6"/>'
                    for at, value in run
                ]
    drawn += [frame.target(point) for point in points]
    return _svg(width, height, about, drawn)


def columns(
    axis: Axis,
    points: Sequence[Point],
    series: Series,
    *,
    width: int,
    height: int,
    label: Callable[[float], str],
    highest: float | None = None,
    whole: bool = False,
    about: str,
) -> str:
    """Draw a column for each point.

    Args:
        axis: The lower axis.
        points: In order.
        series: The heights.
        width: In pixels.
        height: In pixels.
        label: Writes a value of the left axis.
        highest: The top of the left axis; None: as high as needed.
        whole: The heights are counts.
        about: What the picture shows, for who does not see it.
    """
    values = [value or 0.0 for value in series.values]
    steps = ticks(max(values, default=0.0) if highest is None else highest, 2, whole=whole)
    frame = _Frame(axis, steps[-1], width, height)
    drawn = [frame.grid(steps, label)]
    for point, value in zip(points, values, strict=True):
        left, right = (frame.across(at) for at in (point.at, point.at + axis.step))
        gap = min(2.0, (right - left) * 0.15)
        y = frame.y(value)
        drawn.append(
            f'<rect class="{escape(series.name)}" x="{_round(left + gap / 2)}" width="{_round(right - left - gap)}" '
            f'y="{y}" height="{_round(frame.floor - y)}"/>'
        )
    drawn += [frame.target(point) for point in points]
    return _svg(width, height, about, drawn)


def bar(share: float, name: str, about: str) -> str:
    """Draw a bar as long as a share of its cell."""
    return stack([(share, name, about)], rest=True)


def stack(pieces: Sequence[tuple[float, str, str]], *, rest: bool = False) -> str:
    """Draw pieces of a bar side by side.

    Args:
        pieces: The share of the whole, a word of the style sheet, and what is said of it.
        rest: What is left of the whole is shown too.
    """
    drawn = ['<rect class="rest" x="0" width="100%" y="3" height="10" rx="2"/>'] if rest else []
    begin = 0.0
    for share, name, about in pieces:
        share = min(max(share, 0.0), 1.0 - begin)
        if share > 0:
            drawn.append(
                f'<rect class="{escape(name)}" x="{_share(begin)}" width="{_share(share)}" y="3" height="10">'
                f"<title>{escape(about)}</title></rect>"
            )
        begin += share
    return f'<svg class="bar" width="100%" height="16" role="img">{"".join(drawn)}</svg>'


def span(places: Sequence[float], about: str) -> str:
    """Draw where three percentiles are: a stroke from the first to the last, and a mark at each.

    Args:
        places: Shares of the cell, in order.
        about: What is said of them.
    """
    first, *_, last = (min(max(place, 0.0), 1.0) for place in places)
    marks = [
        f'<circle class="p{number}" cx="{_share(min(max(place, 0.0), 1.0) * 0.96 + 0.02)}" cy="8" r="4"/>'
        for number, place in enumerate(places)
    ]
    return (
        f'<svg class="bar" width="100%" height="16" role="img"><g><title>{escape(about)}</title>'
        '<rect class="rest" x="0" width="100%" y="7" height="2"/>'
        f'<rect class="reach" x="{_share(first * 0.96 + 0.02)}" width="{_share((last - first) * 0.96)}" y="6" '
        f'height="4"/>{"".join(reversed(marks))}</g></svg>'
    )


class _Frame:
    def __init__(self, axis: Axis, highest: float, width: int, height: int) -> None:
        self._axis = axis
        self._highest = highest
        self._width = width
        self.floor = height - BOTTOM

    def across(self, at: float) -> float:
        length = max(self._axis.until - self._axis.since, 1e-9)
        share = min(max((at - self._axis.since) / length, 0.0), 1.0)
        return LEFT + share * (self._width - LEFT - RIGHT)

    def x(self, at: float) -> float:
        return _round(self.across(at))

    def y(self, value: float) -> float:
        return _round(self.floor - min(value / self._highest, 1.0) * (self.floor - TOP))

    def grid(self, steps: Sequence[float], label: Callable[[float], str]) -> str:
        drawn = []
        for value in steps:
            y = self.y(value)
            kind = "grid" if value else "axis"
            drawn.append(
                f'<line class="{kind}" x1="{LEFT}" x2="{self._width - RIGHT}" y1="{y}" y2="{y}"/>'
                f'<text x="{LEFT - 8}" y="{_round(y + 4)}" text-anchor="end">{escape(label(value))}</text>'
            )
        marks = self._axis.marks
        room = max(1, int((self._width - LEFT - RIGHT) // LABEL_WIDTH))
        for at, text in marks[:: max(1, -(-len(marks) // room))]:
            # The last label must not stick out of the picture.
            x = min(self.across(at), self._width - RIGHT - LABEL_WIDTH * 0.3)
            drawn.append(
                f'<line class="axis" x1="{self.x(at)}" x2="{self.x(at)}" y1="{self.floor}" y2="{self.floor + 4}"/>'
                f'<text x="{_round(x)}" y="{self.floor + 18}" text-anchor="middle">{escape(text)}</text>'
            )
        return "".join(drawn)

    def target(self, point: Point) -> str:
        left, right = (self.across(at) for at in (point.at, point.at + self._axis.step))
        return (
            f'<rect class="target" x="{_round(left)}" width="{_round(max(right - left, 1.0))}" y="{TOP}" '
            f'height="{self.floor - TOP}"><title>{escape(point.about)}</title></rect>'
        )


def _runs(axis: Axis, points: Sequence[Point], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = []
    before = None
    for point, value in zip(points, values, strict=True):
        if value is None:
            before = None
            continue
        if before is None or point.at - before > axis.step * 1.5:
            runs.append([])
        runs[-1].append((point.at, value))
        before = point.at
    return runs


def _svg(width: int, height: int, about: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(about)}">{"".join(drawn)}</svg>'
    )


def _share(share: float) -> str:
    return f"{_round(100 * share):g}%"


def _round(value: float) -> float:
    return round(value, 2)
