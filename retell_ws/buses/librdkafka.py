"""Kafka's client as all our modules use it: its settings, its errors in our words, its log in ours.

This is the only module that imports it. Importing it without the package tells what to install.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from ..errors import BusError, SettingsError
from ..settings import Settings
from .properties import line_of, parse

try:
    from confluent_kafka import (
        Consumer,
        KafkaError,
        KafkaException,
        Message,
        Producer,
        TopicCollection,
        TopicPartition,
    )
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.admin._config import ConfigResource
    from confluent_kafka.admin._resource import ResourceType
    from confluent_kafka.cimpl import NewTopic
except ModuleNotFoundError as exc:
    if exc.name != "confluent_kafka":
        raise
    raise SettingsError("facts on Kafka need a package more: pip install 'retell-ws[kafka]'") from None

__all__ = [
    "AdminClient",
    "ClientLog",
    "ConfigResource",
    "Consumer",
    "KafkaError",
    "KafkaException",
    "Message",
    "NewTopic",
    "Producer",
    "ResourceType",
    "TopicCollection",
    "TopicPartition",
    "config_of",
    "is_mock",
    "made",
    "refusal",
]

logger = logging.getLogger(__name__)

Client = TypeVar("Client")

QUIET_S: Final = 60.0
"""Seconds between two lines of the client about the same thing: with the brokers gone it has one every 50 ms."""

STARTING: Final = frozenset({"GETPID"})
"""What brokers that have just been started answer for some seconds: "Coordinator load in progress"."""

LASTS_S: Final = 15.0
"""Seconds after which it is worth a line all the same."""

RETRY_MS: Final = 1000
"""Longest pause before the client tries again to connect; its default of 10 s would be added to every outage."""

SILENCE_MS: Final = 10_000
"""After which a connection on which a reply is due is given up; by default 60 s."""

FILE: Final = "in the file of --kafka-config"
NO_NAME: Final = f"Kafka does not accept our name and password: see sasl.* {FILE}"
NO_TOPIC: Final = "there is no topic{topic}, and it is not made: create it, or allow our user CREATE"
NO_WRITE: Final = "Kafka does not let us write: allow our user IDEMPOTENT_WRITE, or CREATE where topics are missing"

NO_MECHANISM: Final = f"Kafka takes no passwords in this way: see sasl.mechanism {FILE}"

_REFUSALS: Final = {
    KafkaError._AUTHENTICATION: NO_NAME,
    KafkaError.SASL_AUTHENTICATION_FAILED: NO_NAME,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: NO_MECHANISM,
    KafkaError._SSL: f"there is no TLS connection to Kafka: see security.protocol and ssl.* {FILE}",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Kafka does not let us use the topic{topic}: allow our user DESCRIBE and "
    "WRITE there, and READ to consumers",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Kafka does not let us read in our group: allow our user READ of the groups "
    "that begin with --kafka-prefix",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: NO_WRITE,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: NO_WRITE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: NO_TOPIC,
    KafkaError._UNKNOWN_PARTITION: NO_TOPIC,
    KafkaError.TOPIC_EXCEPTION: "Kafka allows no such name of a topic{topic}: see --kafka-prefix",
    KafkaError.INVALID_REPLICATION_FACTOR: "Kafka has not as many brokers as --kafka-replicas wants copies",
    KafkaError.POLICY_VIOLATION: "Kafka's own policy forbids the topic{topic} as we want it: create it yourself",
    KafkaError.INVALID_RECORD: "Kafka takes no such entries in the topic{topic}: see its configuration",
    KafkaError.UNSUPPORTED_VERSION: "these brokers are older than what we ask of them",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "others in our group do not read as we do: change --kafka-prefix",
    KafkaError.FENCED_INSTANCE_ID: "another consumer has the same group.instance.id",
}


def refusal(error: KafkaError, topic: str = "") -> BusError | None:
    """Tell whether an error is one that waiting will not mend.

    Args:
        error: It.
        topic: The one it was about, when it was about one.

    Returns:
        What to raise then, with words that say what to change; None for what will pass.
    """
    words = _REFUSALS.get(error.code())
    if words == NO_NAME and "Unsupported SASL mechanism" in error.str():  # for which the client has the same number
        words = NO_MECHANISM
    return None if words is None else BusError(words.format(topic=f" {topic}" if topic else ""))


class ClientLog:
    """Takes the client's log lines into ours: what is wrong once a minute, all the rest at DEBUG.

    What brokers say while they start is wrong only when it lasts.

    The client calls what goes away by itself, like a refused connection, an error: so nothing of it is more here than
    a WARNING. What it thinks of its own settings (`CONFWARN`) it says of every one that is for writers or readers only.

    Args:
        clock: Gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._said: dict[str, tuple[float, float]] = {}  # first and last, of what is being said again and again

    def log(self, level: int, text: str, *values: Any) -> None:
        """Take one line; the client calls this.

        Args:
            level: Of Python's.
            text: With a place for each of the values.
            values: The first of them is what it is about, in the client's own short word.
        """
        about = str(values[0]) if values else text
        now = self._clock()
        is_told = now - self._told_at.get(about, -QUIET_S) < QUIET_S
        if level < logging.WARNING or about == "CONFWARN" or self._passes(about, now) or is_told:
            logger.debug("Kafka's client: " + text, *values)  # noqa: G003  # the text is the client's
            return
        self._told_at[about] = now
        logger.warning("Kafka's client: " + text, *values)  # noqa: G003

    def _passes(self, about: str, now: float) -> bool:
        """Tell whether it may still go away by itself."""
        if about not in STARTING:
            return False
        first, last = self._said.get(about, (now, now))
        if now - last > QUIET_S:
            first = now
        self._said[about] = first, now
        return now - first < LASTS_S


