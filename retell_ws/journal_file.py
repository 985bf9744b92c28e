"""The file of the journal: made, shared with other processes, and begun anew when it is damaged. What is in it is
`journal.py`'s affair.

Each thing done to it is one transaction. A file that is damaged is moved aside and a new one begun; of several
processes that find it so, one does that, and the others take what it has put there. Positions go on growing in the new
one, because they begin with the time.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from .errors import JournalError, UsageError

__all__ = ["NAME", "JournalFile"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

VERSION: Final = 1
"""Of the tables. A file of another version is left alone."""

NAME: Final = "journal.db"

BUSY_S: Final = 5.0
"""Seconds to wait for another process that writes."""

WAL_BYTES: Final = 16 * 1024 * 1024
"""What the write-ahead log, beside the file, is cut down to."""

_TABLES: Final = """
CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    weight INTEGER NOT NULL,
    at REAL NOT NULL,
    bytes INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX by_weight ON entries (weight);
CREATE TABLE cursors (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer TEXT NOT NULL,
    id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    why TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE taken (id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class JournalFile:
    """One thread's hold of the file.

    Args:
        folder: Where the file is, or will be. A folder that we make is for its owner's eyes only, as the file is.
        sync: Wait for the disk at each write.
        prepare: Done to each file before it is used: to the first one, and to those that take another's place.

    Raises:
        UsageError: There can be no file, or it is of another version.
        JournalError: It cannot be read now.
    """

    def __init__(self, folder: Path, *, sync: bool, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._prepare = prepare
        self._is_open = False
        self._folder = folder
        self._path = folder / NAME
        self._sync = sync
        try:
            with self._locked():
                self._open()
        except OSError as exc:
            raise UsageError(f"no journal of facts in {folder}: {exc.strerror or exc}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who makes the file or puts another in its place."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._folder / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _open(self) -> None:
        try:
            self._connect()
        except sqlite3.DatabaseError as exc:
            if not _is_damage(exc):
                raise _journal_error(exc) from None
            self._move_aside()
            self._connect()

    def _connect(self) -> None:
        # What SQLite makes would be 0644; and it would follow a link that somebody has laid there.
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._inode = os.fstat(handle).st_ino
        os.close(handle)
        self._db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            self._set_up()
            self._prepare(self._db)
        except BaseException:
            self._db.close()
            raise
        self._is_open = True

    def _set_up(self) -> None:
        db = self._db
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file, before it has a table
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        db.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}").fetchall()
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            if db.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise UsageError(f"{self._path} is no journal of facts: name another folder with --data")
            db.executescript(f"BEGIN IMMEDIATE; {_TABLES}")
            db.execute("INSERT INTO meta VALUES ('version', ?)", (VERSION,))
            # Positions of a file that takes another's place are greater than all of that one's.
            db.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (time.time_ns() // 1000,))
            db.execute("COMMIT")
        version = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if version != (VERSION,):
            raise UsageError(
                f"{self._path} is a journal of version {version and version[0]}, and this is retell_ws of version "
                f"{VERSION}: let the one that wrote it hand its facts on, or name another folder with --data"
            )
        self.page_bytes = int(db.execute("PRAGMA page_size").fetchone()[0])

    def _move_aside(self) -> None:
        aside = self._path.with_name(f"{NAME}.damaged-{time.time_ns() // 1000}")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        logger.error("the journal of facts is damaged: it lies in %s, and a new one is begun", aside)

    def _begin_anew(self, *, damaged: bool) -> None:
        self._is_open = False  # should something fail from here on, it is tried again at the next use
        with suppress(sqlite3.Error):
            self._db.close()
        with self._locked():
            if damaged and self._is_in_place():  # otherwise another process has done it
                self._move_aside()
            self._open()

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def look_again(self) -> bool:
        """See whether another process has put another file in its place, and take that.

        Returns:
            It was so.

        Raises:
            JournalError: It cannot be taken now.
            UsageError: It is of another version.
        """
        try:
            if self._is_open and self._is_in_place():
                return False
            self._begin_anew(damaged=False)
        except OSError as exc:
            raise JournalError(f"the journal: {exc.strerror or exc}") from None
        return True

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    def do(self, work: Callable[[sqlite3.Connection], _T], *, writes: bool = True) -> _T:
        """Do something to the file, in one transaction; on a new file when this one turns out to be damaged.

        Args:
            work: What.
            writes: It changes something.

        Raises:
            JournalError: It was not done.
        """
        try:
            if not self._is_open:
                self._begin_anew(damaged=False)
            try:
                return self._once(work, writes)
            except sqlite3.DatabaseError as exc:
                if not _is_damage(exc):
                    raise
                self._begin_anew(damaged=True)
                return self._once(work, writes)
        except sqlite3.Error as exc:
            raise _journal_error(exc) from None
        except OSError as exc:
            raise JournalError(f"the journal: {exc.strerror or exc}") from None

    def _once(self, work: Callable[[sqlite3.Connection], _T], writes: bool) -> _T:
        if not writes:
            return work(self._db)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = work(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise
        return done

    def pragma(self, name: str) -> int:
        """Read a setting or a figure of SQLite's."""
        return int(self.do(lambda db: db.execute(f"PRAGMA {name}").fetchone()[0], writes=False))


def _is_damage(exc: sqlite3.Error) -> bool:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _journal_error(exc: sqlite3.Error) -> JournalError:
    return JournalError(f"the journal: {exc}")
