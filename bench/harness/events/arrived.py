"""Reads what lies on a bus, all of it: the topics of a Kafka, the journal of a server that is no more."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any, Final

from bench.harness.events.checks import Arrived
from retell_ws.entries import decode

__all__ = ["TOPICS", "journal_bytes", "journalled", "lag", "read_topics", "topic_bytes"]

TOPICS: Final = ("retell_ws.facts", "retell_ws.transcripts")
"""Where facts lie, with the prefix that is usual."""

PATIENCE_S: Final = 20.0


def read_topics(bootstrap: str, topics: Sequence[str] = TOPICS) -> list[Arrived]:
    """Read topics from their beginning to where they end now. It belongs to no group, and commits nothing.

    Raises:
        TimeoutError: They do not give what they say they have.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    config = {"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False, "log_level": 0}
    found: list[Arrived] = []
    with closing(Consumer(config)) as consumer:
        known = consumer.list_topics(timeout=PATIENCE_S).topics
        ends: dict[tuple[str, int], int] = {}
        parts = []
        for topic in topics:
            for partition in known[topic].partitions if topic in known else ():
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=PATIENCE_S)
                if high > low:
                    ends[topic, partition] = high
                    parts.append(TopicPartition(topic, partition, low))
        consumer.assign(parts)
        until = monotonic() + PATIENCE_S
        while ends:
            # It waits for all it was asked for, or for the whole time: so for little, and not long.
            messages = consumer.consume(1000, timeout=0.1)
            if messages:
                until = monotonic() + PATIENCE_S
            elif monotonic() > until:
                raise TimeoutError(f"nothing comes of {sorted(ends)}")
            for message in messages:
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                place = str(message.topic()), _int(message.partition())
                offset = _int(message.offset())
                found.append(Arrived(*place, offset, decode(bytes(message.value() or b""))))
                if offset + 1 >= ends.get(place, offset + 2):
                    del ends[place]
    return found


def _int(value: int | None) -> int:
    assert value is not None, "a message that was read has a place"
    return value


def lag(bootstrap: str, group: str, topics: Sequence[str] = TOPICS) -> int:
    """Count the records that a group has not committed yet."""
    from confluent_kafka import Consumer, TopicPartition

    config = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    waiting = 0
    with closing(Consumer(config)) as consumer:
        known = consumer.list_topics(timeout=PATIENCE_S).topics
        parts = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in known[topic].partitions
            if topic in known
        ]
        for part in consumer.committed(parts, timeout=PATIENCE_S):
            low, high = consumer.get_watermark_offsets(part, timeout=PATIENCE_S)
            waiting += high - (part.offset if part.offset >= 0 else low)
    return waiting


def topic_bytes(data: Path, topics: Sequence[str] = TOPICS) -> int:
    """Count the bytes of topics in a broker's folder: compressed, with Kafka's own around them.

    Args:
        data: The folder of its log.
        topics: Which.
    """
    return sum(path.stat().st_size for topic in topics for path in data.glob(f"{topic}-*/*.log"))


def journal_bytes(data: Path) -> int:
    """Count the bytes of a journal's files."""
    return sum(path.stat().st_size for path in data.glob("journal.db*"))


def journalled(data: Path) -> list[str]:
    """Read the ids in the journal of a server that runs no more, without touching it.

    Args:
        data: The data folder.
    """
    with tempfile.TemporaryDirectory() as folder:
        for path in data.glob("journal.db*"):
            shutil.copy(path, folder)
        (copy,) = (path for path in Path(folder).iterdir() if path.read_bytes()[:15] == b"SQLite format 3")
        with closing(sqlite3.connect(copy)) as journal:
            rows: list[tuple[Any, ...]] = journal.execute("SELECT id FROM entries ORDER BY position").fetchall()
    return [str(row[0]) for row in rows]
