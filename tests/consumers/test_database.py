"""The database of consumers that run for months: what it keeps of statements goes with it, and its tables stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from retell_ws.consumers import database
from retell_ws.consumers.database import Database

from .held_memory import held_kib

STATEMENTS = 20


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    monkeypatch.setattr(database, "STATEMENTS", STATEMENTS)
    one = Database(str(tmp_path), memory_mb=64)
    yield one
    one.close()


def spend(made: Database) -> None:
    """Run as many statements as it lasts for."""
    for _ in range(STATEMENTS):
        made.execute("SELECT 1")


def variable(made: Database) -> object:
    """Read what only the database has in which it was set."""
    return made.execute("SELECT getvariable('mine')").fetchall()


def test_it_is_renewed_after_so_many_statements_and_not_before(made: Database) -> None:
    made.execute("SET VARIABLE mine = 7")
    made.renew()
    assert variable(made) == [(7,)]
    spend(made)
    made.renew()
    assert variable(made) == [(None,)]


def test_rows_of_the_tables_that_are_named_go_over_and_deleted_ones_do_not(made: Database) -> None:
    made.execute("CREATE TABLE ids (call_id VARCHAR, part INTEGER)")
    made.execute("CREATE TABLE other (a INTEGER)")
    made.execute("INSERT INTO ids VALUES ('a', 1), (NULL, NULL), ('ä''\"', 3)")
    made.execute("DELETE FROM ids WHERE part = 1")
    kinds = made.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'ids'").fetchall()
    spend(made)
    made.renew("ids")
    assert sorted(made.execute("SELECT * FROM ids").fetchall(), key=str) == [("ä'\"", 3), (None, None)]
    assert made.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("ids",)]
    found = made.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'ids'").fetchall()
    assert found == kinds


def test_a_table_without_rows_goes_over_too(made: Database) -> None:
    made.execute("CREATE TABLE ids (call_id VARCHAR, part INTEGER)")
    spend(made)
    made.renew("ids")
    assert made.execute("SELECT * FROM ids").fetchall() == []


def test_without_room_for_what_goes_over_the_old_one_stays_and_it_is_done_later(made: Database, tmp_path: Path) -> None:
    made.execute("CREATE TABLE ids AS SELECT 7 AS part")
    spend(made)
    in_its_way = tmp_path / "brought.parquet"
    in_its_way.mkdir()
    with pytest.raises((duckdb.Error, OSError)):
        made.renew("ids")
    assert made.execute("SELECT * FROM ids").fetchall() == [(7,)]
    in_its_way.rmdir()
    made.execute("SET VARIABLE mine = 7")
    made.renew("ids")
    assert made.execute("SELECT * FROM ids").fetchall() == [(7,)]
    assert variable(made) == [(None,)]


def test_nothing_of_what_went_over_is_left_on_the_disk(made: Database, tmp_path: Path) -> None:
    made.execute("CREATE TABLE ids AS SELECT 7 AS part")
    spend(made)
    made.renew("ids")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_duckdb_keeps_of_statements_does_not_add_up(made: Database) -> None:
    ids = [f"call_{number:027x}" for number in range(40)]

    def run(times: int) -> None:
        for _ in range(times):
            made.execute(
                "SELECT a FROM (VALUES ('b')) t (a) WHERE a IN (SELECT unnest(?::VARCHAR[]))", [ids]
            ).fetchall()
            made.renew()

    run(10 * STATEMENTS)
    before = held_kib()
    run(20 * STATEMENTS)
    assert held_kib() - before < 600, "400 statements, of which the last 20 may have left something"
