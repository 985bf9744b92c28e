"""The journal's file: what is in it, in which order, for how long, and what becomes of it when the disk is bad."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retell_ws import journal as module
from retell_ws import journal_file
from retell_ws.entries import AnyFact, Weight, decode
from retell_ws.errors import JournalError, UsageError
from retell_ws.facts import CallStarted, Detached, UnknownMessage
from retell_ws.journal import CHUNK, NAME, RELAY, TAKEN_S, Journal, Row
from retell_ws.journal_file import JournalFile
from retell_ws.speech_facts import CallTranscript, Line, WebhookReceived

from .fact_makers import entry, row, rows

MB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    made = Journal(folder)
    yield made
    made.close()


def ids(journal: Journal, after: int = 0, limit: int = 1000) -> list[str]:
    return [written.id for written in journal.read(after, limit)]


def all_ids(journal: Journal) -> list[str]:
    found: list[str] = []
    position = 0
    while read := journal.read(position, 1000):
        found += [written.id for written in read]
        position = read[-1].position
    return found


def raw(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / NAME, isolation_level=None)


# ---------------------------------------------------------------------------- entries


def test_entries_are_read_as_they_were_written_in_order(journal: Journal) -> None:
    journal.append(rows(200))
    read = journal.read(0, 1000)
    assert [decode(written.data) for written in read] == [entry(number) for number in range(200)]
    assert [written.position for written in read] == sorted({written.position for written in read})
    first = read[0]
    assert (first.id, first.call_id, first.kind, first.weight) == ("call_1/0", "call_1", "detached", Weight.EVENT)
    assert first.at == entry(0).at
    assert ids(journal, read[9].position, 3) == ["call_1/10", "call_1/11", "call_1/12"]
    assert ids(journal, read[-1].position) == []
    assert journal.end() == read[-1].position


def test_an_id_is_taken_once(journal: Journal) -> None:
    journal.append([row(1), row(2), row(1)])
    journal.append([row(2), row(3)])
    assert ids(journal) == ["call_1/1", "call_1/2", "call_1/3"]


def test_an_id_that_is_remembered_is_not_taken_again_when_its_entry_is_gone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append([row(1, once=True), row(2)])
    journal.move(RELAY, journal.end())
    assert not journal.tidy(relayed=True)
    assert ids(journal) == []
    journal.append([row(1, once=True), row(2)])
    assert ids(journal) == ["call_1/2"]
    later = time.time() + TAKEN_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    journal.move(RELAY, journal.end())
    journal.tidy(relayed=True)
    journal.append([row(1, once=True)])
    assert ids(journal) == ["call_1/1"]


def test_long_entries_are_read_few_at_a_time(journal: Journal) -> None:
    long = [row(number, CallTranscript((Line("user", "x" * 3 * MB),), 1.0, 1)) for number in range(3)]
    journal.append(long)
    assert ids(journal) == ["call_1/0"]
    assert ids(journal, journal.read(0, 1)[0].position) == ["call_1/1"]


def test_all_of_it_is_there_for_the_next_process(folder: Path, journal: Journal) -> None:
    journal.append(rows(3))
    journal.close()
    again = Journal(folder)
    assert len(ids(again)) == 3
    again.append([row(7)])
    assert ids(again)[-1] == "call_1/7"
    again.close()


def test_several_writers_share_the_file_and_readers_miss_nothing(folder: Path, journal: Journal) -> None:
    each, batch, failures = 400, 8, []

    def write(name: str) -> None:
        own = Journal(folder)
        try:
            for first in range(0, each, batch):
                own.append([row(number, call_id=name) for number in range(first, first + batch)])
        except JournalError as exc:
            failures.append(exc)
        finally:
            own.close()

    threads = [threading.Thread(target=write, args=(f"call_{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    position = 0
    while any(thread.is_alive() for thread in threads) or len(seen) < 3 * each:
        for written in journal.read(position, 50):
            seen.append(written.id)
            position = written.position
        if failures:
            break
    for thread in threads:
        thread.join()
    assert not failures
    assert len(seen) == len(set(seen)) == 3 * each
    for number in range(3):
        own = [id_ for id_ in seen if id_.startswith(f"call_{number}/")]
        assert own == [f"call_{number}/{at}" for at in range(each)]


# ---------------------------------------------------------------------------- who has read what


def test_a_consumer_begins_with_the_oldest_entry_and_goes_on_where_it_was(journal: Journal) -> None:
    journal.append(rows(5))
    begin = journal.register("analytics")
    assert len(ids(journal, begin)) == 5
    journal.move("analytics", begin + 3)
    journal.move("analytics", begin + 1)
    assert journal.register("analytics") == begin + 3


def test_a_consumer_of_an_empty_journal_reads_what_comes(journal: Journal) -> None:
    begin = journal.register("analytics")
    assert begin == journal.end()
    journal.append(rows(1))
    assert len(ids(journal, begin)) == 1


def test_entries_stay_until_all_consumers_have_them(journal: Journal) -> None:
    assert not journal.tidy(relayed=False)
    journal.append(rows(10))
    begin = journal.register("one")
    journal.register("other")
    journal.move("one", begin + 10)
    journal.move("other", begin + 4)
    journal.move(RELAY, begin + 1)
    journal.tidy(relayed=False)
    assert len(ids(journal)) == 6
    journal.forget("other")
    journal.tidy(relayed=False)
    assert ids(journal) == []


def test_entries_stay_until_the_relay_has_them_whatever_consumers_have(journal: Journal) -> None:
    journal.append(rows(10))
    begin = journal.register(RELAY)
    journal.move("one", begin + 10)
    journal.tidy(relayed=True)
    assert len(ids(journal)) == 10
    journal.move(RELAY, begin + 4)
    journal.tidy(relayed=True)
    assert len(ids(journal)) == 6


def test_it_removes_a_chunk_at_a_time(journal: Journal) -> None:
    journal.append(rows(CHUNK + 1))
    journal.move("one", journal.end())
    assert journal.tidy(relayed=False)
    assert len(ids(journal)) == 1
    assert not journal.tidy(relayed=False)
    assert ids(journal) == []


def test_dead_letters_stay_apart_and_are_bounded(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEAD_ROOM", 3)
    journal.append(rows(5))
    for written in journal.read(0, 4):
        journal.bury("archive", written, "no reason")
    journal.bury("archive", entry(4), "another reason")
    with closing(raw(folder)) as db:
        dead = db.execute("SELECT consumer, id, why, data FROM dead ORDER BY number").fetchall()
    assert [letter[:3] for letter in dead] == [
        ("archive", "call_1/2", "no reason"),
        ("archive", "call_1/3", "no reason"),
        ("archive", "call_1/4", "another reason"),
    ]
    assert [decode(letter[3]) for letter in dead] == [entry(2), entry(3), entry(4)]
    assert len(ids(journal)) == 5


# ---------------------------------------------------------------------------- room


def filling(letters: str) -> list[Row]:
    """Make entries of about 2 KB: `m`etrics, `e`vents and `k`ept ones."""
    text = "x" * 2000
    made = []
    for number, letter in enumerate(letters):
        facts: dict[str, AnyFact] = {"m": UnknownMessage(), "e": Detached(), "k": CallStarted()}
        one = row(number, facts[letter])
        made.append(Row(f"{letter}{number}", one.call_id, one.kind, one.weight, one.at, text.encode()))
    return made


def test_without_room_metrics_go_first_then_events_and_the_oldest_of_them(folder: Path) -> None:
    journal = Journal(folder, limit_bytes=12 * MB)
    dropped: dict[Weight, int] = {}
    for begin in range(0, 9000, 300):
        batch = [
            Row(f"{one.id}-{begin}", one.call_id, one.kind, one.weight, one.at, one.data)
            for one in filling("mek" * 100)
        ]
        journal.append(batch)
        for weight, count in journal.make_room().items():
            dropped[weight] = dropped.get(weight, 0) + count
        assert not journal.is_over()
    left = all_ids(journal)
    kept = [one for one in left if one[0] == "k"]
    assert len(kept) == 30 * 100
    assert dropped[Weight.METRIC] >= dropped[Weight.EVENT] > 0
    assert Weight.KEPT not in dropped
    for letter, weight in (("m", Weight.METRIC), ("e", Weight.EVENT)):
        own = [one for one in left if one[0] == letter]
        assert len(own) == 3000 - dropped[weight]
        every = [f"{letter}{at}-{begin}" for begin in range(0, 9000, 300) for at in range("me".index(letter), 300, 3)]
        assert own == every[dropped[weight] :]
    journal.close()


def test_what_is_kept_stays_and_the_file_grows(folder: Path) -> None:
    journal = Journal(folder, limit_bytes=1 * MB)
    journal.append(filling("k" * 1000))
    assert journal.make_room() == {}
    assert journal.is_over()
    assert len(ids(journal)) == 1000
    journal.close()


@settings(max_examples=10)
@given(st.text("mek", min_size=300, max_size=900))
def test_nothing_is_dropped_while_something_lighter_is_there(tmp_path_factory: pytest.TempPathFactory, it: str) -> None:
    journal = Journal(tmp_path_factory.mktemp("data"), limit_bytes=1 * MB)
    journal.append(filling(it))
    dropped = journal.make_room()
    left = "".join(one[0] for one in ids(journal))
    assert left.count("k") == it.count("k")
    assert it.count("e") - left.count("e") == dropped.get(Weight.EVENT, 0)
    assert it.count("m") - left.count("m") == dropped.get(Weight.METRIC, 0)
    if Weight.EVENT in dropped:
        assert "m" not in left
    assert not journal.is_over() or set(left) <= {"k"}
    journal.close()


def test_without_a_limit_nothing_is_dropped(journal: Journal) -> None:
    journal.append(filling("m" * 2000))
    assert journal.make_room() == {}
    assert not journal.is_over()


def test_room_that_entries_leave_is_used_again_and_given_back(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove_all() -> None:
        journal.move("one", journal.end())
        while journal.tidy(relayed=False):
            pass

    journal.append(filling("e" * 2000))
    full = journal.used_bytes()
    remove_all()
    assert journal.used_bytes() < full / 20
    journal.append(filling("e" * 2000))
    with closing(raw(folder)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    assert pages * 4096 < full * 1.2
    monkeypatch.setattr(module, "FREE_PAGES", 100)
    remove_all()
    for _ in range(200):
        journal.tidy(relayed=False)
    with closing(raw(folder)) as db:
        assert db.execute("PRAGMA page_count").fetchone()[0] < pages / 4


def test_it_counts_what_waits(journal: Journal) -> None:
    assert journal.waiting() == (0, None)
    journal.append(rows(3))
    assert journal.waiting() == (3, entry(0).at)


# ---------------------------------------------------------------------------- a bad disk


def test_nobody_else_may_look_into_it(folder: Path, journal: Journal) -> None:
    journal.append(rows(3))
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {NAME, f"{NAME}-wal"} <= set(modes)


def test_a_folder_that_is_there_is_left_as_it_is(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    Journal(folder).close()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755


@pytest.mark.parametrize("sync", [False, True])
def test_it_waits_for_the_disk_when_it_is_told_to(folder: Path, sync: bool) -> None:
    journal = Journal(folder, sync=sync)
    assert journal._file.pragma("synchronous") == (2 if sync else 1)
    assert journal._file.do(lambda db: db.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    journal.close()


def test_a_file_of_another_version_is_refused(folder: Path, journal: Journal) -> None:
    journal.close()
    with closing(raw(folder)) as db:
        db.execute("UPDATE meta SET value = 2 WHERE name = 'version'")
    with pytest.raises(UsageError, match="version 2"):
        Journal(folder)


def test_a_database_of_somebody_elses_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    with closing(raw(folder)) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UsageError, match="no journal"):
        Journal(folder)
    with closing(raw(folder)) as db:
        assert db.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no journal of facts in .*file"):
        Journal(tmp_path / "file" / "data")


def damaged_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{NAME}.damaged-*") if path.name.rpartition("-")[2].isdigit()]


def test_a_damaged_file_is_moved_aside_at_the_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(b"this is no database at all" * 1000)
    journal = Journal(folder)
    journal.append(rows(1))
    assert len(ids(journal)) == 1
    (aside,) = damaged_files(folder)
    assert aside.read_bytes().startswith(b"this is no database")
    assert "damaged" in caplog.text
    journal.close()


def test_a_file_that_turns_out_to_be_damaged_is_moved_aside_and_the_entry_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(folder)
    journal.append(filling("e" * 500))
    end = journal.end()
    other = Journal(folder)
    other.register("one")
    journal._file.do(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), writes=False)
    journal.close()
    other.close()
    journal, other = Journal(folder), Journal(folder)
    with open(folder / NAME, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(300 * 4096))
    caplog.set_level(logging.ERROR)
    journal.append([row(1)])
    assert ids(journal) == ["call_1/1"]
    assert journal.read(0, 1)[0].position > end
    assert len(damaged_files(folder)) == 1
    # The other process finds the new file, and moves nothing aside again.
    assert other.look_again()
    assert not other.look_again()
    assert ids(other) == ["call_1/1"]
    other.append([row(2)])
    assert ids(journal) == ["call_1/1", "call_1/2"]
    assert len(damaged_files(folder)) == 1
    journal.close()
    other.close()


def test_a_full_disk_is_an_error_and_all_goes_on_when_there_is_room(folder: Path, journal: Journal) -> None:
    journal.append(rows(1))
    pages = journal._file.pragma("page_count")
    journal._file.do(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 10}").fetchall(), writes=False)
    with pytest.raises(JournalError, match="full"):
        journal.append(filling("e" * 1000))
    assert len(ids(journal)) == 1
    journal._file.do(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall(), writes=False)
    journal.append(filling("e" * 1000))
    assert len(ids(journal, 0, 2000)) == 1001


def test_entries_leave_room_on_the_disk_for_their_own_removal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(folder, limit_bytes=100 * MB)
    disk = os.statvfs(folder)
    free = module.SPARE_BYTES
    monkeypatch.setattr(os, "statvfs", lambda _: Disk(free // disk.f_frsize, disk.f_frsize))
    journal.append(rows(1))
    free = MB
    with pytest.raises(JournalError, match="nearly full"):
        journal.append([row(2)])
    journal.move("archive", journal.end())
    journal.tidy(relayed=False)
    journal.append([row(3)])
    assert ids(journal) == ["call_1/3"], "of an empty one something may come, however little there is"
    journal.close()


class Disk(NamedTuple):
    f_bavail: int
    f_frsize: int


def test_a_journal_that_somebody_keeps_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, journal: Journal
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_S", 0.05)
    waiting = Journal(folder)
    db = raw(folder)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="locked"):
        waiting.append(rows(1))
    assert ids(waiting) == []
    db.execute("ROLLBACK")
    waiting.append(rows(1))
    assert len(ids(waiting)) == 1
    db.close()
    waiting.close()


def test_a_file_that_was_deleted_is_made_again(folder: Path, journal: Journal) -> None:
    journal.append(rows(1))
    for path in folder.glob(f"{NAME}*"):
        path.unlink()
    assert journal.look_again()
    journal.append([row(2)])
    again = Journal(folder)
    assert ids(again) == ["call_1/2"]
    again.close()


def test_a_folder_that_was_deleted_is_made_again(folder: Path, journal: Journal) -> None:
    journal.append(rows(1))
    shutil.rmtree(folder)
    assert journal.look_again()
    journal.append([row(2)])
    assert ids(journal) == ["call_1/2"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_words_of_people_are_in_no_error(folder: Path, journal: Journal) -> None:
    journal._file.do(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall(), writes=False)
    secret = row(1, WebhookReceived("x", {"transcript": "a secret" * 100_000}))
    with pytest.raises(JournalError) as caught:
        journal.append([secret])
    assert "secret" not in str(caught.value)


def damage(folder: Path, journal: Journal) -> None:
    """Spoil the file under a journal that has written to it, and that has not read it since."""
    journal._file.do(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), writes=False)
    journal._file._db.close()
    journal._file._connect()
    with open(folder / NAME, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(300 * 4096))


def test_a_new_file_that_cannot_be_made_yet_is_made_later(
    folder: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(filling("e" * 500))
    damage(folder, journal)
    real = JournalFile._set_up
    is_full = True

    def set_up(self: JournalFile) -> None:
        if is_full:
            raise sqlite3.OperationalError("database or disk is full")
        real(self)

    monkeypatch.setattr(JournalFile, "_set_up", set_up)
    for _ in range(3):
        with pytest.raises(JournalError, match="full"):
            journal.append([row(1)])
        with pytest.raises(JournalError, match="full"):
            journal.look_again()
    is_full = False
    journal.append([row(1)])
    assert ids(journal) == ["call_1/1"]
    assert not journal.look_again()


def test_a_consumer_that_finds_the_damage_has_entries_kept_for_it_in_the_new_file(
    folder: Path, journal: Journal
) -> None:
    journal.append(filling("e" * 500))
    other = Journal(folder)
    other.register("slow")
    damage(folder, other)
    assert all_ids(other) == []
    journal.look_again()
    journal.append(rows(3))
    journal.move("quick", journal.end())
    assert not journal.tidy(relayed=False)
    assert len(ids(other)) == 3, "what another one has is still there for this one"
    other.close()
