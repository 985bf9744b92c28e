"""What only a group on Kafka has: partitions that go from one consumer to another, brokers that fail, garbage."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Producer

from retell_ws.buses.kafka import KafkaBus
from retell_ws.buses.kafka_source import KafkaSource
from retell_ws.buses.topics import MAX_BYTES, topics_of
from retell_ws.entries import Entry
from retell_ws.settings import Settings
from retell_ws.speech_facts import CallTranscript, Line
from tests.kafka_servers import KafkaServer
from tests.machine import free_port
from tests.waiting import until

from .conftest import SettingsFor
from .stories import drain, entry_of, in_order, told, written
from .topic_reader import headers_in, whole

pytestmark = pytest.mark.usefixtures("clean_loop")


async def tell(settings: Settings, count: int, *, first: int = 0) -> None:
    def work() -> None:
        bus = KafkaBus(settings)
        try:
            bus.send(told(count, first=first))
            drain(bus, count)
        finally:
            bus.close(0)

    await asyncio.to_thread(work)


async def put_raw(server: KafkaServer, topic: str, *values: bytes | None) -> None:
    def work() -> None:
        producer = Producer({"bootstrap.servers": server.bootstrap, "log_level": 0})
        for value in values:
            producer.produce(topic, value, b"call_1", partition=0)
        assert producer.flush(10) == 0

    await asyncio.to_thread(work)


class Reading:
    """Reads and commits, on and on, as a runner does."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source
        self.found: list[Entry] = []
        self.commits = True
        self.is_told_to_end = False

    async def run(self) -> None:
        while not self.is_told_to_end:
            self.found += await self._source.read(50, 0.2)
            if self.commits:
                await self._source.commit()


@pytest.fixture
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """Give a group whose tasks end with the test."""
    group = asyncio.TaskGroup()
    async with group:
        yield group
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name() == "reading":
                task.cancel()


async def test_two_of_a_group_share_what_comes_and_nothing_is_missed(
    kafka: KafkaServer, settings_for: SettingsFor, tasks: asyncio.TaskGroup
) -> None:
    settings = settings_for(kafka.bootstrap, kafka_partitions=6)
    await tell(settings, 200)
    async with KafkaSource(settings, "archive") as one:
        first = Reading(one)
        reading = tasks.create_task(first.run(), name="reading")
        await until(lambda: len(first.found) == 200)
        async with KafkaSource(settings, "archive") as other:
            second = Reading(other)
            also = tasks.create_task(second.run(), name="reading")
            sent = 200
            while len(second.found) < 50:
                await tell(settings, 100, first=sent)
                sent += 100
            await until(lambda: len(first.found) + len(second.found) >= sent)
            second.is_told_to_end = True  # no cancel: what it was given last it has to commit
            await also
        # The other has left: all is the first one's again.
        before = len(first.found)
        await tell(settings, 100, first=sent)
        await until(lambda: len(first.found) >= before + 100)
        reading.cancel()
        await asyncio.wait([reading])
    # The hand-over repeats nothing either: each had committed what it was given.
    ids = [entry.id for entry in (*first.found, *second.found)]
    assert len(ids) == len(set(ids)) == sent + 100
    in_order(first.found)
    in_order(second.found)


KILLED = """
import asyncio, sys
from retell_ws.buses.kafka_source import KafkaSource
from retell_ws.settings import load

async def main():
    bootstrap, prefix = sys.argv[1:]
    settings = load({"blueprint": "events", "kafka_bootstrap": bootstrap, "kafka_prefix": prefix}, environment={})
    async with KafkaSource(settings, "archive") as source:
        while True:
            for entry in await source.read(10, 1):
                print(entry.id, flush=True)
            await source.commit()

asyncio.run(main())
"""


