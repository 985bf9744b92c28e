"""How numbers and times are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.report.words import clock, dollars, milliseconds, number, percent, seconds, stamp


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (999, "999"), (1000, "1 000"), (12_345_678, "12 345 678")]
)
def test_counts_have_their_thousands_apart(value: float | None, text: str) -> None:
    assert plain(number(value)) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (0.00001, "<0.1 %"),
        (0.0123, "1.2 %"),
        (0.5, "50.0 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_that_is_not_all_or_nothing_does_not_read_so(share: float | None, text: str) -> None:
    assert plain(percent(share)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.123, "0.12 ms"),
        (0.996, "1.0 ms"),
        (1.25, "1.2 ms"),
        (9.94, "9.9 ms"),
        (9.96, "10 ms"),
        (999, "999 ms"),
        (1000, "1.00 s"),
        (9_990, "9.99 s"),
        (12_340, "12.3 s"),
        (99_960, "100 s"),
        (3_600_000, "3 600 s"),
    ],
)
def test_durations_are_in_the_unit_that_fits(value: float | None, text: str) -> None:
    assert plain(milliseconds(value)) == text


@given(st.floats(0, 1e9))
def test_a_duration_is_short(value: float) -> None:
    assert len(plain(milliseconds(value))) <= 11


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (4 * 3600 + 725, "4 h 12 min"),
        (1e7, "2 777 h 46 min"),
    ],
)
def test_long_durations_are_in_two_units(value: float, text: str) -> None:
    assert plain(seconds(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "$0.00"), (0.00001, "<$0.0001"), (0.0123, "$0.0123"), (1.5, "$1.50"), (1234.5, "$1,234.50")],
)
def test_small_prices_have_more_figures(value: float | None, text: str) -> None:
    assert dollars(value) == text


def test_moments_are_in_utc() -> None:
    assert stamp(1_795_867_200.0) == "2026-11-28 12:00"
    assert clock(1_795_867_200.0, day=False) == "12:00"
    assert clock(1_795_867_200.0, day=True) == "28 Nov"
