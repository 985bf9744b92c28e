"""Waiting for what somebody else does: another process, or a task nobody hears of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]


async def until(holds: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Look again and again until something holds.

    Raises:
        TimeoutError: It did not come to hold.
    """
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110  # nothing tells us
            await asyncio.sleep(0.01)
