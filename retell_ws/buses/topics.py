"""The topics of our facts: which there are, what they keep, and which of them an entry goes to. No I/O.

`facts` has all that happens, for some days. `transcripts` has the calls that have ended, one entry for each, under its
call id: compacted, so that only the last one of a call is kept. `dead` has what a consumer could not handle, or the
brokers would not take.

Within a topic the entries of a call are in the order of the journal. A transcript is in another topic than the rest of
its call: it may be read before or after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ..plural import many
from ..settings import Settings

__all__ = ["MAX_BYTES", "Topic", "Topics", "differences", "topics_of"]

MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the longest entry: a transcript of two hours with its tools has about 2.6 MB."""

DAY_MS: Final = 86_400_000

DEAD_DAYS: Final = 30
"""Days in which somebody may look at what was buried."""

SAFE_REPLICAS: Final = 3
"""With so many copies, two must have an entry before it counts as written: one broker may be lost, or down."""


class Topic(msgspec.Struct, frozen=True, eq=False):
    """A topic as we make it.

    Attributes:
        name: Its name.
        partitions: How many it has; the entries of one call are all in the same one.
        replicas: Copies of each partition; 0 as the brokers have it.
        config: Its settings, by Kafka's names.
    """

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


class Topics(msgspec.Struct, frozen=True):
    """All of them."""

    facts: Topic
    transcripts: Topic
    dead: Topic

    def all(self) -> tuple[Topic, Topic, Topic]:
        """Give each of them."""
        return self.facts, self.transcripts, self.dead

    def of(self, kind: str) -> str:
        """Name the topic that a fact goes to.

        Args:
            kind: The fact's name.
        """
        return self.transcripts.name if kind == "call_transcript" else self.facts.name


def topics_of(settings: Settings) -> Topics:
    """Give the topics that the settings ask for."""

    def topic(name: str, days: int, cleanup: str = "delete") -> Topic:
        config = {
            "cleanup.policy": cleanup,
            "retention.ms": str(days * DAY_MS),
            "max.message.bytes": str(MAX_BYTES),
        }
        if settings.kafka_replicas >= SAFE_REPLICAS:
            config["min.insync.replicas"] = "2"
        return Topic(settings.kafka_prefix + name, settings.kafka_partitions, settings.kafka_replicas, config)

    return Topics(
        facts=topic("facts", settings.kafka_days),
        transcripts=topic("transcripts", settings.kafka_days, "compact,delete"),
        dead=topic("dead", DEAD_DAYS),
    )


def differences(topic: Topic, partitions: int, config: Mapping[str, str]) -> list[str]:
    """Tell in what a topic that was there already is other than we would have made it.

    Args:
        topic: As we would have made it.
        partitions: How many it has.
        config: Its settings; those that are unknown are not compared.
    """
    found = []
    if partitions != topic.partitions:
        found.append(f"{many(partitions, 'partition')} and not {topic.partitions}")
    for name, wanted in topic.config.items():
        has = config.get(name)
        if has is not None and set(has.split(",")) != set(wanted.split(",")):
            found.append(f"{name}={has} and not {wanted}")
    return found
