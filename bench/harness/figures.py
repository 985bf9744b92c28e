"""From raw times to figures: percentiles, medians over rounds, ratios within a round. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

__all__ = ["FOREIGN_LIMIT_PERCENT", "clean", "contaminated", "median_of", "ms", "percentile", "ratios"]

FOREIGN_LIMIT_PERCENT = 10.0
"""More CPU than this, used by others or taken by the hypervisor, makes a round contaminated: the p99 of a busy
neighbour is not ours."""

Row = Mapping[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """Take the nearest-rank percentile: the smallest value that at least `percent` of all do not exceed.

    With fewer than 100 values the 99th is the largest; NaN when there are none.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def ms(values_ns: Sequence[int], percent: float) -> float:
    """Take a percentile of nanoseconds, in milliseconds."""
    return percentile(values_ns, percent) / 1e6


def contaminated(row: Row) -> bool:
    """Tell whether others used too much of the machine during a round."""
    return row.get("foreign_percent", 0.0) + row.get("stolen_percent", 0.0) > FOREIGN_LIMIT_PERCENT


def clean(rounds: Sequence[Row]) -> tuple[list[Row], bool]:
    """Leave contaminated rounds out.

    Returns:
        The clean rounds and True, or all of them and False when none is clean.
    """
    kept = [row for row in rounds if not contaminated(row)]
    return (kept, True) if kept else (list(rounds), False)


def median_of(rounds: Sequence[Row], name: str) -> float:
    """Take the median of one figure over rounds; rounds in which it is NaN are left out."""
    values = [row[name] for row in rounds if not math.isnan(row[name])]
    return statistics.median(values) if values else math.nan


def ratios(ours: Sequence[Row], base: Sequence[Row], name: str) -> float:
    """Compare one figure with the base's, round by round, and take the median of the ratios.

    Host speed drifts between rounds more than within one, so the ratio is taken first and the median second.

    Args:
        ours: Rounds of one stack; each has its `round`.
        base: Rounds of the stack to compare with.
        name: The figure.

    Returns:
        The ratio; NaN when no round holds both, or the base is zero.
    """
    by_round = {row["round"]: row for row in base}
    found = [
        row[name] / by_round[row["round"]][name]
        for row in ours
        if row["round"] in by_round and by_round[row["round"]][name] > 0 and not math.isnan(row[name])
    ]
    return statistics.median(found) if found else math.nan
