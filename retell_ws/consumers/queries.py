"""What a table of rows is, and the SQL that reads them: from JSON, and from files, of each key the best. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Table", "given", "name_of", "once", "plain", "text_of"]

OBJECT_BYTES: Final = 16 << 20
"""Of JSON that DuckDB makes room for by itself: a row that is longer needs to say so."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What rows are.

    Attributes:
        name: The folder of its days.
        columns: Types of DuckDB by name. Columns may be added later: older rows have NULL there. Those that a newer
            version has added stay where they are.
        key: Names of the columns by which two rows are the same one.
        best: Which of those is kept: an `ORDER BY` of which it is the first row.
        group: Rows of a part that are written, and read, at once: of wide rows fewer, as they are held in memory.
    """

    name: str
    columns: Mapping[str, str]
    key: Sequence[str]
    best: str
    group: int = 122_880


def given(table: Table, file: Path, *, longest: int) -> str:
    """Write a query for rows in a file of JSON lines.

    Args:
        table: What they are.
        file: It.
        longest: Bytes of its longest line.
    """
    columns = ", ".join(f"{text_of(name)}: {text_of(kind)}" for name, kind in table.columns.items())
    return (
        f"SELECT * FROM read_json({text_of(file)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"maximum_object_size = {max(OBJECT_BYTES, longest + 1)})"
    )


def once(table: Table, files: Sequence[str]) -> str:
    """Write a query for the rows of some Parquet files, of each key the best."""
    typed = ", ".join(f"NULL::{kind} AS {name_of(name)}" for name, kind in table.columns.items())
    if not files:
        return f"SELECT {typed} WHERE false"
    names = ", ".join(text_of(plain(name)) for name in files)
    rows = (
        f"(SELECT {typed} WHERE false UNION ALL BY NAME SELECT * FROM read_parquet([{names}], "
        "union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true))"
    )
    # The window is on a few narrow columns: rows are wide, and hardly any comes twice.
    return (
        f"SELECT * EXCLUDE (filename, file_row_number) FROM {rows} ANTI JOIN ("
        f"SELECT filename, file_row_number FROM {rows} QUALIFY row_number() OVER ("
        f"PARTITION BY {', '.join(map(name_of, table.key))} ORDER BY {table.best}) > 1"
        ") USING (filename, file_row_number)"
    )


def name_of(name: str) -> str:
    """Write a name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text_of(text: str | Path) -> str:
    """Write a text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def plain(file: str) -> str:
    """Write a file's name so that DuckDB takes no sign in it for a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", file)
