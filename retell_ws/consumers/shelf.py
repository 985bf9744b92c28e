"""The archive itself: one row of each call, in parts by day, in a folder or an object store.

    transcripts/day=2026-11-28/part-5f0c….parquet     rows (`transcripts.Row`)
    transcripts/forgotten/5d41…                       a call that shall not come back; its content is the call's id

A row that comes is joined with what is there of the call, and when that changes it, the part that has the call is
written anew, under another name and with everything else it holds, before the old one is deleted. Small parts become
one on the way; a larger one is written anew alone and only loses the row, which goes to the small ones, or else each
batch would write all of the day again: some call of every batch is in the part of the batch before. Killed in between,
a process leaves rows twice and loses none. Whoever reads through `Shelf.read` sees the better one, and whoever writes
next finds both and makes one of them: `joined` gives the same whatever the order.

In a folder writers take turns, by a lock on a file. In an object store nobody waits for anybody: two processes that
write the same call in the same seconds, as in a rebalance of their group, may both put it, and the next write, or the
next look (`Shelf.mend`), makes one of them. Nothing more is needed there: no condition on a put would make two of them
one step.
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial, reduce
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import duckdb
import msgspec
from obstore.store import LocalStore, ObjectStore

from ..speech_facts import Line
from .database import Database
from .index import Index
from .parts import Part, Parts, Table, connect, day_of
from .queries import plain
from .scratch import Scratch
from .transcripts import Row, joined

__all__ = ["TABLE", "Shelf", "as_json", "rows_of"]

DAY_S: Final = 86_400

SETTLE_S: Final = 900.0
"""Retell's last word on a call comes within minutes of its end. Until then its part is small, and soon rewritten."""

ALONE_BYTES: Final = 1 << 20
"""A part of this size or more is not put together with others when one of its rows changes: some hundred calls."""

MEMORY_MB: Final = 512
"""Megabytes for writing and merging, and as many for the index: two thousand calls are in memory at once, and long ones
take 100 KB."""

SLICE: Final = 1000
"""Calls that stand twice and are in memory together: where a process was killed it may be all those of a day."""

TRIES: Final = 20
"""Times a write begins anew, because what it was to replace went away under its hands."""

TABLE: Final = Table(
    name="transcripts",
    columns={
        "call_id": "VARCHAR",
        "day": "DATE",
        "ended_at": "TIMESTAMPTZ",
        "began_at": "TIMESTAMPTZ",
        "duration_s": "DOUBLE",
        "turns": "INTEGER",
        "agent_id": "VARCHAR",
        "call_type": "VARCHAR",
        "direction": "VARCHAR",
        "from_number": "VARCHAR",
        "to_number": "VARCHAR",
        "agent_left": "BOOLEAN",
        "source": "VARCHAR",
        "epoch": "BIGINT",
        "line_count": "INTEGER",
        "lines": "STRUCT(role VARCHAR, text VARCHAR, name VARCHAR, start_s DOUBLE, end_s DOUBLE)[]",
        "text": "VARCHAR",
        "entry_id": "VARCHAR",
    },
    key=("call_id",),
    # The row that others were joined into comes before each of them (`transcripts._rank`). Wide columns are left out:
    # that would have all of them in memory, to decide about rows that tell the same at the same length.
    best=(
        "line_count > 0 DESC, source = 'retell' DESC, epoch DESC, line_count DESC, turns DESC NULLS LAST, "
        "agent_left DESC, agent_id DESC, call_type DESC, direction DESC, from_number DESC, to_number DESC, "
        "ended_at DESC, began_at DESC, duration_s DESC, entry_id DESC"
    ),
    group=2048,
)

_TIMES: Final = ("ended_at", "began_at")

_AS_ROW: Final = ", ".join(
    f"epoch_us({name}) / 1e6" if name in _TIMES else "day::VARCHAR" if name == "day" else name
    for name in Row.__struct_fields__
)

T = TypeVar("T")


