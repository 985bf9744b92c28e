"""A DuckDB for processes that run for months: once in a while a new one takes its place.

DuckDB keeps something of statements until the database is closed: with 2.0.1, some 3 KB of each that joins and 8 KB of
each that looks for a list of call ids. That is 16 KB for a batch of the archive, and at a batch every five seconds some
270 MB a day. Nothing in `duckdb_memory()` tells of it, and its memory limit does not hold it. So a database is closed
after `STATEMENTS`, and the tables that are to outlive it go over into the next one; of their rows, only those that were
not deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from .places import connect
from .queries import name_of, plain, text_of

__all__ = ["Database"]

STATEMENTS: Final = 1000
"""After so many it is closed: some 8 MB have gathered then. To open one takes as long as some twenty of them."""


class Database:
    """One that is renewed. It belongs to whoever made it: no two threads at once.

    Args:
        folder: For what does not fit into memory, and for what goes over into the next one. It is the caller's.
        memory_mb: See `places.connect`.
        threads: The same.
    """

    def __init__(self, folder: str, *, memory_mb: int, threads: int = 1) -> None:
        self._folder = Path(folder)
        self._connect = partial(connect, memory_mb=memory_mb, threads=threads)
        self._count = self._renewed = 0
        self._db = self._open()

    def execute(self, query: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Run a statement. Its result lasts until the next one, and until `renew`."""
        self._count += 1
        return self._db.execute(query, list(values))

    def renew(self, *tables: str) -> None:
        """Take a new one, when it is time: between statements whose results are wanted.

        Args:
            tables: Those that it shall have too. All others are lost.

        Raises:
            duckdb.Error: It cannot be done now: there is no room. The old one is still there.
        """
        if self._count < STATEMENTS:
            return
        self._renewed += 1
        fresh = self._open()
        try:
            for table in tables:
                self._bring(table, fresh)
        except BaseException:
            fresh.close()
            raise
        self._db.close()
        self._db, self._count = fresh, 0

    def close(self) -> None:
        """Let go of memory."""
        self._db.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        # A folder of its own: for a moment there are two of them.
        return self._connect(scratch=f"{self._folder}/spilled-{self._renewed}")

    def _bring(self, table: str, fresh: duckdb.DuckDBPyConnection) -> None:
        file = Path(self._folder, "brought.parquet")
        try:
            self._db.execute(f"COPY {name_of(table)} TO {text_of(file)} (FORMAT PARQUET)")
            source = text_of(plain(str(file)))
            fresh.execute(f"CREATE TABLE {name_of(table)} AS SELECT * FROM read_parquet({source})")
        finally:
            file.unlink(missing_ok=True)
