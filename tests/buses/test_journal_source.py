"""The journal as what a consumer reads: each entry at least once, in order, soon, and by one reader of a name."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from retell_ws import journal_file
from retell_ws.buses.journal import POLL_S, JournalSource, let_go
from retell_ws.entries import Entry, UnknownFact
from retell_ws.errors import BusError, UsageError
from retell_ws.facts import Detached, Escalated
from retell_ws.journal import NAME, RELAY, Journal
from retell_ws.outbox import Outbox

from ..fact_makers import Pigeon, entry, rows
from ..processes import launched
from ..waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")


async def write(folder: Path, *numbers: int) -> None:
    def append() -> None:
        journal = Journal(folder)
        journal.append([rows(number + 1)[number] for number in numbers])
        journal.close()

    await asyncio.to_thread(append)


def delete(folder: Path) -> None:
    for path in folder.glob(f"{NAME}*"):
        path.unlink()


async def seqs(source: JournalSource, limit: int = 100, wait_s: float = 5.0) -> list[int]:
    return [one.seq for one in await source.read(limit, wait_s)]


async def test_entries_are_given_in_order_and_not_again_once_committed(tmp_path: Path) -> None:
    await write(tmp_path, *range(5))
    async with JournalSource(tmp_path, "archive") as source:
        assert source.lag() is None
        assert await source.read(2, 1.0) == [entry(0), entry(1)]
        assert source.lag() == 3
        await source.commit()
        assert await seqs(source) == [2, 3, 4]
        assert source.lag() == 0
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source) == [2, 3, 4], "they were not committed"
        await source.commit()
        await source.commit()
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source, wait_s=0.0) == []


async def test_each_consumer_has_a_cursor_of_its_own_and_so_has_the_relay(tmp_path: Path) -> None:
    await write(tmp_path, 0, 1)
    bus = Pigeon()
    async with JournalSource(tmp_path, "archive") as one, JournalSource(tmp_path, "analytics") as other:
        assert await seqs(one) == [0, 1]
        await one.commit()
        assert await seqs(other) == [0, 1]
        async with Outbox(tmp_path, server="here", bus=bus):
            await until(lambda: len(bus.got) == 2)


async def test_a_new_entry_is_read_soon(tmp_path: Path) -> None:
    async with Outbox(tmp_path, server="here") as outbox, JournalSource(tmp_path, "escalation") as source:
        waits = []
        for number in range(10):
            begun = time.monotonic()
            outbox.put("call_1", 1, number, Detached())
            assert await seqs(source) == [number]
            waits.append(time.monotonic() - begun)
        assert min(waits) < 5 * POLL_S


async def test_reading_ends_when_nothing_comes(tmp_path: Path) -> None:
    async with JournalSource(tmp_path, "archive") as source:
        begun = time.monotonic()
        assert await seqs(source, wait_s=0.1) == []
        assert 0.1 <= time.monotonic() - begun < 5


async def test_a_read_that_is_cancelled_loses_nothing(tmp_path: Path) -> None:
    async with JournalSource(tmp_path, "archive") as source:
        seen: list[int] = []
        for number in range(20):
            reading = asyncio.ensure_future(seqs(source, wait_s=60.0))
            await write(tmp_path, number)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                seen += await reading  # it was quicker
        begun = time.monotonic()
        while len(seen) < 20:
            seen += await seqs(source)
        assert seen == list(range(20))
        assert time.monotonic() - begun < 10


async def test_facts_of_its_own_are_for_all_consumers_and_taken_once(tmp_path: Path) -> None:
    own = entry(7, Escalated("a rule", "say", "done", 0.5))
    async with JournalSource(tmp_path, "escalation") as source, JournalSource(tmp_path, "archive") as other:
        await source.put(own)
        await source.put(own)
        assert await other.read(10, 5.0) == [own]
        assert await source.read(10, 5.0) == [own]


async def test_what_it_cannot_handle_is_buried(tmp_path: Path) -> None:
    await write(tmp_path, 0, 1)
    async with JournalSource(tmp_path, "archive") as source:
        for one in await source.read(10, 5.0):
            await source.bury(one, "no reason")
        await source.commit()
    with closing(sqlite3.connect(tmp_path / NAME)) as db, db:
        assert db.execute("SELECT consumer, id, why FROM dead ORDER BY number").fetchall() == [
            ("archive", "call_1/0", "no reason"),
            ("archive", "call_1/1", "no reason"),
        ]


async def test_what_is_no_entry_is_buried_and_passed_over(tmp_path: Path) -> None:
    await write(tmp_path, 0, 1, 2)
    with closing(sqlite3.connect(tmp_path / NAME)) as db, db:
        db.execute("UPDATE entries SET data = 'garbage' WHERE id = 'call_1/1'")
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source) == [0, 2]
    with closing(sqlite3.connect(tmp_path / NAME)) as db, db:
        ((id_, why),) = db.execute("SELECT id, why FROM dead").fetchall()
        assert id_ == "call_1/1" and "garbage" not in why


async def test_a_fact_of_a_later_version_is_given(tmp_path: Path) -> None:
    await write(tmp_path, 0)
    with closing(sqlite3.connect(tmp_path / NAME)) as db, db:
        db.execute("""UPDATE entries SET data = replace(CAST(data AS TEXT), '"detached"', '"danced"')""")
    async with JournalSource(tmp_path, "archive") as source:
        (one,) = await source.read(10, 5.0)
        assert one.fact == UnknownFact("danced", {"fact": "danced"})


async def test_of_two_readers_of_a_name_one_waits_until_the_other_is_gone(tmp_path: Path) -> None:
    await write(tmp_path, 0, 1)
    async with JournalSource(tmp_path, "archive") as second:
        async with JournalSource(tmp_path, "archive") as first:
            assert await seqs(first, limit=1) == [0]
            await first.commit()
            assert await seqs(second, wait_s=0.1) == []
            assert second.lag() is None
            reading = asyncio.ensure_future(seqs(second))
        assert await reading == [1]


async def test_a_reader_that_is_killed_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    await write(tmp_path, 0, 1, 2)
    process = await launched("-c", _READS.format(folder=str(tmp_path)), env={})
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).strip() == b"3"
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source, wait_s=0.1) == []
        process.kill()
        assert await seqs(source, wait_s=20.0) == [1, 2]
    await process.communicate()


_READS = """
import asyncio
from pathlib import Path
from retell_ws.buses.journal import JournalSource

