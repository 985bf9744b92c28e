"""How a report writes numbers and times. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["NARROW", "NONE", "clock", "dollars", "milliseconds", "number", "percent", "seconds", "stamp"]

NONE = "–"
"""Where there is nothing to tell."""

NARROW = "\u202f"
"""A narrow space that does not break: between thousands, and before a unit."""


def number(value: float | None) -> str:
    """Write a count, with thousands apart."""
    return NONE if value is None else f"{value:,.0f}".replace(",", NARROW)


def percent(share: float | None) -> str:
    """Write a share; whatever is not all does not read as all, nor what is not nothing as nothing."""
    if share is None:
        return NONE
    text = f"{100 * share:.1f}"
    if share < 1 and text == "100.0":
        text = "99.9"
    elif share > 0 and text == "0.0":
        text = "<0.1"
    return f"{text if 0 < share < 1 else text.removesuffix('.0')}{NARROW}%"


def milliseconds(value: float | None) -> str:
    """Write a duration in the unit that fits it, with three figures at most."""
    if value is None:
        return NONE
    if not value:
        return f"0{NARROW}ms"
    if value >= 99_950:
        return f"{number(value / 1000)}{NARROW}s"
    if value >= 1000:
        return f"{value / 1000:.{1 if value >= 9_995 else 2}f}{NARROW}s"
    if value >= 9.95:
        return f"{value:.0f}{NARROW}ms"
    return f"{value:.{1 if value >= 0.995 else 2}f}{NARROW}ms"


def seconds(value: float) -> str:
    """Write a long duration: `4 h 12 min`, `3 min 20 s`, `12 s`."""
    whole = round(value)
    for size, unit, smaller, below in ((3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{number(whole // size)}{NARROW}{unit} {whole % size // smaller}{NARROW}{below}"
    return f"{whole}{NARROW}s"


def dollars(value: float | None) -> str:
    """Write a price; small ones with more figures."""
    if value is None:
        return NONE
    if 0 < value < 0.0001:
        return "<$0.0001"
    return f"${value:,.{2 if value >= 1 or not value else 4}f}"


def stamp(at: float) -> str:
    """Write a moment as a day and a time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def clock(at: float, *, day: bool) -> str:
    """Write a moment for an axis: the hour, or the day."""
    then = datetime.fromtimestamp(at, UTC)
    return f"{then.day} {then:%b}" if day else f"{then:%H:%M}"
