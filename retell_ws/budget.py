"""What a call may cost, and what it has cost so far. No I/O.

A caller can keep an agent talking, and a voicemail can keep it company, for two hours; a budget ends that politely.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["PRICES", "Budget", "Prices", "Spent"]

Amount = Annotated[float, Meta(gt=0)]


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens.

    Attributes:
        input: Of the request.
        output: Of the answer.
        cache_read: Of a request's part that the provider had in its cache.
        cache_write: Of a part it put there.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float


PRICES: Final = {"claude-haiku-5-5": Prices(input=0.10, output=0.50, cache_read=0.01, cache_write=0.125)}
"""List prices by model, as of November 2026; give `Budget.prices` for others."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The bound of one call. When it is reached the agent says `Lines.budget` and leaves.

    Attributes:
        tokens: Of requests and answers together, cached ones included.
        usd: In US dollars.
        prices: What they are counted with, when the model is not in `PRICES`.
    """

    tokens: Annotated[int, Meta(gt=0)] | None = None
    usd: Amount | None = None
    prices: Prices | None = None


class Spent:
    """What one call has cost.

    Attributes:
        tokens: Of requests and answers together.
        usd: In US dollars; 0 while no price is known.
    """

    __slots__ = ("tokens", "usd")

    def __init__(self) -> None:
        self.tokens = 0
        self.usd = 0.0

    def add(
        self, prices: Prices | None, *, input: int = 0, output: int = 0, cache_read: int = 0, cache_write: int = 0
    ) -> None:
        """Count one request's tokens."""
        self.tokens += input + output + cache_read + cache_write
        if prices is not None:
            self.usd += (
                input * prices.input
                + output * prices.output
                + cache_read * prices.cache_read
                + cache_write * prices.cache_write
            ) / 1_000_000

    def exceeds(self, budget: Budget) -> bool:
        """Tell whether the budget is used up."""
        return (budget.tokens is not None and self.tokens >= budget.tokens) or (
            budget.usd is not None and self.usd >= budget.usd
        )
