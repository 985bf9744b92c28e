"""Looks a Kafka over, for whoever wants to know whether it will do: its brokers, our topics, and what it lets us do.

Everything here waits for brokers: not on the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Final

import msgspec

from ..errors import BusError
from ..plural import many
from ..settings import Settings
from .kafka_version import ApiLog
from .librdkafka import (
    AdminClient,
    ConfigResource,
    KafkaError,
    KafkaException,
    NewTopic,
    ResourceType,
    config_of,
    is_mock,
    made,
    refusal,
)
from .topics import Topic, differences, topics_of

__all__ = ["KafkaProbe", "TopicState"]

ASK_S: Final = 5.0
"""Seconds the brokers may take for one answer."""

CREATE_S: Final = 15.0

NO_ANSWER: Final = "no broker answers"
"""What to look at is said by whoever asked."""


class TopicState(msgspec.Struct, frozen=True):
    """A topic of ours, as it is there.

    Attributes:
        name: Its name.
        is_there: It is there already.
        refused: Why it is not, and cannot be made; empty when it can.
        partitions: How many it has, or would have.
        replicas: Copies of each, the fewest; 0 when it is not there yet.
        differs: In what it is other than we would make it.
    """

    name: str
    is_there: bool
    refused: str = ""
    partitions: int = 0
    replicas: int = 0
    differs: Sequence[str] = ()


class KafkaProbe:
    """A client that asks, and makes and deletes what is ours.

    Args:
        settings: The settings.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = config_of(settings)
        self._refused: BusError | None = None
        self._log = ApiLog()
        debug = ",".join(filter(None, (self._config.get("debug", ""), "feature")))  # see `ApiLog`
        config = {**self._config, "debug": debug, "error_cb": self._on_error}
        self._admin = made(AdminClient, config, settings, log=self._log)

    def brokers(self) -> list[str]:
        """Name the host of each broker, as it gives itself out.

        Raises:
            BusError: None answers, or they refuse us.
        """
        try:
            return [str(broker.host) for broker in self._admin.list_topics(timeout=ASK_S).brokers.values()]
        except KafkaException as exc:
            self._admin.poll(0)
            raise self._refused or refusal(exc.args[0]) or BusError(NO_ANSWER) from None

    def release(self) -> str:
        """Give the release of Kafka that the brokers asked so far are at least; empty when that is not known."""
        self._admin.poll(0)  # which hands on what the client has written into its log
        return self._log.release

    def topics(self) -> list[TopicState]:
        """Look at our topics; those that are missing are not made, only whether they could be is asked.

        Raises:
            BusError: Nobody answers.
        """
        try:
            there = self._admin.list_topics(timeout=ASK_S).topics
        except KafkaException as exc:
            raise refusal(exc.args[0]) or BusError(NO_ANSWER) from None
        states = []
        for topic in topics_of(self._settings).all():
            if topic.name in there:
                copies = [len(partition.replicas) for partition in there[topic.name].partitions.values()]
                found = differences(topic, len(copies), self._config_of(topic))
                if topic.replicas and min(copies, default=0) < topic.replicas:
                    found.append(f"{many(min(copies, default=0), 'copy', 'copies')} and not {topic.replicas}")
                states.append(TopicState(topic.name, True, "", len(copies), min(copies, default=0), found))
            else:
                states.append(TopicState(topic.name, False, self._why_not(topic), topic.partitions))
        return states

    def _why_not(self, topic: Topic) -> str:
        if is_mock(self._config):
            return ""
        wanted = NewTopic(topic.name, topic.partitions, topic.replicas or -1, config=dict(topic.config))
        asked = self._admin.create_topics([wanted], validate_only=True, request_timeout=ASK_S)
        return _outcome(asked[topic.name], topic.name)

    def _config_of(self, topic: Topic) -> dict[str, str]:
        """Ask how a topic is set; nothing when we may not know."""
        resource = ConfigResource(ResourceType.TOPIC, topic.name)
        try:
            entries = self._admin.describe_configs([resource], request_timeout=ASK_S)[resource].result(ASK_S)
        except (KafkaException, TimeoutError):
            return {}
        return {name: entry.value for name, entry in entries.items()}

    def make(self) -> str:
        """Make the topics of these settings.

        Returns:
            Why that cannot be done; empty when it was.
        """
        topics = [
            NewTopic(topic.name, topic.partitions, topic.replicas or -1, config=dict(topic.config))
            for topic in topics_of(self._settings).all()
        ]
        futures = self._admin.create_topics(topics, operation_timeout=CREATE_S)
        return next((why for name, future in futures.items() if (why := _outcome(future, name))), "")

    def drop(self, groups: Sequence[str]) -> None:
        """Delete the topics of these settings, and groups of consumers. What cannot be deleted stays.

        Args:
            groups: Their names.
        """
        names = [topic.name for topic in topics_of(self._settings).all()]
        for name, future in self._admin.delete_topics(names, operation_timeout=CREATE_S).items():
            _outcome(future, name)
        for name, future in self._admin.delete_consumer_groups(list(groups), request_timeout=ASK_S).items():
            _outcome(future, name)

    def _on_error(self, error: KafkaError) -> None:
        self._refused = refusal(error) or self._refused


def _outcome(future: Future[Any], name: str) -> str:
    """Wait for what the brokers say; give why they refuse, or nothing."""
    try:
        future.result(CREATE_S)
    except KafkaException as exc:
        error: KafkaError = exc.args[0]
        return str(refusal(error, name) or f"the brokers say {error.name()}")
    except TimeoutError:
        return f"the brokers said nothing within {CREATE_S:g} s"
    return ""
