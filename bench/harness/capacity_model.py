"""From what one call and one turn cost to what many calls at once need. Pure; its figures are derived, not measured.

It is a straight line: every figure is multiplied by calls and turns a second. What does not grow in a straight line is
not in it: a balancer's own limits, a Redis cluster that reshards, a broker whose disks are full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["CALLS", "Assumed", "Cost", "Measured", "Need", "Window", "need", "per_call_and_turn"]

CALLS: Final = (10, 100, 1_000, 10_000, 100_000)
"""Calls at once in the table."""

DAY_S: Final = 86_400


class Cost(msgspec.Struct, frozen=True):
    """What something costs, in a unit its owner names.

    Attributes:
        call: For a call, from its first socket to its end, the turns left out.
        turn: For each turn of it.
    """

    call: float
    turn: float

    def rate(self, calls_s: float, turns_s: float) -> float:
        """Give the cost a second of so many calls and turns a second."""
        return self.call * calls_s + self.turn * turns_s


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        facts: Facts told.
        journal_bytes: Bytes in the journal.
        kafka_bytes: Bytes in Kafka, compressed, one copy.
        redis_commands: Commands Redis carries out, those of our scripts included.
        redis_cpu_ms: CPU time of Redis, in milliseconds.
        cpu_ms: CPU time of the server, in milliseconds.
        consumer_cpu_ms: CPU time of each consumer for a thousand facts, in milliseconds, by its name.
    """

    facts: Cost
    journal_bytes: Cost
    kafka_bytes: Cost
    redis_commands: Cost
    redis_cpu_ms: Cost
    cpu_ms: Cost
    consumer_cpu_ms: Mapping[str, float]


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken for granted.

    Attributes:
        call_s: Length of a call, in seconds.
        turn_s: From one question of a caller to the next.
        busy: Share of a core that may be used: beyond half of it the slowest turns wait for each other.
        server_cores: Cores of one server, a worker on each.
        worker_calls: Most calls of one worker.
        copies: Copies Kafka keeps.
        kept_days: Days it keeps them.
        least_partitions: Of a topic, however little there is to do.
    """

    call_s: float = 300.0
    turn_s: float = 10.0
    busy: float = 0.5
    server_cores: int = 8
    worker_calls: int = 1000
    copies: int = 3
    kept_days: int = 7
    least_partitions: int = 12


class Need(msgspec.Struct, frozen=True):
    """What so many calls at once need, all day long.

    Attributes:
        calls: At once.
        turns_s: Turns a second.
        facts_s: Facts a second.
        cores: For the servers.
        servers: With one more than that, where there are several.
        redis_commands_s: Commands a second.
        redis_cores: For Redis, in as many masters.
        kafka_mb_s: Megabytes a second that are written, one copy.
        kafka_gb: Gigabytes that lie there, all copies, all days.
        journal_mb_outage: Megabytes all journals take in for an outage of ten minutes.
        transcripts_day: Calls archived a day.
        consumers: Processes of each consumer, by its name.
        partitions: So that each of these has one.
    """

    calls: int
    turns_s: float
    facts_s: float
    cores: float
    servers: int
    redis_commands_s: float
    redis_cores: float
    kafka_mb_s: float
    kafka_gb: float
    journal_mb_outage: float
    transcripts_day: float
    consumers: dict[str, int]
    partitions: int


class Window(msgspec.Struct, frozen=True):
    """What a stretch of load came to: calls, turns, and the whole cost of both."""

    calls: int
    turns: int
    total: float


OUTAGE_S: Final = 600


def per_call_and_turn(short: Window, long: Window) -> Cost:
    """Tell apart what calls cost and what turns cost.

    Args:
        short: A stretch of calls with few turns.
        long: One of calls with more of them.

    Raises:
        ValueError: Both have as many turns a call: nothing tells them apart.
    """
    determinant = short.calls * long.turns - long.calls * short.turns
    if determinant == 0:
        raise ValueError("both stretches have as many turns a call")
    call = (short.total * long.turns - long.total * short.turns) / determinant
    turn = (short.calls * long.total - long.calls * short.total) / determinant
    # Noise may put one of them a little below nothing; then the other one is all of it.
    if call < 0:
        return Cost(0.0, long.total / long.turns)
    if turn < 0:
        return Cost(short.total / short.calls, 0.0)
    return Cost(call, turn)


def need(calls: int, measured: Measured, assumed: Assumed) -> Need:
    """Reckon what so many calls at once need."""
    calls_s, turns_s = calls / assumed.call_s, calls / assumed.turn_s
    facts_s = measured.facts.rate(calls_s, turns_s)
    cores = measured.cpu_ms.rate(calls_s, turns_s) / 1000 / assumed.busy
    workers = max(math.ceil(cores), math.ceil(calls / assumed.worker_calls), 1)
    servers = math.ceil(workers / assumed.server_cores)
    kafka_s = measured.kafka_bytes.rate(calls_s, turns_s)
    consumers = {
        name: max(1, math.ceil(facts_s * cpu_ms / 1000 / 1000 / assumed.busy))
        for name, cpu_ms in measured.consumer_cpu_ms.items()
    }
    return Need(
        calls=calls,
        turns_s=turns_s,
        facts_s=facts_s,
        cores=cores,
        servers=servers + (servers > 1),
        redis_commands_s=measured.redis_commands.rate(calls_s, turns_s),
        redis_cores=measured.redis_cpu_ms.rate(calls_s, turns_s) / 1000 / assumed.busy,
        kafka_mb_s=kafka_s / 1e6,
        kafka_gb=kafka_s * DAY_S * assumed.kept_days * assumed.copies / 1e9,
        journal_mb_outage=measured.journal_bytes.rate(calls_s, turns_s) * OUTAGE_S / 1e6,
        transcripts_day=calls_s * DAY_S,
        consumers=consumers,
        partitions=max(assumed.least_partitions, *consumers.values(), 1),
    )
