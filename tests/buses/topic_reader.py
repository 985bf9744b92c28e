"""Reads a whole topic as anybody would, past all of our code."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

__all__ = ["headers_in", "whole"]


def whole(bootstrap: str, topic: str, config: Mapping[str, Any] | None = None, limit_s: float = 20.0) -> list[Message]:
    """Read every message that a topic has now, partition by partition."""
    own = {"bootstrap.servers": bootstrap, "group.id": "eyes", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**own, **(config or {})})
    try:
        partitions = consumer.list_topics(topic, timeout=limit_s).topics[topic].partitions
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=limit_s)
            for number in partitions
        }
        consumer.assign([TopicPartition(topic, number, low) for number, (low, _) in ends.items()])
        left = sum(high - low for low, high in ends.values())
        found: list[Message] = []
        deadline = time.monotonic() + limit_s
        while len(found) < left:
            assert time.monotonic() < deadline, f"{len(found)} of {left} messages could be read"
            found += [one for one in consumer.consume(500, 0.2) if one.error() is None]
        return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
    finally:
        consumer.close()


def headers_in(message: Message) -> dict[str, bytes]:
    """Give the headers of a message."""
    pairs = message.headers() or []
    assert isinstance(pairs, list)
    return {str(pair[0]): value for pair in pairs if isinstance(value := pair[1], bytes)}
