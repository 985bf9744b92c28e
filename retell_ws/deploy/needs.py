"""What somebody may need of a set-up, by name, and what each blueprint gives of it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from .files import Blueprint

__all__ = ["NEEDS", "Need", "Needed"]

Needed: TypeAlias = Literal[
    "failover",
    "rolling-restart",
    "several-servers",
    "workers",
    "speculation",
    "answer-cache",
    "live-control",
    "analytics",
    "transcripts",
    "escalation",
    "webhooks",
    "kafka",
]


class Need(msgspec.Struct, frozen=True):
    """What somebody may need.

    Attributes:
        single: What `single` gives; empty: nothing.
        distributed: Likewise.
        events: Likewise.
        why: The reason for what was decided.
        first: The first blueprint that is meant for it.
        redis: It takes calls that are kept in Redis.
        several: It takes more than one server.
        kafka: It takes Kafka.
    """

    single: str
    distributed: str
    events: str
    why: str
    first: Blueprint
    redis: bool = False
    several: bool = False
    kafka: bool = False


_SHARED: Final = "with Redis: the next word, from another server"
_FACTS: Final = "with --data, on one server"

NEEDS: Final[dict[str, Need]] = {
    "failover": Need(
        "",
        _SHARED,
        _SHARED,
        "the calls of `single` are in one process, and go with it",
        "distributed",
        redis=True,
        several=True,
    ),
    "rolling-restart": Need(
        "calls end within drain_s, new ones are refused",
        "live calls move between turns",
        "live calls move between turns",
        "an update of `single` has nowhere to move its calls to",
        "distributed",
        redis=True,
        several=True,
    ),
    "several-servers": Need(
        "", _SHARED, _SHARED, "any server has to know any call", "distributed", redis=True, several=True
    ),
    "workers": Need(
        "",
        "--workers N",
        "--workers N, with Redis",
        "without Redis each process has its own memory",
        "distributed",
        redis=True,
    ),
    "speculation": Need("with --speculate", "yes", "yes", "a setting; it costs tokens", "single"),
    "answer-cache": Need(
        "in memory",
        "in Redis, for all servers",
        "in Redis, or in memory",
        "the agent allows it: Agent(cache=True)",
        "single",
    ),
    "live-control": Need(
        "over the second port", "over any server", "over any server", "a call is moved over the second port", "single"
    ),
    "analytics": Need(
        _FACTS,
        _FACTS,
        "yes",
        "`events` keeps facts, on one server without Kafka, too: it starts the consumers itself",
        "events",
    ),
    "transcripts": Need(
        _FACTS, _FACTS, "yes", "the archive is one of the consumers of facts; on one server it needs no Kafka", "events"
    ),
    "escalation": Need(
        "with --data and --rules",
        "with --data and --rules",
        "with --rules",
        "rules look at facts; on one server they need no Kafka",
        "events",
    ),
    "webhooks": Need(
        "verified; kept with --data",
        "verified; kept with --data",
        "verified and kept",
        "what Retell tells is a fact",
        "events",
    ),
    "kafka": Need("", "", "--kafka-bootstrap", "others read along only on a bus", "events", kafka=True),
}
"""All that can be named, and what decides about it."""
