"""Charts as PNG: one message each, readable in a page of text. It computes no figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

matplotlib.use("Agg")  # a server has no display

__all__ = ["Line", "Panel", "Span", "bars", "columns", "courses", "lines", "shares", "spans"]

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "figure.dpi": 150,
}
_INK, _FAINT = "#222222", "#d9d9d9"


class Line:
    """One line of a chart.

    Args:
        label: In the chart, at the line's end.
        colour: Of the line.
        points: Value by position.
        dashed: A second figure of a stack that has a line already.
    """

    def __init__(self, label: str, colour: str, points: Mapping[float, float], *, dashed: bool = False) -> None:
        self.label = label
        self.colour = colour
        self.points = points
        self.dashed = dashed


class Span:
    """One row of `spans`.

    Args:
        label: Before the row.
        colour: Of the row.
        values: Three figures, rising: where the bar begins, where it ends, and where the whisker ends.
    """

    def __init__(self, label: str, colour: str, values: tuple[float, float, float]) -> None:
        self.label = label
        self.colour = colour
        self.values = values


class Panel:
    """One of several charts above each other that share their time.

    Args:
        y_label: The figures, with their unit.
        series: The lines.
        band: A name, and a lowest and a highest figure, for a band behind them.
    """

    def __init__(self, y_label: str, series: Sequence[Line], band: tuple[str, float, float] | None = None) -> None:
        self.y_label = y_label
        self.series = series
        self.band = band


@contextmanager
def _chart(path: Path, title: str, source: str, height: float) -> Iterator[Axes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(8, height), layout="constrained")
        axes.set_title(title, pad=12)
        figure.supxlabel(source, fontsize=7.5, color="#777777", x=0.01, ha="left")
        try:
            yield axes
            figure.savefig(path)
        finally:
            plt.close(figure)


def lines(
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Line],
    source: str,
    bound: tuple[str, float] | None = None,
) -> None:
    """Draw figures over sizes, both axes logarithmic.

    Args:
        path: The PNG.
        title: The one thing the chart says.
        x_label: The sizes, with their unit.
        y_label: The figures, with their unit.
        series: The lines.
        source: How it was measured, in small print.
        bound: A name and a height for a thin line across.
    """
    with _chart(path, title, source, 4.6) as axes:
        positions = sorted({x for line in series for x in line.points})
        for line in series:
            shown = sorted((x, y) for x, y in line.points.items() if y == y and y > 0)
            axes.plot(
                [x for x, _ in shown],
                [y for _, y in shown],
                color=line.colour,
                linestyle="--" if line.dashed else "-",
                marker="o",
                markersize=4,
                linewidth=1.4 if line.dashed else 2,
                label=line.label,
            )
        if bound is not None:
            axes.axhline(bound[1], color=_INK, linewidth=0.8, linestyle=":")
            axes.annotate(bound[0], (positions[0], bound[1]), (0, 3), textcoords="offset points", fontsize=8)
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
        axes.set_xticks(positions, [f"{x:g}" for x in positions])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(axis="y", color=_FAINT, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def bars(
    path: Path,
    *,
    title: str,
    x_label: str,
    values: Sequence[tuple[str, str, float, float | None]],
    source: str,
    bound: tuple[str, float] | None = None,
) -> None:
    """Draw one bar a stack.

    Args:
        path: The PNG.
        title: The one thing the chart says.
        x_label: The figure, with its unit.
        values: Label, colour, length, and the end of a thin whisker or None; top to bottom.
        source: How it was measured, in small print.
        bound: A name and a position for a thin line down the chart.
    """
    with _chart(path, title, source, 1.6 + 0.55 * len(values)) as axes:
        labels = [label for label, *_ in values]
        widest = max((max(v, w or 0) for _, _, v, w in values if v == v), default=1.0) or 1.0
        for row, (_, colour, value, whisker) in enumerate(values):
            shown = value if value == value else 0.0
            axes.barh(row, shown, color=colour, height=0.58)
            end = shown
            if whisker is not None and whisker == whisker:
                axes.plot([shown, whisker], [row, row], color=colour, linewidth=1.5)
                axes.plot([whisker], [row], color=colour, marker="|", markersize=9)
                end = max(shown, whisker)
            text = f"{shown:.3g}" if whisker is None else f"{shown:.3g}  (p99 {whisker:.3g})"
            axes.text(end + widest * 0.015, row, text, va="center", fontsize=9, color=_INK)
        if bound is not None:
            axes.axvline(bound[1], color=_INK, linewidth=0.8, linestyle=":")
            axes.annotate(bound[0], (bound[1], -0.5), (3, 2), textcoords="offset points", fontsize=8)
        axes.set_yticks(range(len(values)), labels)
        axes.set_ylim(len(values) - 0.5, -0.8)
        axes.set_xlabel(x_label)
        axes.set_xlim(0, max(widest, bound[1] if bound is not None else 0) * 1.25)
        axes.grid(axis="x", color=_FAINT, linewidth=0.7)


_FEW_TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
_MANY_TICKS = (10, 30, 100, 200, 300, 500, 800, 1500, 3000, 5000, 10_000, 15_000)


def _time_axis(axes: Axes, low: float, high: float, x_label: str) -> None:
    axes.set(xscale="log", xlim=(low, high), xlabel=x_label)
    ticks = [tick for tick in (_MANY_TICKS if high < 100 * low else _FEW_TICKS) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()


def _range(values: Sequence[float], budgets: Sequence[float]) -> tuple[float, float]:
    """Leave room for the budgets and for what is written beside the outermost figures."""
    return max(1.0, min([*values, *budgets]) * 0.6), max([*values, *budgets]) * 1.6


def _budgets(axes: Axes, budgets: Sequence[float], height: float) -> None:
    for budget in budgets:
        axes.axvline(budget, color=_INK, linewidth=0.8, linestyle=":", zorder=0.5)
        axes.annotate(
            f"{budget:g}",
            (budget, height),
            (0, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )


def shares(
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[tuple[str, str, Sequence[float]]],
    budgets: Sequence[float],
    source: str,
) -> None:
    """Draw which share of values lies at or below each position, which is logarithmic and begins at 10 or later.

    What lies below stands at the left edge.

    Args:
        path: The PNG.
        title: The one thing the chart says.
        x_label: The values, with their unit.
        y_label: The share.
        series: Label, colour and values of each line.
        budgets: Positions of thin lines down the chart.
        source: How it was measured, in small print.
    """
    with _chart(path, title, source, 4.4) as axes:
        every = [value for _, _, values in series for value in values if value > 0]
        low, high = _range(every, budgets)
        low = max(low, 10.0)
        for number, (label, colour, values) in enumerate(series):
            # The later, the thinner: lines that lie upon each other are all seen.
            width = 3.4 - 1.6 * number / max(1, len(series) - 1)
            ordered = sorted(max(value, low) for value in values)
            heights = [100 * (count + 1) / len(ordered) for count in range(len(ordered))]
            axes.step(
                [low, *ordered, high], [0, *heights, 100], where="post", color=colour, linewidth=width, label=label
            )
        _time_axis(axes, low, high, x_label)
        _budgets(axes, budgets, 1.0)
        axes.set(ylim=(0, 100), ylabel=y_label)
        axes.grid(axis="y", color=_FAINT, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def spans(path: Path, *, title: str, x_label: str, rows: Sequence[Span], budgets: Sequence[float], source: str) -> None:
    """Draw three figures a row on a logarithmic axis: a bar between two of them, and a whisker to the third.

    Args:
        path: The PNG.
        title: The one thing the chart says.
        x_label: The figures, with their unit.
        rows: Top to bottom.
        budgets: Positions of thin lines down the chart.
        source: How it was measured, in small print.
    """
    with _chart(path, title, source, 1.7 + 0.62 * len(rows)) as axes:
        every = [value for row in rows for value in row.values if value == value and value > 0]
        low, high = _range(every, budgets)
        for at, row in enumerate(rows):
            begin, end, whisker = (min(max(value, low), high) for value in row.values)
            axes.plot([end, whisker], [at, at], color=row.colour, linewidth=1.6)
            axes.plot([whisker], [at], color=row.colour, marker="|", markersize=11, markeredgewidth=1.6)
            axes.plot([begin, end], [at, at], color=row.colour, linewidth=11, solid_capstyle="butt")
            axes.plot([begin], [at], color=row.colour, marker="o", markersize=9, markeredgecolor="white")
            # Each label on a side of its own: the figures may lie close together.
            for value, place, offset, side in zip(
                row.values, (begin, end, whisker), ((-8, 0), (0, 11), (6, 0)), ("right", "center", "left"), strict=True
            ):
                text = axes.annotate(
                    f"{value:.0f}", (place, at), offset, textcoords="offset points", ha=side, va="center", fontsize=8
                )
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.75)
        _time_axis(axes, low, high, x_label)
        _budgets(axes, budgets, 1.0)
        axes.grid(axis="x", color=_FAINT, linewidth=0.7)


def columns(
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    places: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[float]]],
    bound: tuple[str, float],
    source: str,
) -> None:
    """Draw columns side by side at each place, from 0 to 100 percent.

    Args:
        path: The PNG.
        title: The one thing the chart says.
        x_label: What the places are.
        y_label: The share.
        places: Left to right.
        series: Label, colour, and a percentage for each place.
        bound: A name and a height for a thin line across.
        source: How it was measured, in small print.
    """
    with _chart(path, title, source, 4.2) as axes:
        width = 0.8 / max(1, len(series))
        for number, (label, colour, values) in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * width
            at = [place + shift for place in range(len(places))]
            shown = [value if value == value else 0.0 for value in values]
            axes.bar(at, shown, width=width * 0.92, color=colour, label=label)
            for x, value in zip(at, values, strict=True):
                if value == value:
                    axes.annotate(
                        f"{value:.0f}", (x, value), (0, 2), textcoords="offset points", ha="center", fontsize=8
                    )
        axes.axhline(bound[1], color=_INK, linewidth=0.8, linestyle=":")
        axes.annotate(
            bound[0], (1.0, bound[1]), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
        axes.set_xticks(range(len(places)), places)
        axes.set(ylim=(0, 105), xlabel=x_label, ylabel=y_label)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(axis="y", color=_FAINT, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def courses(path: Path, *, title: str, x_label: str, panels: Sequence[Panel], source: str) -> None:
    """Draw how figures went over time, from zero up, in charts above each other.

    Args:
        path: The PNG.
        title: The one thing they say.
        x_label: The time, with its unit.
        panels: Top to bottom.
        source: How it was measured, in small print.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(_STYLE):
        figure, rows = plt.subplots(
            len(panels), figsize=(8, 1.2 + 1.9 * len(panels)), layout="constrained", sharex=True, squeeze=False
        )
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
        figure.supxlabel(source, fontsize=7.5, color="#777777", x=0.01, ha="left")
        for (axes,), panel in zip(rows, panels, strict=True):
            if panel.band is not None:
                name, low, high = panel.band
                axes.axhspan(low, high, color=_FAINT, alpha=0.6, linewidth=0)
                axes.annotate(
                    name, (1.0, (low + high) / 2), (4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize=8.5,
                )  # fmt: skip
            for line in panel.series:
                style = "--" if line.dashed else "-"
                axes.plot([*line.points], [*line.points.values()], style, color=line.colour, label=line.label)
            axes.set_ylabel(panel.y_label)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y", color=_FAINT, linewidth=0.7)
            axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        rows[-1][0].set_xlabel(x_label)
        figure.savefig(path)
        plt.close(figure)
