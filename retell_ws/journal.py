"""The journal of facts: one SQLite file that the processes of a machine share. It is the outbox of each of them, and,
where there is no other bus, what consumers read.

Everything in here blocks, for a moment or, when another process writes, for some seconds: it belongs in a thread.

**What is in the file.** `entries` in the order they were committed, each with a position; `cursors`, how far each
consumer has come, the relay to another bus among them; `dead`, what a consumer could not handle; `taken`, ids that are
remembered for an hour after their entry is gone, so that what is told twice is taken once.

**How long entries stay.** Until everybody who must have them has. When that takes more room than there is, the oldest
ones that only figures are made of go first, then the oldest others. What is `Weight.KEPT` stays, and the file grows.

**What can go wrong** with the file itself is in `journal_file.py`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from .entries import Entry, Weight, encode, weight_of
from .errors import JournalError
from .journal_file import NAME, JournalFile
from .ports import Written

__all__ = ["NAME", "RELAY", "Journal", "Row", "row_of"]

RELAY: Final = "relay"
"""The cursor of what is on another bus."""

AT_ONCE: Final = 64
"""Rows of one statement: each statement lets go of the interpreter once and has to get it back."""

CHUNK: Final = 500
"""Rows that are removed at once: some milliseconds in which no other process can write."""

READ_BYTES: Final = 4 * 1024 * 1024
"""Bytes of entries that are read at once; one that is longer comes alone."""

LOW: Final = 0.95
"""How much of its room the file keeps when it has dropped entries, so that it does not do so at every write."""

FREE_PAGES: Final = 4096
"""Pages nobody uses from which the file is made smaller: 16 MB, which would be filled again soon."""

SPARE_BYTES: Final = 12 * 1024 * 1024
"""Bytes of the disk that entries leave free: without any, SQLite can remove none of them either. It takes as much as
its write-ahead log holds, and once more when that goes over into the file."""

DEAD_ROOM: Final = 10_000
"""Dead letters that are kept."""

TAKEN_S: Final = 3600.0
"""Seconds for which an id is remembered: Retell's own retries, and the window of a replay, are shorter."""

_COLUMNS: Final = "position, id, call_id, kind, weight, at, data"


class Row(msgspec.Struct, frozen=True, gc=False):
    """An entry on its way into the journal: see `ports.Written`.

    Attributes:
        once: Its id is remembered when it is gone.
    """

    id: str
    call_id: str
    kind: str
    weight: Weight
    at: float
    data: bytes
    once: bool = False


def row_of(entry: Entry, *, once: bool = False) -> Row:
    """Make the row of an entry, which was masked."""
    return Row(entry.id, entry.call_id, entry.kind, weight_of(entry.fact), entry.at, encode(entry), once)


