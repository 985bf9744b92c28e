"""A bus in memory, for tests of consumers: what was committed is not given again, the rest is, after `again`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from retell_ws.entries import Entry

__all__ = ["MemorySource"]


class MemorySource:
    """Gives what was put to it.

    Attributes:
        entries: All of them.
        committed: How many of them were committed.
        dead: What was buried, and why.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = list(entries)
        self.committed = self._given = 0
        self.dead: list[tuple[Entry, str]] = []
        self._news = asyncio.Event()

    def again(self) -> None:
        """Give anew what was not committed, as after a crash."""
        self._given = self.committed

    def add(self, *entries: Entry) -> None:
        """Put some, now."""
        self.entries += entries
        self._news.set()

    async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
        """Give the next ones."""
        if self._given == len(self.entries):
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                return ()
        entries = self.entries[self._given : self._given + limit]
        self._given += len(entries)
        return entries

    async def commit(self) -> None:
        """Commit what was given."""
        self.committed = self._given

    async def put(self, entry: Entry) -> None:
        """Take a fact of the consumer's own."""
        self.add(entry)

    async def bury(self, entry: Entry, why: str) -> None:
        """Take a dead letter."""
        self.dead.append((entry, why))

    def lag(self) -> int | None:
        """Count what was not given."""
        return len(self.entries) - self._given
