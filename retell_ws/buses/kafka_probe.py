"""Looks a Kafka over, for whoever wants to know whether it will do: its brokers, our topics, and what it lets us do.

Everything here waits for brokers: not on the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..errors import BusError
from ..plural import many
from ..settings import Settings
from .kafka_admin import KafkaAdmin, new_topic, values_of
from .kafka_rights import Rights, of_groups, of_topics
from .kafka_version import ApiLog
from .librdkafka import KafkaError, KafkaException, refusal
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
        may_not: What our user may not do there and should, in Kafka's words, as `WRITE`.
    """

    name: str
    is_there: bool
    refused: str = ""
    partitions: int = 0
    replicas: int = 0
    differs: Sequence[str] = ()
    may_not: Sequence[str] = ()


class KafkaProbe:
    """A client that asks, and makes and deletes what is ours.

    Args:
        settings: The settings.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = ApiLog()
        self._admin = KafkaAdmin(settings, log=self._log)

    def brokers(self) -> list[str]:
        """Name the host of each broker, as it gives itself out.

        Raises:
            BusError: None answers, or they refuse us.
        """
        try:
            return [str(broker.host) for broker in self._admin.client.list_topics(timeout=ASK_S).brokers.values()]
        except KafkaException as exc:
            self._admin.client.poll(0)
            raise self._admin.refused or refusal(exc.args[0]) or BusError(NO_ANSWER) from None

    def release(self) -> str:
        """Give the release of Kafka that the brokers asked so far are at least; empty when that is not known."""
        self._admin.client.poll(0)  # which hands on what the client has written into its log
        return self._log.release

    def topics(self) -> list[TopicState]:
        """Look at our topics; those that are missing are not made, only whether they could be is asked.

        Raises:
            BusError: Nobody answers.
        """
        try:
            there = self._admin.client.list_topics(timeout=ASK_S).topics
        except KafkaException as exc:
            raise refusal(exc.args[0]) or BusError(NO_ANSWER) from None
        states, topics = [], topics_of(self._settings)
        present = [topic for topic in topics.all() if topic.name in there]
        configs, rights = self._configs(present), self._rights([topic.name for topic in present])
        for topic in topics.all():
            if topic.name in there:
                copies = [len(partition.replicas) for partition in there[topic.name].partitions.values()]
                found = differences(topic, len(copies), configs.get(topic, {}))
                if topic.replicas and min(copies, default=0) < topic.replicas:
                    found.append(f"{many(min(copies, default=0), 'copy', 'copies')} and not {topic.replicas}")
                # What was buried is read by people, and not by us.
                needs = {"WRITE"} if topic is topics.dead else {"READ", "WRITE"}
                may_not = sorted(needs - rights.get(topic.name, needs))
                states.append(TopicState(topic.name, True, "", len(copies), min(copies, default=0), found, may_not))
            else:
                states.append(TopicState(topic.name, False, self._why_not(topic), topic.partitions))
        return states

    def refused_groups(self, names: Sequence[str]) -> list[str] | None:
        """Tell in which groups of consumers our user may not read; None when there is none known, and not all are.

        Args:
            names: Of the consumers.
        """
        groups = [self._settings.kafka_prefix + name for name in names]
        rights = {} if self._admin.is_mock else of_groups(self._admin.client, groups, limit_s=ASK_S)
        refused = [group for group in groups if "READ" not in rights.get(group, {"READ"})]
        return None if not refused and len(rights) < len(groups) else refused

    def _rights(self, names: Sequence[str]) -> Rights:
        return {} if self._admin.is_mock else of_topics(self._admin.client, names, limit_s=ASK_S)

    def _why_not(self, topic: Topic) -> str:
        if self._admin.is_mock:
            return ""
        asked = self._admin.client.create_topics([new_topic(topic)], validate_only=True, request_timeout=ASK_S)
        return _outcome(asked[topic.name], topic.name)

    def _configs(self, topics: Sequence[Topic]) -> dict[Topic, dict[str, str]]:
        """Ask how topics are set, all at once; nothing of those of which we may not know."""
        found = {}
        for topic, future in self._admin.describe(topics, request_timeout=ASK_S).items():
            with suppress(KafkaException, TimeoutError):
                found[topic] = values_of(future.result(ASK_S))
        return found

    def make(self) -> str:
        """Make the topics of these settings.

        Returns:
            Why that cannot be done; empty when it was.
        """
        topics = [new_topic(topic) for topic in topics_of(self._settings).all()]
        futures = self._admin.client.create_topics(topics, operation_timeout=CREATE_S)
        return next((why for name, future in futures.items() if (why := _outcome(future, name))), "")

    def drop(self, groups: Sequence[str]) -> None:
        """Delete the topics of these settings, and groups of consumers. What cannot be deleted stays.

        Args:
            groups: Their names.
        """
        names = [topic.name for topic in topics_of(self._settings).all()]
        for name, future in self._admin.client.delete_topics(names, operation_timeout=CREATE_S).items():
            _outcome(future, name)
        for name, future in self._admin.client.delete_consumer_groups(list(groups), request_timeout=ASK_S).items():
            _outcome(future, name)


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
