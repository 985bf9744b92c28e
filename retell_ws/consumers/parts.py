"""Rows as Parquet files by day, in a folder or an object store: what the figures and the archive are kept in.

    figures/day=2026-11-28/part-5f0c….parquet

A file is called a part. It is written beside and put in place whole, so whoever reads never sees half of one; and it is
never changed. So any number of processes may write, on any number of machines, while others read. The same rows,
written again by a consumer that was killed before it could commit, make the same part.

Small parts become large ones (`Parts.tidy`): first the large one is put, then those it was made of are deleted. A
process killed in between leaves rows twice, and so do two that do the same at once; but rows have a key, and of those
with the same key only the best is read (`Table.best`), and only the best goes into the large one. No row is lost, for
nobody deletes a part whose rows he has not put elsewhere.

A part that is damaged, as a disk or a cut of the power may leave it, is put aside when somebody comes upon it
(`part-5f0c….parquet.damaged`), and the others are read. It goes with its day.

All of it waits for the disk or the network, so it belongs in a thread. Days are those of UTC.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import duckdb
import msgspec
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from .database import Database
from .places import MEMORY_MB, connect, place, reaching
from .queries import Table, given, name_of, once, plain, text_of
from .scratch import Scratch

__all__ = ["Part", "Parts", "Table", "connect", "day_of", "place", "reaching"]

logger = logging.getLogger(__name__)

SMALL_BYTES: Final = 64 << 20
"""A part below this is merged with others; one above is read as fast alone."""

GROUP_BYTES: Final = 256 << 20
"""Of parts that are merged at once."""

MANY: Final = 32
"""Small parts that a day may have before they are merged while it lasts."""

QUIET_S: Final = 600.0
"""Nothing has come for so long to a day that is over: what it has is merged."""

STALE_S: Final = 3600.0
"""What a killed process was writing for so long is nobody's any more."""

FETCHES: Final = 8
"""Parts fetched from an object store at a time."""

TRIES: Final = 20
"""Times a reader looks again, because what it had found was merged under its hands."""

_DAMAGED: Final = ".damaged"

_NO_DAMAGE: Final = (duckdb.OutOfMemoryException, duckdb.HTTPException, duckdb.NotSupportedError)
"""No room, no network, and a kind of Parquet that only a newer DuckDB reads."""

_PART: Final = re.compile(rf"day=(\d{{4}}-\d\d-\d\d)/part-[0-9a-f]+\.parquet(?:{re.escape(_DAMAGED)})?")
_lines: Final = msgspec.json.Encoder()


class Part(NamedTuple):
    """A file of rows.

    Attributes:
        day: Of all its rows.
        path: Within the store.
        size: In bytes.
        written: When, in seconds since 1970, by the store's clock.
    """

    day: date
    path: str
    size: int
    written: float


def day_of(at: float) -> date:
    """Give the day of a moment in seconds since 1970.

    Raises:
        ValueError: No calendar has it.
    """
    try:
        return datetime.fromtimestamp(at, UTC).date()
    except (OverflowError, OSError):
        raise ValueError("no such day") from None


