"""The journal as a bus: consumers read the file that servers write, in the same process or in others on the machine."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeVar

from ..entries import Entry, decode
from ..errors import BusError, JournalError, UsageError, WireError
from ..journal import RELAY, Journal, row_of
from ..ports import Written

__all__ = ["JournalSource", "let_go"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

POLL_S: Final = 0.03
"""Seconds between two looks for new entries. A look costs some 20 µs, and nobody tells us of what others write."""

RETRY_S: Final = 1.0
"""Seconds until a journal that could not be read is tried again."""


def let_go(folder: Path, consumer: str) -> None:
    """Keep no entries any more for a consumer that is not run any more; for one that runs somewhere they are kept.

    Args:
        folder: Of the journal.
        consumer: Its name.

    Raises:
        UsageError: There can be no journal in the folder.
        BusError: It cannot be written now.
    """
    path = folder / f"{consumer}.lock"
    if not path.exists():  # it never ran here
        return
    with _opened(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            with closing(Journal(folder)) as journal:
                journal.forget(consumer)
        except JournalError as exc:
            raise BusError(str(exc)) from None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


class JournalSource:
    """What a consumer reads of a journal; see `ports.Source`. An async context.

    It has a cursor of its own, whether there is another bus or not: entries stay until it has committed them, for as
    long as there is room. Of several sources of one consumer, in whichever processes, one reads and the others wait
    until it is gone.

    Args:
        folder: Of the journal; made when it is not there yet.
        consumer: Its name: letters, digits, `.`, `_` and `-`.

    Raises:
        UsageError: On entering: there can be no journal in the folder, or it is of another version.
        BusError: On entering: it cannot be read now, and perhaps later.
    """

    def __init__(self, folder: Path, consumer: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", consumer) or consumer == RELAY:
            raise ValueError(f"a consumer cannot be named {consumer!r}")
        self._folder = folder
        self._consumer = consumer
        # A thread of its own: SQLite blocks, and the pool that agents' functions run in may be full.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"facts-{consumer}")
        self._journal: Journal | None = None
        self._lock: int | None = None
        self._is_ours = False
        self._given = self._committed = 0
        self._end: int | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._open)
        except JournalError as exc:
            self._threads.shutdown(wait=False)
            raise BusError(str(exc)) from None
        except BaseException:
            self._threads.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._in_thread(self._close)
        finally:
            self._threads.shutdown(wait=False)

    async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
        """See `ports.Source.read`. Cancelled, it gives the same entries the next time."""
        leave = threading.Event()
        try:
            written = await self._in_thread(lambda: self._read(limit, wait_s, leave))
        except UsageError as exc:
            raise BusError(str(exc)) from None
        finally:
            leave.set()
        entries: list[Entry] = []
        for one in written:
            try:
                entries.append(decode(one.data))
            except WireError as exc:
                await self._bury_quietly(one, str(exc))
        if written:
            self._given = written[-1].position  # here, where no cancel comes between
        return entries

    async def _bury_quietly(self, written: Written, why: str) -> None:
        try:
            await self._in_thread(lambda: self._held.bury(self._consumer, written, why))
        except JournalError as exc:
            logger.warning("%s passes over what is no entry: %s", self._consumer, exc)

    async def commit(self) -> None:
        """See `ports.Source.commit`."""
        given = self._given
        if given > self._committed:
            try:
                await self._in_thread(lambda: self._held.move(self._consumer, given))
            except JournalError as exc:
                logger.warning("%s will read facts again: %s", self._consumer, exc)
            else:
                self._committed = given

    async def put(self, entry: Entry) -> None:
        """See `ports.Source.put`. An entry whose id came within the last hour is left out.

        Raises:
            JournalError: It could not be written.
        """
        await self._in_thread(lambda: self._held.append([row_of(entry, once=True)]))

    async def bury(self, entry: Entry, why: str) -> None:
        """See `ports.Source.bury`.

        Raises:
            JournalError: It could not be written.
        """
        await self._in_thread(lambda: self._held.bury(self._consumer, entry, why))

    def lag(self) -> int | None:
        """See `ports.Source.lag`; of the last `read`. Entries that were dropped are counted in."""
        return None if self._end is None else max(0, self._end - self._given)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    # ------------------------------------------------------------------------ in the thread

    @property
    def _held(self) -> Journal:
        if self._journal is None:
            raise AssertionError("a source is used inside its context")
        return self._journal

    def _open(self) -> None:
        self._journal = Journal(self._folder)
        try:
            path = self._folder / f"{self._consumer}.lock"
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._journal.register(self._consumer)  # from now on entries are kept for it
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)  # and with it the lock, for the next one
            self._lock = None

    def _has_turn(self) -> bool:
        if not self._is_ours:
            if self._lock is None:
                raise AssertionError("a source is used inside its context")
            with suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._given = self._committed = self._held.register(self._consumer)
                self._is_ours = True
        return self._is_ours

    def _read(self, limit: int, wait_s: float, leave: threading.Event) -> list[Written]:
        end = monotonic() + wait_s
        while True:
            pause_s = POLL_S
            try:
                if self._has_turn():
                    if found := self._held.read(self._given, limit):
                        self._end = self._held.end()
                        return found
                    self._end = self._given
                    if self._held.look_again():
                        self._held.register(self._consumer)
            except JournalError as exc:
                logger.warning("%s cannot read the journal now: %s", self._consumer, exc)
                pause_s = RETRY_S
            left = end - monotonic()
            if left <= 0 or leave.wait(min(pause_s, left)):
                return []