class Shelf:
    """Keeps transcripts. Its methods may be called from any thread, and take turns; they wait for disk or network.

    Args:
        store: Where; see `parts.place`.
        memory_mb: Megabytes for writing and merging, and as many for the index of calls.

    All methods raise what the store raises when it cannot be reached: `OSError`, or an error of obstore's.
    """

    def __init__(self, store: ObjectStore, *, memory_mb: int = MEMORY_MB) -> None:
        self._store = store
        self._folder = Path(str(store.prefix), TABLE.name) if isinstance(store, LocalStore) else None
        self._turn = threading.Lock()
        self._scratch = Scratch()
        self._parts = Parts(store, TABLE, memory_mb=memory_mb)
        self._db = Database(self._scratch.name, memory_mb=memory_mb)
        self._index = Index(self._parts, self._db)
        self._buried: dict[str, str] = {}

    def close(self) -> None:
        """Let go of memory and scratch files. What was written stays."""
        with self._turn:
            self._db.close()
            self._parts.close()
            self._scratch.cleanup()

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, rows: Sequence[Row]) -> int:
        """Keep rows, joined with what is there of their calls. When this returns they are safe.

        Returns:
            How many calls were written: those that tell nothing new are not.
        """
        coming: dict[str, Row] = {}
        for row in rows:
            known = coming.get(row.call_id)
            coming[row.call_id] = row if known is None else joined(known, row)
        days = _around(date.fromisoformat(row.day) for row in rows)
        return self._write(lambda: self._settle(coming, days)) if coming else 0

    def mend(self, now: float) -> int:
        """Make one row of several, and take out what shall be forgotten, in the calls of these days.

        Args:
            now: In seconds since 1970.

        Returns:
            How many calls there were.
        """
        days, count = _around((day_of(now),)), 0
        while True:
            some = self._write(lambda: self._settle({}, days))
            count += some
            if some < SLICE:
                return count

    def forget(self, call_id: str) -> bool:
        """Delete a call, and see to it that it does not come back: also not from an entry that is delivered later.

        Returns:
            False when there is no such call and never was one to forget.
        """
        found = self._days_of(call_id)
        if not found and call_id not in self.forgotten():
            return False
        self._store.put(_grave(call_id), call_id.encode())  # before: who writes meanwhile must know
        while found:
            days = _around(found)
            self._write(lambda: self._settle({}, days))  # noqa: B023  # it is over before they change
            found = self._days_of(call_id)
        return True

    def forgotten(self) -> Collection[str]:
        """Give the ids of the calls that shall not come back."""
        names = {one["path"] for one in chain.from_iterable(self._store.list(f"{TABLE.name}/forgotten"))}
        buried = {name: call_id for name, call_id in self._buried.items() if name in names}
        for name in names - buried.keys():
            try:
                buried[name] = bytes(self._store.get(name).bytes()).decode()
            except FileNotFoundError:  # its time was over
                continue
        self._buried = buried
        return set(buried.values())

    def tidy(self, now: float, *, keep_days: int = 0) -> None:
        """Delete what is too old, and merge small parts.

        Args:
            now: In seconds since 1970.
            keep_days: Days that are kept, beside the present one; 0: all.
        """
        with self._turn, self._alone():
            before = self._parts.days()
            self._parts.tidy(now, keep_days=keep_days, settle_s=SETTLE_S)
            after = self._parts.days()
        if self.forgotten():
            for day in (day for day, parts in after.items() if parts != before.get(day)):
                # What was merged may have a call that another process was forgetting, and took out of the small parts.
                self._write(partial(self._settle, {}, (day,)))
        if keep_days:
            # An entry that is older than the days we keep is not taken any more, so nothing can come back.
            for one in list(chain.from_iterable(self._store.list(f"{TABLE.name}/forgotten"))):
                if now - one["last_modified"].timestamp() > (keep_days + 1) * DAY_S:
                    self._store.delete(one["path"])

    def read(self, db: duckdb.DuckDBPyConnection, into: str, **which: Any) -> int:
        """Read rows into a table of a DuckDB, one of each call; arguments and result are those of `Parts.read`."""
        count = self._parts.read(db, into, **which)
        gone = list(self.forgotten())
        if gone:
            db.execute(f'DELETE FROM "{into}" WHERE call_id IN (SELECT unnest(?::VARCHAR[]))', [gone])
        found = db.execute(f'SELECT count(*) FROM "{into}"').fetchone()
        return int(found[0]) if found else count

    def find(self, call_id: str) -> Row | None:
        """Look a call up, from the latest day on back; None when it is not there."""
        if call_id in self.forgotten():
            return None
        with connect() as db:
            which: dict[str, Any] = {"where": "call_id = ?", "given": [call_id]}
            for day in sorted(self._parts.days(), reverse=True):
                # With the day before: a call that is being moved to its right day stands in both.
                if self._parts.read(db, "found", since=day - timedelta(1), until=day, **which):
                    return next(rows_of(db, "found"))
        return None

    def is_empty(self) -> bool:
        """Tell whether there is nothing."""
        return not self._parts.days()

    def _write(self, step: Callable[[], T]) -> T:
        with self._turn, self._alone():
            for _ in range(TRIES):
                try:
                    return step()
                except FileNotFoundError:  # another process has replaced or merged a part
                    # It may be of a day that this step does not ask for, and which is not looked at again.
                    self._index.clear()
            return step()

    def _settle(self, coming: Mapping[str, Row], days: Collection[date]) -> int:
        self._index.look(days)
        forgotten = self.forgotten()
        twice = self._index.twice(SLICE)
        places = self._index.where({*coming, *twice, *forgotten})
        there = self._rows(places)
        changed: dict[str, Row | None] = {}
        for call_id in {*coming, *places}:
            if call_id in forgotten:
                if call_id in places:
                    changed[call_id] = None
                continue
            rows = there.get(call_id, ())
            new = reduce(joined, (*rows, coming[call_id]) if call_id in coming else rows)
            if len(rows) != 1 or not _is_same(rows[0], new):
                changed[call_id] = new
        # Where more calls stand twice, parts that are put together would lose one row of each, and it may tell more.
        alone = ALONE_BYTES if len(twice) < SLICE else 0
        self._rewrite(changed, {part for call_id in changed for part in places.get(call_id, ())}, alone)
        return len(changed)

    def _rewrite(self, changed: Mapping[str, Row | None], old: Collection[Part], alone: int) -> None:
        new: dict[date, list[Row]] = {part.day: [] for part in old}
        for row in changed.values():
            if row is not None:
                new.setdefault(date.fromisoformat(row.day), []).append(row)
        written = []
        for day, rows in new.items():
            small = [part for part in old if part.day == day and part.size < alone]
            groups = [(rows, small)] if rows or small else []
            groups += [([], [part]) for part in old if part.day == day and part.size >= alone]
            for coming, gone in groups:
                part = self._parts.replace(day, map(as_json, coming), old=gone, without=list(changed))
                written.append((part, gone, [row.call_id for row in coming]))
        # Only now: a call may have gone from one day to another.
        self._parts.delete(old)
        for part, gone, call_ids in written:
            self._index.replaced(part, gone, without=changed, rows=call_ids)

    def _rows(self, places: Mapping[str, Collection[Part]]) -> Mapping[str, Sequence[Row]]:
        found: dict[str, list[Row]] = {}
        parts = list({part for ones in places.values() for part in ones})
        if not parts:
            return found
        with self._parts.local(parts) as files:
            names = [plain(file) for file in files]
            try:
                self._db.execute(
                    "CREATE OR REPLACE TEMP TABLE found AS SELECT * FROM read_parquet(?, union_by_name = true, "
                    "hive_partitioning = false) "
                    "WHERE call_id IN (SELECT unnest(?::VARCHAR[]))",
                    [names, list(places)],
                )
            except duckdb.Error as exc:
                if not self._parts.put_aside(parts, exc) and not isinstance(exc, duckdb.IOException):
                    raise
                raise FileNotFoundError("a part was replaced or merged, or put aside") from None
            for row in rows_of(self._db, "found"):
                found.setdefault(row.call_id, []).append(row)
            self._db.execute("DROP TABLE found")
        return found

    def _days_of(self, call_id: str) -> Collection[date]:
        with connect() as db:
            self._parts.read(db, "found", columns=("call_id", "day"), where="call_id = ?", given=[call_id])
            return [day for (day,) in db.execute("SELECT day FROM found").fetchall()]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".writing").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # whoever has it is writing, and gives it back if only by its death
            yield