def config_of(settings: Settings) -> dict[str, Any]:
    """Give what every client of ours is made with.

    It reads a file: not on the loop.

    Raises:
        SettingsError: The file of `kafka_config` cannot be read, or something in it is wrong.
    """
    given: dict[str, Any] = {
        "socket.keepalive.enable": True,
        "socket.timeout.ms": SILENCE_MS,
        "reconnect.backoff.max.ms": RETRY_MS,
        "topic.metadata.propagation.max.ms": 10_000,  # so long may a topic be missing before it counts as deleted
        "topic.metadata.refresh.interval.ms": 60_000,
        "allow.auto.create.topics": False,  # made by a broker they would not be what we need
        "client.id": "retell_ws",
    }
    text = _text_of(settings)
    given |= parse(text, settings.kafka_config)
    given["bootstrap.servers"] = settings.kafka_bootstrap
    return given


def is_mock(config: dict[str, Any]) -> bool:
    """Tell whether the client plays the brokers itself, as tests may have it: it does so without topics' settings."""
    return any(name.startswith("test.mock.") for name in config)


def made(
    client: Callable[..., Client], config: dict[str, Any], settings: Settings, *, log: ClientLog | None = None
) -> Client:
    """Make a client.

    Args:
        client: Which.
        config: Its settings.
        settings: Ours, to name the line of a file.
        log: Takes its log; by default one of its own.

    Raises:
        SettingsError: The client does not take one of its settings. Its words quote no value.
    """
    try:
        return client(config, logger=log or ClientLog())
    except (KafkaException, TypeError, ValueError) as exc:
        words = str(exc.args[0].str()) if isinstance(exc, KafkaException) else str(exc)
    text = _text_of(settings)
    name = next((name for name in re.findall(r"[a-z][a-z_.]+[a-z]", words) if line_of(text, name) is not None), None)
    if name is None:
        # The words may quote a value, so only the names of settings in them are passed on.
        named = sorted(set(re.findall(r"property:? \"([a-z._]+)\"|\b((?:ssl|sasl|security)(?:\.[a-z_]+)+)", words)))
        about = f" about {', '.join(one or other for one, other in named)}" if named else ""
        raise SettingsError(f"Kafka's client does not take its settings{about}: see --kafka-bootstrap, --kafka-config")
    reason = "it knows no such setting" if words.startswith("No such") else "it does not take this value"
    raise SettingsError(
        f"kafka_config: {settings.kafka_config}, line {line_of(text, name)}: {name}: {reason}"
        + (" (a file that it cannot read?)" if name.endswith(".location") else "")
    ) from None


def _text_of(settings: Settings) -> str:
    if not settings.kafka_config:
        return ""
    try:
        return Path(settings.kafka_config).read_text("utf-8")
    except OSError as exc:
        raise SettingsError(f"kafka_config: cannot read {settings.kafka_config}: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"kafka_config: {settings.kafka_config} is no text in UTF-8") from None
