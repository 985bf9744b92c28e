"""Facts on Kafka, from the journal of a server: nothing lost, and a call's facts in order.

The client is idempotent: it sends an entry again until the brokers have it, once, and in order; and it never gives up
on one (`message.timeout.ms` 0), because what it gave up would come after what its call told later. Should it fail with
one all the same, it stops at once (`enable.gapless.guarantee`); then it is made anew, and all that was not acknowledged
is sent once more from the first on. So an entry may come twice, and never after a later one of its call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..errors import BusError
from ..plural import many
from ..ports import Written
from ..settings import Settings
from .cloud_events import headers_of
from .dead_letters import letter_of
from .held import Held
from .librdkafka import KafkaError, KafkaException, Message, Producer, config_of, made, refusal
from .setup import Setup
from .topics import MAX_BYTES, topics_of

__all__ = ["KafkaBus", "bus_of", "producer_config"]

logger = logging.getLogger(__name__)

MAX_HELD: Final = 10_000
"""Entries that may be under way: some seconds of a busy server. The others wait in the journal."""

MAX_HELD_BYTES: Final = 32 * 1024 * 1024
"""Bytes of them together; the client has them once more."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 15.0
"""Seconds before the client is made anew: the first time, and after many times."""

DEGRADED_S: Final = 5.0
"""Seconds without an acknowledgement, while some are due, that are worth telling."""

PURGE_S: Final = 2.0
"""Seconds in which a client that has failed must have let go of what it held; that takes it some milliseconds."""

FOLLOWING: Final = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT))
"""What entries are given back with that were not at fault."""

AGAIN: Final = FOLLOWING | {KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE, KafkaError._MSG_TIMED_OUT}
"""What says nothing against a dead letter."""

MISSING: Final = frozenset((KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART))
"""What is said of a topic that was deleted: it is made again, and only when it cannot be is that worth telling."""


def bus_of(settings: Settings) -> KafkaBus:
    """Make the bus that the settings name. It reads a file, and waits for no broker.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.
    """
    return KafkaBus(settings)


def producer_config(settings: Settings) -> dict[str, Any]:
    """Give the settings of whatever writes."""
    return {
        "compression.type": "lz4",  # zstd takes a quarter off the bytes, and half as much again of the processor
        "message.max.bytes": MAX_BYTES,
        **config_of(settings),
        "enable.idempotence": True,
        "enable.gapless.guarantee": True,
        "acks": "all",
        "message.timeout.ms": 0,
    }


