"""TLS, passwords and rights on a genuine broker, as a file of `kafka_config` has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from retell_ws.buses.kafka import KafkaBus
from retell_ws.buses.kafka_source import KafkaSource
from retell_ws.buses.topics import topics_of
from retell_ws.entries import Entry
from retell_ws.errors import BusError
from retell_ws.settings import Settings
from tests.certificates import certificate
from tests.kafka_servers import LOGINS, KafkaServer, genuine, guarded

from .conftest import SettingsFor
from .stories import drain, in_order, refused, told

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))[0]


@pytest.fixture(scope="module")
def closed_kafka(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Give a broker that speaks TLS and wants passwords; its users may only do what they are allowed."""
    genuine()
    options = {
        **guarded(ca.with_name("both.pem"), "ana", "eve"),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.clients.plain.sasl.jaas.config": f"{LOGINS}.plain.PlainLoginModule required"
        f' user_ana="{PASSWORD}" user_bob="{PASSWORD}";',
    }
    scram = (f"name=eve,password={PASSWORD}",)
    with KafkaServer(tmp_path_factory.mktemp("closed"), options=options, listener="SASL_SSL", scram=scram) as server:
        yield server


def change(file: Path, **words: str) -> None:
    """Write a file anew, with other words in it."""
    text = file.read_text()
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


@pytest.fixture
def config(tmp_path: Path, ca: Path) -> Path:
    file = tmp_path / "kafka.properties"
    file.write_text(
        "# of Ana\n"
        "security.protocol = SASL_SSL\n"
        f"ssl.ca.location={ca}\n"
        "\n"
        "sasl.mechanism=PLAIN\n"
        "sasl.username=ana\n"
        f"sasl.password={PASSWORD}\n"
    )
    return file


async def goes_through(settings: Settings) -> None:
    """Send some facts, and read them."""
    bus = KafkaBus(settings)
    try:
        bus.send(told(50))
        drain(bus, 50)
    finally:
        bus.close(0)
    async with KafkaSource(settings, "archive") as source:
        found = list(await source.read(50, 10))
        while len(found) < 50:
            found += await source.read(50, 10)
        await source.commit()
        await source.bury(found[0], "a test")
    assert sum(len(numbers) for numbers in in_order(found).values()) == 50


async def test_facts_go_over_tls_with_a_password(
    closed_kafka: KafkaServer, config: Path, settings_for: SettingsFor
) -> None:
    await goes_through(settings_for(closed_kafka.bootstrap, kafka_config=str(config)))


async def test_facts_go_over_tls_with_scram(closed_kafka: KafkaServer, config: Path, settings_for: SettingsFor) -> None:
    change(config, PLAIN="SCRAM-SHA-256", **{"=ana": "=eve"})
    await goes_through(settings_for(closed_kafka.bootstrap, kafka_config=str(config)))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_told_and_never_quoted(
    closed_kafka: KafkaServer,
    config: Path,
    settings_for: SettingsFor,
    caplog: pytest.LogCaptureFixture,
    mechanism: str,
) -> None:
    change(config, PLAIN=mechanism, **{PASSWORD: "wrong-canary"})
    settings = settings_for(closed_kafka.bootstrap, kafka_config=str(config))
    bus = KafkaBus(settings)
    try:
        bus.send(told(1))
        assert "Kafka does not accept our name and password" in refused(bus)
    finally:
        bus.close(0)
    async with KafkaSource(settings, "archive") as source:
        with pytest.raises(BusError, match="does not accept our name and password"):
            for _ in range(20):
                await source.read(1, 1)
    assert "wrong-canary" not in caplog.text
    assert "wrong-canary" not in repr(settings)


async def test_a_certificate_that_nobody_vouches_for_is_told(
    closed_kafka: KafkaServer, ca: Path, config: Path, settings_for: SettingsFor, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger, _ = certificate(other)
    change(config, **{str(ca): str(stranger)})
    bus = KafkaBus(settings_for(closed_kafka.bootstrap, kafka_config=str(config)))
    try:
        bus.send(told(1))
        assert "there is no TLS connection to Kafka" in refused(bus)
    finally:
        bus.close(0)


def allow(server: KafkaServer, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    bindings = [
        AclBinding(kind, name, ResourcePatternType.PREFIXED, "User:bob", "*", operation, AclPermissionType.ALLOW)
        for operation in operations
    ]
    for future in server.admin.create_acls(bindings).values():
        future.result(10)


async def test_what_our_user_may_not_do_is_told_and_goes_on_once_it_may(
    closed_kafka: KafkaServer, config: Path, settings_for: SettingsFor
) -> None:
    change(config, **{"=ana": "=bob"})
    settings = settings_for(closed_kafka.bootstrap, kafka_config=str(config))
    prefix = settings.kafka_prefix
    bus = KafkaBus(settings)
    try:
        bus.send(told(20))
        assert f"Kafka does not let us use the topic {topics_of(settings).facts.name}" in refused(bus)
        allow(closed_kafka, ResourceType.TOPIC, prefix, AclOperation.CREATE, AclOperation.DESCRIBE)
        words = ""
        while "WRITE" not in words:
            words = refused(bus, 40)
        allow(closed_kafka, ResourceType.TOPIC, prefix, AclOperation.WRITE, AclOperation.READ)
        found: list[int] = []
        for _ in range(80):
            try:
                found += bus.acknowledged(0.5)
            except BusError:
                continue
            if len(found) == 20:
                break
        assert sorted(found) == list(range(1, 21))
    finally:
        bus.close(0)
    async with KafkaSource(settings, "archive") as source:
        with pytest.raises(BusError, match="does not let us read in our group"):
            for _ in range(20):
                await source.read(1, 1)
        allow(closed_kafka, ResourceType.GROUP, prefix, AclOperation.READ)
        entries: list[Entry] = []
        for _ in range(40):
            try:
                entries += await source.read(100, 0.5)
            except BusError:
                continue
            if len(entries) == 20:
                break
    assert sum(len(numbers) for numbers in in_order(entries).values()) == 20