class Journal:
    """One process's, or one thread's, hold of the file. It belongs to the thread that made it.

    Args:
        folder: Where the file is, or will be. A folder that we make is for its owner's eyes only, as the file is.
        limit_bytes: What entries may take; 0: as much as they need.
        sync: Wait for the disk at each write. Without it the death of a process loses nothing, and a power cut the
            last moment.

    Raises:
        UsageError: There can be no file, or it is of another version.
        JournalError: It cannot be read now.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = 0, sync: bool = False) -> None:
        self._consumers: set[str] = set()
        self._file = JournalFile(folder, sync=sync, prepare=self._register_again)
        self._folder = folder
        self._limit_bytes = limit_bytes

    def look_again(self) -> bool:
        """See `JournalFile.look_again`."""
        return self._file.look_again()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # ------------------------------------------------------------------------ entries

    def append(self, rows: Sequence[Row]) -> None:
        """Write entries, all of them or none; those whose id is known are left out.

        Raises:
            JournalError: None was written. With a limit that is also so when the disk is nearly full, until the entries
                that are there have gone.
        """
        if self._limit_bytes and self._is_cramped():
            raise JournalError("the journal: the disk is nearly full")
        self._file.do(lambda db: _append(db, rows))

    def _is_cramped(self) -> bool:
        try:
            disk = os.statvfs(self._folder)
        except OSError as exc:
            raise JournalError(f"the journal: {exc.strerror or exc}") from None
        free = disk.f_bavail * disk.f_frsize
        if free >= SPARE_BYTES or free + self._file.pragma("freelist_count") * self._file.page_bytes >= SPARE_BYTES:
            return False
        return (
            self._file.do(lambda db: db.execute("SELECT 1 FROM entries LIMIT 1").fetchone(), writes=False) is not None
        )

    def read(self, after: int, limit: int) -> list[Written]:
        """Give the entries after a position, in order.

        Args:
            after: The position.
            limit: At most so many; fewer when they are long.

        Raises:
            JournalError: They cannot be read now.
        """
        return self._file.do(lambda db: _read(db, after, limit), writes=False)

    def end(self) -> int:
        """Give the position of the latest entry there ever was."""
        return self._file.do(_end, writes=False)

    # ------------------------------------------------------------------------ who has read what

    def register(self, consumer: str) -> int:
        """Have a consumer's entries kept for it, from the oldest one there is when it is new.

        Returns:
            The position up to which it has read.
        """

        position = self._file.do(lambda db: _register(db, consumer))
        self._consumers.add(consumer)
        return position

    def _register_again(self, db: sqlite3.Connection) -> None:
        for consumer in self._consumers:  # a file that takes another's place knows none
            _register(db, consumer)

    def move(self, consumer: str, position: int) -> None:
        """Note that a consumer has all entries up to a position; never back."""
        self._file.do(
            lambda db: db.execute(
                "INSERT INTO cursors VALUES (?, ?) "
                "ON CONFLICT (consumer) DO UPDATE SET position = max(position, excluded.position)",
                (consumer, position),
            )
        )

    def forget(self, consumer: str) -> None:
        """Keep no entries any more for a consumer that will not come back."""
        self._consumers.discard(consumer)
        self._file.do(lambda db: db.execute("DELETE FROM cursors WHERE consumer = ?", (consumer,)))

    def bury(self, consumer: str, entry: Entry | Written, why: str) -> None:
        """Put an entry that a consumer cannot handle with the dead letters."""
        data = entry.data if isinstance(entry, Written) else encode(entry)

        def bury(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO dead (consumer, id, call_id, kind, at, why, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (consumer, entry.id, entry.call_id, entry.kind, entry.at, why, data),
            )
            db.execute("DELETE FROM dead WHERE number <= (SELECT max(number) FROM dead) - ?", (DEAD_ROOM,))

        self._file.do(bury)

    # ------------------------------------------------------------------------ room

    def tidy(self, *, relayed: bool) -> bool:
        """Remove the oldest entries that everybody has, a chunk of them, and room that nobody uses.

        Args:
            relayed: Everybody is the relay; otherwise all consumers that are registered.

        Returns:
            There may be more to remove.
        """
        whose = f"consumer = '{RELAY}'" if relayed else f"consumer <> '{RELAY}'"
        (behind,) = self._file.do(
            lambda db: db.execute(f"SELECT min(position) FROM cursors WHERE {whose}").fetchone(), writes=False
        )
        (first,) = self._file.do(lambda db: db.execute("SELECT min(position) FROM entries").fetchone(), writes=False)
        if behind is None or first is None or first > behind:
            self._shrink()
            return False

        def remove(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM taken WHERE at < ?", (time.time() - TAKEN_S,))
            oldest = "SELECT position FROM entries WHERE position <= ? ORDER BY position LIMIT ?"
            return db.execute(f"DELETE FROM entries WHERE position IN ({oldest})", (behind, CHUNK)).rowcount

        return self._file.do(remove) == CHUNK

    def _shrink(self) -> None:
        free = self._file.pragma("freelist_count")
        if free > FREE_PAGES and free > self._file.pragma("page_count") // 4:
            # `execute` would stop after one page.
            self._file.do(lambda db: db.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES // 4})"), writes=False)

    def make_room(self) -> Mapping[Weight, int]:
        """Drop the oldest of the least weight, when there is no room; what is kept is kept.

        Returns:
            How many were dropped, by weight. None at all when there is room, or nothing but kept ones.
        """
        dropped: dict[Weight, int] = {}
        if not self._limit_bytes or self.used_bytes() <= self._limit_bytes:
            return dropped
        for weight in (Weight.METRIC, Weight.EVENT):
            while self.used_bytes() > self._limit_bytes * LOW:
                gone = self._file.do(lambda db, weight=weight: _drop(db, weight))  # type: ignore[misc]
                if not gone:
                    break
                dropped[weight] = dropped.get(weight, 0) + gone
        return dropped

    def is_over(self) -> bool:
        """Tell whether the file takes more than it may."""
        return bool(self._limit_bytes) and self.used_bytes() > self._limit_bytes

    def used_bytes(self) -> int:
        """Give what is in use of the file, without its write-ahead log."""
        return (self._file.pragma("page_count") - self._file.pragma("freelist_count")) * self._file.page_bytes

    def waiting(self) -> tuple[int, float | None]:
        """Give how many entries there are, and when the oldest one happened; it counts them, one by one."""
        (rows,) = self._file.do(lambda db: db.execute("SELECT count(*) FROM entries").fetchone(), writes=False)
        oldest = "SELECT at FROM entries ORDER BY position LIMIT 1"
        found = self._file.do(lambda db: db.execute(oldest).fetchone(), writes=False)
        return int(rows), None if found is None else float(found[0])


def _append(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    now = time.time()
    fresh = [
        row
        for row in rows
        if not row.once or db.execute("INSERT OR IGNORE INTO taken VALUES (?, ?)", (row.id, now)).rowcount
    ]
    for begin in range(0, len(fresh), AT_ONCE):
        some = fresh[begin : begin + AT_ONCE]
        values = [
            value
            for row in some
            for value in (row.id, row.call_id, row.kind, int(row.weight), row.at, len(row.data), row.data)
        ]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
        db.execute(f"INSERT OR IGNORE INTO entries (id, call_id, kind, weight, at, bytes, data) VALUES {marks}", values)


def _read(db: sqlite3.Connection, after: int, limit: int) -> list[Written]:
    found: list[Written] = []
    read_bytes = 0
    query = f"SELECT {_COLUMNS} FROM entries WHERE position > ? ORDER BY position LIMIT ?"
    with closing(db.execute(query, (after, limit))) as rows:
        for position, id_, call_id, kind, weight, at, data in rows:
            read_bytes += len(data)
            if found and read_bytes > READ_BYTES:
                break
            found.append(Written(position, id_, call_id, kind, Weight(weight), at, data))
    return found


def _end(db: sqlite3.Connection) -> int:
    (end,) = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    return int(end)


def _register(db: sqlite3.Connection, consumer: str) -> int:
    (first,) = db.execute("SELECT min(position) FROM entries").fetchone()
    begin = _end(db) if first is None else first - 1
    db.execute("INSERT OR IGNORE INTO cursors VALUES (?, ?)", (consumer, begin))
    (position,) = db.execute("SELECT position FROM cursors WHERE consumer = ?", (consumer,)).fetchone()
    return int(position)


def _drop(db: sqlite3.Connection, weight: Weight) -> int:
    oldest = "SELECT position FROM entries WHERE weight = ? ORDER BY position LIMIT ?"
    return db.execute(f"DELETE FROM entries WHERE position IN ({oldest})", (int(weight), CHUNK)).rowcount
