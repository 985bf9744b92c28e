"""Makes the topics that are missing, in a thread of its own: Kafka may be down when a server starts."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import Any, Final

from ..errors import BusError
from ..settings import Settings
from .kafka_admin import KafkaAdmin, new_topic, values_of
from .librdkafka import KafkaError, KafkaException, refusal
from .topics import Topic, Topics, differences

__all__ = ["Setup"]

logger = logging.getLogger(__name__)

STEP_S: Final = 1.0
"""Seconds after which a question that has no answer is asked anew; so long may `close` take."""

CONFIG_S: Final = 5.0
"""Seconds the brokers may take to tell how a topic is set."""

CREATE_S: Final = 20.0
"""Seconds the brokers may take to make a topic."""

REFUSED_S: Final = 10.0
"""Seconds before it is tried again after it was refused: somebody may have mended it."""


class Setup:
    """Sees to it that the topics are there.

    Args:
        settings: The settings.
        topics: What they ask for.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.
    """

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self._topics = topics
        self._closing = threading.Event()
        self._done = threading.Event()
        self._admin = KafkaAdmin(settings)
        self._thread = threading.Thread(target=self._run, name="kafka-topics", daemon=True)
        self._thread.start()

    def wait(self, wait_s: float) -> bool:
        """Wait so long at most for the topics to be there.

        Returns:
            Whether they are.

        Raises:
            BusError: They are not, and cannot be made. It goes on trying.
        """
        if self._done.wait(wait_s):
            return True
        refused, self._admin.refused = self._admin.refused, None
        if refused is not None:
            raise refused
        return False

    def close(self) -> None:
        """Try no more."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            pause_s = STEP_S
            try:
                there = self._make_missing()
                self._done.set()
                self._compare(there)
                return
            except KafkaException as exc:
                self._admin.client.poll(0)  # hands on its log
                error: KafkaError = exc.args[0]
                if (refused := refusal(error)) is not None:
                    self._admin.refused, pause_s = refused, REFUSED_S
            except BusError as exc:
                self._admin.refused, pause_s = exc, REFUSED_S
            except Exception:  # ours, a bug: without topics there are no facts, so it must be seen, and tried again
                logger.exception("the topics cannot be seen to")
                pause_s = REFUSED_S
            self._closing.wait(pause_s)

    def _make_missing(self) -> dict[Topic, int]:
        """Make the topics that are missing.

        Returns:
            Those that were there, with how many partitions they have.
        """
        found = self._admin.client.list_topics(timeout=STEP_S).topics
        there = {topic: len(found[topic.name].partitions) for topic in self._topics.all() if topic.name in found}
        missing = [topic for topic in self._topics.all() if topic not in there]
        if not missing or self._admin.is_mock:  # that one makes them when they are first used
            return there
        made = self._admin.client.create_topics([new_topic(topic) for topic in missing], operation_timeout=CREATE_S)
        for topic in missing:
            try:
                self._result(made[topic.name], CREATE_S)
            except KafkaException as exc:
                if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue  # another server was faster
                if (refused := refusal(exc.args[0], topic.name)) is not None:
                    raise refused from None
                raise
            logger.info("made the topic %s", topic.name)
        return there

    def _compare(self, there: dict[Topic, int]) -> None:
        """Say what is other than we would have made it. That we may not see it is no reason not to go on."""
        told = self._admin.describe(there)
        for topic, partitions in there.items():
            config = {}
            try:
                config = values_of(self._result(told[topic], CONFIG_S))
            except KafkaException:
                pass
            if found := differences(topic, partitions, config):
                logger.warning("the topic %s is left as it is, with %s", topic.name, "; ".join(found))

    def _result(self, future: Future[Any], limit_s: float) -> Any:
        """Wait for what the brokers say, or until `close`."""
        for _ in range(int(limit_s / STEP_S)):
            self._admin.client.poll(0)
            try:
                return future.result(STEP_S)
            except TimeoutError:
                if self._closing.is_set():
                    break
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
