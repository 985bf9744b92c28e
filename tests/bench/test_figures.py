"""Percentiles, medians over rounds and ratios."""

from __future__ import annotations

import math

from bench.harness.figures import clean, median_of, ms, percentile, ratios


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([30, 10, 20, 40], 50) == 20
    assert percentile(list(range(1, 101)), 99) == 99


def test_the_99th_percentile_of_few_values_is_the_largest() -> None:
    assert percentile([1, 7, 3], 99) == 7


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 50))


def test_nanoseconds_become_milliseconds() -> None:
    assert ms([1_500_000], 50) == 1.5


def test_contaminated_rounds_are_left_out_while_there_are_clean_ones() -> None:
    rounds = [{"round": 0, "foreign_percent": 80.0}, {"round": 1, "foreign_percent": 3.0}]
    assert clean(rounds) == ([rounds[1]], True)


def test_time_that_the_hypervisor_took_contaminates_a_round_as_well() -> None:
    rounds = [{"round": 0, "foreign_percent": 6.0, "stolen_percent": 6.0}, {"round": 1, "foreign_percent": 6.0}]
    assert clean(rounds) == ([rounds[1]], True)


def test_when_no_round_is_clean_all_are_kept_and_marked() -> None:
    rounds = [{"round": 0, "foreign_percent": 80.0}]
    assert clean(rounds) == (rounds, False)


def test_a_median_over_rounds_passes_over_rounds_without_the_figure() -> None:
    assert median_of([{"p50": 1.0}, {"p50": math.nan}, {"p50": 3.0}], "p50") == 2.0


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    # The host was ten times slower in round 1: the ratio of the medians would be 2/11, this one is not fooled.
    ours = [{"round": 0, "p50": 1.0}, {"round": 1, "p50": 10.0}]
    base = [{"round": 0, "p50": 4.0}, {"round": 1, "p50": 40.0}]
    assert ratios(ours, base, "p50") == 0.25


def test_a_round_that_only_one_side_has_gives_no_ratio() -> None:
    assert math.isnan(ratios([{"round": 0, "p50": 1.0}], [{"round": 1, "p50": 2.0}], "p50"))


def test_a_base_of_zero_gives_no_ratio() -> None:
    assert math.isnan(ratios([{"round": 0, "p50": 1.0}], [{"round": 0, "p50": 0.0}], "p50"))
