"""From samples to verdicts: is the memory flat, and is all gone that a call brought? Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Course", "course_of", "left_over"]


class Course(msgspec.Struct, frozen=True):
    """How a figure went once it was warm. NaN where there are too few samples to tell.

    Attributes:
        median: Of the samples.
        apart_percent: How far the sample farthest from the median lies from it.
        hourly_percent: The slope of a straight line through the samples, in percent of the median an hour.
    """

    median: float
    apart_percent: float
    hourly_percent: float


def course_of(points: Sequence[tuple[float, float]], *, warm_s: float) -> Course:
    """Judge a figure over time.

    Args:
        points: Seconds since the first call, and the figure.
        warm_s: What came before is not looked at.
    """
    warm = [(at, value) for at, value in points if at >= warm_s]
    if len(warm) < 2 or warm[0][0] == warm[-1][0]:
        return Course(math.nan, math.nan, math.nan)
    values = [value for _, value in warm]
    median = statistics.median(values)
    if median == 0:
        return Course(0.0, math.nan, math.nan)
    slope = statistics.linear_regression([at for at, _ in warm], values).slope
    return Course(
        median=median,
        apart_percent=max(abs(value - median) for value in values) / median * 100,
        hourly_percent=slope * 3600 / median * 100,
    )


def left_over(before: Mapping[str, float], after: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Tell how many more of each there are after the last call than before the first; never less than none.

    Raises:
        KeyError: A figure was not sampled.
    """
    return {name: max(0.0, after[name] - before[name]) for name in names}