class Parts:
    """The parts of one table. Its methods may be called from any thread, and take turns.

    Args:
        store: Where; see `place`.
        table: What.
        memory_mb: Megabytes for writing and merging.
        threads: For that.

    All methods raise what the store raises when it cannot be reached: `OSError`, or an error of obstore's.
    """

    def __init__(self, store: ObjectStore, table: Table, *, memory_mb: int = MEMORY_MB, threads: int = 1) -> None:
        self._store = store
        self._table = table
        self._folder = Path(str(store.prefix)) if isinstance(store, LocalStore) else None
        self._turn = threading.Lock()
        self._scratch = Scratch()
        self._memory_mb = memory_mb
        self._db = Database(self._scratch.name, memory_mb=memory_mb, threads=threads)
        self._left_out: set[tuple[str, int]] = set()

    def close(self) -> None:
        """Let go of memory and scratch files. What was written stays."""
        with self._turn:
            self._db.close()
            self._scratch.cleanup()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, rows: Mapping[date, Iterable[Mapping[str, Any]]]) -> None:
        """Put rows, of each day as one part. When this returns they are safe.

        Args:
            rows: By day; names and values as JSON has them, nested ones too. What is missing is NULL, and what the
                table has no column for is left out.

        Raises:
            duckdb.Error: A value does not fit its column, or a row has more than 16 MiB of JSON. Days before it may be
                there, and may come again.
        """
        with self._turn:
            for day, ones in rows.items():
                lines = b"\n".join(map(_lines.encode, ones))
                if not lines:
                    continue
                self._put(day, hashlib.blake2b(lines, digest_size=16).hexdigest(), self._given(lines))

    def replace(
        self, day: date, rows: Iterable[Mapping[str, Any]], *, old: Sequence[Part], without: Sequence[str]
    ) -> Part | None:
        """Put rows of a day, and what else its old parts have, as one part. When this returns they are safe.

        The old parts are still there, and rows twice: `delete` them when all that was in them is elsewhere.

        Args:
            day: The day.
            rows: As for `write`.
            old: Parts of the day.
            without: Rows of these keys are left out of what the old parts have. The table has a key of one column.

        Returns:
            The part, without its time; None when there would be no row in it.

        Raises:
            FileNotFoundError: An old part is gone: another process has replaced or merged it, or it is damaged. Nothing
                was put.
        """
        lines = b"\n".join(map(_lines.encode, rows))
        with self._turn, self.local(old) as files:
            key = name_of(self._table.key[0])
            query = f"SELECT * FROM ({once(self._table, files)}) WHERE {key} NOT IN (SELECT unnest(?::VARCHAR[]))"
            if lines:
                query += f" UNION ALL BY NAME {self._given(lines)}"
            try:
                return self._put(day, uuid4().hex, query, values=(list(without),))
            except duckdb.Error as exc:
                if not self._is_gone(old, exc):
                    raise
                raise FileNotFoundError("a part was replaced or merged, or put aside") from None

    def days(self, only: Sequence[date] | None = None) -> Mapping[date, Sequence[Part]]:
        """Find parts, by day, the oldest day first.

        Args:
            only: Of these days; None: all.
        """
        seen = self._list(only)
        # A listing is no picture of a moment: of parts that are merged meanwhile it may show neither the old ones nor
        # the new one. Two that agree have missed nothing, for the new one was there before the first old one went.
        for _ in range(TRIES):
            again = self._list(only)
            if again == seen:
                break
            seen = again
        found: dict[date, list[Part]] = {}
        for part in sorted(seen):
            if part.path.endswith(_DAMAGED) or (part.path, part.size) in self._left_out:
                continue
            found.setdefault(part.day, []).append(part)
        return found

    def read(
        self,
        db: duckdb.DuckDBPyConnection,
        into: str,
        *,
        since: date | None = None,
        until: date | None = None,
        columns: Sequence[str] = (),
        where: str = "true",
        given: Sequence[object] = (),
    ) -> int:
        """Read rows into a table of a DuckDB, each once.

        Args:
            db: The database.
            into: Name of the table; one of that name is replaced.
            since: The first day; None: from the beginning.
            until: The last day; None: to the end.
            columns: Those that are wanted; none: all.
            where: A condition in SQL on single rows.
            given: Values for its `?`.

        Returns:
            How many rows there are.
        """
        wanted = ", ".join(map(name_of, columns)) or "*"
        for tries in range(TRIES):
            parts = [
                part
                for day, ones in self.days().items()
                if (since is None or since <= day) and (until is None or day <= until)
                for part in ones
            ]
            try:
                with self.local(parts) as files:
                    db.execute(
                        f"CREATE OR REPLACE TABLE {name_of(into)} AS "
                        f"SELECT {wanted} FROM ({once(self._table, files)}) WHERE {where}",
                        list(given),
                    )
                break
            except (FileNotFoundError, duckdb.Error) as exc:
                if tries == TRIES - 1 or not self._is_gone(parts, exc):
                    raise
        found = db.execute(f"SELECT count(*) FROM {name_of(into)}").fetchone()
        return int(found[0]) if found else 0

    def tidy(self, now: float, *, keep_days: int = 0, settle_s: float = 0.0) -> bool:
        """Delete days that are too old, and merge small parts. On one machine one process does so at a time.

        Args:
            now: In seconds since 1970.
            keep_days: Days that are kept, beside the present one; 0: all.
            settle_s: Seconds for which a part stays small: its rows may yet be replaced, and that is cheaper.

        Returns:
            False when another process is at it.
        """
        today = day_of(now)
        with self._turn, self._alone() as is_alone:
            if not is_alone:
                return False
            self._sweep(now)
            if keep_days:
                self.delete(part for part in self._list() if part.day < today - timedelta(days=keep_days))
            for day, parts in self.days().items():
                settled = (
                    part
                    for part in parts
                    if part.size < SMALL_BYTES and (not settle_s or now - part.written >= settle_s)
                )
                small = sorted(settled, key=lambda part: part.size)
                is_quiet = day < today and now - max(part.written for part in parts) >= QUIET_S
                if len(small) >= MANY or (is_quiet and len(small) > 1):
                    self._merge(day, small)
            return True

    def _merge(self, day: date, small: list[Part]) -> None:
        while small:
            group: list[Part] = []
            size = 0
            while small and (not group or size + small[0].size <= GROUP_BYTES):
                group.append(small.pop(0))
                size += group[-1].size
            if len(group) < 2:
                continue
            name = hashlib.blake2b("\n".join(sorted(part.path for part in group)).encode(), digest_size=16).hexdigest()
            try:
                with self.local(group) as files:
                    self._put(day, name, once(self._table, files))
            except (FileNotFoundError, duckdb.Error) as exc:
                if not self._is_gone(group, exc):
                    raise
                return  # a process on another machine has merged them, or one is damaged: next time
            self.delete(group)

    def put_aside(self, parts: Iterable[Part], exc: Exception) -> bool:
        """Put those of some parts aside that are damaged; where that cannot be done they are left out from now on.

        Args:
            parts: In which they may be.
            exc: What came of reading them.

        Returns:
            True when one is, or is there no more, as when another process has just put it aside: look again. False: it
            was something else.
        """
        # Neither what the store raises, nor what a damaged part is never the reason of.
        if not isinstance(exc, duckdb.Error) or isinstance(exc, _NO_DAMAGE):
            return False
        found = {part: self._state(part) for part in parts}
        for part in (part for part, state in found.items() if state == "damaged"):
            aside = part._replace(path=f"{part.path}{_DAMAGED}")
            try:
                self._store.rename(part.path, aside.path)
                if self._state(aside) != "damaged":  # the same rows were written again meanwhile
                    self._store.rename(aside.path, part.path)
                    continue
            except FileNotFoundError:  # somebody else did
                continue
            except (OSError, BaseError) as why:
                self._left_out.add((part.path, part.size))
                logger.error("%s is damaged and left out; it cannot be moved aside: %s", part.path, type(why).__name__)
            else:
                logger.error("a part is damaged, and its rows are left out: it lies in %s", aside.path)
        return any(state != "whole" for state in found.values())

    def _state(self, part: Part) -> Literal["whole", "damaged", "gone"]:
        """Tell what there is of a part; one of which that cannot be told is whole."""
        try:
            with self.local((part,)) as (file,), closing(connect(memory_mb=self._memory_mb)) as db:
                query = "SELECT max(hash(one)) FROM read_parquet(?, hive_partitioning = false) one"  # all that is in it
                try:
                    db.execute(query, [plain(file)]).fetchall()
                except _NO_DAMAGE:
                    return "whole"
                except duckdb.IOException:
                    # A damaged footer may lead beyond the end of the file. Or the machine does not give the file now:
                    # then it does not give it to us either.
                    return "damaged" if _can_be_read(Path(file)) else "whole"
                except duckdb.Error:
                    return "damaged"
        except FileNotFoundError:
            return "gone"
        return "whole"

    def _is_gone(self, parts: Sequence[Part], exc: Exception) -> bool:
        """Tell whether one of some parts was replaced or merged meanwhile, or has to be put aside: look again."""
        return not self._has_all(parts) or self.put_aside(parts, exc)

    def _given(self, lines: bytes) -> str:
        source = Path(self._scratch.name, "rows.json")
        source.write_bytes(lines)
        return given(self._table, source, longest=max(map(len, lines.split(b"\n"))))

    def _put(self, day: date, name: str, query: str, *, values: Sequence[object] = ()) -> Part | None:
        """Put what a query finds, if it finds anything."""
        # A name for each: what a copy that failed has left DuckDB may delete when the next one is made.
        whole = Path(self._scratch.name, f"{uuid4().hex}.parquet")
        copy = (
            f"COPY ({query}) TO {text_of(whole)} (FORMAT PARQUET, COMPRESSION ZSTD, ROW_GROUP_SIZE {self._table.group})"
        )
        path = f"{self._table.name}/day={day}/part-{name}.parquet"
        try:
            self._db.renew()
            count = self._db.execute(copy, values).fetchone()
            if count is None or not count[0]:
                return None
            size = whole.stat().st_size
            self._store.put(path, whole)
        finally:  # it may be speech, which has no business here when it is not needed
            for one in (whole, Path(self._scratch.name, "rows.json")):
                one.unlink(missing_ok=True)
        if self._folder is not None:
            file = self._folder / path
            for one in (file, file.parent, file.parent.parent, self._folder):
                _sync(one)
        return Part(day, path, size, 0.0)

    @contextmanager
    def local(self, parts: Sequence[Part]) -> Iterator[list[str]]:
        """Have parts as files of this machine while the block lasts."""
        if self._folder is not None:
            yield [str(self._folder / part.path) for part in parts]
            return
        with TemporaryDirectory(dir=self._scratch.name) as folder, ThreadPoolExecutor(FETCHES) as pool:

            def fetch(number: int, part: Part) -> str:
                file = Path(folder, f"{number}.parquet")
                with file.open("wb") as out:
                    for piece in self._store.get(part.path).stream():
                        out.write(piece)
                return str(file)

            yield list(pool.map(fetch, range(len(parts)), parts))

    def _list(self, only: Sequence[date] | None = None) -> frozenset[Part]:
        found = []
        folders = [self._table.name] if only is None else [f"{self._table.name}/day={day}" for day in only]
        for folder in folders:
            for one in chain.from_iterable(self._store.list(folder)):
                if match := _PART.fullmatch(one["path"].removeprefix(f"{self._table.name}/")):
                    day = date.fromisoformat(match[1])
                    found.append(Part(day, one["path"], one["size"], one["last_modified"].timestamp()))
        return frozenset(found)

    def _has_all(self, parts: Sequence[Part]) -> bool:
        return {part.path for part in parts} <= {part.path for part in self._list()}

    def delete(self, parts: Iterable[Part]) -> None:
        """Delete parts; it does not matter whether they are there."""
        for part in parts:
            try:
                self._store.delete(part.path)
            except FileNotFoundError:  # somebody else did
                continue

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        if self._folder is None:  # others may be on any machine, and then it is only work done twice
            yield True
            return
        path = self._folder / self._table.name / ".tidying"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _sweep(self, now: float) -> None:
        """Delete what killed processes were writing: the store calls it `part-….parquet#1`."""
        if self._folder is None:
            return
        for path in (self._folder / self._table.name).glob("day=*/part-*.parquet#*"):
            try:
                if now - path.stat().st_mtime >= STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue


def _can_be_read(path: Path) -> bool:
    """Tell whether the machine gives all of a file.

    Raises:
        FileNotFoundError: It is not there.
    """
    try:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # it is merged already, into what was synced before
        return
    try:
        os.fsync(file)
    finally:
        os.close(file)
