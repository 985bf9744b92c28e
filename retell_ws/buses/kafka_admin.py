"""Kafka's client for topics: how one is made as we want it, and how those that are there are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from ..errors import BusError
from ..settings import Settings
from .kafka_version import ApiLog
from .librdkafka import (
    AdminClient,
    ConfigResource,
    KafkaError,
    NewTopic,
    ResourceType,
    config_of,
    is_mock,
    made,
    refusal,
)
from .topics import Topic

__all__ = ["KafkaAdmin", "new_topic", "values_of"]


class KafkaAdmin:
    """Kafka's admin client, made with our settings.

    Args:
        settings: The settings.
        log: Takes what the brokers say of themselves; by default nobody asks.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.

    Attributes:
        client: Kafka's own.
        refused: What the brokers hold against us, last met by the client outside of any question of ours.
        is_mock: It plays the brokers itself; see `librdkafka.is_mock`.
    """

    def __init__(self, settings: Settings, *, log: ApiLog | None = None) -> None:
        config = config_of(settings) if log is None else log.asked_for(config_of(settings))
        self.refused: BusError | None = None
        self.is_mock = is_mock(config)
        self.client: AdminClient = made(AdminClient, {**config, "error_cb": self._on_error}, settings, log=log)

    def describe(self, topics: Iterable[Topic], **limits: float) -> dict[Topic, Future[Any]]:
        """Ask how topics are set.

        Args:
            topics: Those that are there.
            limits: As of the client's `describe_configs`.

        Returns:
            What `values_of` reads, for each of them.
        """
        resources = {topic: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
        told = self.client.describe_configs(list(resources.values()), **limits) if resources else {}
        return {topic: told[resource] for topic, resource in resources.items()}

    def _on_error(self, error: KafkaError) -> None:
        self.refused = refusal(error) or self.refused


def new_topic(topic: Topic) -> NewTopic:
    """Write a topic as the client makes it."""
    return NewTopic(topic.name, topic.partitions, topic.replicas or -1, config=dict(topic.config))


def values_of(entries: Mapping[str, Any]) -> dict[str, str]:
    """Read how a topic is set, out of what the brokers tell of it."""
    return {name: entry.value for name, entry in entries.items()}
