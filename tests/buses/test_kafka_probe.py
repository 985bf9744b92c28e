"""Kafka as a validation sees it: genuine brokers, and none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from retell_ws.buses.kafka_probe import KafkaProbe
from retell_ws.settings import Settings
from retell_ws.validation import events
from retell_ws.validation.book import Entry
from retell_ws.validation.kafka import check, counted
from retell_ws.validation.setup import Setup
from tests.kafka_servers import KafkaServer
from tests.machine import free_port
from tests.validation.book import lines_of, setup_of
from tests.waiting import until

from .conftest import SettingsFor


def topics(server: KafkaServer, prefix: str) -> list[str]:
    return sorted(name for name in server.admin.list_topics(timeout=5).topics if name.startswith(prefix))


def setup_on(server: KafkaServer, prefix: str, folder: Path, **settings: Any) -> Setup:
    return setup_of(folder, blueprint="events", kafka_bootstrap=server.bootstrap, kafka_prefix=prefix, **settings)


async def test_brokers_are_counted_and_missing_topics_are_not_made(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    lines = await lines_of("kafka", check, setup_on(kafka, topic_prefix, tmp_path))
    assert lines["brokers"].outcome == "pass" and "1 broker answers (Kafka 4." in lines["brokers"].seen
    assert "on this machine alone" in lines["brokers"].seen
    assert lines["topics"].outcome == "pass" and f"can be made: {topic_prefix}facts" in lines["topics"].seen
    assert topics(kafka, topic_prefix) == []


@pytest.mark.parametrize(
    ("hosts", "outcome"),
    [
        (["127.0.0.1"], "pass"),
        (["localhost", "127.0.0.1"], "pass"),
        (["kafka.example.com"], "warn"),  # though a tunnel may lead to it from here
        (["127.0.0.1", "10.0.0.7"], "warn"),
        (["10.0.0.7", "10.0.0.8", "10.0.0.9"], "pass"),
    ],
)
def test_few_brokers_will_do_where_they_are_this_machines_own(hosts: list[str], outcome: str) -> None:
    line = Entry()
    counted(line, hosts)
    assert line.outcome == outcome
    assert "--kafka-replicas 3" in line.seen + line.advice or len(hosts) == 3


@pytest.mark.parametrize(("release", "told"), [("4.1", "Kafka 4.1 or newer"), ("", "of an unknown version")])
def test_their_version_is_told_as_far_as_it_is_known(release: str, told: str) -> None:
    line = Entry()
    counted(line, ["127.0.0.1"], release)
    assert told in line.seen


async def test_more_copies_than_brokers_fail_with_the_setting(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    line = (await lines_of("kafka", check, setup_on(kafka, topic_prefix, tmp_path, kafka_replicas=3)))["topics"]
    assert line.outcome == "fail" and "--kafka-replicas" in line.seen


async def test_topics_are_made_compared_and_dropped(
    kafka: KafkaServer, settings_for: SettingsFor, topic_prefix: str
) -> None:
    settings = settings_for(kafka.bootstrap)
    probe = KafkaProbe(settings)
    assert probe.make() == ""
    assert topics(kafka, topic_prefix) == [f"{topic_prefix}{name}" for name in ("dead", "facts", "transcripts")]
    assert [(state.is_there, state.partitions, list(state.differs)) for state in probe.topics()] == [(True, 3, [])] * 3
    others = KafkaProbe(settings_for(kafka.bootstrap, kafka_days=3, kafka_partitions=2))
    assert all(state.differs for state in others.topics())
    assert probe.make() != ""  # they are there
    probe.drop([f"{topic_prefix}archive"])
    await until(lambda: topics(kafka, topic_prefix) == [])  # a broker hears of it from the controller


async def test_brokers_that_are_not_there_fail_with_the_setting(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="events", kafka_bootstrap=f"127.0.0.1:{free_port()}")
    (line,) = (await lines_of("kafka", check, setup)).values()
    assert line.outcome == "fail" and line.seen == "no broker answers"
    assert "--kafka-bootstrap" in line.advice and "--kafka-config" in line.advice


async def test_a_file_of_settings_that_cannot_be_read_fails(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="events", kafka_bootstrap="127.0.0.1:9", kafka_config=str(tmp_path / "none"))
    (line,) = (await lines_of("kafka", check, setup)).values()
    assert line.outcome == "fail" and "cannot read" in line.seen


@pytest.mark.parametrize("settings", [Settings(), Settings(blueprint="events")])
async def test_without_kafka_there_is_nothing_to_look_at(tmp_path: Path, settings: Settings) -> None:
    (line,) = (await lines_of("kafka", check, setup_of(tmp_path, blueprint=settings.blueprint))).values()
    assert line.outcome == "skip"


async def test_a_call_arrives_by_kafka_over_topics_of_its_own_that_are_gone_afterwards(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    setup = setup_on(kafka, topic_prefix, tmp_path / "spare", data=str(tmp_path / "real"))
    lines = await lines_of("events", events.check, setup)
    assert lines["a call's facts"].outcome == "pass", lines
    assert "Kafka" in lines["a call's facts"].seen
    await until(lambda: topics(kafka, topic_prefix) == [])
    groups = await asyncio.to_thread(lambda: kafka.admin.list_consumer_groups(request_timeout=5).result(5).valid)
    assert not [group.group_id for group in groups if group.group_id.startswith(topic_prefix)]
    assert not (tmp_path / "real").exists()


async def test_a_call_cannot_be_followed_where_no_topics_can_be_made(
    kafka: KafkaServer, topic_prefix: str, tmp_path: Path
) -> None:
    setup = setup_on(kafka, topic_prefix, tmp_path / "spare", data=str(tmp_path / "real"), kafka_replicas=3)
    line = (await lines_of("events", events.check, setup))["a call's facts"]
    assert line.outcome == "skip" and "CREATE" in line.advice
