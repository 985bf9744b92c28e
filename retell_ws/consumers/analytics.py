"""The consumer that keeps the figures of calls, for `retell_ws report`: facts without speech, as Parquet by day.

It only writes facts down, and folds nothing: a row keeps the id of its entry, so one that is delivered twice is counted
once (`parts.py`), whoever was killed when. Questions are asked of the rows (`report/figures.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

from ..entries import Entry
from .figure_rows import COLUMNS, row_of
from .parts import Parts, Table, day_of, place, reaching

__all__ = ["FIGURES", "Analytics"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIGURES: Final = Table(name="figures", columns=COLUMNS, key=("id",), best="seq")
"""What the consumer writes and the report reads."""

TIDY_S: Final = 60.0
"""Seconds between looks for parts to merge and days to delete."""


class Analytics:
    """Writes the facts of calls down.

    It is an async context: entering opens the place, leaving waits for what is being written. Its thread is its own.

    Args:
        where: A folder, or `s3://BUCKET/PREFIX`.
        keep_days: Days that rows are kept; 0: for ever.
        clock: Gives the time, in seconds since 1970.

    Attributes:
        name: Of the consumer, and of its group on the bus.
        limit: Entries that are handled at once.
        gather_s: Seconds for which they may be gathered: each batch becomes a file.
    """

    name = "analytics"
    limit = 20_000
    gather_s = 5.0

    def __init__(self, where: str | Path, *, keep_days: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._where = where
        self._keep_days = keep_days
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="analytics")
        self._parts: Parts | None = None
        self._next_look = 0.0

    async def __aenter__(self) -> Analytics:
        """Open the place.

        Raises:
            UsageError: There is none.
        """
        self._parts = await self._in_thread(lambda: Parts(place(self._where), FIGURES))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._parts is not None:
            await self._in_thread(self._parts.close)
        self._thread.shutdown(wait=False)

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Write facts down. When this returns they are safe.

        Cancelled, it may have written them, or be about to: they may come again.

        Raises:
            SinkError: They cannot be written at the moment; or an `OSError`.
            ValueError: An entry's time is none.
        """
        parts = self._open()
        rows: dict[date, list[Mapping[str, Any]]] = {}
        for entry in entries:
            if (row := row_of(entry)) is not None:
                rows.setdefault(day_of(entry.at), []).append(row)
        with reaching("the figures"):
            await self._in_thread(lambda: parts.write(rows))

    async def idle(self) -> None:
        """Merge small files and delete old days, once in a while. Never raises: it is tried again."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + TIDY_S
        parts = self._open()
        try:
            await self._in_thread(lambda: parts.tidy(self._clock(), keep_days=self._keep_days))
        except Exception as exc:
            logger.warning("figures could not be tidied up: %s", type(exc).__name__)

    def _open(self) -> Parts:
        if self._parts is None:
            raise AssertionError("the consumer is entered before it is used")
        return self._parts

    async def _in_thread(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, do)
