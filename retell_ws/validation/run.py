"""Runs the topics of a validation, one after the other: several measure, and would be in each other's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from ..testing.dial import shown
from . import cache, conformance, draining, events, failover, kafka, keys, latency, redis, retell, settings, webhooks
from .book import Book
from .line import TOPICS, Latency, Line, Report
from .machine import described, versions
from .settled import changed
from .setup import Setup

__all__ = ["validate"]

SWEEP_S = 10.0
"""Seconds for what is left in Redis to be deleted; it goes by itself two hours later."""


async def validate(
    setup: Setup,
    *,
    only: Collection[str] = (),
    write: Callable[[Line], None] = lambda line: None,
    begin: Callable[[str, str], None] = lambda topic, name: None,
) -> Report:
    """Look at everything, or at some topics.

    Args:
        setup: What is validated.
        only: Topics; none: all.
        write: Is given each line when it is known.
        begin: Is told of each topic, and of what is looked at in it.
    """
    began, at = time.perf_counter(), time.time()
    lines: list[Line] = []
    measured: list[Latency] = []

    def take(line: Line) -> None:
        lines.append(line)
        write(line)

    async def measuring(setup: Setup, book: Book) -> None:
        if (found := await latency.check(setup, book)) is not None:
            measured.append(found)

    checks: dict[str, Callable[[Setup, Book], Awaitable[None]]] = {
        "settings": settings.check,
        "keys": keys.check,
        "redis": redis.check,
        "kafka": kafka.check,
        "conformance": partial(conformance.check, progress=partial(begin, "conformance")),
        "latency": measuring,
        "failover": failover.check,
        "draining": draining.check,
        "cache": cache.check,
        "events": events.check,
        "webhooks": webhooks.check,
        "retell": retell.check,
    }
    wanted = [topic for topic in TOPICS if not only or topic in only]
    try:
        for topic in wanted:
            begin(topic, "")
            book = Book(topic, take, partial(begin, topic))
            await book.take(partial(checks[topic], setup, book))
    finally:
        if setup.settings.is_shared():
            await _swept(setup)
    known, machine = await asyncio.to_thread(lambda: (versions(), described()))
    return Report(
        at=at,
        took_s=round(time.perf_counter() - began, 1),
        agent=setup.target,
        blueprint=setup.settings.blueprint,
        url=shown(setup.url),
        only=tuple(wanted) if only else (),
        versions=known,
        machine=machine,
        settings=changed(setup.settings),
        lines=lines,
        latency=measured[0] if measured else None,
    )


async def _swept(setup: Setup) -> None:
    try:
        async with asyncio.timeout(SWEEP_S):
            await redis.sweep(setup)
    except TimeoutError:
        pass
