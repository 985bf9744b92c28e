"""The consumer that keeps one transcript of each call (`shelf.py`), and none for longer than it may.

A transcript is kept when the call is over: as the socket told it, then as Retell's webhooks do, which have the last
words too (`transcripts.py`). It was masked before it came here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Final, TypeVar

from ..entries import Entry
from ..plural import many
from .parts import day_of, place, reaching
from .shelf import Shelf
from .transcripts import Row, row_of

__all__ = ["Archive"]

logger = logging.getLogger(__name__)

TIDY_S: Final = 3600.0
"""Seconds between two looks at what is too old, and at what is small."""

MEND_S: Final = 60.0
"""Seconds between two looks at whether another process has left a call twice, or one is to be forgotten."""


T = TypeVar("T")
R = TypeVar("R")


class Archive:
    """Keeps transcripts.

    Args:
        where: A folder, or `s3://BUCKET/PREFIX`.
        keep_days: Days for which they are kept, beside the present one; 0: for ever.
        clock: Gives the time, in seconds since 1970.

    Entered, it raises a `UsageError` when there is no such place.
    """

    name = "archive"

    limit = 1000
    """Entries of a batch: few of them are transcripts."""

    gather_s = 5.0
    """Each batch is a file. Nobody waits for a transcript."""

    def __init__(self, where: str, *, keep_days: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._where = where
        self._keep_days = keep_days
        self._clock = clock
        self._shelf: Shelf | None = None
        self._tidied = self._mended = -TIDY_S

    async def __aenter__(self) -> Archive:
        self._shelf = await asyncio.to_thread(lambda: Shelf(place(self._where)))
        return self

    async def __aexit__(self, *_: object) -> None:
        shelf, self._shelf = self._open(), None
        await asyncio.to_thread(shelf.close)

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Keep the transcripts among these entries. When this returns they are safe.

        Cancelled, it may have kept them all the same.

        Raises:
            SinkError: The archive cannot be written to at the moment; or an `OSError`.
        """
        rows = [row for entry in entries if (row := row_of(entry)) is not None and not self._is_too_old(row)]
        if rows:
            await self._do(self._open().put, rows)

    async def idle(self) -> None:
        """Once a minute make one row of several; once an hour delete what is too old, and merge small files."""
        shelf, now = self._open(), time.monotonic()
        if now - self._mended >= MEND_S:
            self._mended = now
            if calls := await self._do(shelf.mend, self._clock()):
                logger.info("archive: %s put in order", many(calls, "call was", "calls were"))
        if now - self._tidied >= TIDY_S:
            self._tidied = now
            await self._do(partial(shelf.tidy, keep_days=self._keep_days), self._clock())

    async def _do(self, step: Callable[[T], R], given: T) -> R:
        with reaching("the archive"):
            return await asyncio.to_thread(step, given)

    def _is_too_old(self, row: Row) -> bool:
        kept = timedelta(self._keep_days)
        return bool(kept) and date.fromisoformat(row.day) < day_of(self._clock()) - kept

    def _open(self) -> Shelf:
        if self._shelf is None:
            raise AssertionError("it is used within `async with`")
        return self._shelf
