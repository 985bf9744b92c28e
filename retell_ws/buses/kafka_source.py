"""Facts out of Kafka, for one consumer of a group: each is given to one of the group, and again if it did not commit.

The client blocks, so it has a thread of its own. What that has read waits here, bounded, until it is asked for. When
partitions go over to another consumer of the group, what was read of them and not given is forgotten: the other one
reads it from the last commit on.

A consumer that does not read for five minutes loses its partitions (`max.poll.interval.ms`); one that is dead, after
six seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from .. import entries
from ..entries import Entry
from ..errors import BusError, WireError
from ..settings import Settings
from .cloud_events import Headers, headers_of
from .dead_letters import letter_of
from .kafka_lag import Lag
from .kafka_writer import Writer
from .librdkafka import Consumer, KafkaError, KafkaException, Message, TopicPartition, config_of, made, refusal
from .setup import Setup
from .topics import topics_of

__all__ = ["KafkaSource"]

logger = logging.getLogger(__name__)

SESSION_MS: Final = 6000
"""After which a consumer that is not heard of is dead, and its partitions go to others."""

SLICE_S: Final = 0.1
"""Seconds after which a read that was cancelled is noticed."""

COMMITS: Final = 3
"""Tries of one commit."""

PAUSE_S: Final = 0.5
"""Seconds between them."""


LATE: Final = frozenset(
    (
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,
        KafkaError._ASSIGNMENT_LOST,
    )
)
"""What a commit is answered with whose partitions have gone to somebody else."""


class _Place(NamedTuple):
    """Something read: an entry, or None for what is passed over."""

    topic: str
    partition: int
    offset: int
    entry: Entry | None
    garbage: bytes | None


class KafkaSource:
    """Implements `ports.Source`.

    Args:
        settings: The settings.
        consumer: The name of the consumer; all that have it share the entries.
    """

    def __init__(self, settings: Settings, consumer: str) -> None:
        self._settings = settings
        self._name = consumer
        self._topics = topics_of(settings)
        self._config: dict[str, Any] = {}
        self._thread = ThreadPoolExecutor(1, f"kafka-{consumer}")
        self._writer = Writer(settings)
        self._setup: Setup | None = None
        self._consumer: Consumer | None = None
        self._read: deque[_Place] = deque()
        self._given: dict[tuple[str, int], int] = {}
        self._lag = Lag()
        self._refused: BusError | None = None

    async def __aenter__(self) -> Self:
        """Begin, without a broker if there is none now.

        Raises:
            SettingsError: Something in the file of `kafka_config` is wrong.
        """
        try:
            await self._in_thread(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with self._writer:
                await self._in_thread(self._close)
        finally:
            self._thread.shutdown(wait=False)  # it has nothing to do any more

    async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
        """Give the next entries; see `ports.Source.read`. Cancelled, it loses nothing.

        Raises:
            BusError: Something is wrong that waiting will not mend.
        """
        stop = threading.Event()
        try:
            await self._in_thread(self._fetch, limit, wait_s, stop)
        finally:
            stop.set()
        for number, place in enumerate(tuple(islice(self._read, limit))):
            if place.garbage is not None:
                await self._bury(place.garbage, [], b"", "no entry of a fact")
                self._read[number] = place._replace(garbage=None)
        # From here on nothing waits: what is noted as given is given.
        found = []
        for _ in range(min(limit, len(self._read))):
            place = self._read.popleft()
            self._given[place.topic, place.partition] = place.offset + 1
            self._lag.given(place.topic, place.partition, place.offset + 1)
            if place.entry is not None:
                found.append(place.entry)
        return found

    async def commit(self) -> None:
        """Never read again what was given so far; see `ports.Source.commit`."""
        await self._in_thread(self._commit, dict(self._given))

    async def put(self, entry: Entry) -> None:
        """Tell the bus a fact; see `ports.Source.put`. Waits until the brokers have it.

        Raises:
            BusError: Something is wrong that waiting will not mend.
        """
        topic = self._topics.of(entry.kind)
        headers = headers_of(entry.id, entry.kind, entry.call_id, entry.at)
        await self._writer.write(topic, entries.encode(entry), entry.call_id.encode(), headers)

    async def bury(self, entry: Entry, why: str) -> None:
        """Put an entry with the dead letters; see `ports.Source.bury`. Waits until the brokers have it.

        Raises:
            BusError: Something is wrong that waiting will not mend.
        """
        headers = headers_of(entry.id, entry.kind, entry.call_id, entry.at)
        await self._bury(entries.encode(entry), headers, entry.call_id.encode(), why)

    def lag(self) -> int | None:
        """Count the entries that wait to be read, in this consumer's partitions; None when nobody knows."""
        return self._lag.total()

    async def _bury(self, data: bytes, headers: Headers, key: bytes, why: str) -> None:
        value, headers = letter_of(data, headers, why=why, by=self._name)
        await self._writer.write(self._topics.dead.name, value, key, headers)
        logger.warning("%s put an entry of %d bytes with the dead letters: %s", self._name, len(data), why)

    async def _in_thread(self, function: Any, *arguments: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # -- in the thread

    def _open(self) -> None:
        self._config = {
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 3,
            "queued.min.messages": 2000,
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.queue.backoff.ms": 20,
            **config_of(self._settings),
            "group.id": self._settings.kafka_prefix + self._name,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "error_cb": self._on_error,
        }
        self._setup = Setup(self._settings, self._topics)

    def _close(self) -> None:
        if self._setup is not None:
            self._setup.close()
            self._setup = None
        self._leave()

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
        self._read.clear()
        self._given.clear()
        self._lag.clear()

    def _joined(self, wait_s: float) -> Consumer | None:
        """Have the client ready; None when the topics are not there yet.

        Raises:
            BusError: They cannot be made.
        """
        if self._consumer is None:
            if self._setup is not None and not self._setup.wait(wait_s):
                return None
            self._consumer = made(Consumer, self._config, self._settings)
            names = [self._topics.facts.name, self._topics.transcripts.name]
            self._consumer.subscribe(names, on_assign=self._on_assign, on_revoke=self._on_revoke)
        return self._consumer

    def _fetch(self, limit: int, wait_s: float, stop: threading.Event) -> None:
        """Read until there is something to give.

        Raises:
            BusError: There is nothing, and something is wrong that waiting will not mend.
        """
        until = time.monotonic() + wait_s
        while not stop.is_set() and not self._read:
            left_s = max(0.0, until - time.monotonic())
            consumer = self._joined(min(left_s, SLICE_S))
            if consumer is not None:
                try:
                    self._keep(consumer.poll(min(left_s, SLICE_S)))
                except KafkaException as exc:
                    self._fail(exc.args[0])
            refused, self._refused = self._refused, None
            if refused is not None and not self._read:
                raise refused
            if not left_s:
                break
        if self._consumer is not None:
            # Rebalances are served here too, so it is asked even when there is something to give.
            for message in self._consumer.consume(max(1, limit - len(self._read)), 0):
                self._keep(message)
        if self._consumer is not None:
            self._lag.look(self._consumer)

    def _keep(self, message: Message | None) -> None:
        if message is None:
            return
        error = message.error()
        topic, partition, offset = message.topic() or "", message.partition(), message.offset()
        if error is not None:
            self._fail(error, topic)
            return
        if partition is None or offset is None:
            raise AssertionError("a message without an error has a place")
        value, entry, garbage = message.value(), None, None
        if value is not None:  # somebody has taken a transcript back: that is no entry, and no garbage
            try:
                entry = entries.decode(value)
            except WireError:
                garbage = value
        self._read.append(_Place(topic, partition, offset, entry, garbage))

    def _fail(self, error: KafkaError, topic: str = "") -> None:
        if error.fatal():
            logger.warning("Kafka's client failed (%s), and reads anew from the last commit", error.name())
            self._leave()
        self._refused = refusal(error, topic) or self._refused

    def _commit(self, given: dict[tuple[str, int], int]) -> None:
        for number in range(COMMITS):
            # What was revoked meanwhile is not ours to commit.
            own = {place: offset for place, offset in given.items() if place in self._given}
            if not own or self._consumer is None:
                return
            offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in own.items()]
            try:
                done = self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as exc:
                error: KafkaError = exc.args[0]
                if error.code() in LATE:
                    return
                self._refused = refusal(error) or self._refused
                if number == COMMITS - 1:
                    logger.warning("%s could not commit (%s): it is left to the next one", self._name, error.name())
                else:
                    time.sleep(PAUSE_S)
                continue
            for one in done:
                if one.error is None and self._given.get((one.topic, one.partition)) == one.offset:
                    del self._given[one.topic, one.partition]
            return

    def _on_error(self, error: KafkaError) -> None:
        self._refused = refusal(error) or self._refused

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._lag.assigned(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {(one.topic, one.partition) for one in partitions}
        self._read = deque(place for place in self._read if (place.topic, place.partition) not in gone)
        for place in gone:
            self._given.pop(place, None)
        self._lag.revoked(partitions)
