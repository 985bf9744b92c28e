"""Kafka over TLS with passwords and rights, as a file of `kafka_config` has them: what a validation says of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from retell_ws.buses.kafka_probe import KafkaProbe
from retell_ws.buses.topics import topics_of
from retell_ws.settings import Settings
from retell_ws.validation import events, kafka
from retell_ws.validation.line import Line
from retell_ws.validation.setup import Setup
from tests.certificates import certificate
from tests.kafka_servers import KafkaServer, genuine, guarded
from tests.waiting import until

from .book import lines_of, setup_of

PASSWORD = "canary-right"
WRONG = "canary-wrong"
TROUBLE = ("Traceback", "Exception", "canary")
"""What is in no line: our own insides, and secrets."""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))[0]


@pytest.fixture(scope="module")
def closed(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Give a broker that speaks TLS, knows its users by SCRAM, and lets all but `eve` do what they are allowed."""
    genuine()
    options = guarded(ca.with_name("both.pem"), "eve")
    users = [f"name={name},password={PASSWORD}" for name in ("eve", "bob")]
    with KafkaServer(tmp_path_factory.mktemp("closed"), options=options, listener="SASL_SSL", scram=users) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Give a prefix of topics that no other test has."""
    return f"v{next(_numbers)}."


def made(folder: Path, server: KafkaServer, prefix: str, ca: Path, **changes: str) -> Setup:
    """Make a set-up whose file says who we are, with some of it changed; `_` stands for a dot."""
    lines = {
        "security_protocol": "SASL_SSL",
        "ssl_ca_location": str(ca),
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_username": "eve",
        "sasl_password": PASSWORD,
        **changes,
    }
    file = folder / "kafka.properties"
    file.write_text("".join(f"{name.replace('_', '.')}={value}\n" for name, value in lines.items()))
    return setup_of(
        folder / "spare",
        blueprint="events",
        data=str(folder / "real"),
        kafka_bootstrap=server.bootstrap,
        kafka_prefix=prefix,
        kafka_config=str(file),
    )


async def looked_over(setup: Setup, caplog: pytest.LogCaptureFixture) -> dict[str, Line]:
    lines = await lines_of("kafka", kafka.check, setup)
    for line in lines.values():
        for word in TROUBLE:
            assert word not in line.seen + line.advice + caplog.text
    return lines


def allow(server: KafkaServer, kind: ResourceType, prefix: str, *operations: AclOperation) -> None:
    """Let Bob do something with all that begins so."""
    bindings = [
        AclBinding(kind, prefix, ResourcePatternType.PREFIXED, "User:bob", "*", operation, AclPermissionType.ALLOW)
        for operation in operations
    ]
    for future in server.admin.create_acls(bindings).values():
        future.result(10)


def make_topics(server: KafkaServer, prefix: str) -> None:
    """Make ours, as somebody who may."""
    topics = topics_of(Settings(kafka_prefix=prefix)).all()
    wanted = [NewTopic(topic.name, topic.partitions, 1, config=dict(topic.config)) for topic in topics]
    for future in server.admin.create_topics(wanted).values():
        future.result(10)


async def test_over_tls_with_scram_everything_passes_and_facts_arrive(
    closed: KafkaServer, prefix: str, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = made(tmp_path, closed, prefix, ca)
    lines = await looked_over(setup, caplog)
    assert {line.outcome for line in lines.values()} == {"pass"} and list(lines) == ["brokers", "topics", "groups"]
    line = (await lines_of("events", events.check, setup))["a call's facts"]
    assert line.outcome == "pass" and "by Kafka" in line.seen, line.seen


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sasl_password": WRONG}, "does not accept our name and password: see sasl.*"),
        ({"sasl_username": "nobody"}, "does not accept our name and password: see sasl.*"),
        ({"sasl_mechanism": "PLAIN"}, "takes no passwords in this way: see sasl.mechanism"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, "takes no passwords in this way: see sasl.mechanism"),
        ({"security_protocol": "SASL_PLAINTEXT"}, "--kafka-config"),
        ({"security_protocol": "SSL"}, "--kafka-config"),
        ({"ssl_ca_location": "/nowhere/ca.pem"}, "ssl.ca.location"),
    ],
)
async def test_what_is_wrong_in_the_file_is_told(
    closed: KafkaServer,
    prefix: str,
    ca: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    word: str,
) -> None:
    (line,) = (await looked_over(made(tmp_path, closed, prefix, ca, **changes), caplog)).values()
    assert line.outcome == "fail" and word in f"{line.seen} → {line.advice}"


async def test_a_certificate_nobody_vouches_for_is_told(
    closed: KafkaServer, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (line,) = (await looked_over(made(tmp_path, closed, prefix, certificate(other)[0]), caplog)).values()
    assert line.outcome == "fail" and "ssl.*" in line.seen


async def test_a_user_who_may_do_nothing_is_told_what_to_allow(
    closed: KafkaServer, prefix: str, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = await looked_over(made(tmp_path, closed, prefix, ca, sasl_username="bob"), caplog)
    assert lines["topics"].outcome == "fail"
    assert "DESCRIBE and WRITE" in lines["topics"].seen and f"CREATE of {prefix}facts" in lines["topics"].advice
    assert lines["groups"].outcome == "fail" and f"READ of the groups {prefix}analytics" in lines["groups"].advice


async def test_rights_that_are_missing_where_topics_are_there_already_are_told(
    closed: KafkaServer, prefix: str, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = made(tmp_path, closed, prefix, ca, sasl_username="bob")
    make_topics(closed, prefix)
    allow(closed, ResourceType.TOPIC, prefix, AclOperation.DESCRIBE)
    allow(closed, ResourceType.GROUP, prefix, AclOperation.DESCRIBE)
    probe = KafkaProbe(setup.settings)
    await until(lambda: all(state.is_there for state in probe.topics()))
    lines = await looked_over(setup, caplog)
    assert lines["topics"].outcome == "fail"
    assert f"READ and WRITE of {prefix}facts, {prefix}transcripts; WRITE of {prefix}dead" in lines["topics"].advice
    assert lines["groups"].outcome == "fail" and f"READ of the groups {prefix}analytics" in lines["groups"].advice

    allow(closed, ResourceType.TOPIC, prefix, AclOperation.WRITE)
    await until(lambda: ["READ"] == list(probe.topics()[0].may_not))
    assert f"READ of {prefix}facts, {prefix}transcripts" in (await looked_over(setup, caplog))["topics"].advice

    allow(closed, ResourceType.TOPIC, prefix, AclOperation.READ)
    allow(closed, ResourceType.GROUP, prefix, AclOperation.READ)
    await until(lambda: not probe.topics()[0].may_not and not probe.refused_groups(["archive"]))
    assert {line.outcome for line in (await looked_over(setup, caplog)).values()} == {"pass"}
