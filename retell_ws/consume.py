"""Run consumers as a process: which bus they read, where they write; ready line, signals, exit status.

This is their composition root, as `blueprints.py` is the servers': a consumer is imported when it is asked for. They
have a process of their own, because the loop that answers calls should do nothing else, and a consumer that dies or
hangs should take no call with it. `serve` starts one itself (`consuming.py`): for the consumers when the bus is its own
journal, and otherwise for what hands the journal on to Kafka. That is a consumer of the journal, too, and costs more
processor than writing the journal does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from .blueprints import handing_on
from .consumers.runner import Consumer, Runner
from .errors import BusError, SettingsError
from .extras import needing
from .log import configure
from .ports import Source
from .settings import Settings, load
from .workers import say_ready

__all__ = ["DRAIN_S", "MARK", "ConsumerName", "Name", "consumers_of", "run"]

logger = logging.getLogger(__name__)

ConsumerName: TypeAlias = Literal["analytics", "archive", "escalation"]
"""Who reads the bus."""

Name: TypeAlias = ConsumerName | Literal["relay"]
"""What this process may do; `relay` hands a journal on to Kafka."""

MARK: Final = "RETELL_CONSUMERS"
"""The variable of the environment by which a server tells the consumers it has started to live no longer than it does:
they read the end of their input when it is gone."""

GIVES_WAY: Final = 5
"""How much nicer than a server consumers are to other processes."""

DRAIN_S: Final = 5.0
"""Seconds in which what still lies in the journal is consumed when the server has ended."""


def run(names: Sequence[Name], flags: Mapping[str, Any], *, config: Path | None = None) -> int:
    """Consume until SIGTERM or SIGINT; a second signal ends at once.

    Args:
        names: Which consumers; none: all but `relay`, escalation only when there are rules.
        flags: Settings given on the command line.
        config: A TOML file of settings.

    Returns:
        0 after a stop; 1, after one line on stderr, when the bus refuses us for good.

    Raises:
        UsageError: The settings cannot be met.
    """
    is_ours = bool(os.environ.pop(MARK, ""))
    settings = load(flags, config=config)
    if settings.kafka_bootstrap:  # there are facts on Kafka in no other blueprint: it need not be said again
        settings = msgspec.structs.replace(settings, blueprint="events")
    configure(settings.log_level, mark=", ".join(names) if is_ours else "", form=settings.log_format)
    if not settings.data_folder():
        raise SettingsError("nothing is kept of calls: --blueprint events, or --data FOLDER")
    wanted = tuple(dict.fromkeys(names)) or consumers_of(settings)
    if "relay" in wanted and not settings.kafka_bootstrap:
        raise SettingsError("relay hands the journal on to Kafka: --kafka-bootstrap HOST:PORT")
    if is_ours:
        _give_way(wanted)
    mask = os.umask(0o077)  # it is speech: for its owner's eyes only, whatever folder it lies in
    try:
        asyncio.run(_consume(wanted, settings, is_ours=is_ours))
    except BusError as exc:
        sys.stderr.write(f"retell_ws: {exc}\n")
        return 1
    finally:
        os.umask(mask)
    return 0


async def _consume(names: Sequence[Name], settings: Settings, *, is_ours: bool) -> None:
    this = asyncio.current_task()
    if this is None:
        raise AssertionError("a coroutine runs in a task")
    stop, drain_s = asyncio.Event(), DRAIN_S if is_ours else 0.0

    def leave() -> None:
        if stop.is_set():
            this.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    if is_ours:
        loop.add_reader(0, lambda: _heard(stop))
    try:
        async with AsyncExitStack() as stack:
            if is_ours:
                await _let_go_of(set(get_args(ConsumerName)).difference(names), settings)
            runners = []
            for name in names:
                if name == "relay":
                    await stack.enter_async_context(handing_on(settings))
                else:
                    runners.append(await stack.enter_async_context(_runner(name, settings)))
            bus = "kafka" if settings.kafka_bootstrap else "journal"
            say_ready({"ready": True, "consumers": list(names), "facts": bus})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(stop.wait())
                for runner in runners:
                    tasks.create_task(runner.run(stop, drain_s=drain_s))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        logger.warning("stopped at once")


def _give_way(names: Sequence[Name]) -> None:
    """Let the server's calls go first, where both want one processor.

    Facts on their way to Kafka wait for as long as the calls want it: where it is never idle they stay in the journal.
    Consumers get their share, if a smaller one: for escalation somebody is on the line.
    """
    if names == ("relay",) and hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(GIVES_WAY)


def consumers_of(settings: Settings) -> tuple[ConsumerName, ...]:
    """Name the consumers there are to these settings."""
    return ("analytics", "archive", "escalation") if settings.rules else ("analytics", "archive")


async def _let_go_of(names: set[str], settings: Settings) -> None:
    """Keep nothing for consumers that do not run any more: the journal would grow for ever."""
    if settings.kafka_bootstrap:
        return
    from .buses.journal import let_go

    for name in sorted(names):
        await asyncio.to_thread(let_go, Path(settings.data_folder()), name)


def _heard(stop: asyncio.Event) -> None:
    """The server says nothing here: what can be read is the end."""
    try:
        if os.read(0, 64):
            return
    except OSError:
        pass
    asyncio.get_running_loop().remove_reader(0)
    stop.set()


@asynccontextmanager
async def _runner(name: ConsumerName, settings: Settings) -> AsyncIterator[Runner]:
    async with (
        _source(name, settings) as source,
        _consumer(name, settings, source) as consumer,
        consumer,
    ):
        yield Runner(source, consumer)


def _source(name: ConsumerName, settings: Settings) -> AbstractAsyncContextManager[Source]:
    if not settings.kafka_bootstrap:
        from .buses.journal import JournalSource

        return JournalSource(Path(settings.data_folder()), name)
    with needing("kafka", "reading from Kafka"):
        from .buses.kafka_source import KafkaSource
    return KafkaSource(settings, name)


@asynccontextmanager
async def _consumer(name: ConsumerName, settings: Settings, source: Source) -> AsyncIterator[Consumer]:
    """Make a consumer; whoever runs it enters it."""
    place, keep_days = settings.archive_place(), settings.keep_days
    match name:
        case "analytics":
            with needing("analytics", name):
                from .consumers.analytics import Analytics
            yield Analytics(place, keep_days=keep_days)
        case "archive":
            with needing("analytics", name):
                from .consumers.archive import Archive
            yield Archive(place, keep_days=keep_days)
        case "escalation":
            from .escalating import escalating

            async with escalating(settings, source) as escalation:
                yield escalation