async def read():
    async with JournalSource(Path({folder!r}), "archive") as source:
        count = len(await source.read(1, 1.0))
        await source.commit()
        count += len(await source.read(10, 1.0))
        print(count, flush=True)
        await asyncio.sleep(60)

asyncio.run(read())
"""


async def test_it_reads_on_when_another_process_has_begun_the_file_anew(tmp_path: Path) -> None:
    await write(tmp_path, 0)
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source) == [0]
        await source.commit()
        delete(tmp_path)
        await write(tmp_path, 0, 1)
        assert await seqs(source) == [0, 1]


async def test_a_file_of_another_version_is_an_error(tmp_path: Path) -> None:
    async with JournalSource(tmp_path, "archive") as source:
        delete(tmp_path)
        await write(tmp_path, 0)
        with closing(sqlite3.connect(tmp_path / NAME)) as db, db:
            db.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
        with pytest.raises(BusError, match="version 99"):
            await source.read(1, 5.0)
    with pytest.raises(UsageError, match="version 99"):
        async with JournalSource(tmp_path, "archive"):
            pass


async def test_a_journal_that_somebody_keeps_at_the_start_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_S", 0.05)
    await write(tmp_path, 0)
    db = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusError, match="locked"):  # and not a `UsageError`, after which nobody tries again
        async with JournalSource(tmp_path, "archive"):
            pass
    db.close()
    async with JournalSource(tmp_path, "archive") as source:
        assert await seqs(source) == [0]


async def test_nothing_is_kept_for_a_consumer_that_was_let_go_of(tmp_path: Path) -> None:
    for name in ("archive", "escalation"):
        async with JournalSource(tmp_path, name):
            pass
    await write(tmp_path, *range(3))
    async with JournalSource(tmp_path, "archive") as archive:
        assert len(await archive.read(10, 1.0)) == 3
        await archive.commit()
        async with JournalSource(tmp_path, "escalation") as escalation:
            assert await seqs(escalation, 1) == [0]
            await asyncio.to_thread(let_go, tmp_path, "escalation")
            assert await asyncio.to_thread(left, tmp_path) == 3, "it runs"
        await asyncio.to_thread(let_go, tmp_path, "escalation")
        await asyncio.to_thread(let_go, tmp_path, "never")
        assert await asyncio.to_thread(left, tmp_path) == 0


def left(folder: Path) -> int:
    """Remove what everybody has, and count the rest."""
    journal = Journal(folder)
    journal.tidy(relayed=False)
    rows, _ = journal.waiting()
    journal.close()
    return rows


@pytest.mark.parametrize("name", ["", "a/b", RELAY, "x" * 65])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="named"):
        JournalSource(tmp_path, name)


async def test_nothing_is_missed_or_given_twice_while_more_is_written(tmp_path: Path) -> None:
    """All of many entries, in small reads with commits between, while they are written."""
    total = 2000
    seen: list[str] = []
    async with Outbox(tmp_path, server="here") as outbox, JournalSource(tmp_path, "archive") as source:

        async def put() -> None:
            for number in range(total):
                outbox.put(f"call_{number % 5}", 1, number, Detached())
                if number % 50 == 0:
                    await asyncio.sleep(0.001)

        putting = asyncio.ensure_future(put())
        while len(seen) < total:
            given: list[Entry] = list(await source.read(70, 5.0))
            seen += [one.id for one in given]
            await source.commit()
        await putting
    assert len(set(seen)) == total
    for call in range(5):
        own = [int(id_.split("/")[2]) for id_ in seen if id_.startswith(f"call_{call}/")]
        assert own == sorted(own)
