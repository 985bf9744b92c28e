"""A fleet as it would stand: servers, HAProxy before them, Redis behind them, over faulty lines where wanted."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench.harness.faults.calls import Callers, Habits
from bench.harness.faults.haproxy import configured
from bench.harness.faults.history import Row, read_rows
from bench.harness.faults.processes import Proxy, RedisServer, Server
from bench.harness.ports import free_ports
from retell_ws.testing import ToxicProxy

__all__ = ["Fleet", "Sizes", "fleet"]


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is.

    Attributes:
        calls: At once.
        servers: How many.
        seconds: How long the fault lasts, or faults come.
        every_s: Seconds between two faults that come again and again.
        before_s: Seconds of quiet before, which are the measure.
        after_s: Seconds after.
        ttft_ms: The model's time to the first token.
        spacing_ms: Its time between two.
        drain_s: How long calls may go on after SIGTERM.
        seed: Of everything that is drawn.
        speculate: Servers ask the model before Retell asks.
        habits: How people call.
    """

    calls: int = 200
    servers: int = 3
    seconds: float = 60.0
    every_s: float = 5.0
    before_s: float = 10.0
    after_s: float = 8.0
    ttft_ms: float = 150.0
    spacing_ms: float = 40.0
    drain_s: float = 5.0
    seed: int = 1
    speculate: bool = False
    habits: Habits = Habits()


class Fleet:
    """What runs.

    Attributes:
        sizes: Of this run.
        servers: By name.
        redis: The store.
        lines: The line of each server to Redis, where they are faulty.
        callers: Who calls.
        chance: Draws whom a fault hits.
    """

    def __init__(
        self,
        sizes: Sizes,
        servers: dict[str, Server],
        redis: RedisServer,
        lines: dict[str, ToxicProxy],
        callers: Callers,
        folder: Path,
    ) -> None:
        self.sizes = sizes
        self.servers = servers
        self.redis = redis
        self.lines = lines
        self.callers = callers
        self.chance = random.Random(sizes.seed)
        self._folder = folder

    async def kill(self, name: str) -> None:
        """Strike a server dead and start it again at once."""
        self.callers.note("fault", name, "kill")
        await self.servers[name].kill()
        await self.servers[name].start()

    def freeze(self, name: str) -> None:
        """Stop a server in the middle of whatever it does."""
        self.callers.note("fault", name, "stop")
        self.servers[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self.callers.note("fault", name, "cont")
        self.servers[name].signal(signal.SIGCONT)

    async def restart(self, name: str) -> None:
        """Ask a server to leave, wait until it has, and start it again."""
        self.callers.note("fault", name, "term")
        self.servers[name].signal(signal.SIGTERM)
        await self.servers[name].ended()
        self.callers.note("fault", name, "left")
        await self.servers[name].start()

    def history(self) -> list[Row]:
        """Everything that happened: in calls, in side effects, to servers."""
        effects = self._folder / "effects.jsonl"
        return [*self.callers.rows, *(read_rows(effects) if effects.exists() else [])]

    def complaints(self) -> dict[str, str]:
        """What the servers wrote to their logs, where they did."""
        return {name: said for name, server in self.servers.items() if (said := server.said())}


@asynccontextmanager
async def fleet(sizes: Sizes, folder: Path, *, faulty: bool = False) -> AsyncIterator[Fleet]:
    """Run a fleet and its callers; at the end of the block the calls come to their end, then the fleet does.

    Args:
        sizes: Of the run.
        folder: For logs, configuration and the file of side effects.
        faulty: Put a `ToxicProxy` between each server and Redis.
    """
    names = [f"s{number}" for number in range(1, sizes.servers + 1)]
    proxy_port, redis_port, *ports = free_ports(*[1] * (2 + 2 * len(names)))
    call_ports = dict(zip(names, ports, strict=False))
    config = folder / "haproxy.cfg"
    config.write_text(configured(proxy_port, call_ports))
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(RedisServer(redis_port, folder))
        lines: dict[str, ToxicProxy] = {}
        servers: dict[str, Server] = {}
        for name, http_port in zip(names, ports[len(names) :], strict=True):
            at = redis_port
            if faulty:
                lines[name] = await stack.enter_async_context(ToxicProxy("127.0.0.1", redis_port, seed=sizes.seed))
                at = lines[name].port
            flags = [
                *("--redis-url", f"redis://127.0.0.1:{at}/0", "--drain-s", str(sizes.drain_s)),
                *("--ttft-ms", str(sizes.ttft_ms), "--spacing-ms", str(sizes.spacing_ms)),
                *(["--speculate"] if sizes.speculate else []),
            ]
            servers[name] = Server(name, port=call_ports[name], http_port=http_port, folder=folder, flags=flags)
        async with asyncio.TaskGroup() as starting:
            for server in servers.values():
                starting.create_task(stack.enter_async_context(server))
        proxy = await stack.enter_async_context(Proxy(proxy_port, config, folder))
        url = f"ws://127.0.0.1:{proxy.port}/llm-websocket"
        callers = Callers(url, sizes.calls, seed=sizes.seed, habits=sizes.habits)
        async with callers:
            yield Fleet(sizes, servers, redis, lines, callers, folder)
