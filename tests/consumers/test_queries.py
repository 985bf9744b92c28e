"""The SQL of parts, run by the DuckDB it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from retell_ws.consumers.places import connect
from retell_ws.consumers.queries import OBJECT_BYTES, Table, given, name_of, once, plain, text_of

TABLE = Table(
    name="notes", columns={"id": "VARCHAR", 'the "n"': "BIGINT"}, key=("id",), best='"the ""n""" DESC NULLS LAST'
)


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(connect()) as made:
        yield made


def test_names_and_texts_are_what_they_say(db: duckdb.DuckDBPyConnection) -> None:
    name, text = 'a "b"', "it's"
    found = db.execute(f"SELECT {text_of(text)} AS {name_of(name)}")
    assert (found.description[0][0], found.fetchall()) == (name, [(text,)])


def test_of_no_files_there_are_the_columns_and_no_rows(db: duckdb.DuckDBPyConnection) -> None:
    found = db.execute(once(TABLE, []))
    assert ([column[0] for column in found.description], found.fetchall()) == (["id", 'the "n"'], [])


def test_of_each_key_the_best_row_is_read(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a*b.parquet", "aXb.parquet", "[c]?.parquet")]
    for file, rows in zip(files, ("('1', 1), ('2', NULL)", "('9', 9)", "('1', 3), ('2', 2)"), strict=True):
        db.execute(f'COPY (SELECT * FROM (VALUES {rows}) AS t(id, "the ""n""")) TO \'{file}\' (FORMAT PARQUET)')
    assert sorted(db.execute(once(TABLE, [files[0], files[2]])).fetchall()) == [("1", 3), ("2", 2)]
    assert db.execute("SELECT count(*) FROM read_parquet(?)", [plain(files[0])]).fetchall() == [(2,)]


def test_a_row_of_json_may_be_of_any_length(db: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file, line = tmp_path / "rows.json", b'{"id": "' + b"x" * (OBJECT_BYTES + 1) + b'", "more": 1}'
    file.write_bytes(line + b'\n{"the \\"n\\"": 5}')
    query = given(TABLE, file, longest=len(line))
    assert db.execute(f'SELECT length(id), "the ""n""" FROM ({query})').fetchall() == [
        (OBJECT_BYTES + 1, None),
        (None, 5),
    ]
