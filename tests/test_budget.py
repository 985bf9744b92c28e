"""What a call may cost."""

from __future__ import annotations

import pytest

from retell_ws.agent import Agent
from retell_ws.budget import PRICES, Budget, Prices, Spent
from retell_ws.errors import AgentError

PRICE = Prices(input=1.0, output=5.0, cache_read=0.1, cache_write=1.25)


def test_tokens_and_dollars_add_up() -> None:
    spent = Spent()
    spent.add(PRICE, input=1_000_000, output=100_000, cache_read=2_000_000, cache_write=400_000)
    assert spent.tokens == 3_500_000
    assert spent.usd == pytest.approx(1.0 + 0.5 + 0.2 + 0.5)


def test_without_a_price_only_tokens_count() -> None:
    spent = Spent()
    spent.add(None, input=10, output=5)
    assert (spent.tokens, spent.usd) == (15, 0.0)


@pytest.mark.parametrize(
    ("budget", "exceeded"),
    [
        (Budget(tokens=101), False),
        (Budget(tokens=100), True),
        (Budget(usd=0.00011), False),
        (Budget(usd=0.0001), True),
        (Budget(tokens=1000, usd=0.00005), True),
    ],
)
def test_a_budget_is_used_up_when_either_bound_is_reached(budget: Budget, exceeded: bool) -> None:
    spent = Spent()
    spent.add(PRICE, input=100)
    assert spent.exceeds(budget) is exceeded


@pytest.mark.parametrize(
    ("budget", "model", "problem"),
    [
        (Budget(), "", "set tokens, usd, or both"),
        (Budget(tokens=0), "", "budget: Expected `int` >= 1"),
        (Budget(usd=-1), "", "budget: Expected `float` > 0"),
        (Budget(usd=1), "claude-test", "no price for claude-test"),
    ],
)
def test_a_budget_that_bounds_nothing_is_refused(budget: Budget, model: str, problem: str) -> None:
    with pytest.raises(AgentError, match=problem):
        Agent("You are Ana.", budget=budget, model=model)


def test_a_price_of_ones_own_makes_any_model_countable() -> None:
    assert Agent("You are Ana.", model="claude-test", budget=Budget(usd=1, prices=PRICE)).budget is not None
    assert Agent("You are Ana.", model=next(iter(PRICES)), budget=Budget(usd=1)).budget is not None
