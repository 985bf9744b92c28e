"""What speculations may cost in vain, over all calls of a server. Pure.

A speculation that Retell does not ask for has cost its prompt. How many are in vain depends on how people speak and on
what recognition makes of it, and nobody knows that beforehand; so the bound is on the tokens.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FREE_TOKENS", "OF_ANY", "Waste"]

FREE_TOKENS: Final = 10_000
"""Tokens that may be spent in vain before there is anything to compare them with: a dozen prompts."""


OF_ANY: Final = 0.95
"""The part of the allowance that any speculation may use up."""


class Waste:
    """Tokens spent on answers, and those spent in vain.

    Args:
        share: What may be spent in vain, of what was spent on answers.

    Attributes:
        answered: Tokens of requests whose answers were given.
        wasted: Tokens of the others.
    """

    __slots__ = ("_share", "answered", "wasted")

    def __init__(self, share: float) -> None:
        self._share = share
        self.answered = 0
        self.wasted = 0

    def affords(self, *, sure: bool) -> bool:
        """Tell whether another speculation may turn out to be in vain.

        Args:
            sure: It is one of those that seldom do. The last of what there is goes to them.
        """
        allowed = FREE_TOKENS + self._share * self.answered
        return self._share > 0 and self.wasted < (allowed if sure else OF_ANY * allowed)
