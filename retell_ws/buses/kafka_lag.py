"""How many entries wait in the partitions that a consumer reads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from .librdkafka import Consumer, KafkaException, TopicPartition

__all__ = ["Lag"]

EVERY_S: Final = 0.5
"""Seconds between two looks."""

UNKNOWN: Final = -1001


class Lag:
    """Knows where a consumer stands, and where the partitions end."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, int], int | None] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._is_assigned = False
        self._looked_at = 0.0

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Take note of partitions that are to be read."""
        self._is_assigned = True
        for one in partitions:
            self._next.setdefault((one.topic, one.partition), None)
        self._looked_at = 0.0

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Take note of partitions that go to somebody else."""
        for one in partitions:
            self._next.pop((one.topic, one.partition), None)
            self._ends.pop((one.topic, one.partition), None)

    def clear(self) -> None:
        """Forget all."""
        self._next.clear()
        self._ends.clear()
        self._is_assigned = False

    def given(self, topic: str, partition: int, offset: int) -> None:
        """Take note of where a partition is read next."""
        if (topic, partition) in self._next:
            self._next[topic, partition] = offset

    def look(self, consumer: Consumer) -> None:
        """Look where the partitions end, as the brokers told with the last entries. Now and then it asks them."""
        if time.monotonic() - self._looked_at < EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            for topic, partition in tuple(self._next):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
                if high == UNKNOWN:
                    continue
                self._ends[topic, partition] = high
                if self._next[topic, partition] is None:
                    (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=1)
                    self._next[topic, partition] = max(committed.offset, low, 0)
        except KafkaException:
            return  # nobody tells: the next time

    def total(self) -> int | None:
        """Count the entries that wait; None when nobody knows."""
        places = tuple(self._next.items())
        ends = self._ends
        if not self._is_assigned or any(at is None or place not in ends for place, at in places):
            return None
        return sum(max(0, ends.get(place, 0) - (at or 0)) for place, at in places)