class KafkaBus:
    """Implements `ports.Bus`.

    Args:
        settings: The settings.
        max_held: Entries that may be under way.

    Raises:
        SettingsError: Something in the file of `kafka_config` is wrong.
    """

    def __init__(self, settings: Settings, *, max_held: int = MAX_HELD) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._held = Held(max_held, MAX_HELD_BYTES)
        self._config = {
            **producer_config(settings),
            "linger.ms": 20,  # entries come ten times a second as it is, and each request costs processor
            # Above what we hold, so that our own bound is the one that is met.
            "queue.buffering.max.messages": 2 * max_held,
            "queue.buffering.max.kbytes": 4 * MAX_HELD_BYTES // 1024,
            "error_cb": self._on_error,
        }
        self._is_careful = False
        self._producer: Producer | None = self._make()
        self._is_open = False  # nothing is sent before the topics are there
        self._setup: Setup | None = Setup(settings, self._topics)
        self._broken: KafkaError | None = None
        self._broken_topic = ""
        self._refused: BusError | None = None
        self._pause_s = FIRST_PAUSE_S
        self._open_at = 0.0
        self._heard_at = time.monotonic()
        self._sent = self._acknowledged = self._failed = 0

    @property
    def name(self) -> str:
        """`kafka`."""
        return "kafka"

    def send(self, entries: Sequence[Written]) -> int:
        """Take entries; see `ports.Bus.send`."""
        taken = 0
        if not self._held:
            self._heard_at = time.monotonic()
        for entry in entries:
            if not self._held.take(entry):
                break
            taken += 1
        if self._is_open and self._producer is not None:
            self._push(self._producer)
        return taken

    def acknowledged(self, wait_s: float) -> Sequence[int]:
        """Give what was acknowledged; see `ports.Bus.acknowledged`.

        Raises:
            BusError: Something is wrong that waiting will not mend. It goes on trying all the same: call it again.
        """
        until = time.monotonic() + wait_s
        while True:
            left_s = max(0.0, until - time.monotonic())
            if self._opened(left_s) and self._producer is not None:
                producer = self._producer
                self._push(producer)
                self._poll(producer, left_s)
                if self._broken is not None:
                    self._let_go(producer)
            if found := self._held.acknowledged():
                return found
            refused, self._refused = self._refused, None
            if refused is not None:
                raise refused
            if time.monotonic() >= until:
                return ()

    def figures(self) -> Mapping[str, float]:
        """Count what it did; see `ports.Bus.figures`."""
        late = bool(self._held) and time.monotonic() - self._heard_at > DEGRADED_S
        return {
            "sent": self._sent,
            "acknowledged": self._acknowledged,
            "failed": self._failed,
            "degraded": float(late),
        }

    def close(self, wait_s: float) -> Sequence[int]:
        """Wait for what was sent, and let go; see `ports.Bus.close`."""
        until = time.monotonic() + wait_s
        found: list[int] = []
        while self._held and (left_s := until - time.monotonic()) > 0:
            try:
                found += self.acknowledged(left_s)
            except BusError as exc:
                logger.warning("%s in the journal: %s", many(len(self._held), "fact waits", "facts wait"), exc)
                break
        if self._setup is not None:
            self._setup.close()
        if self._producer is not None:
            self._retire(self._producer)
        found += self._held.acknowledged()
        return found

    def _make(self) -> Producer:
        # What is too large for a topic is refused with all that came in the same batch: then each gets one of its own.
        self._is_careful = self._held.has_suspects
        alone = {"batch.num.messages": 1} if self._is_careful else {}
        return made(Producer, {**self._config, **alone}, self._settings)

    def _opened(self, wait_s: float) -> bool:
        """Have the client ready, which may take some calls."""
        if self._is_open:
            return True
        if self._producer is None:
            pause_s = self._open_at - time.monotonic()
            if pause_s > 0:
                time.sleep(min(pause_s, wait_s))
            if pause_s > wait_s:
                return False
            self._producer = self._make()
            self._held.again()
        if self._setup is None:
            self._setup = Setup(self._settings, self._topics)
        try:
            self._is_open = self._setup.wait(wait_s)
        except BusError as exc:
            self._refused = exc
        return self._is_open

    def _push(self, producer: Producer) -> None:
        """Give the client what it has room for."""
        while self._broken is None and (entry := self._held.next()) is not None:
            if self._is_careful and not self._held.has_suspects:
                # It was made to find what is too large, and has: the others wait for one that sends many at once.
                if len(producer) == 0:
                    self._retire(producer)
                return
            try:
                if self._held.is_too_large(entry.position):
                    self._produce_dead(producer, entry)
                else:
                    self._produce(producer, entry)
            except BufferError:
                return
            except KafkaException as exc:
                if exc.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    self._broken = exc.args[0]
                    return
                self._held.too_large(entry.position, alone=True)
                continue
            self._held.sent()
            self._sent += 1

    def _produce(self, producer: Producer, entry: Written) -> None:
        producer.produce(
            self._topics.of(entry.kind),
            entry.data,
            entry.call_id.encode(),
            on_delivery=partial(self._on_delivery, entry),
            headers=headers_of(entry.id, entry.kind, entry.call_id, entry.at),
        )

    def _produce_dead(self, producer: Producer, entry: Written) -> None:
        value, headers = letter_of(
            entry.data,
            headers_of(entry.id, entry.kind, entry.call_id, entry.at),
            why="larger than Kafka takes: see max.message.bytes of the topic",
            by="bus",
        )
        done = partial(self._on_buried, entry)
        producer.produce(self._topics.dead.name, value, entry.call_id.encode(), on_delivery=done, headers=headers)

    def _on_delivery(self, entry: Written, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._note(entry)
        else:
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self._held.too_large(entry.position, alone=self._is_careful)
            self._break(error, message.topic() or "")

    def _on_buried(self, entry: Written, error: KafkaError | None, _: Message) -> None:
        if error is not None and error.code() in AGAIN:
            self._break(error)
            return
        self._failed += 1
        logger.warning(
            "a fact of %d bytes is larger than Kafka takes, and %s (max.message.bytes)",
            len(entry.data),
            "is cut among the dead letters" if error is None else "is lost: the topic of dead letters refuses it",
            extra={"call_id": entry.call_id},
        )
        self._note(entry)
        if error is not None:
            self._break(error)

    def _note(self, entry: Written) -> None:
        if self._held.acknowledge(entry.position):
            self._acknowledged += 1
        self._heard_at = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._break(error)
        else:
            self._refused = refusal(error) or self._refused

    def _break(self, error: KafkaError, topic: str = "") -> None:
        """Note what the client has failed with; of many errors the first that says something."""
        if error.code() not in FOLLOWING and (self._broken is None or self._broken.code() in AGAIN):
            self._broken, self._broken_topic = error, topic

    def _poll(self, producer: Producer, wait_s: float) -> None:
        try:
            producer.poll(wait_s)
        except KafkaException as exc:  # it will do nothing any more
            self._break(exc.args[0])

    def _let_go(self, producer: Producer) -> None:
        """Have the client made anew, after a while."""
        self._retire(producer)
        if self._setup is not None:
            self._setup.close()  # it is done: a topic may be missing now
            self._setup = None
        error = self._broken
        if error is None:
            raise AssertionError("only a client that has failed is let go")
        if error.code() not in MISSING:
            self._refused = refusal(error, self._broken_topic) or self._refused
        self._broken, self._broken_topic = None, ""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return  # waiting does not make it smaller
        if self._refused is None:
            facts = many(len(self._held), "fact is", "facts are")
            logger.warning("Kafka's client failed (%s): %s sent once more", error.name(), facts)
        self._open_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _retire(self, producer: Producer) -> None:
        """Have the client forget what it holds, having heard of all that had arrived."""
        producer.purge()
        until = time.monotonic() + PURGE_S
        while len(producer) and time.monotonic() < until:
            self._poll(producer, 0.05)
        self._producer = None
        self._is_open = False
