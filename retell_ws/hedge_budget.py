"""How many second requests may be made for a slow model: a token bucket. Pure, and no clock: requests fill it.

A provider that is slow as a whole makes every request late. Without a limit each would be asked twice just when the
provider can bear it least, and the bill would double.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HedgeBudget"]

REQUESTS_A_HEDGE: Final = 20
"""One second request for so many first ones: 5 %."""

MOST: Final = 20
"""Second requests that may be saved up, and so how many a slow moment may see at once."""


class HedgeBudget:
    """The second requests that may still be made. It starts with one."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = REQUESTS_A_HEDGE  # of a hedge; whole numbers, so that twenty requests make exactly one

    @property
    def whole(self) -> int:
        """Give how many are there."""
        return self._parts // REQUESTS_A_HEDGE

    def earn(self) -> None:
        """Note a request that was made."""
        self._parts = min(self._parts + 1, MOST * REQUESTS_A_HEDGE)

    def take(self) -> bool:
        """Take one, when one is there."""
        if self._parts < REQUESTS_A_HEDGE:
            return False
        self._parts -= REQUESTS_A_HEDGE
        return True
