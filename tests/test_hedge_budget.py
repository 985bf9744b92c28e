"""The bucket of second requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retell_ws.hedge_budget import MOST, REQUESTS_A_HEDGE, HedgeBudget


def test_it_starts_with_one_and_twenty_requests_make_another() -> None:
    budget = HedgeBudget()
    assert (budget.take(), budget.take()) == (True, False)
    for _ in range(REQUESTS_A_HEDGE - 1):
        budget.earn()
        assert not budget.take()
    budget.earn()
    assert (budget.take(), budget.take()) == (True, False)


def test_no_more_than_a_few_can_be_saved_up() -> None:
    budget = HedgeBudget()
    for _ in range(1000):
        budget.earn()
    assert budget.whole == MOST
    assert [budget.take() for _ in range(MOST + 1)] == [True] * MOST + [False]


@given(st.lists(st.booleans(), max_size=500))
def test_never_more_than_a_twentieth_and_the_first_one(wants: list[bool]) -> None:
    budget, made, taken = HedgeBudget(), 0, 0
    for wanted in wants:
        budget.earn()
        made += 1
        taken += wanted and budget.take()
        assert taken <= 1 + made / REQUESTS_A_HEDGE
        assert 0 <= budget.whole <= MOST
