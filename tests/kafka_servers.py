"""Genuine Apache Kafka for tests: brokers in their own processes, which can be killed, stopped and started again.

The jars come from `scripts/kafka jars`. Where there is no Java and nothing to fetch them with, tests have the mock
cluster of Kafka's client, which keeps nothing and has no settings, and those that need the genuine one are skipped.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from .machine import free_port
from .server_process import ServerProcess

__all__ = ["LOGINS", "KafkaServer", "MockKafka", "genuine", "guarded", "jars", "told"]

START_S = 40.0

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"

ROOT = Path(__file__).parent.parent

JAVA = ("-Xms192m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@functools.cache
def jars() -> Path | None:
    """Give the folder of Kafka's jars; None where it cannot run."""
    if shutil.which("java") is None:
        return None
    found = ROOT / ".kafka" / "libs"
    if not (found / "complete").exists():
        done = subprocess.run((ROOT / "scripts" / "kafka", "jars"), capture_output=True, check=False)
        if done.returncode:
            return None
    return found


def told() -> str:
    """Say which Kafka tests have, for the head of their report; fetches nothing."""
    if shutil.which("java") and (ROOT / ".kafka" / "libs" / "complete").exists():
        return "Kafka: genuine brokers"
    return (
        "Kafka: no genuine one unless scripts/kafka jars can fetch it; otherwise its client's mock cluster, "
        "and what needs a genuine broker is skipped"
    )


def genuine() -> Path:
    """Give the folder of Kafka's jars; without them the test is skipped, and fails where CI is set."""
    found = jars()
    if found is None:
        why = "Apache Kafka cannot run here: scripts/kafka jars says what is missing; the mock cluster will not do"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


LOGINS = "org.apache.kafka.common.security"
"""Where Kafka's own modules for passwords lie."""


def guarded(pem: Path, *super_users: str) -> dict[str, str]:
    """Give the options of a broker whose clients come by TLS and SCRAM, and may only do what they are allowed.

    Args:
        pem: Its certificate and key.
        super_users: Those who may do everything, beside the tests themselves.
    """
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pem),
        "sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.clients.scram-sha-256.sasl.jaas.config": f"{LOGINS}.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": ";".join(f"User:{name}" for name in ("ANONYMOUS", *super_users)),
    }


class KafkaServer(ServerProcess):
    """One broker, which is its own controller.

    Args:
        directory: Where it keeps its data.
        options: More of its settings.
        listener: How clients speak to it: `PLAINTEXT`, `SASL_SSL`, …
        advertised: The port that clients are told to use, in place of its own: a proxy's.
        scram: Users that are there from the beginning, `name=password`, for SCRAM-SHA-256.
    """

    def __init__(
        self,
        directory: Path,
        *,
        options: Mapping[str, str] | None = None,
        listener: str = "PLAINTEXT",
        advertised: int | None = None,
        scram: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.port = free_port()
        self._inner, self._controller = free_port(), free_port()
        self._directory = directory
        self._listener = listener
        self._advertised = advertised or self.port
        self._options = dict(options or {})
        self._scram = scram

    @property
    def bootstrap(self) -> str:
        """What clients are given."""
        return f"127.0.0.1:{self._advertised}"

    @functools.cached_property
    def admin(self) -> AdminClient:
        """A client that sees and changes everything."""
        # By a listener of its own: the one for clients may want passwords, or be cut off.
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self._inner}", "log_level": 0})

    def start(self) -> None:
        """Start it, on the data it has, and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._directory / "server.properties"
        if not properties.exists():
            properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
            users = [part for user in self._scram for part in ("--add-scram", f"SCRAM-SHA-256=[{user}]")]
            self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, *users, "-c", str(properties)).wait()
        self._process = self._java("kafka.Kafka", str(properties))
        deadline = time.monotonic() + START_S
        while True:
            try:
                if self.admin.list_topics(timeout=0.5).brokers:
                    return
            except KafkaException:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                log = (self._directory / "log").read_text().splitlines()[-5:]
                raise RuntimeError(f"Kafka does not start: {log}") from None

    def _java(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._directory / "log").open("ab") as log:
            command = ("java", *JAVA, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{genuine()}/*", main)
            return subprocess.Popen((*command, *arguments), stdout=log, stderr=log)

    def _properties(self) -> dict[str, str]:
        protocol = self._listener
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": f"CLIENTS://127.0.0.1:{self.port},INNER://127.0.0.1:{self._inner},"
            f"CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"CLIENTS://127.0.0.1:{self._advertised},INNER://127.0.0.1:{self._inner}",
            "listener.security.protocol.map": f"CLIENTS:{protocol},INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INNER",
            "log.dirs": str(self._directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            **self._options,
        }

    def __enter__(self) -> KafkaServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class MockKafka:
    """The mock cluster of Kafka's client, for as long as the block lasts: topics come into being when they are used.

    Args:
        topics: Those that are there from the beginning.
    """

    def __init__(self, topics: Sequence[str] = ()) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._producer.list_topics(timeout=5).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        for topic in topics:
            self._producer.list_topics(topic, timeout=5)

    def __enter__(self) -> MockKafka:
        return self

    def __exit__(self, *_: object) -> None:
        del self._producer
