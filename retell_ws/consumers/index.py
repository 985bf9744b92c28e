"""Which parts of the archive have which calls, so that it need not be looked up in all of them for every batch.

It holds the ids of a few days' calls, some 60 bytes each, and is as true of each day as the last look at it: a part is
never changed, so its path tells whether it was read already, but another process may have replaced it since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Final

import duckdb

from .database import Database
from .parts import Part, Parts
from .queries import plain

__all__ = ["Index"]

DAYS: Final = 8
"""Days it remembers. A batch asks for three, or for more when it was held up for long."""


class Index:
    """Where calls are. It belongs to whoever made it: no two threads at once.

    Args:
        parts: Of the archive.
        db: For the table `ids`; it is renewed here, and has no other table that lasts.
    """

    def __init__(self, parts: Parts, db: Database) -> None:
        self._parts = parts
        self._db = db
        self._db.execute("CREATE TABLE ids (call_id VARCHAR, part INTEGER)")
        self._known: dict[int, Part] = {}
        self._last = 0
        self._days: dict[date, None] = {}
        self._is_single = True

    def look(self, days: Collection[date]) -> None:
        """Look at the store for what these days have now.

        Raises:
            FileNotFoundError: A part went away meanwhile, or was put aside: look again.
        """
        self._db.renew("ids")
        listed = {part.path: part for parts in self._parts.days(sorted(days)).values() for part in parts}
        self._forget(number for number, part in self._known.items() if part.day in days and part.path not in listed)
        for day in days:
            self._days.pop(day, None)
            self._days[day] = None
        while len(self._days) > max(DAYS, len(days)):
            oldest = next(iter(self._days))
            del self._days[oldest]
            self._forget(number for number, part in self._known.items() if part.day == oldest)
        known = {part.path for part in self._known.values()}
        fresh = [part for path, part in listed.items() if path not in known]
        if fresh:
            self._is_single = False
        is_sure = True
        with self._parts.local(fresh) as files:
            for part, file in zip(fresh, files, strict=True):
                try:
                    self._add(part, "SELECT call_id, $1 FROM read_parquet($2, hive_partitioning = false)", plain(file))
                except duckdb.Error as exc:
                    if not self._parts.put_aside((part,), exc) and not isinstance(exc, duckdb.IOException):
                        raise
                    is_sure = False  # the others first, of which more may be damaged
        if not is_sure:
            raise FileNotFoundError("a part was replaced or merged, or put aside")

    def clear(self) -> None:
        """Forget all days, as what it knows of them may be gone."""
        self._forget(self._known)
        self._days.clear()

    def where(self, call_ids: Collection[str]) -> Mapping[str, Collection[Part]]:
        """Find the parts of calls; those that no day it has looked at has are left out."""
        found: dict[str, set[Part]] = {}
        query = "SELECT call_id, part FROM ids WHERE call_id IN (SELECT unnest(?::VARCHAR[]))"
        for call_id, number in self._db.execute(query, [list(call_ids)]).fetchall():
            found.setdefault(call_id, set()).add(self._known[number])
        return found

    def twice(self, most: int) -> Collection[str]:
        """Find calls that stand in several parts: somebody was killed, or wrote at the same time.

        Args:
            most: Of them; those of the same parts come together.
        """
        if self._is_single:
            return ()
        query = "SELECT call_id FROM ids GROUP BY call_id HAVING count(*) > 1 ORDER BY min(part), call_id LIMIT ?"
        found = self._db.execute(query, [most]).fetchall()
        self._is_single = not found
        return [call_id for (call_id,) in found]

    def replaced(
        self, new: Part | None, old: Collection[Part], *, without: Collection[str], rows: Iterable[str]
    ) -> None:
        """Note that parts were replaced by one.

        Args:
            new: It; None when nothing was left.
            old: Those.
            without: Calls of theirs that are not in it.
            rows: Calls that came to it.
        """
        numbers = [number for number, part in self._known.items() if part in old]
        if new is not None:
            self._add(
                new,
                "SELECT call_id, $1 FROM ids WHERE part IN (SELECT unnest($2::INTEGER[])) "
                "AND call_id NOT IN (SELECT unnest($3::VARCHAR[])) UNION ALL SELECT unnest($4::VARCHAR[]), $1",
                numbers,
                list(without),
                list(rows),
            )
        self._forget(numbers)

    def _add(self, part: Part, query: str, *values: object) -> None:
        """Know a part, and of it what a query finds, whose `$1` is its number; when that fails it is not known."""
        self._last += 1
        self._known[self._last] = part
        try:
            self._db.execute(f"INSERT INTO ids {query}", (self._last, *values))
        except duckdb.Error:
            self._forget((self._last,))
            raise

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = list(numbers)
        for number in gone:
            del self._known[number]
        if gone:
            self._db.execute("DELETE FROM ids WHERE part IN (SELECT unnest(?::INTEGER[]))", [gone])
