"""The verdicts of the soak bench: what is flat, what grows, what is left."""

from __future__ import annotations

import math

import pytest

from bench.harness.soak.verdict import course_of, left_over


def hour(figure: list[float]) -> list[tuple[float, float]]:
    """Spread figures over an hour."""
    return [(3600 * place / (len(figure) - 1), value) for place, value in enumerate(figure)]


def test_what_stays_is_flat() -> None:
    course = course_of(hour([80.0] * 10), warm_s=0)
    assert (course.median, course.apart_percent, course.hourly_percent) == (80, 0, 0)


def test_what_swings_is_as_far_as_its_farthest_sample_on_either_side() -> None:
    assert course_of(hour([100, 104, 100, 97, 100]), warm_s=0).apart_percent == pytest.approx(4)
    assert course_of(hour([100, 104, 100, 91, 100]), warm_s=0).apart_percent == pytest.approx(9)


def test_a_leak_shows_as_a_trend_whatever_swings_about_it() -> None:
    leaking = [100 + 0.1 * minute + (2 if minute % 2 else -2) for minute in range(61)]
    assert course_of(hour(leaking), warm_s=0).hourly_percent == pytest.approx(6 / 103 * 100, abs=0.5)


def test_the_trend_is_per_hour_however_long_was_looked() -> None:
    half_an_hour = [(at / 2, value) for at, value in hour([99, 100, 101])]
    assert course_of(half_an_hour, warm_s=0).hourly_percent == pytest.approx(4)


def test_what_shrinks_has_a_trend_below_zero() -> None:
    assert course_of(hour([101, 100, 99]), warm_s=0).hourly_percent == pytest.approx(-2)


def test_what_came_before_it_was_warm_does_not_count() -> None:
    course = course_of([(0, 40.0), (599, 60.0), (600, 80.0), (3600, 80.0)], warm_s=600)
    assert (course.median, course.apart_percent, course.hourly_percent) == (80, 0, 0)


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(700.0, 1.0)], [(700.0, 1.0), (700.0, 2.0)]])
def test_too_few_samples_are_no_verdict(points: list[tuple[float, float]]) -> None:
    course = course_of(points, warm_s=600)
    assert math.isnan(course.apart_percent) and math.isnan(course.hourly_percent)


def test_of_nothing_there_are_no_percent() -> None:
    course = course_of(hour([0, 0, 0]), warm_s=0)
    assert course.median == 0
    assert math.isnan(course.apart_percent) and math.isnan(course.hourly_percent)


def test_only_what_is_more_than_before_is_left_over() -> None:
    before, after = {"tasks": 5.0, "sockets": 3.0, "keys": 1.0}, {"tasks": 7.0, "sockets": 2.0, "keys": 9.0}
    assert left_over(before, after, ["tasks", "sockets"]) == {"tasks": 2, "sockets": 0}


def test_a_figure_that_was_not_sampled_is_no_zero() -> None:
    with pytest.raises(KeyError):
        left_over({"tasks": 5.0}, {"tasks": 5.0}, ["sessions"])
