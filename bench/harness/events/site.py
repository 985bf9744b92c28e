"""All that the events bench runs: a server, Redis, a Kafka that can be struck dead, consumers, and people who call."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import orjson

from bench.harness.events.arrived import journal_bytes, lag, read_topics
from bench.harness.events.checks import Arrived, Verdict, judge_facts
from bench.harness.events.known import GRACE_S, known_in
from bench.harness.faults.calls import Callers, Habits
from bench.harness.faults.history import Row, read_rows
from bench.harness.faults.processes import Program, RedisServer, Server
from bench.harness.kafka_server import KafkaServer
from bench.harness.ports import free_ports

__all__ = ["Site", "Sizes", "site"]

PREFIX: Final = "retell_ws."


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is.

    Attributes:
        calls: At once.
        before_s: Seconds of quiet before, which are the measure.
        fault_s: How long the fault lasts, or faults come.
        after_s: Seconds after.
        every_s: Seconds between two kills of a consumer.
        arrive_s: Longest time for everything to arrive once the calls are over.
        escalations: Callers who want a human.
        ttft_ms: The model's time to the first token.
        spacing_ms: Its time between two.
        seed: Of everything that is drawn.
        habits: How people call.
    """

    calls: int = 100
    before_s: float = 20.0
    fault_s: float = 600.0
    after_s: float = 20.0
    every_s: float = 3.0
    arrive_s: float = 120.0
    escalations: int = 300
    ttft_ms: float = 150.0
    spacing_ms: float = 40.0
    seed: int = 1
    habits: Habits = Habits()


class Site:
    """What runs.

    Attributes:
        sizes: Of this run.
        folder: Where everything lies.
        data: The server's data folder.
        archive: Where transcripts go, within it.
        server: It.
        redis: Where its calls are kept.
        kafka: Where its facts go; None when they stay in the journal.
        consumers: By name, a number behind it where there are several.
        callers: Who calls.
        chance: Draws whom a fault hits, and when.
    """

    def __init__(
        self,
        sizes: Sizes,
        folder: Path,
        *,
        server: Server,
        redis: RedisServer,
        kafka: KafkaServer | None,
        flags: Sequence[str],
    ) -> None:
        self._flags = flags
        self.sizes = sizes
        self.folder = folder
        self.data = folder / "data"
        self.archive = self.data / "transcripts"
        self.server = server
        self.redis = redis
        self.kafka = kafka
        self.consumers: dict[str, Program] = {}
        self.callers = Callers(
            f"ws://127.0.0.1:{server.port}/llm-websocket", sizes.calls, seed=sizes.seed, habits=sizes.habits
        )
        self.chance = random.Random(sizes.seed)

    @property
    def broker(self) -> KafkaServer:
        """Kafka, where there is to be one."""
        assert self.kafka is not None, "this scenario has a Kafka"
        return self.kafka

    def history(self) -> list[Row]:
        """Everything that happened, in calls and in side effects."""
        effects = self.folder / "effects.jsonl"
        return [*self.callers.rows, *(read_rows(effects) if effects.exists() else [])]

    async def waiting(self) -> float:
        """Count the facts in the journal that Kafka has not acknowledged.

        Raises:
            OSError: The server cannot be asked.
        """
        return (await self.server.metrics())["retell_ws_journal_waiting"]

    def journal_bytes(self) -> int:
        """Count the bytes of the journal's files."""
        return journal_bytes(self.data)

    def consumer(self, name: str) -> Program:
        """Make a consumer that can be started.

        Args:
            name: As `retell_ws consume` takes it; a number may stand behind it.
        """
        argv = [sys.executable, "-m", "retell_ws", "consume", name.rstrip("0123456789"), *self._flags]
        return Program(name, argv, self.folder / f"{name}.log")

    async def kill_server(self) -> None:
        """Strike the server dead. It stays so until it is started."""
        self.callers.note("fault", "", "kill")  # no balancer tells callers its name
        await self.server.kill()

    async def kill_consumer(self, name: str) -> None:
        """Strike a consumer dead and start it again at once."""
        await self.consumers[name].kill()
        await self.consumers[name].start()

    async def consumed(self, names: Sequence[str]) -> float:
        """Wait until the groups of these consumers have read all there is.

        Returns:
            The seconds it took.

        Raises:
            TimeoutError: They do not come to an end.
        """
        began = time.monotonic()
        async with asyncio.timeout(self.sizes.arrive_s):
            for name in names:
                while await asyncio.to_thread(lag, self.broker.bootstrap, PREFIX + name):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        return time.monotonic() - began

    async def judged(self, journalled: Sequence[str] = (), apart: Container[int] = ()) -> tuple[Verdict, list[Arrived]]:
        """Read Kafka until nothing is missing that must be there, or no time is left, and judge what lies there.

        Args:
            journalled: Ids of entries that stood in the journal of a server that was killed.
            apart: Numbers of calls that are judged elsewhere.
        """
        from confluent_kafka import KafkaException

        known = known_in(self.history())
        ends_at = time.monotonic() + self.sizes.arrive_s
        while True:
            try:
                arrived = await asyncio.to_thread(read_topics, self.broker.bootstrap)
            except KafkaException:  # it has just come back, and not yet to itself
                if time.monotonic() >= ends_at:
                    raise
            else:
                verdict = await asyncio.to_thread(judge_facts, known, arrived, journalled=journalled, apart=apart)
                if not verdict.violations or time.monotonic() >= ends_at:
                    return verdict, arrived
            await asyncio.sleep(1.0)


