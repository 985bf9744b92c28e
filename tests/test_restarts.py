"""When a worker is started again: a test per row of the table, and its promises under any sequence of deaths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.restarts import AT_LEAST, FIRST_PAUSE_S, HEALTHY_S, LONGEST_PAUSE_S, WINDOW_S, Restarts

SELDOM = WINDOW_S / (AT_LEAST - 1)
"""Seconds between deaths that are never too many."""


def test_the_first_death_costs_the_shortest_pause() -> None:
    assert Restarts(2).died(0, 7.0, lived_s=0) == FIRST_PAUSE_S


def test_the_pause_doubles_up_to_the_longest() -> None:
    restarts = Restarts(2)
    pauses = [restarts.died(0, n * SELDOM, lived_s=HEALTHY_S - 0.1) for n in range(8)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_healthy_life_makes_up_for_what_was_before() -> None:
    restarts = Restarts(2)
    for n in range(4):
        restarts.died(0, n * SELDOM, lived_s=1)
    assert restarts.died(0, 100.0, lived_s=HEALTHY_S) == FIRST_PAUSE_S
    assert restarts.died(0, 110.0, lived_s=1) == 2 * FIRST_PAUSE_S


def test_each_worker_has_a_pause_of_its_own() -> None:
    restarts = Restarts(2)
    restarts.died(0, 0, lived_s=1)
    assert restarts.died(0, 1, lived_s=1) == 2 * FIRST_PAUSE_S
    assert restarts.died(1, 2, lived_s=1) == FIRST_PAUSE_S


@pytest.mark.parametrize(("workers", "limit"), [(2, AT_LEAST), (AT_LEAST - 1, AT_LEAST), (AT_LEAST, 6), (64, 65)])
def test_too_many_deaths_are_given_up_and_all_at_once_are_not_too_many(workers: int, limit: int) -> None:
    restarts = Restarts(workers)
    for n in range(limit - 1):
        assert restarts.died(n % workers, 5.0, lived_s=1) is not None
    assert restarts.died(0, 5.0 + WINDOW_S - 0.1, lived_s=1) is None


def test_the_window_is_open_at_its_end() -> None:
    restarts = Restarts(2)
    for n in range(AT_LEAST - 1):
        restarts.died(0, n, lived_s=1)
    assert restarts.died(0, WINDOW_S, lived_s=1) is not None, "the first was half a minute ago"


Deaths = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40), st.floats(0, 40)), max_size=60)


@given(workers=st.integers(4, 12), deaths=Deaths)
def test_it_gives_up_just_when_too_many_fall_into_a_window(
    workers: int, deaths: list[tuple[int, float, float]]
) -> None:
    restarts, now, times = Restarts(workers), 0.0, []
    limit = max(AT_LEAST, workers + 1)
    for worker, gap, lived_s in deaths:
        now += gap
        times.append(now)
        pause = restarts.died(worker, now, lived_s=lived_s)
        assert (pause is None) == (sum(now - at < WINDOW_S for at in times[-limit:]) == limit)
        if pause is not None:
            assert FIRST_PAUSE_S <= pause <= LONGEST_PAUSE_S
            assert pause == FIRST_PAUSE_S or lived_s < HEALTHY_S
