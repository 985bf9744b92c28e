"""From when on a report tells, as a person writes it. No I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from ..errors import UsageError

__all__ = ["bucket_s", "moment"]

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO: Final = re.compile(r"([0-9]{1,6})([mhdw])")

BUCKETS_S: Final = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 28 * 86_400)
COLUMNS: Final = 60
"""Most buckets of a chart: more cannot be told apart on a phone."""


def moment(text: str, now: float) -> float:
    """Read `30m`, `12h`, `1d`, `2w`, `2026-11-20` or `2026-11-20T08:00`; days and hours are those of UTC.

    Args:
        text: It.
        now: In seconds since 1970.

    Returns:
        Seconds since 1970.

    Raises:
        UsageError: It is none of these, or not in the past.
    """
    if ago := _AGO.fullmatch(text):
        then = now - int(ago[1]) * _UNITS[ago[2]]
    else:
        try:
            given = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"--since {text!r} is no time: 30m, 12h, 1d, 2w, 2026-11-20 or 2026-11-20T08:00") from None
        then = (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
    if not 0 <= then < now:
        raise UsageError(f"--since {text!r} is not in the past")
    return then


def bucket_s(since: float, until: float) -> int:
    """Choose how long a bucket of the charts is, in seconds."""
    for length in BUCKETS_S:
        if (until - since) / length <= COLUMNS:
            return length
    return BUCKETS_S[-1]
