"""Rows in parts: each is read once and whole, whoever writes, merges or is killed meanwhile."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore, MemoryStore, ObjectStore

from retell_ws.consumers import parts as module
from retell_ws.consumers.parts import Parts, Table, connect, day_of, place
from retell_ws.errors import UsageError

from .damage import beyond

NOTES = Table(
    name="notes",
    columns={"id": "VARCHAR", "version": "BIGINT", "text": "VARCHAR", "lines": "STRUCT(role VARCHAR, s DOUBLE)[]"},
    key=("id",),
    best="version DESC",
)

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
TODAY, YESTERDAY = date(2026, 11, 28), date(2026, 11, 27)


def row(number: int, *, version: int = 1, text: str = "") -> dict[str, Any]:
    return {"id": f"r{number}", "version": version, "text": text, "lines": [{"role": "user", "s": 0.5}]}


def read(parts: Parts, **how: Any) -> list[tuple[Any, ...]]:
    with closing(connect()) as db:
        count = parts.read(db, "found", **how)
        rows = db.execute("SELECT * FROM found ORDER BY ALL").fetchall()
    assert len(rows) == count
    return rows


def ids(parts: Parts, **how: Any) -> list[str]:
    return sorted(found[0] for found in read(parts, **how))


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return place(tmp_path / "data") if request.param == "folder" else MemoryStore()


def old(parts: Parts) -> float:
    """Give a time at which all that was written is old, on the day after it."""
    return max(part.written for ones in parts.days().values() for part in ones) + 86_400


def test_rows_come_back_as_they_were_written(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(1, text="a \u0000 ' \" ünï 🙂\n"), {"id": "r2"}]})
        assert read(parts) == [
            ("r1", 1, "a \u0000 ' \" ünï 🙂\n", [{"role": "user", "s": 0.5}]),
            ("r2", None, None, None),
        ]


def test_nothing_is_read_where_there_is_nothing(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        assert read(parts) == []
        assert parts.days() == {}
        parts.write({TODAY: []})
        assert parts.days() == {}
        assert parts.tidy(NOW)


def test_a_row_that_does_not_fit_its_column_is_refused(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        with pytest.raises(duckdb.Error):
            parts.write({TODAY: [{"id": "r1", "version": "two"}]})
        parts.write({TODAY: [row(2)]})
        assert ids(parts) == ["r2"]


def test_the_same_rows_written_again_make_the_same_part(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        for _ in range(3):
            parts.write({TODAY: [row(1), row(2)], YESTERDAY: [row(3)]})
        assert {day: len(ones) for day, ones in parts.days().items()} == {TODAY: 1, YESTERDAY: 1}
        assert ids(parts) == ["r1", "r2", "r3"]


def test_of_rows_with_one_key_the_best_is_read(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        for version in (2, 3, 1):
            parts.write({TODAY: [row(1, version=version)]})
        parts.write({YESTERDAY: [row(1, version=4)]})
        assert [found[1] for found in read(parts)] == [4]
        assert [found[1] for found in read(parts, since=TODAY)] == [3]


def test_days_columns_and_conditions_narrow_what_is_read(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(1), row(2, text="it's")], YESTERDAY: [row(3, text="it's")]})
        assert ids(parts, since=TODAY) == ["r1", "r2"]
        assert ids(parts, until=YESTERDAY) == ["r3"]
        assert read(parts, columns=("text", "id"), where="text = ?", given=["it's"]) == [("it's", "r2"), ("it's", "r3")]


def test_a_condition_judges_the_best_row_only(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(1, version=1, text="old")]})
        parts.write({TODAY: [row(1, version=2, text="new")]})
        assert read(parts, where="text = 'old'") == []


def test_a_day_that_is_over_becomes_one_part_once_it_is_quiet(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        for number in range(5):
            parts.write({TODAY: [row(number), row(0, version=number)]})
        before = read(parts)
        assert parts.tidy(NOW)
        assert len(parts.days()[TODAY]) == 5
        assert parts.tidy(old(parts))
        assert len(parts.days()[TODAY]) == 1
        assert read(parts) == before
        ((part,),) = parts.days().values()
        parts.write({TODAY: [row(9)]})
        parts.tidy(old(parts))
        ((again,),) = parts.days().values()
        assert again != part
        assert ids(parts) == ["r0", "r1", "r2", "r3", "r4", "r9"]


def test_a_day_with_many_parts_is_merged_while_it_lasts(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 3)
    with Parts(store, NOTES) as parts:
        for number in range(3):
            parts.write({TODAY: [row(number)]})
        parts.tidy(NOW)
        assert len(parts.days()[TODAY]) == 1
        assert ids(parts) == ["r0", "r1", "r2"]


def test_large_parts_are_left_alone(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(number, text=os.urandom(40).hex()) for number in range(200)]})
        ((large,),) = parts.days().values()
        monkeypatch.setattr(module, "SMALL_BYTES", large.size)
        for number in (300, 301):
            parts.write({TODAY: [row(number)]})
        parts.tidy(old(parts))
        assert large in parts.days()[TODAY]
        assert len(parts.days()[TODAY]) == 2


def test_no_more_is_merged_at_once_than_a_group_may_hold(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with Parts(store, NOTES) as parts:
        for number in range(7):
            parts.write({TODAY: [row(number)]})
        monkeypatch.setattr(module, "GROUP_BYTES", 2 * max(part.size for part in parts.days()[TODAY]))
        parts.tidy(old(parts))
        assert len(parts.days()[TODAY]) == 4  # three pairs, and one that is left
        assert len(ids(parts)) == 7


def test_days_that_are_too_old_go(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(1)], YESTERDAY: [row(2)], date(2026, 11, 26): [row(3)], date(2020, 1, 1): [row(4)]})
        parts.tidy(NOW, keep_days=0)
        assert ids(parts) == ["r1", "r2", "r3", "r4"]
        parts.tidy(NOW, keep_days=1)
        assert ids(parts) == ["r1", "r2"]


def test_columns_of_other_versions_are_kept(store: ObjectStore) -> None:
    newer = Table(name="notes", columns={**NOTES.columns, "mood": "VARCHAR"}, key=("id",), best="version DESC")
    older = Table(name="notes", columns={"id": "VARCHAR", "version": "BIGINT"}, key=("id",), best="version DESC")
    with Parts(store, older) as small, Parts(store, newer) as big:
        small.write({TODAY: [{"id": "r1", "version": 1}]})
        assert read(big) == [("r1", 1, None, None, None)]
        big.write({TODAY: [{"id": "r2", "version": 1, "mood": "glad"}]})
        small.tidy(old(small))
        assert len(small.days()[TODAY]) == 1
        assert read(big, columns=("id", "mood")) == [("r1", None), ("r2", "glad")]


def test_a_merge_that_stopped_before_it_deleted_shows_no_row_twice(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parts(store, NOTES) as parts:
        for number in range(3):
            parts.write({TODAY: [row(number, version=1), row(0, version=number)]})
        before = read(parts)
        monkeypatch.setattr(parts, "delete", lambda _: None)
        parts.tidy(old(parts))
        assert len(parts.days()[TODAY]) == 4
        assert read(parts) == before
        monkeypatch.undo()
        parts.tidy(old(parts))
        assert len(parts.days()[TODAY]) == 1
        assert read(parts) == before


def test_what_was_merged_under_a_reader_s_hands_is_looked_for_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parts(store, NOTES) as parts, Parts(store, NOTES) as reader:
        for number in range(3):
            parts.write({TODAY: [row(number)]})
        listed = reader.days()
        parts.tidy(old(parts))
        looks = iter([listed])
        days = reader.days
        monkeypatch.setattr(reader, "days", lambda: next(looks, None) or days())
        assert ids(reader) == ["r0", "r1", "r2"]


def test_a_listing_that_missed_a_merge_is_not_believed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with Parts(store, NOTES) as parts:
        for number in range(3):
            parts.write({TODAY: [row(number)]})
        before = parts._list()
        parts.tidy(old(parts))
        (merged,) = after = parts._list()
        # It came by the folder before the new part was there, and again when some of the old ones were gone.
        looks = iter([frozenset(), before, after, after])
        monkeypatch.setattr(parts, "_list", lambda _=None: next(looks))
        assert parts.days() == {TODAY: [merged]}


def cut(whole: bytes) -> bytes:
    return whole[:-20]


def hollow(whole: bytes) -> bytes:
    """Keep its beginning and its end: pages that a file was given, and that were never written."""
    end = 8 + int.from_bytes(whole[-8:-4], "little")
    return whole[:4] + bytes(len(whole) - 4 - end) + whole[-end:]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"no Parquet at all", cut, hollow, beyond])
def test_a_part_that_is_damaged_is_put_aside_and_the_others_are_read(
    store: ObjectStore, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with Parts(store, NOTES) as parts, Parts(store, NOTES) as other:
        parts.write({YESTERDAY: [row(0)], TODAY: [row(1)]})
        whole = one_more(store, parts, 2)
        store.put(whole, damage(bytes(store.get(whole).bytes())))
        for _ in range(2):
            assert ids(parts) == ids(other) == ["r0", "r1"]
        assert caplog.text.count(whole) == 1
        assert store.head(f"{whole}.damaged")
        parts.write({TODAY: [row(3)]})
        assert parts.tidy(old(parts))
        assert {day: len(ones) for day, ones in parts.days().items()} == {TODAY: 1, YESTERDAY: 1}
        parts.tidy(NOW + 2 * 86_400, keep_days=1)
        assert [one["path"] for page in store.list() for one in page if "day=" in one["path"]] == []


@pytest.mark.parametrize("damage", [lambda _: b"", hollow, beyond])
def test_a_part_that_is_damaged_keeps_no_others_from_being_merged(
    store: ObjectStore, damage: Callable[[bytes], bytes]
) -> None:
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(0)]})
        parts.write({TODAY: [row(1)]})
        whole = one_more(store, parts, 2)
        store.put(whole, damage(bytes(store.get(whole).bytes())))
        for _ in range(2):
            assert parts.tidy(old(parts))
        assert len(parts.days()[TODAY]) == 1
        assert ids(parts) == ["r0", "r1"]


def one_more(store: ObjectStore, parts: Parts, number: int) -> str:
    """Write a row, and give the path of its part."""
    before = {one["path"] for page in store.list() for one in page}
    parts.write({TODAY: [row(number)]})
    (path,) = {part.path for ones in parts.days().values() for part in ones} - before
    return path


def test_a_part_that_was_merged_or_cannot_be_read_now_is_not_called_damaged(store: ObjectStore) -> None:
    with Parts(store, NOTES) as parts:
        whole = one_more(store, parts, 1)
        ((part,),) = parts.days().values()
        gone = part._replace(path=part.path.replace("part-", "part-0"))
        for exc in (duckdb.InvalidInputException("of another one"), duckdb.IOException("no room")):
            assert not parts.put_aside((part,), exc)
            assert parts.put_aside((part, gone), exc), "look again"
        store.put(whole, b"")
        for other in (duckdb.OutOfMemoryException("x"), duckdb.HTTPException("x"), duckdb.NotImplementedException("x")):
            assert not parts.put_aside((part,), other)
        assert not parts.put_aside((part,), FileNotFoundError(whole))
        assert store.head(whole)


def test_a_file_that_the_machine_does_not_give_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parts(place(tmp_path), NOTES) as parts:
        file = tmp_path / one_more(place(tmp_path), parts, 1)
        content = file.read_bytes()
        file.write_bytes(beyond(content))
        opened = Path.open

        def refuse(path: Path, *how: Any, **named: Any) -> Any:
            if path.suffix == ".parquet":
                raise OSError(errno.EMFILE, "no more files")
            return opened(path, *how, **named)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            with pytest.raises(duckdb.IOException):
                ids(parts)
        assert file.exists()
        file.write_bytes(content)
        assert ids(parts) == ["r1"]


def test_a_part_that_another_process_puts_aside_in_the_same_moment_is_looked_for_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Parts(store, NOTES) as parts, Parts(store, NOTES) as other:
        parts.write({TODAY: [row(1)]})
        store.put(one_more(store, parts, 2), b"")
        put_aside = parts.put_aside

        def late(*given: Any) -> bool:
            monkeypatch.undo()
            assert ids(other) == ["r1"]
            return put_aside(*given)

        monkeypatch.setattr(parts, "put_aside", late)
        assert ids(parts) == ["r1"]


class Renaming:
    """A store that does something before it renames."""

    def __init__(self, store: ObjectStore, first: Callable[[ObjectStore, str], None]) -> None:
        self.store, self.first = store, first
        self.prefix = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def rename(self, path: str, to: str) -> None:
        self.first(self.store, path)
        self.store.rename(path, to)


def test_a_part_that_is_damaged_and_cannot_be_moved_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(store: ObjectStore, path: str) -> None:
        raise PermissionError(path)

    store = MemoryStore()
    with Parts(Renaming(store, refuse), NOTES) as parts:  # type: ignore[arg-type]
        parts.write({TODAY: [row(1)]})
        whole = one_more(store, parts, 2)
        store.put(whole, b"")
        for _ in range(2):
            assert ids(parts) == ["r1"]
        assert caplog.text.count(whole) == 1 and "PermissionError" in caplog.text
        parts.write({TODAY: [row(2)]})  # the same part, and whole
        assert ids(parts) == ["r1", "r2"]


@pytest.mark.parametrize("first", ["written", "moved"])
def test_a_part_that_another_process_has_mended_or_moved_meanwhile_is_none_of_ours(
    first: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    with Parts(store, NOTES) as other:
        other.write({TODAY: [row(1)]})
        whole = one_more(store, other, 2)
        content = bytes(store.get(whole).bytes())
        steps = iter([True])

        def meanwhile(store: ObjectStore, path: str) -> None:
            if next(steps, False):
                store.put(path, content) if first == "written" else store.delete(path)

        store.put(whole, b"")
        with Parts(Renaming(store, meanwhile), NOTES) as parts:  # type: ignore[arg-type]
            assert ids(parts) == (["r1", "r2"] if first == "written" else ["r1"])
    assert caplog.text == ""


def test_one_process_tidies_a_folder_at_a_time(tmp_path: Path) -> None:
    with Parts(place(tmp_path), NOTES) as parts, Parts(place(tmp_path), NOTES) as other:
        with parts._alone() as is_alone:
            assert is_alone
            assert not other.tidy(NOW)
        assert other.tidy(NOW)


def test_what_a_killed_writer_left_is_no_part_and_is_swept_up(tmp_path: Path) -> None:
    with Parts(place(tmp_path), NOTES) as parts:
        parts.write({TODAY: [row(1)]})
        ((part,),) = parts.days().values()
        fresh, stale = (tmp_path / f"{part.path}#{number}" for number in (1, 2))
        fresh.write_bytes(b"half")
        stale.write_bytes(b"half")
        os.utime(stale, (NOW - 7200, NOW - 7200))
        os.utime(fresh, (NOW - 60, NOW - 60))
        assert ids(parts) == ["r1"]
        parts.tidy(NOW)
        assert fresh.exists() and not stale.exists()


@pytest.mark.parametrize("name", ["it's", "a [b]* ?c", "ünï cöde", 'quo"te'])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    with Parts(place(tmp_path / name), NOTES) as parts:
        for number in range(2):
            parts.write({TODAY: [row(number)]})
        parts.tidy(old(parts))
        assert ids(parts) == ["r0", "r1"]


def test_a_place_that_is_none_is_named_without_its_password() -> None:
    with pytest.raises(UsageError, match=r"^cannot open nowhere://host/x") as caught:
        place("nowhere://user:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_url_of_a_folder_is_a_folder(tmp_path: Path) -> None:
    store = place(f"file://{tmp_path}")
    assert isinstance(store, LocalStore)
    with Parts(store, NOTES) as parts:
        parts.write({TODAY: [row(1)]})
        assert ids(parts) == ["r1"]


def test_a_database_keeps_within_bounds_and_says_nothing_on_the_standard_output() -> None:
    names = ("memory_limit", "threads", "enable_progress_bar", "autoinstall_known_extensions")
    with closing(connect(memory_mb=100, threads=3)) as db:
        asked = ", ".join(f"current_setting('{name}')" for name in names)
        assert db.execute(f"SELECT {asked}").fetchone() == ("95.3 MiB", 3, False, False)


@pytest.mark.parametrize("at", [1e300, -1e300, float("nan"), float("inf")])
def test_a_moment_no_calendar_has_is_an_error(at: float) -> None:
    with pytest.raises(ValueError):
        day_of(at)


def test_days_are_those_of_utc() -> None:
    assert day_of(NOW) == TODAY
    assert day_of(NOW + 12 * 3600 - 0.001) == TODAY
    assert day_of(NOW + 12 * 3600) == date(2026, 11, 29)


@given(
    st.lists(
        st.one_of(
            st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 2)), max_size=6),
            st.sampled_from(["tidy", "late tidy", "half a merge"]),
        ),
        max_size=12,
    )
)
def test_whatever_is_written_and_merged_the_best_of_each_key_is_read(
    steps: Sequence[str | Sequence[tuple[int, int, int]]],
) -> None:
    best: dict[str, int] = {}
    store = MemoryStore()
    with Parts(store, NOTES) as parts:
        for step in steps:
            match step:
                case str():
                    if step == "half a merge":
                        parts.delete = lambda _: None  # type: ignore[assignment, method-assign]
                    parts.tidy(NOW if step == "tidy" or not parts.days() else old(parts))
                    parts.__dict__.pop("delete", None)
                case _:
                    by_day: dict[date, list[Mapping[str, Any]]] = {}
                    for number, version, days in step:
                        by_day.setdefault(day_of(NOW - days * 86_400), []).append(row(number, version=version))
                        best[f"r{number}"] = max(version, best.get(f"r{number}", 0))
                    parts.write(by_day)
            assert {found[0]: found[1] for found in read(parts)} == best


def test_readers_see_each_row_once_while_others_write_and_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 3)
    done = threading.Event()
    failures: list[Exception] = []

    def write(first: int) -> None:
        try:
            with Parts(place(tmp_path), NOTES) as parts:
                for number in range(first, first + 40):
                    parts.write({TODAY: [row(number)]})
                    parts.tidy(NOW)
        except Exception as exc:
            failures.append(exc)
        finally:
            done.set()

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1000)]
    for writer in writers:
        writer.start()
    with Parts(place(tmp_path), NOTES) as parts:
        seen: set[str] = set()
        while not done.is_set():
            found = ids(parts)
            assert len(set(found)) == len(found)
            assert seen <= set(found)
            seen = set(found)
        for writer in writers:
            writer.join()
        assert failures == []
        assert len(ids(parts)) == 80


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(2))
def test_a_writer_that_is_killed_at_any_moment_loses_nothing_it_has_said(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    safe: set[str] = set()
    with Parts(place(tmp_path), NOTES) as parts:
        for turn in range(8):
            first = turn * 1000
            command = [sys.executable, "-m", "tests.consumers.part_writer", str(tmp_path), str(first)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                wanted = chance.randrange(1, 25)
                told = [process.stdout.readline() for _ in range(wanted)]
                threading.Event().wait(chance.random() * 0.02)  # anywhere in the next row, or in a merge
                process.kill()
                told += process.stdout.readlines()
            safe |= {f"r{int(line)}" for line in told if line.endswith(b"\n")}
            found = read(parts)
            names = [one[0] for one in found]
            assert len(set(names)) == len(names)
            assert safe <= set(names)
            for name, version, *_ in found:
                if name in safe:
                    assert version == (2 if int(name[1:]) % 3 == 0 else 1)
        parts.tidy(old(parts))
        assert {one[0] for one in read(parts)} >= safe
        assert all(len(ones) == 1 for ones in parts.days().values())
