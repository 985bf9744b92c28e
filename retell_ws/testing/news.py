"""Waiting for something to become true without polling: one wakes everybody, each looks for himself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["News"]


class News:
    """Something happened. Nothing is queued, so nothing can fill up; whoever waits looks at the state itself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Wait for the next `tell`. Look at the state just before, with no await between."""
        await self._event.wait()

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `holds()`.

        Raises:
            TimeoutError: It did not come to hold.
        """
        async with asyncio.timeout(timeout_s):
            while not holds():
                await self._event.wait()