def rows_of(db: duckdb.DuckDBPyConnection | Database, table: str, how: str = "") -> Iterator[Row]:
    """Give the rows that `Shelf.read` has read, some at a time.

    Args:
        db: The database.
        table: The table.
        how: Anything of SQL that may stand after it.
    """
    found = db.execute(f'SELECT {_AS_ROW} FROM "{table}" {how}')
    while some := found.fetchmany(500):
        for values in some:
            fields = dict(zip(Row.__struct_fields__, values, strict=True))
            fields["lines"] = tuple(Line(**line) for line in fields["lines"])
            yield Row(**fields)


def as_json(row: Row) -> dict[str, Any]:
    """Give a row as JSON has it, with times as ISO 8601 has them."""
    fields = msgspec.structs.asdict(row)
    # All of a line's fields: one that is left out is no empty text but nothing.
    fields["lines"] = [msgspec.structs.asdict(line) for line in row.lines]
    for name in _TIMES:
        fields[name] = datetime.fromtimestamp(fields[name], UTC).isoformat()
    return fields


def _is_same(one: Row, other: Row) -> bool:
    return one == msgspec.structs.replace(other, entry_id=one.entry_id)


def _around(days: Iterable[date]) -> Collection[date]:
    """Give days, and those beside them: one entry of a call may say that it ended just before midnight, and another
    one just after."""
    return {day + timedelta(beside) for day in days for beside in (-1, 0, 1)}


def _grave(call_id: str) -> str:
    return f"{TABLE.name}/forgotten/{hashlib.sha256(call_id.encode()).hexdigest()}"
