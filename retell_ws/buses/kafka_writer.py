"""Writes to Kafka for a consumer, one message at a time, and waits until the brokers have it."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from ..errors import BusError
from ..settings import Settings
from .cloud_events import Headers
from .kafka import producer_config
from .librdkafka import KafkaError, KafkaException, Message, Producer, made, refusal

__all__ = ["Writer"]

logger = logging.getLogger(__name__)

SLICE_S: Final = 0.1
"""Seconds after which a write that was cancelled is noticed."""

PAUSE_S: Final = 1.0
"""Seconds before the client is made anew when it has failed."""


class Writer:
    """One client and the thread that waits for it. An async context; it connects when it is first used.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._refused: BusError | None = None
        self._thread = ThreadPoolExecutor(1, "kafka-writer")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._retire)
        self._thread.shutdown(wait=False)  # it has nothing to do any more

    async def write(self, topic: str, value: bytes, key: bytes, headers: Headers) -> None:
        """Write a message. Cancelled, it may be written all the same.

        Raises:
            BusError: Something is wrong that waiting will not mend.
        """
        stop = threading.Event()
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, self._write, topic, value, key, headers, stop
            )
        finally:
            stop.set()

    def _write(self, topic: str, value: bytes, key: bytes, headers: Headers, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                error = self._try(topic, value, key, headers, stop)
            except KafkaException as exc:
                error = exc.args[0]
            if error is None or stop.is_set():
                return
            self._retire()
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise BusError(f"Kafka takes no {len(value)} bytes on {topic}: see max.message.bytes of the topic")
            if (refused := refusal(error, topic)) is not None:
                raise refused
            logger.warning("Kafka's client failed (%s): what it had is sent once more", error.name())
            stop.wait(PAUSE_S)

    def _try(self, topic: str, value: bytes, key: bytes, headers: Headers, stop: threading.Event) -> KafkaError | None:
        if self._producer is None:
            config = {**producer_config(self._settings), "linger.ms": 0, "error_cb": self._on_error}
            self._producer = made(Producer, config, self._settings)
        outcome: list[KafkaError | None] = []

        def done(error: KafkaError | None, _: Message) -> None:
            outcome.append(error)

        self._producer.produce(topic, value, key, on_delivery=done, headers=headers)
        while not outcome and not stop.is_set():
            self._producer.poll(SLICE_S)
            refused, self._refused = self._refused, None
            if refused is not None and not outcome:
                self._retire()
                raise refused
        return outcome[0] if outcome else None

    def _on_error(self, error: KafkaError) -> None:
        self._refused = refusal(error) or self._refused

    def _retire(self) -> None:
        if self._producer is not None:
            with suppress(KafkaException):  # it has failed, which is known
                self._producer.purge()
                self._producer.poll(0)
            self._producer = None
