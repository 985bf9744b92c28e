"""What escalation knows of calls, in a file: where there is no Redis, for the processes of one machine.

SQLite in WAL mode. One thread of our own speaks to it, so that a slow disk holds up no loop, and a transaction that
finds another process writing waits for it. A file that is found damaged when it is opened is put aside, and another one
begun: what it knew of the calls that lasted is lost, and nothing else waits for it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from ..errands import Errand, decode, encode
from ..errors import SettingsError, SinkError, WireError
from ..watch_store import LEASE_S, Known
from .limits import TTL_S

__all__ = ["SqliteWatchStore"]

logger = logging.getLogger(__name__)

BUSY_S: Final = 5.0
"""Seconds to wait for another process that writes."""

SWEEP_S: Final = 60.0
"""Seconds between two looks for calls that are kept no longer."""

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS call(id TEXT PRIMARY KEY, version BLOB NOT NULL, state BLOB NOT NULL, until REAL NOT NULL)
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS call_until ON call(until);
CREATE TABLE IF NOT EXISTS errand(id TEXT PRIMARY KEY, due REAL NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS errand_due ON errand(due);
"""

T = TypeVar("T")


class SqliteWatchStore:
    """Implements `watch_store.WatchStore`. Use it as an async context.

    Args:
        path: The file; made with its folder when it is not there.
        clock: Gives seconds since 1970.

    Raises:
        SettingsError: On entering: the file cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watches")
        self._swept_at = 0.0
        self._db: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._do(self._open)
        except (SinkError, OSError) as exc:
            self._thread.shutdown(wait=False)
            raise SettingsError(f"cannot keep escalations in {self._path}: {exc}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._do(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def load(self, call_id: str) -> Known | None:
        """Read what is known of a call; see `watch_store.WatchStore.load`."""
        return await self._do(self._load, call_id)

    async def save(self, call_id: str, known: Known, errands: Sequence[Errand], *, over: bytes) -> bool:
        """Write what is known of a call; see `watch_store.WatchStore.save`."""
        return await self._do(self._save, call_id, known, errands, over)

    async def take(self, limit: int) -> Sequence[Errand]:
        """Take errands that are nobody's; see `watch_store.WatchStore.take`."""
        return await self._do(self._take, limit)

    async def postpone(self, errand: Errand, wait_s: float) -> None:
        """Write an errand down as it is now; see `watch_store.WatchStore.postpone`."""
        await self._do(self._postpone, errand, wait_s)

    async def settle(self, errand: Errand) -> None:
        """Forget an errand; see `watch_store.WatchStore.settle`."""
        await self._do(self._settle, errand)

    # ------------------------------------------------------------------------ in the thread

    async def _do(self, what: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, what, *arguments)
        except sqlite3.Error as exc:
            raise SinkError(str(exc)) from None

    @property
    def _now(self) -> sqlite3.Connection:
        if self._db is None:
            raise AssertionError("the file is not open")
        return self._db

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            try:
                self._connect()
            except sqlite3.DatabaseError as exc:
                self._close()
                if getattr(exc, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise
                self._move_aside()
                self._connect()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who opens the file: another process must not put aside what this one has begun."""
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _connect(self) -> None:
        self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # a power cut loses the last moments; a crash of ours nothing
        self._db.executescript(_TABLES)

    def _move_aside(self) -> None:
        aside = f"{self._path}.damaged-{time.time_ns() // 1000}"
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        logger.error("what escalation knew of calls is damaged: it lies in %s, and a new file is begun", aside)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _load(self, call_id: str) -> Known | None:
        row = self._now.execute("SELECT version, state FROM call WHERE id = ?", (call_id,)).fetchone()
        return None if row is None else Known(*row)

    def _save(self, call_id: str, known: Known, errands: Sequence[Errand], over: bytes) -> bool:
        now = self._clock()
        with _Transaction(self._now):
            row = self._now.execute("SELECT version FROM call WHERE id = ?", (call_id,)).fetchone()
            if (b"" if row is None else row[0]) != over:
                return False
            self._now.execute(
                "INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?)", (call_id, known.version, known.state, now + TTL_S)
            )
            self._now.executemany(
                "INSERT OR REPLACE INTO errand VALUES (?, ?, ?)",
                [(errand.id, now + LEASE_S, encode(errand)) for errand in errands],
            )
            if now > self._swept_at + SWEEP_S:
                self._swept_at = now
                self._now.execute("DELETE FROM call WHERE until < ?", (now,))
        return True

    def _take(self, limit: int) -> list[Errand]:
        now = self._clock()
        found = self._now.execute("SELECT id FROM errand WHERE due <= ? LIMIT 1", (now,)).fetchone()
        if found is None:
            return []  # the usual case, which need not keep others from writing
        taken = []
        with _Transaction(self._now):
            rows = self._now.execute(
                "SELECT id, data FROM errand WHERE due <= ? ORDER BY due LIMIT ?", (now, limit)
            ).fetchall()
            for errand_id, data in rows:
                try:
                    taken.append(decode(data))
                    self._now.execute("UPDATE errand SET due = ? WHERE id = ?", (now + LEASE_S, errand_id))
                except WireError:
                    self._now.execute("DELETE FROM errand WHERE id = ?", (errand_id,))
        return taken

    def _postpone(self, errand: Errand, wait_s: float) -> None:
        due = self._clock() + wait_s
        self._now.execute("UPDATE errand SET due = ?, data = ? WHERE id = ?", (due, encode(errand), errand.id))

    def _settle(self, errand: Errand) -> None:
        self._now.execute("DELETE FROM errand WHERE id = ?", (errand.id,))


class _Transaction:
    """One write of several statements, all of them or none."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
