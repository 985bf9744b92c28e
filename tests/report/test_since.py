"""A person's words for a time, and how long a bucket of a chart is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.errors import UsageError
from retell_ws.report.since import BUCKETS_S, COLUMNS, bucket_s, moment

NOW = 1_795_867_200.0  # 2026-11-28 12:00 UTC


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("30m", 1800),
        ("12h", 43_200),
        ("1d", 86_400),
        ("2w", 14 * 86_400),
        ("2026-11-28", 43_200),
        ("2026-11-20", 8.5 * 86_400),
        ("2026-11-28T08:00", 4 * 3600),
        ("2026-11-28 08:00:30", 4 * 3600 - 30),
        ("2026-11-28T08:00+02:00", 6 * 3600),
    ],
)
def test_times_are_read_as_people_write_them(text: str, ago_s: float) -> None:
    assert moment(text, NOW) == NOW - ago_s


@pytest.mark.parametrize(
    "text", ["", "1", "d", "1y", "-1d", "1.5h", "yesterday", "2026-13-01", "28.11.2026", "1d1h", "١d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: 30m, 12h"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["0d", "2026-11-28T12:00", "2027-01-01", "999999w", "1960-01-01"])
def test_a_time_that_is_not_in_the_past_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not in the past"):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("length_s", "bucket"),
    [
        (1, 60),
        (3600, 60),
        (3601, 300),
        (6 * 3600, 900),
        (86_400, 3600),
        (7 * 86_400, 10_800),
        (90 * 86_400, 7 * 86_400),
    ],
)
def test_buckets_grow_with_what_is_shown(length_s: float, bucket: int) -> None:
    assert bucket_s(NOW - length_s, NOW) == bucket


@given(st.floats(1, 40 * 365 * 86_400))
def test_there_are_never_more_buckets_than_can_be_told_apart(length_s: float) -> None:
    length = bucket_s(NOW - length_s, NOW)
    assert length in BUCKETS_S
    assert length_s / length <= COLUMNS or length == BUCKETS_S[-1]
