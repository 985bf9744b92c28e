"""The process beside a server that hands its journal on to Kafka: killed, orphaned, and without a Kafka for a while."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.kafka_servers import KafkaServer
from tests.processes import served
from tests.test_consume import EVENTS, call, consumers_of, ended, is_there
from tests.waiting import until

from .topic_reader import headers_in, whole

pytestmark = pytest.mark.timeout(120)


def flags(kafka: KafkaServer, prefix: str, data: Path) -> tuple[str, ...]:
    return (*EVENTS, "--data", str(data), "--kafka-bootstrap", kafka.bootstrap, "--kafka-prefix", prefix)


async def arrived(kafka: KafkaServer, prefix: str) -> list[str]:
    """Give the calls whose transcript is on Kafka, once for each time it is there."""
    found = await asyncio.to_thread(whole, kafka.bootstrap, f"{prefix}transcripts")
    return sorted(headers_in(message)["ce_subject"].decode() for message in found)


def left_in(data: Path) -> int:
    with closing(sqlite3.connect(data / "journal.db")) as db:
        return int(db.execute("SELECT count(*) FROM entries").fetchone()[0])


async def test_facts_are_handed_on_by_a_process_that_is_started_anew(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    async with served(*flags(kafka, topic_prefix, tmp_path)) as (server, line):
        assert line["facts"] == "kafka"
        await call(line["ws"], "call_1", "Hello.")
        await until(lambda: bool(consumers_of(server)))
        (first,) = consumers_of(server)
        await until(lambda: os.sched_getscheduler(first) == os.SCHED_IDLE)  # the calls go first
        os.kill(first, signal.SIGKILL)
        await call(line["ws"], "call_2", "Hello.")
        await until(lambda: bool(consumers_of(server)) and consumers_of(server) != [first])
        log = await ended(server)
    assert set(await arrived(kafka, topic_prefix)) == {"call_1", "call_2"}
    assert "started again" in log


async def test_a_server_that_is_killed_leaves_what_the_next_one_hands_on(
    frail_kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    async with served(*flags(frail_kafka, topic_prefix, tmp_path)) as (server, line):
        await call(line["ws"], "call_1", "Hello.")
        await until(lambda: bool(consumers_of(server)))
        (relay,) = consumers_of(server)
        frail_kafka.kill()
        await call(line["ws"], "call_2", "Hello.")
        await until(lambda: left_in(tmp_path) > 0)
        await asyncio.sleep(0.5)  # the grace time, and a beat of the journal
        server.kill()
        await until(lambda: not is_there(relay))
    await asyncio.to_thread(frail_kafka.start)
    async with served(*flags(frail_kafka, topic_prefix, tmp_path)) as (server, _):
        await until(lambda: left_in(tmp_path) == 0, limit_s=40.0)
        await ended(server)
    assert set(await arrived(frail_kafka, topic_prefix)) == {"call_1", "call_2"}