@asynccontextmanager
async def site(
    sizes: Sizes,
    folder: Path,
    *,
    bus: Literal["kafka", "journal"] = "kafka",
    consumers: Sequence[str] = (),
    blueprint: str = "events",
    rules: Path | None = None,
) -> AsyncIterator[Site]:
    """Run it all. Who calls is entered by whoever plays: `async with site.callers`.

    Args:
        sizes: Of the run.
        folder: For logs, data and the file of side effects.
        bus: Where facts go.
        consumers: Which run, in processes of their own; a number behind a name makes several of it.
        blueprint: Of the server: another one than `events` keeps no facts.
        rules: What escalation reads.
    """
    port, http_port, redis_port, kafka_port, controller_port = free_ports(1, 1, 1, 1, 1)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisServer(redis_port, folder))
        kafka = None
        settings: dict[str, Any] = {"blueprint": blueprint, "redis_url": f"redis://127.0.0.1:{redis_port}/0"}
        if blueprint == "events":
            settings |= {"data": str(folder / "data"), "consume": False, "grace_s": GRACE_S}
            if bus == "kafka":
                kafka = KafkaServer(folder, port=kafka_port, controller_port=controller_port)
                await stack.enter_async_context(kafka)
                settings["kafka_bootstrap"] = kafka.bootstrap
        server = Server(
            "server",
            port=port,
            http_port=http_port,
            folder=folder,
            flags=[
                *("--settings", orjson.dumps(settings).decode()),
                *("--ttft-ms", str(sizes.ttft_ms), "--spacing-ms", str(sizes.spacing_ms)),
            ],
            module="bench.harness.events.server",
        )
        await stack.enter_async_context(server)
        flags = _flags(settings | ({} if rules is None else {"rules": str(rules)}))
        running = Site(sizes, folder, server=server, redis=redis, kafka=kafka, flags=flags)
        running.consumers |= {name: running.consumer(name) for name in consumers}
        async with asyncio.TaskGroup() as starting:
            for program in running.consumers.values():
                starting.create_task(stack.enter_async_context(program))
        yield running


def _flags(settings: dict[str, Any]) -> list[str]:
    """Write settings as flags of the command line; those of the server alone are left out."""
    return [
        part
        for name, value in settings.items()
        if not isinstance(value, bool)
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