async def test_the_partitions_of_one_that_was_killed_go_to_another_within_ten_seconds(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(kafka.bootstrap)
    await tell(settings, 100)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, kafka.bootstrap, settings.kafka_prefix, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            theirs = {(await process.stdout.readline()).decode().strip() for _ in range(100)}
        await tell(settings, 100, first=100)
        process.kill()
        killed_at = asyncio.get_running_loop().time()
        theirs |= {line.decode().strip() for line in (await process.stdout.read()).splitlines()}
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    found: list[Entry] = []
    async with KafkaSource(settings, "archive") as source:
        async with asyncio.timeout(30):
            while len(theirs | {entry.id for entry in found}) < 200:
                found += await source.read(50, 0.5)
        took_s = asyncio.get_running_loop().time() - killed_at
    assert took_s < 12
    in_order(found)


async def test_a_commit_that_comes_too_late_harms_nobody(
    kafka: KafkaServer, settings_for: SettingsFor, tasks: asyncio.TaskGroup
) -> None:
    settings = settings_for(kafka.bootstrap, kafka_partitions=1)
    await tell(settings, 50)
    async with KafkaSource(settings, "archive") as slow:
        while len(await slow.read(50, 1)) != 50:
            pass
        # Both topics have one partition, so two of the group have one each; the other one may have got the facts.
        async with KafkaSource(settings, "archive") as fast, KafkaSource(settings, "archive") as third:
            readers = [Reading(source) for source in (slow, fast, third)]
            readers[0].commits = False
            reading = [tasks.create_task(one.run(), name="reading") for one in readers]
            await tell(settings, 50, first=50)
            await until(lambda: len({entry.id for one in readers for entry in one.found}) >= 50)
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            await slow.commit()
    # And it takes nothing back of what others have committed.
    async with KafkaSource(settings, "archive") as source:
        assert not await source.read(100, 2)


async def test_what_is_no_entry_is_buried_and_passed_over(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap)
    topics = topics_of(settings)
    await tell(settings, 20)
    await put_raw(kafka, topics.facts.name, b"\xffgarbage", b'{"id": 1}')
    await put_raw(kafka, topics.transcripts.name, None)  # somebody has taken a transcript back
    await tell(settings, 20, first=20)
    found: list[Entry] = []
    async with KafkaSource(settings, "archive") as source:
        while len(found) < 40:
            found += await source.read(7, 1)
        found += await source.read(7, 0.5)
        await source.commit()
    assert sum(len(numbers) for numbers in in_order(found).values()) == 40
    dead = await asyncio.to_thread(whole, kafka.bootstrap, topics.dead.name)
    assert {one.value() for one in dead} == {b"\xffgarbage", b'{"id": 1}'}
    assert {headers_in(one)["dead_why"] for one in dead} == {b"no entry of a fact"}
    assert {headers_in(one)["dead_by"] for one in dead} == {b"archive"}
    async with KafkaSource(settings, "archive") as source:
        assert not await source.read(10, 2)


async def test_a_transcript_as_long_as_they_get_is_read(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap)
    text = "word " * (MAX_BYTES // 5 - 1000)
    entry = entry_of(1, fact=CallTranscript(lines=(Line(role="user", text=text),), duration_s=1.0, turns=1))

    def work() -> None:
        bus = KafkaBus(settings)
        bus.send([written(1, entry)])
        drain(bus, 1)
        bus.close(0)

    await asyncio.to_thread(work)
    async with KafkaSource(settings, "archive") as source, asyncio.timeout(20):
        found: list[Entry] = []
        while not found:
            found += await source.read(10, 1)
    assert found == [entry]


async def test_a_broker_that_is_killed_and_comes_back_costs_the_reader_nothing(
    frail_kafka: KafkaServer, settings_for: SettingsFor, tasks: asyncio.TaskGroup
) -> None:
    settings = settings_for(frail_kafka.bootstrap)
    await tell(settings, 100)
    async with KafkaSource(settings, "archive") as source:
        reader = Reading(source)
        reading = tasks.create_task(reader.run(), name="reading")
        await until(lambda: len(reader.found) >= 100)
        await asyncio.to_thread(frail_kafka.kill)
        putting = asyncio.create_task(source.put(entry_of(1, call="call_put")))
        await asyncio.to_thread(frail_kafka.start)
        await putting
        await tell(settings, 100, first=100)
        await until(lambda: len({entry.id for entry in reader.found}) == 201, 40)
        reading.cancel()
        await asyncio.wait([reading])
    in_order(reader.found)


async def test_a_source_without_a_broker_has_nothing_and_goes_when_it_is_told(settings_for: SettingsFor) -> None:
    loop = asyncio.get_running_loop()
    async with KafkaSource(settings_for(f"127.0.0.1:{free_port()}"), "archive") as source:
        assert not await source.read(10, 0.5)
        assert source.lag() is None
        await source.commit()
        putting = asyncio.create_task(source.put(entry_of(1)))
        assert not await source.read(10, 0.2)
        putting.cancel()
        await asyncio.wait([putting])
        at = loop.time()
    assert loop.time() - at < 3


async def test_one_that_goes_while_its_broker_is_gone_does_not_hang(
    frail_kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(frail_kafka.bootstrap)
    await tell(settings, 10)
    loop = asyncio.get_running_loop()
    async with KafkaSource(settings, "archive") as source:
        while not await source.read(10, 1):
            pass
        await asyncio.to_thread(frail_kafka.kill)
        at = loop.time()
    assert loop.time() - at < 15
