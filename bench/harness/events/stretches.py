"""A stretch of load, and what it came to: facts, bytes, commands, CPU; two of them tell what calls and turns cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil  # type: ignore[import-untyped]

from bench.harness.capacity_model import Cost, Measured, Window, per_call_and_turn
from bench.harness.events.arrived import topic_bytes
from bench.harness.events.escalating import RULES
from bench.harness.events.known import GRACE_S, known_in
from bench.harness.events.server import HUMAN
from bench.harness.events.site import Site, Sizes, site
from bench.harness.faults.scenarios import Progress, rest

__all__ = ["CONSUMERS", "Stretch", "measured_by", "stretch"]

CONSUMERS: Final = ("analytics", "archive", "escalation")

SEEN_S: Final = GRACE_S + 2.5
"""Seconds until the last calls have ended, and the server has counted its journal."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What a stretch came to. Bytes and CPU of what was there before the first call are taken off.

    Attributes:
        calls: Calls made.
        turns: Questions asked.
        facts: Facts told.
        journal_bytes: What they take in a journal, its indexes included.
        kafka_bytes: What the topics have grown by.
        redis_commands: What Redis has carried out.
        redis_cpu_ms: Its CPU time.
        cpu_ms: The server's.
        consumer_cpu_ms: That of each consumer, for reading all of it.
    """

    calls: int
    turns: int
    facts: int
    journal_bytes: int
    kafka_bytes: int
    redis_commands: int
    redis_cpu_ms: float
    cpu_ms: float
    consumer_cpu_ms: Mapping[str, float]


class _Counted(msgspec.Struct, frozen=True):
    """What is read at both ends."""

    commands: int
    redis_cpu_ms: float
    cpu_ms: float


async def stretch(sizes: Sizes, folder: Path, progress: Progress) -> Stretch:
    """Let people call for a while, once with Kafka, and once with the journal alone, which keeps all of it.

    Args:
        sizes: Of the load; `fault_s` is how long it lasts.
        folder: For everything.
        progress: Is told how far it is, from 0 to 1.
    """
    rules = folder / "rules.toml"
    await asyncio.to_thread(rules.write_text, RULES.format(to=HUMAN))
    kept, told = folder / "journal", folder / "kafka"
    for place in (kept, told):
        await asyncio.to_thread(place.mkdir)
    async with site(sizes, kept, bus="journal") as running:
        calls, turns = await _load(running, sizes, lambda done: progress(0.4 * done))
        await rest(SEEN_S, progress, 0.4, 0.45)
        figures = await running.server.metrics()
        # For each fact: the other one tells as many, but for a few.
        journal = figures["retell_ws_journal_bytes"] / max(1.0, figures["retell_ws_journal_waiting"])
    async with site(sizes, told, rules=rules) as running:
        first = await asyncio.to_thread(_counted, running)
        empty = topic_bytes(running.broker.data)
        calls, turns = await _load(running, sizes, lambda done: progress(0.45 + 0.45 * done))
        verdict, _ = await running.judged()
        last = await asyncio.to_thread(_counted, running)
        kafka = topic_bytes(running.broker.data) - empty
        consumers = await _consumed(running)
    return Stretch(
        calls=calls,
        turns=turns,
        facts=verdict.counts["facts"],
        journal_bytes=round(journal * verdict.counts["facts"]),
        kafka_bytes=kafka,
        redis_commands=last.commands - first.commands,
        redis_cpu_ms=last.redis_cpu_ms - first.redis_cpu_ms,
        cpu_ms=last.cpu_ms - first.cpu_ms,
        consumer_cpu_ms=consumers,
    )


async def _consumed(running: Site) -> dict[str, float]:
    """Let each consumer read all there is, from its start, and give the CPU time that took after it was ready."""
    spent: dict[str, float] = {}

    async def one(name: str) -> None:
        async with running.consumer(name) as program:
            process = psutil.Process(program.pid)
            at_ready = _cpu_ms(process)
            await running.consumed((name,))
            spent[name] = _cpu_ms(process) - at_ready

    async with asyncio.TaskGroup() as tasks:
        for name in CONSUMERS:
            tasks.create_task(one(name))
    return {name: spent[name] for name in CONSUMERS}


async def _load(running: Site, sizes: Sizes, progress: Progress) -> tuple[int, int]:
    async with running.callers as callers:
        await callers.full()
        await rest(sizes.fault_s, progress, 0, 1)
    known = known_in(running.history())
    return len(known), sum(len(call.asked) for call in known.values())


def _counted(running: Site) -> _Counted:
    import redis

    with redis.Redis(port=running.redis.port) as client:
        commands = client.info("commandstats")
        cpu = client.info("cpu")
    return _Counted(
        commands=sum(one["calls"] for name, one in commands.items() if name not in ("cmdstat_info", "cmdstat_ping")),
        redis_cpu_ms=1000 * (cpu["used_cpu_user"] + cpu["used_cpu_sys"]),
        cpu_ms=_cpu_ms(psutil.Process(running.server.pid)),
    )


def _cpu_ms(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(1000 * (times.user + times.system))


def measured_by(short: Stretch, long: Stretch, *, cpu_per_turn_ms: float) -> Measured:
    """Tell what a call and a turn cost.

    Args:
        short: A stretch of short calls.
        long: One of long calls.
        cpu_per_turn_ms: CPU of the server for a turn, with a model that is asked over HTTP, as in life: that of the
            stretches speaks inside the server, and costs less.
    """

    def each(name: str) -> Cost:
        return per_call_and_turn(
            Window(short.calls, short.turns, getattr(short, name)), Window(long.calls, long.turns, getattr(long, name))
        )

    facts = short.facts + long.facts
    return Measured(
        facts=each("facts"),
        journal_bytes=each("journal_bytes"),
        kafka_bytes=each("kafka_bytes"),
        redis_commands=each("redis_commands"),
        redis_cpu_ms=each("redis_cpu_ms"),
        cpu_ms=Cost(each("cpu_ms").call, cpu_per_turn_ms),
        consumer_cpu_ms={
            name: 1000 * (short.consumer_cpu_ms[name] + long.consumer_cpu_ms[name]) / facts
            for name in short.consumer_cpu_ms
        },
    )
