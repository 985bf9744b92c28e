"""The bus on a genuine broker: what is acknowledged is there, and in order, whatever becomes of the broker."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from retell_ws.buses.kafka import KafkaBus, bus_of
from retell_ws.buses.librdkafka import ConfigResource
from retell_ws.buses.topics import MAX_BYTES, topics_of
from retell_ws.entries import decode
from retell_ws.ports import Written
from retell_ws.settings import Settings
from retell_ws.speech_facts import CallTranscript, Line
from retell_ws.testing.toxics import ToxicProxy
from tests.kafka_servers import KafkaServer, genuine
from tests.machine import free_port
from tests.waiting import until

from .conftest import SettingsFor
from .stories import drain, entry_of, in_order, told, written
from .topic_reader import headers_in, whole

SPEECH = "my card is 4111"


@contextmanager
def bus_on(settings: Settings, **limits: int) -> Iterator[KafkaBus]:
    bus = KafkaBus(settings, **limits)
    try:
        yield bus
    finally:
        bus.close(0)


def transcript(number: int, text: str = SPEECH) -> Written:
    fact = CallTranscript(lines=(Line(role="user", text=text),), duration_s=1.0, turns=1)
    return written(number, entry_of(number, fact=fact))


def facts_on(server: KafkaServer, settings: Settings) -> dict[str, list[int]]:
    messages = whole(server.bootstrap, topics_of(settings).facts.name)
    return {call: list(numbers) for call, numbers in in_order(decode(one.value() or b"") for one in messages).items()}


def each_of(entries: list[Written]) -> dict[str, list[int]]:
    return {call: list(numbers) for call, numbers in in_order(decode(entry.data) for entry in entries).items()}


# -- what arrives


def test_what_is_acknowledged_is_there(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap)
    entries = told(500)
    with bus_on(settings) as bus:
        assert bus.send(entries) == 500
        assert sorted(drain(bus, 500)) == [entry.position for entry in entries]
        assert bus.figures() == {"sent": 500, "acknowledged": 500, "failed": 0, "degraded": 0}
    assert facts_on(kafka, settings) == each_of(entries)


def test_an_entry_keeps_its_bytes_under_its_call_with_the_headers_of_a_cloud_event(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(kafka.bootstrap)
    entry = written(1, entry_of(7, call="call_ü"))
    with bus_on(settings) as bus:
        bus.send([entry])
        drain(bus, 1)
    (message,) = whole(kafka.bootstrap, topics_of(settings).facts.name)
    assert message.key() == "call_ü".encode()
    assert message.value() == entry.data
    assert headers_in(message) == {
        "ce_specversion": b"1.0",
        "ce_id": "call_ü/1/7".encode(),
        "ce_type": b"retell_ws.tool_started.v1",
        "ce_source": b"/retell_ws",
        "ce_subject": "call_ü".encode(),
        "ce_time": b"2026-09-21T14:13:27.250000Z",
        "content-type": b"application/json",
    }


def test_a_transcript_has_a_topic_of_its_own_and_no_speech_in_its_headers(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(kafka.bootstrap)
    with bus_on(settings) as bus:
        bus.send([transcript(1)])
        drain(bus, 1)
    topics = topics_of(settings)
    (message,) = whole(kafka.bootstrap, topics.transcripts.name)
    assert SPEECH.encode() in (message.value() or b"")
    assert not [value for value in headers_in(message).values() if b"card" in value]
    assert whole(kafka.bootstrap, topics.facts.name) == []


# -- topics


def config_on(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result(10).items()}


def test_topics_that_are_missing_are_made_as_the_settings_say(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap, kafka_partitions=5, kafka_days=2)
    with bus_on(settings) as bus:
        bus.send(told(1))
        drain(bus, 1)
    admin, topics = kafka.admin, topics_of(settings)
    found = admin.list_topics(timeout=5).topics
    assert [len(found[topic.name].partitions) for topic in topics.all()] == [5, 5, 5]
    day_ms = 86_400_000
    for topic, days, policy in (
        (topics.facts, 2, {"delete"}),
        (topics.transcripts, 2, {"compact", "delete"}),
        (topics.dead, 30, {"delete"}),
    ):
        config = config_on(admin, topic.name)
        assert config["retention.ms"] == str(days * day_ms)
        assert set(config["cleanup.policy"].split(",")) == policy
        assert config["max.message.bytes"] == str(MAX_BYTES)


def test_topics_that_are_there_are_left_as_they_are_with_a_warning(
    kafka: KafkaServer, settings_for: SettingsFor, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(kafka.bootstrap)
    name = topics_of(settings).facts.name
    kafka.admin.create_topics([NewTopic(name, 1, 1, config={"retention.ms": "60000"})])[name].result(10)
    with bus_on(settings) as bus:
        bus.send(told(1))
        drain(bus, 1)
    assert len(kafka.admin.list_topics(timeout=5).topics[name].partitions) == 1
    (line,) = [one.getMessage() for one in caplog.records if "left as it is" in one.getMessage()]
    assert f"the topic {name} is left as it is, with 1 partition and not 3; retention.ms=60000" in line


def test_two_servers_that_start_at_once_make_the_topics_once(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap)
    with bus_on(settings) as one, bus_on(settings) as other:
        one.send(told(1))
        other.send(told(1, first=1))
        drain(one, 1)
        drain(other, 1)
    assert sum(len(numbers) for numbers in facts_on(kafka, settings).values()) == 2


async def test_a_topic_that_was_deleted_is_made_again_and_nothing_is_lost(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(kafka.bootstrap)
    name = topics_of(settings).facts.name
    entries = told(200)
    with bus_on(settings) as bus:
        bus.send(told(1, first=1000))
        drain(bus, 1)
        kafka.admin.delete_topics([name])[name].result(10)
        # A broker hears of it from the controller; until then it takes facts, and they go with the topic.
        await until(lambda: name not in kafka.admin.list_topics(timeout=5).topics)
        bus.send(entries)
        drain(bus, 200, limit_s=60)
    there = facts_on(kafka, settings)
    assert {call: there[call][: len(numbers)] for call, numbers in each_of(entries).items()} == each_of(entries)


# -- bounds


def test_there_is_room_for_so_many_and_again_when_they_have_arrived(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    with bus_on(settings_for(kafka.bootstrap), max_held=10) as bus:
        entries = told(25)
        assert bus.send(entries) == 10
        assert bus.send(entries[10:]) == 0
        drain(bus, 10)
        assert bus.send(entries[10:]) == 10


def test_an_entry_that_is_given_again_is_under_way_once(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    settings = settings_for(kafka.bootstrap)
    entries = told(5)
    with bus_on(settings) as bus:
        assert bus.send(entries) == bus.send(entries) == 5
        assert sorted(drain(bus, 5)) == [1, 2, 3, 4, 5]
    assert len(whole(kafka.bootstrap, topics_of(settings).facts.name)) == 5


# -- too large


def test_an_entry_larger_than_any_goes_to_the_dead_letters_and_the_others_go_on(
    kafka: KafkaServer, settings_for: SettingsFor, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(kafka.bootstrap)
    large = transcript(2, SPEECH * (MAX_BYTES // len(SPEECH) + 1))
    with bus_on(settings) as bus:
        bus.send([written(1, entry_of(1)), large, written(3, entry_of(3))])
        assert sorted(drain(bus, 3)) == [1, 2, 3]
        assert bus.figures()["failed"] == 1
    (dead,) = whole(kafka.bootstrap, topics_of(settings).dead.name)
    headers = headers_in(dead)
    assert headers["dead_bytes"] == str(len(large.data)).encode()
    assert headers["ce_id"] == large.id.encode()
    assert large.data.startswith(dead.value() or b"-")
    assert facts_on(kafka, settings) == {"call_1": [1, 3]}
    assert f"a fact of {len(large.data)} bytes" in caplog.text
    assert SPEECH not in caplog.text


def test_what_only_the_topic_finds_too_large_is_found_among_those_it_was_sent_with(
    kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(kafka.bootstrap)
    name = topics_of(settings).facts.name
    kafka.admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "20000"})])[name].result(10)
    entries = told(400)
    # What does not compress: the limit is on what is stored.
    noise = random.Random(7).randbytes(40_000).hex()
    large = written(401, entry_of(99, call="call_3"), data=noise.encode())
    with bus_on(settings) as bus:
        bus.send(entries[:20])
        drain(bus, 20)
        # The outbox looks away in between: left to itself, the client must not go on behind what was refused.
        bus.send([*entries[20:200], large])
        time.sleep(0.5)
        bus.send(entries[200:])
        time.sleep(0.5)
        drain(bus, 381, limit_s=60)
        assert bus.figures()["failed"] == 1
        after = told(300, first=1000)
        bus.send(after)
        drain(bus, 300)
    assert facts_on(kafka, settings) == each_of([*entries, *after])
    (dead,) = whole(kafka.bootstrap, topics_of(settings).dead.name)
    assert dead.value() == large.data


# -- outages


class Outbox:
    """Gives a bus what is told, in order, from a thread of its own, as the server's outbox does."""

    def __init__(self, bus: KafkaBus, entries: list[Written], *, a_second: int) -> None:
        self._bus, self._entries, self._a_second = bus, entries, a_second
        self.acknowledged: set[int] = set()
        self.longest_send_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Outbox:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def has_all(self) -> bool:
        return len(self.acknowledged) == len(self._entries)

    def _run(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._stop.is_set() and not self.has_all():
            due = min(len(self._entries), int((time.monotonic() - began) * self._a_second))
            at = time.monotonic()
            sent += self._bus.send(self._entries[sent:due])
            self.longest_send_s = max(self.longest_send_s, time.monotonic() - at)
            self.acknowledged.update(self._bus.acknowledged(0.02))


def wait_for(holds: Callable[[], bool], limit_s: float = 40.0) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def test_a_broker_that_is_killed_and_comes_back_costs_no_fact_and_no_order(
    frail_kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(frail_kafka.bootstrap)
    entries = told(3000)
    with bus_on(settings) as bus, Outbox(bus, entries, a_second=600) as outbox:
        for share in (300, 1200):
            wait_for(lambda share=share: len(outbox.acknowledged) > share)  # type: ignore[misc]
            frail_kafka.kill()
            frail_kafka.start()
        wait_for(outbox.has_all)
    assert outbox.longest_send_s < 0.5
    assert facts_on(frail_kafka, settings) == each_of(entries)


def test_a_broker_that_stands_still_is_told_of_and_costs_no_fact(
    frail_kafka: KafkaServer, settings_for: SettingsFor
) -> None:
    settings = settings_for(frail_kafka.bootstrap)
    entries = told(1000)
    with bus_on(settings) as bus, Outbox(bus, entries, a_second=400) as outbox:
        wait_for(lambda: len(outbox.acknowledged) > 100)
        assert bus.figures()["degraded"] == 0
        frail_kafka.pause()
        wait_for(lambda: bus.figures()["degraded"] == 1)
        frail_kafka.resume()
        wait_for(outbox.has_all)
        assert bus.figures()["degraded"] == 0
    assert facts_on(frail_kafka, settings) == each_of(entries)


async def test_a_network_that_is_cut_costs_no_fact_and_no_order(
    tmp_path_factory: pytest.TempPathFactory, settings_for: SettingsFor
) -> None:
    genuine()
    port = free_port()
    server = KafkaServer(tmp_path_factory.mktemp("cut"), advertised=port)
    await asyncio.to_thread(server.start)
    try:
        async with ToxicProxy("127.0.0.1", server.port, listen_port=port) as proxy:
            settings = settings_for(server.bootstrap)
            entries = told(3000)

            def work() -> Outbox:
                with bus_on(settings) as bus, Outbox(bus, entries, a_second=600) as outbox:
                    wait_for(outbox.has_all)
                return outbox

            working = asyncio.create_task(asyncio.to_thread(work))
            for _ in range(3):
                await asyncio.sleep(0.8)
                proxy.down()
                proxy.cut()
                await asyncio.sleep(0.4)
                await proxy.up()
                await asyncio.sleep(0.2)
                proxy.cut()
            outbox = await working
            there = await asyncio.to_thread(facts_on, server, settings)
    finally:
        await asyncio.to_thread(server.kill)
    assert there == each_of(entries)
    assert outbox.longest_send_s < 0.5


def test_a_server_that_starts_without_a_broker_waits_for_it(
    tmp_path_factory: pytest.TempPathFactory, settings_for: SettingsFor, caplog: pytest.LogCaptureFixture
) -> None:
    genuine()
    server = KafkaServer(tmp_path_factory.mktemp("late"))
    settings = settings_for(server.bootstrap)
    entries = told(100)
    with bus_on(settings) as bus:
        assert bus.send(entries) == 100
        assert not bus.acknowledged(3)
        with server:
            drain(bus, 100)
            assert facts_on(server, settings) == each_of(entries)
    # Each client tries to connect again and again, and says so once.
    said = [one for one in caplog.records if one.levelno >= logging.WARNING and "refused" in one.getMessage()]
    assert 1 <= len(said) <= 4


def test_letting_go_takes_no_longer_than_it_may(settings_for: SettingsFor) -> None:
    bus = bus_of(settings_for(f"127.0.0.1:{free_port()}"))
    bus.send(told(100))
    at = time.monotonic()
    assert not bus.close(0.5)
    assert time.monotonic() - at < 3.0


def test_what_arrives_while_letting_go_is_told(kafka: KafkaServer, settings_for: SettingsFor) -> None:
    bus = bus_of(settings_for(kafka.bootstrap))
    bus.send(told(100))
    assert len(bus.close(20)) == 100
