"""One body of tests for every implementation of `ports.Source`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from retell_ws.buses.kafka import KafkaBus
from retell_ws.buses.kafka_source import KafkaSource
from retell_ws.entries import Entry
from retell_ws.facts import Escalated
from retell_ws.ports import Source, Written
from retell_ws.settings import Settings
from tests.kafka_servers import KafkaServer

from .conftest import SettingsFor
from .stories import drain, entry_of, in_order, written

pytestmark = pytest.mark.usefixtures("clean_loop")


class KafkaPlace:
    """A bus, and sources of it.

    Args:
        settings: With topics nobody else uses.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bus = KafkaBus(settings)

    def open(self, consumer: str) -> AbstractAsyncContextManager[Source]:
        """Open a source."""
        return KafkaSource(self._settings, consumer)

    async def tell(self, entries: Sequence[Entry]) -> None:
        """Have entries on the bus; they are there when this returns."""
        rows = [written(number, entry) for number, entry in enumerate(entries, 1)]
        await asyncio.to_thread(self._tell, rows)

    def _tell(self, rows: Sequence[Written]) -> None:
        self._bus.send(rows)
        drain(self._bus, len(rows))

    async def close(self) -> None:
        """Let go of it."""
        await asyncio.to_thread(self._bus.close, 0)


Place = KafkaPlace
"""Another implementation joins by a class with the same methods, and a name in `KINDS`."""

KINDS = ("kafka",)


@pytest.fixture(params=KINDS)
async def place(kafka: KafkaServer, settings_for: SettingsFor) -> AsyncIterator[Place]:
    made = await asyncio.to_thread(KafkaPlace, settings_for(kafka.bootstrap))
    yield made
    await made.close()


def story(count: int, *, calls: int = 4) -> list[Entry]:
    return [entry_of(number // calls + 1, call=f"call_{number % calls}") for number in range(count)]


async def read(source: Source, count: int, *, limit: int = 100) -> list[Entry]:
    """Read until so many came."""
    found: list[Entry] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            entries = await source.read(limit, 1)
            assert len(entries) <= limit
            found += entries
    return found


async def nothing_more(source: Source) -> None:
    assert not await source.read(100, 0.5)


async def test_what_was_told_is_read_whole_and_in_order(place: Place) -> None:
    entries = story(200)
    await place.tell(entries)
    async with place.open("archive") as source:
        found = await read(source, 200)
        await nothing_more(source)
    assert in_order(found) == in_order(entries)
    assert {entry.id: entry for entry in found} == {entry.id: entry for entry in entries}


async def test_a_source_that_waits_is_given_what_is_told_then(place: Place) -> None:
    async with place.open("archive") as source:
        reading = asyncio.create_task(read(source, 1))
        await place.tell(story(1))
        assert [entry.id for entry in await reading] == ["call_0/1/1"]


async def test_no_more_is_given_than_asked_for(place: Place) -> None:
    await place.tell(story(50))
    async with place.open("archive") as source:
        assert len(await read(source, 50, limit=7)) == 50


async def test_nothing_is_read_again_after_a_commit(place: Place) -> None:
    await place.tell(story(40))
    async with place.open("archive") as source:
        first = await read(source, 40, limit=9)
        await source.commit()
    await place.tell([entry_of(99, call="call_0")])
    async with place.open("archive") as source:
        rest = await read(source, 1)
        await nothing_more(source)
    assert len(first) == 40
    assert [entry.seq for entry in rest] == [99]


async def test_only_what_was_given_is_committed(place: Place) -> None:
    await place.tell(story(60, calls=1))
    async with place.open("archive") as source:
        first = await read(source, 10, limit=10)
        await source.commit()
    async with place.open("archive") as source:
        rest = await read(source, 50)
    assert [entry.seq for entry in (*first, *rest)] == list(range(1, 61))


async def test_what_was_not_committed_is_read_again(place: Place) -> None:
    await place.tell(story(20))
    async with place.open("archive") as source:
        first = await read(source, 20)
    async with place.open("archive") as source:
        again = await read(source, 20)
    assert in_order(first) == in_order(again)


async def test_each_consumer_reads_all(place: Place) -> None:
    await place.tell(story(20))
    async with place.open("archive") as one, place.open("analytics") as other:
        assert in_order(await read(one, 20)) == in_order(await read(other, 20))


async def test_a_read_that_is_cancelled_loses_nothing(place: Place) -> None:
    async with place.open("archive") as source:
        found: list[Entry] = []

        async def read_on() -> None:
            while True:
                found.extend(await source.read(3, 5))

        for number in range(10):
            reading = asyncio.create_task(read_on())
            await place.tell([entry_of(number + 1)])
            reading.cancel()
            await asyncio.wait([reading])
        found += await read(source, 10 - len(found)) if len(found) < 10 else []
    assert [entry.seq for entry in found] == list(range(1, 11))


async def test_a_commit_before_anything_was_read_is_none(place: Place) -> None:
    await place.tell(story(3))
    async with place.open("archive") as source:
        await source.commit()
        assert len(await read(source, 3)) == 3
        await source.commit()
        await source.commit()


async def test_what_a_consumer_tells_is_read_by_others(place: Place) -> None:
    fact = Escalated(rule="human", action="transfer", outcome="done", after_s=0.5)
    entry = entry_of(1, fact=fact)
    async with place.open("escalation") as source, place.open("analytics") as other:
        await source.put(entry)
        assert await read(other, 1) == [entry]


async def test_what_is_buried_is_over_for_the_consumer(place: Place) -> None:
    await place.tell(story(2, calls=1))
    async with place.open("archive") as source:
        for entry in await read(source, 2):
            await source.bury(entry, "a test")
        await source.commit()
    async with place.open("archive") as source:
        await nothing_more(source)


async def test_the_lag_is_what_waits(place: Place) -> None:
    await place.tell(story(30))
    async with place.open("archive") as source:
        assert source.lag() in (None, 30)
        found = await read(source, 10, limit=10)

        async def lag_is(count: int) -> None:
            async with asyncio.timeout(15):
                while source.lag() != count:
                    found.extend(await source.read(0, 0.1))

        await lag_is(30 - len(found))
        found += await read(source, 30 - len(found))
        await lag_is(0)
