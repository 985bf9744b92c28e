"""Kafka's client behind our settings, errors and log; and all of it on its own mock cluster, which needs no Java."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from retell_ws.buses.kafka import KafkaBus
from retell_ws.buses.kafka_source import KafkaSource
from retell_ws.buses.librdkafka import ClientLog, KafkaError, refusal
from retell_ws.buses.topics import topics_of
from retell_ws.entries import Entry
from retell_ws.errors import SettingsError
from tests.kafka_servers import MockKafka
from tests.machine import free_port

from .conftest import SettingsFor
from .stories import drain, in_order, told

SECRET = "canary-0123"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("sasl.username=ana\nno.such.setting=canary-0123", "line 2: no.such.setting: it knows no such setting"),
        ("ssl.ca.location=/nowhere/canary-0123", "line 1: ssl.ca.location: it does not take this value (a file"),
        ("#\nsecurity.protocol=canary-0123", "line 2: security.protocol: it does not take this value"),
        ("compression.type=canary-0123", "does not take its settings about compression.codec:"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN", "sasl.password, sasl.username"),
        ("socket.timeout.ms=canary-0123", "line 1: socket.timeout.ms: it does not take this value"),
    ],
)
def test_what_the_client_does_not_take_is_named_and_not_quoted(
    settings_for: SettingsFor, tmp_path: Path, lines: str, words: str
) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(lines + "\n" + ("" if "security.protocol" in lines else "security.protocol=SSL\n"))
    with pytest.raises(SettingsError) as caught:
        KafkaBus(settings_for(f"127.0.0.1:{free_port()}", kafka_config=str(file)))
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(settings_for: SettingsFor, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"kafka_config: cannot read .*nowhere: No such file"):
        KafkaBus(settings_for("127.0.0.1:1", kafka_config=str(tmp_path / "nowhere")))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is no text in UTF-8"):
        KafkaBus(settings_for("127.0.0.1:1", kafka_config=str(tmp_path / "binary")))


async def test_a_source_refuses_such_a_file_when_it_is_opened(settings_for: SettingsFor, tmp_path: Path) -> None:
    source = KafkaSource(settings_for("127.0.0.1:1", kafka_config=str(tmp_path / "nowhere")), "archive")
    with pytest.raises(SettingsError, match="kafka_config: cannot read"):
        await source.__aenter__()


def test_without_the_package_it_is_said_what_to_install() -> None:
    code = "import sys; sys.modules['confluent_kafka'] = None\nimport retell_ws.buses.kafka"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "retell_ws.errors.SettingsError: facts on Kafka need a package more: pip install 'retell-ws[kafka]'"
    )


def test_what_will_pass_is_no_refusal_and_what_will_not_names_its_topic() -> None:
    for code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError.NOT_ENOUGH_REPLICAS):
        assert refusal(KafkaError(code)) is None
    words = str(refusal(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "p.facts"))
    assert "the topic p.facts: allow" in words
    assert "the topic: allow" in str(refusal(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))


def test_a_way_of_passwords_that_is_not_taken_is_no_wrong_password() -> None:
    said = "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: supported: SCRAM-SHA-256"
    assert "sasl.mechanism" in str(refusal(KafkaError(KafkaError._AUTHENTICATION, said)))
    assert "name and password" in str(refusal(KafkaError(KafkaError._AUTHENTICATION, "invalid credentials")))


def test_what_the_client_says_again_and_again_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = ClientLog(lambda: now[0])
    for _ in range(100):
        log.log(logging.ERROR, "%s %s", "FAIL", "connection refused")
    log.log(logging.ERROR, "%s %s", "SSL", "no such file")
    log.log(logging.WARNING, "%s %s", "CONFWARN", "experimental")
    log.log(logging.INFO, "%s %s", "ASSIGN", "new")
    now[0] = 61.0
    log.log(logging.ERROR, "%s %s", "FAIL", "connection refused")
    log.log(logging.ERROR, "of nothing")
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == [
        "Kafka's client: FAIL connection refused",
        "Kafka's client: SSL no such file",
        "Kafka's client: FAIL connection refused",
        "Kafka's client: of nothing",
    ]
    assert {one.levelno for one in caplog.records} <= {logging.WARNING, logging.DEBUG}


def test_what_brokers_say_while_they_start_is_told_only_when_it_lasts(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = ClientLog(lambda: now[0])

    def told() -> int:
        log.log(logging.WARNING, "%s %s", "GETPID", "Coordinator load in progress: retrying")
        return sum(one.levelno >= logging.WARNING for one in caplog.records)

    for now[0] in (0.0, 0.5, 5.0):
        assert told() == 0
    for now[0] in (100.0, 101.0, 110.0):  # another start
        assert told() == 0
    for now[0] in (116.0, 117.0, 120.0):
        assert told() == 1


async def test_facts_go_through_the_mock_cluster(settings_for: SettingsFor) -> None:
    names: Sequence[str] = [topic.name for topic in topics_of(settings_for("")).all()]
    with MockKafka(names) as mock:
        settings = settings_for(mock.bootstrap)
        entries = told(200)
        bus = KafkaBus(settings)
        bus.send(entries)
        drain(bus, 200)
        bus.close(0)
        found: list[Entry] = []
        async with KafkaSource(settings, "archive") as source:
            for _ in range(80):
                found += await source.read(100, 0.5)
                if len(found) == 200:
                    break
            await source.commit()
    assert {call: list(numbers) for call, numbers in in_order(found).items()} == {
        f"call_{call}": list(range(1, 11)) for call in range(20)
    }
