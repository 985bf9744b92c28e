"""The archive's parts: one row of each call, whatever comes, in whichever order, and whoever is stopped meanwhile."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore, ObjectStore

from retell_ws.consumers import database
from retell_ws.consumers import shelf as shelves
from retell_ws.consumers.parts import Parts, connect, place
from retell_ws.consumers.shelf import ALONE_BYTES, SETTLE_S, TABLE, Shelf, as_json
from retell_ws.consumers.transcripts import Row, joined, row_of
from retell_ws.entries import Entry

from .damage import beyond
from .held_memory import held_kib
from .s3_server import bucket as bucket
from .s3_server import s3_endpoint as s3_endpoint
from .talks import MIDNIGHT, call_id, expected, mixed, retell, row, socket

DAY_S = 86_400.0
NOON = MIDNIGHT + DAY_S / 2


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "folder":
            return place(tmp_path / "ar[ch]ive *")
        case "memory":
            return MemoryStore()
    return place(request.getfixturevalue("bucket").where)


@pytest.fixture
def shelf(store: ObjectStore) -> Iterator[Shelf]:
    with Shelf(store) as made:
        yield made


def put(shelf: Shelf, *entries: Entry) -> int:
    return shelf.put([found for entry in entries if (found := row_of(entry)) is not None])


def rows(shelf: Shelf, **which: Any) -> dict[str, str]:
    """Read who says last what in each call, as a reader sees it."""
    with closing(connect()) as db:
        count = shelf.read(db, "found", **which)
        found = db.execute("SELECT call_id, lines[-1].text FROM found").fetchall()
    assert len(found) == count == len({one for one, _ in found})
    return dict(found)


def raw(store: ObjectStore) -> list[tuple[str, str]]:
    """Read day and call of all rows there are, with nothing of ours in between."""
    found: list[tuple[str, str]] = []
    for page in store.list():
        for one in page:
            if one["path"].endswith(".parquet"):
                with TemporaryDirectory() as folder, closing(duckdb.connect()) as db:
                    file = Path(folder, "part.parquet")
                    file.write_bytes(bytes(store.get(one["path"]).bytes()))
                    day = one["path"].split("day=")[1][:10]
                    for in_row, call in db.execute("SELECT day, call_id FROM read_parquet(?)", [str(file)]).fetchall():
                        assert str(in_row) == day
                        found.append((day, call))
    return sorted(found)


def test_a_row_comes_back_as_it_was_put(shelf: Shelf) -> None:
    want = row(socket(1), retell(1))
    lines = tuple(msgspec.structs.replace(line, text=line.text + " \u0000 ' \" ünï 🙂") for line in want.lines)
    want = msgspec.structs.replace(want, lines=lines, ended_at=NOON + 0.123)
    assert shelf.put([want]) == 1
    assert shelf.find(call_id(1)) == want
    assert shelf.find(call_id(2)) is None


def test_a_talk_may_be_as_long_as_a_webhook_is(tmp_path: Path) -> None:
    with Shelf(place(tmp_path)) as shelf:
        put(shelf, socket(1), socket(2, words="word " * 3_300_000))
        found = shelf.find(call_id(2))
        assert found is not None and len(found.text) > 16_000_000
        assert put(shelf, retell(1), retell(2)) == 2
        assert len(rows(shelf)) == 2


def test_only_the_owner_can_look_into_a_folder_that_it_makes(tmp_path: Path) -> None:
    with Shelf(place(tmp_path / "archive")):
        assert (tmp_path / "archive").stat().st_mode & 0o777 == 0o700


def test_what_comes_again_is_not_written_again(shelf: Shelf, store: ObjectStore) -> None:
    assert put(shelf, socket(1), retell(1), socket(2)) == 2
    before = [one["path"] for page in store.list() for one in page]
    assert put(shelf, socket(2), socket(1)) == put(shelf, retell(1)) == put(shelf, retell(1, event="call_ended")) == 0
    assert [one["path"] for page in store.list() for one in page] == before


def test_nothing_is_put_when_nothing_comes(shelf: Shelf, store: ObjectStore) -> None:
    assert shelf.put([]) == 0
    assert shelf.mend(NOON) == 0
    assert shelf.is_empty() and rows(shelf) == {} and shelf.find("x") is None


@pytest.mark.parametrize("retell_first", [False, True])
def test_retells_transcript_replaces_the_sockets_in_either_order(
    shelf: Shelf, store: ObjectStore, retell_first: bool
) -> None:
    put(shelf, socket(2))
    for entry in (retell(1), socket(1)) if retell_first else (socket(1), retell(1)):
        put(shelf, entry)
    assert rows(shelf) == {call_id(1): "Bye 1", call_id(2): "Hello 2"}
    assert shelf.find(call_id(1)) == row(socket(1), retell(1))
    assert raw(store) == [("2026-11-28", call_id(1)), ("2026-11-28", call_id(2))]


def test_a_later_epoch_replaces_an_older_one_in_either_order(shelf: Shelf, store: ObjectStore) -> None:
    put(shelf, socket(1, epoch=5, words="five"), socket(2, epoch=7, words="seven"))
    put(shelf, socket(1, epoch=7, words="seven"), socket(2, epoch=5, words="five"))
    assert rows(shelf) == {call_id(1): "seven 1", call_id(2): "seven 2"}
    assert len(raw(store)) == 2


@pytest.mark.parametrize("retell_first", [False, True])
def test_a_call_that_ends_at_midnight_has_one_row_on_the_day_retell_says(
    shelf: Shelf, store: ObjectStore, retell_first: bool
) -> None:
    entries = [socket(1, MIDNIGHT + 30), retell(1, MIDNIGHT - 1)]
    for entry in reversed(entries) if retell_first else entries:
        put(shelf, entry)
    assert raw(store) == [("2026-11-27", call_id(1))]
    assert rows(shelf) == {call_id(1): "Bye 1"}
    assert rows(shelf, since=date(2026, 11, 28)) == {}


def test_a_process_that_starts_anew_finds_what_is_there(store: ObjectStore) -> None:
    for entry in (socket(1), retell(1), socket(1), retell(2), socket(2)):
        with Shelf(store) as shelf:
            put(shelf, entry)
    assert raw(store) == [("2026-11-28", call_id(1)), ("2026-11-28", call_id(2))]


def test_two_that_write_in_turns_see_each_others_calls(store: ObjectStore) -> None:
    entries = mixed(40)
    with Shelf(store) as one, Shelf(store) as other:
        for start in range(0, len(entries), 10):
            put(one, *entries[start : start + 10])
            put(other, *entries[start : start + 10])
        one.tidy(MIDNIGHT + 10 * DAY_S)
        put(other, *entries)
    assert len(raw(store)) == len(expected(entries))


def test_calls_are_found_whatever_databases_were_renewed_between(
    shelf: Shelf, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENTS", 3)
    entries = mixed(40)
    for number in range(0, len(entries), 20):
        put(shelf, *entries[number : number + 20])
    wanted = {one: row.lines[-1].text for one, row in expected(entries).items()}
    assert rows(shelf) == wanted
    assert len(raw(store)) == len(wanted)


def test_batches_that_go_on_and_on_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "STATEMENTS", 20)

    def keep(batches: range) -> None:
        for batch in batches:
            calls = range(40 * batch, 40 * batch + 40)
            put(one, *map(socket, calls))
            put(one, *map(retell, calls))

    with Shelf(place(tmp_path)) as one:
        keep(range(8))
        before = held_kib()
        keep(range(8, 23))
        assert held_kib() - before < 200


def test_two_that_wrote_the_same_call_at_once_are_made_one(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with Shelf(store) as one, Shelf(store) as other:
        put(one, socket(9))
        put(other, socket(8))
        # Each looks before the other has written, as it may be where no lock is.
        with monkeypatch.context() as patch:
            patch.setattr(other._index, "look", lambda days: None)
            put(one, socket(1, MIDNIGHT + 30))
            put(other, retell(1, MIDNIGHT - 1))
        assert len([call for _, call in raw(store) if call == call_id(1)]) == 2
        assert rows(one)[call_id(1)] == "Bye 1"  # and so each reader sees one
        assert one.mend(MIDNIGHT) == 1
        assert [day for day, call in raw(store) if call == call_id(1)] == ["2026-11-27"]
        assert one.mend(MIDNIGHT) == other.mend(MIDNIGHT) == 0


def test_of_many_calls_that_stand_twice_some_are_in_memory_at_a_time(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "SLICE", 4)
    with Shelf(store) as one, Shelf(store) as other:
        monkeypatch.setattr(other._index, "look", lambda days: None)
        for shelf, entry in ((one, socket), (other, retell)):
            for start in range(0, 12, 3):
                put(shelf, *map(entry, range(start, start + 3)))
        assert len(raw(store)) == 24
    with Shelf(store) as one:
        held: list[int] = []
        find = one._rows

        def counted(places: Any) -> Any:
            held.append(len(places))
            return find(places)

        monkeypatch.setattr(one, "_rows", counted)
        assert put(one, socket(20)) == 5  # which does not wait for all of them
        assert len(raw(store)) == 21
        assert one.mend(NOON) == 8
        assert max(held) == 4
        # Those that had to wait were joined all the same, and not the better of two taken.
        for number in range(12):
            assert one.find(call_id(number)) == row(socket(number), retell(number))
    assert len(raw(store)) == 13


def test_a_part_that_goes_away_under_its_hands_is_looked_for_again(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(store) as one, Shelf(store) as other:
        put(one, socket(1), socket(2))
        put(other, socket(3))
        look = one._index.look

        def slow(days: Any) -> None:
            look(days)
            monkeypatch.undo()
            put_unlocked(other, retell(2))

        monkeypatch.setattr(one._index, "look", slow)
        put_unlocked(one, retell(1))
        assert rows(one) == {call_id(1): "Bye 1", call_id(2): "Bye 2", call_id(3): "Hello 3"}
    assert len(raw(store)) == 3


def test_a_call_of_some_days_ago_that_another_process_forgets_holds_nothing_up(store: ObjectStore) -> None:
    with Shelf(store) as one, Shelf(store) as other:
        put(one, socket(1), socket(2))
        for days in (1, 2, 3):
            one.mend(NOON + days * DAY_S)
        assert other.forget(call_id(1))
        assert put(one, socket(3, NOON + 3 * DAY_S)) == 1
        assert one.mend(NOON + 3 * DAY_S) == 0
        assert rows(one).keys() == {call_id(2), call_id(3)}


def put_unlocked(shelf: Shelf, entry: Entry) -> None:
    """Write as if there were no lock, as there is none in an object store."""
    folder, shelf._folder = shelf._folder, None
    put(shelf, entry)
    shelf._folder = folder


def test_a_call_is_forgotten_and_does_not_come_back(shelf: Shelf, store: ObjectStore) -> None:
    put(shelf, socket(1), socket(2))
    assert shelf.forget(call_id(1))
    assert raw(store) == [("2026-11-28", call_id(2))]
    assert put(shelf, socket(1), retell(1), retell(2)) == 1
    with Shelf(store) as other:
        assert put(other, socket(1), retell(1)) == 0
        assert other.find(call_id(1)) is None
        assert other.forget(call_id(1))  # as before
    assert rows(shelf) == {call_id(2): "Bye 2"}
    assert raw(store) == [("2026-11-28", call_id(2))]


def test_the_last_call_of_a_part_is_forgotten_with_it(shelf: Shelf, store: ObjectStore) -> None:
    put(shelf, socket(1))
    assert shelf.forget(call_id(1))
    assert raw(store) == [] and shelf.is_empty()


def test_a_call_nobody_knows_is_not_forgotten(shelf: Shelf) -> None:
    put(shelf, socket(1))
    assert not shelf.forget(call_id(2))
    assert put(shelf, socket(2)) == 1


def test_a_call_that_is_written_while_it_is_forgotten_is_out_after_the_next_look(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(store) as one, Shelf(store) as other:
        put(one, socket(1))
        with monkeypatch.context() as patch:
            patch.setattr(other, "forgotten", lambda: set())
            assert one.forget(call_id(1))
            put(other, retell(1))
        assert rows(one) == {} and one.find(call_id(1)) is None  # nobody reads it
        assert len(raw(store)) == 1
        assert other.mend(NOON) == 1
        assert raw(store) == []


def test_a_call_that_is_forgotten_while_its_part_is_merged_does_not_stay_in_the_merged_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()  # where no lock keeps two processes apart
    with Shelf(store) as one, Shelf(store) as other:
        put(one, socket(1), socket(2))
        put(one, socket(3))
        put(one, socket(4, NOON - 9 * DAY_S))
        write = one._parts._put

        def slow(*given: Any, **named: Any) -> Any:
            monkeypatch.undo()
            assert other.forget(call_id(1))
            return write(*given, **named)

        monkeypatch.setattr(one._parts, "_put", slow)
        one.tidy(time.time() + 2 * DAY_S)
        assert call_id(1) not in rows(one)
    assert [call for _, call in raw(store)] == [call_id(4), call_id(2), call_id(3)]


def damage(store: ObjectStore, path: str, column: str) -> None:
    """Make one column of a part unreadable; with no column, all of it."""
    content = bytearray(bytes(store.get(path).bytes()))
    with TemporaryDirectory() as folder, closing(duckdb.connect()) as db:
        file = Path(folder, "part.parquet")
        file.write_bytes(content)
        query = "SELECT data_page_offset, total_compressed_size FROM parquet_metadata(?) WHERE path_in_schema = ?"
        for begin, size in db.execute(query, [str(file), column]).fetchall():
            content[begin : begin + size] = bytes(size)
    store.put(path, bytes(content) if column else b"")


@pytest.mark.parametrize("column", ["", "call_id", "text"])
def test_a_part_that_is_damaged_takes_no_other_call_with_it(
    store: ObjectStore, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Shelf(store) as shelf:
        put(shelf, socket(1))
        (path,) = [one["path"] for page in store.list() for one in page if one["path"].endswith(".parquet")]
        put(shelf, socket(2), socket(3, NOON - DAY_S))
    damage(store, path, column)
    with Shelf(store) as shelf:
        assert put(shelf, retell(1), retell(2), socket(4)) == 3  # the first one, as if it were new
        assert caplog.text.count(path) == 1
        assert rows(shelf).keys() == {call_id(number) for number in (1, 2, 3, 4)}
        assert shelf.find(call_id(3)) is not None
        assert shelf.forget(call_id(2))
        assert shelf.mend(NOON) == 0
        shelf.tidy(time.time() + 2 * DAY_S)
        assert rows(shelf).keys() == {call_id(number) for number in (1, 3, 4)}
    assert caplog.text.count(path) == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_a_part_of_which_duckdb_says_that_it_cannot_be_read_is_put_aside_as_any_damaged_one(
    store: ObjectStore, is_known: bool
) -> None:
    with Shelf(store) as shelf:
        put(shelf, socket(1))
    with Shelf(store) as shelf:
        if is_known:
            assert shelf.mend(NOON) == 0
        (path,) = [one["path"] for page in store.list() for one in page if one["path"].endswith(".parquet")]
        store.put(path, beyond(bytes(store.get(path).bytes())))
        assert put(shelf, retell(1), socket(2)) == 2
        assert rows(shelf).keys() == {call_id(1), call_id(2)}
        assert store.head(f"{path}.damaged")


@pytest.mark.parametrize("is_known", [True, False])
def test_a_damaged_part_that_another_process_puts_aside_in_the_same_moment_holds_nothing_up(
    store: ObjectStore, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(store) as shelf:
        put(shelf, socket(1))
    with Shelf(store) as shelf, Shelf(store) as other:
        if is_known:
            assert shelf.mend(NOON) == 0
        (path,) = [one["path"] for page in store.list() for one in page if one["path"].endswith(".parquet")]
        store.put(path, b"")
        put_aside = shelf._parts.put_aside

        def late(*given: Any) -> bool:
            monkeypatch.undo()
            assert rows(other) == {}
            return put_aside(*given)

        monkeypatch.setattr(shelf._parts, "put_aside", late)
        assert put(shelf, retell(1)) == 1
        assert rows(shelf).keys() == {call_id(1)}


def test_many_damaged_parts_hold_nothing_up(store: ObjectStore) -> None:
    for number in range(shelves.TRIES + 5):
        store.put(f"transcripts/day=2026-11-28/part-{number:02}.parquet", b"")
    with Shelf(store) as shelf:
        assert put(shelf, socket(1)) == 1
        assert rows(shelf).keys() == {call_id(1)}


def test_a_part_that_could_not_be_read_once_is_read_the_next_time(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(store) as shelf:
        put(shelf, socket(1))
    with Shelf(store) as shelf:
        execute = shelf._db.execute

        def short_of_memory(query: str, values: Any = ()) -> Any:
            if "INSERT" in query:
                raise duckdb.OutOfMemoryException("no room")
            return execute(query, values)

        with monkeypatch.context() as patch:
            patch.setattr(shelf._db, "execute", short_of_memory)
            with pytest.raises(duckdb.OutOfMemoryException):
                put(shelf, retell(1))
        assert put(shelf, retell(1)) == 1
        assert len(raw(store)) == 1


def test_days_that_are_too_old_go_and_with_them_what_was_forgotten(shelf: Shelf, store: ObjectStore) -> None:
    put(shelf, socket(1, NOON - 10 * DAY_S), socket(2), socket(3))
    shelf.forget(call_id(3))
    written = max(one["last_modified"].timestamp() for page in store.list() for one in page)
    shelf.tidy(NOON, keep_days=10)
    assert len(raw(store)) == 2
    shelf.tidy(NOON, keep_days=9)
    assert raw(store) == [("2026-11-28", call_id(2))]
    shelf.tidy(written + 9.5 * DAY_S, keep_days=9)
    assert shelf.forgotten() == {call_id(3)}
    shelf.tidy(written + 20 * DAY_S, keep_days=0)
    assert shelf.forgotten() == {call_id(3)}
    shelf.tidy(written + 20 * DAY_S, keep_days=9)
    assert shelf.forgotten() == set()


def test_a_past_day_becomes_one_part_and_fresh_ones_stay_small(shelf: Shelf, store: ObjectStore) -> None:
    for number in range(5):
        put(shelf, socket(number))
    count = len([one for page in store.list(TABLE.name) for one in page if one["path"].endswith(".parquet")])
    assert count == 5
    written = max(one["last_modified"].timestamp() for page in store.list() for one in page)
    shelf.tidy(written + SETTLE_S / 2)
    assert len(raw(store)) == 5
    shelf.tidy(max(NOON, written) + 2 * DAY_S)
    assert len([one for page in store.list(TABLE.name) for one in page if one["path"].endswith(".parquet")]) == 1
    put(shelf, *map(retell, range(5)))
    assert rows(shelf) == {call_id(number): f"Bye {number}" for number in range(5)}


def test_a_day_of_more_than_the_memory_holds_is_merged_and_rewritten(tmp_path: Path) -> None:
    with Shelf(place(tmp_path), memory_mb=256) as shelf:
        words = " ".join(str(number * 7919) for number in range(1500))  # 10 KB, twice in a row: 200 MB in all
        for start in range(0, 10_000, 500):
            put(shelf, *(socket(number, words=f"{words} {number}") for number in range(start, start + 500)))
        shelf.tidy(time.time() + 2 * DAY_S)
        assert [len(parts) for parts in shelf._parts.days().values()] == [1]
        assert put(shelf, retell(1), retell(9999)) == 2
        with closing(connect()) as db:
            assert shelf.read(db, "found", columns=("call_id",)) == 10_000


class Weighing:
    """A store that counts the bytes put into it."""

    def __init__(self) -> None:
        self.store, self.written = MemoryStore(), 0
        self.prefix = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, path: str, file: Path | bytes) -> None:
        self.written += file.stat().st_size if isinstance(file, Path) else len(file)
        self.store.put(path, file)


def test_what_a_batch_writes_does_not_grow_with_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "ALONE_BYTES", 20_000)
    store, written = Weighing(), []
    with Shelf(store) as shelf:  # type: ignore[arg-type]
        for start in range(0, 600, 10):  # the calls of a batch end, and of those before Retell has the last word
            before = store.written
            ended = (socket(number, words=speech(number)) for number in range(start, start + 10))
            told = (retell(number, words=speech(number)) for number in range(max(start - 10, 0), start))
            put(shelf, *ended, *told)
            written.append(store.written - before)
        assert len(rows(shelf)) == 600
    assert max(written[-20:]) < 1.2 * max(written[10:30])
    assert len(raw(store.store)) == 600  # and none stands twice


def speech(seed: int) -> str:
    chance = random.Random(seed)
    return " ".join(str(chance.random()) for _ in range(40))


def test_many_days_are_looked_at_in_one_batch(shelf: Shelf) -> None:
    entries = [socket(number, NOON - number * DAY_S) for number in range(30)]
    assert put(shelf, *entries) == 30
    assert put(shelf, *entries) == 0
    assert put(shelf, *(retell(number, NOON - number * DAY_S) for number in range(30))) == 30
    assert len(rows(shelf)) == 30
    assert shelf.find(call_id(29)) is not None


class Dying:
    """A store that stops whoever uses it at one of its steps, as kill -9 does: nothing after it is done."""

    def __init__(self, store: MemoryStore, *, after: int) -> None:
        self.store, self.left = store, after
        self.prefix = None

    def __getattr__(self, name: str) -> Any:
        def step(*given: Any, **named: Any) -> Any:
            if name in ("put", "delete"):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            return getattr(self.store, name)(*given, **named)

        return step


@pytest.mark.parametrize("alone", [0, ALONE_BYTES])
def test_whenever_it_stops_no_call_is_lost_and_each_is_one_after_the_next_batch(
    alone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "ALONE_BYTES", alone)
    first = [socket(number, MIDNIGHT + number) for number in range(4)]
    then = [*(retell(number, MIDNIGHT - 1) for number in range(3)), socket(5, MIDNIGHT - 5), socket(3, epoch=2)]
    for after in range(100):
        store = MemoryStore()
        with Shelf(store) as shelf:
            put(shelf, *first[:2])
            put(shelf, *first[2:])
        dying = Dying(store, after=after)
        with Shelf(dying) as shelf:  # type: ignore[arg-type]
            try:
                put(shelf, *then)
                stopped = False
            except KeyboardInterrupt:
                stopped = True
        with Shelf(store) as shelf:
            assert {call_id(number) for number in range(4)} <= rows(shelf).keys()
            put(shelf, *then)  # it was not committed, so it comes again
            assert len(raw(store)) == 5
            want = expected([*first, *then])
            assert {one: shelf.find(one) for one in want} == want
        if not stopped:
            assert after >= 4
            return
    raise AssertionError("it never came to its end")


@settings(max_examples=8)  # each opens archives again and again
@given(st.lists(st.integers(0, 8), max_size=12), st.integers(0, 2**32))
@pytest.mark.parametrize("alone", [0, 4_000, ALONE_BYTES])
def test_whatever_comes_and_wherever_it_stops_there_is_one_row_of_each_call(
    alone: int, stops: list[int], seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shelves, "ALONE_BYTES", alone)
        one_row_of_each(stops, seed)


def one_row_of_each(stops: list[int], seed: int) -> None:
    chance = random.Random(seed)
    entries = mixed(12, seed=seed)
    store = MemoryStore()
    done = 0
    while done < len(entries):
        dying = Dying(store, after=stops.pop() if stops else -1)
        with Shelf(dying) as shelf:  # type: ignore[arg-type]
            try:
                while done < len(entries):
                    size = chance.randint(2, 12)
                    put(shelf, *entries[done : done + size])
                    done += size
                    if chance.random() < 0.2:
                        shelf.tidy(MIDNIGHT + 10 * DAY_S)
            except KeyboardInterrupt:
                continue
    with Shelf(store) as shelf:
        shelf.mend(MIDNIGHT)
        want = expected(entries)
        assert rows(shelf) == {one: found.lines[-1].text for one, found in want.items()}
        one = chance.choice(sorted(want))
        assert said(shelf.find(one)) == said(want[one])
    assert len(raw(store)) == len(want)


def said(found: Row | None) -> Row | None:
    """Leave out which of two entries that tell the same it was made of."""
    return found and msgspec.structs.replace(found, entry_id="")


def test_writers_of_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    store = place(tmp_path)
    with Shelf(store) as one, Shelf(store) as other:
        with one._alone():
            writer = threading.Thread(target=put, args=(other, socket(1)))
            writer.start()
            writer.join(0.3)
            assert writer.is_alive() and raw(store) == []
        writer.join()
        assert len(raw(store)) == 1


def test_the_rows_order_is_that_of_joining(tmp_path: Path) -> None:
    """What a reader takes of two rows is the one the other was joined into."""
    entries = mixed(60, seed=3)
    chance = random.Random(3)
    with Parts(MemoryStore(), TABLE) as parts, closing(connect()) as db:
        for entry in entries:
            if (found := row_of(entry)) is None:
                continue
            others = [one for one in map(row_of, entries) if one and one.call_id == found.call_id]
            whole = joined(found, chance.choice(others))
            day = date(2026, 11, 28)
            parts.write({day: [as_json(found)]})
            parts.write({day: [as_json(whole)]})
            parts.read(db, "found", where="call_id = ?", given=[found.call_id])
            assert db.execute("SELECT turns, epoch, source FROM found").fetchone() == (
                whole.turns,
                whole.epoch,
                whole.source,
            )
            for part in parts.days()[day]:
                parts.delete([part])


def test_no_speech_is_left_outside_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with Shelf(place(tmp_path / "archive")) as shelf:
        put(shelf, socket(1, words="canary"))
        put(shelf, retell(1))
        held = [Path(folder, name) for folder, _, names in os.walk(scratch) for name in names]
        assert [file for file in held if b"canary" in file.read_bytes()] == []
    assert list(scratch.iterdir()) == []
