"""A server that gives the same bytes to every request, or nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["answering"]


@asynccontextmanager
async def answering(answer: bytes | None, *, status: int = 200, headers: str = "") -> AsyncIterator[str]:
    """Serve; gives the URL.

    Args:
        answer: The body of every answer; None: there is never any.
        status: Of HTTP.
        headers: More of them, each ended with CR LF.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " in head:
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if answer is None:
                await reader.read()
                return
            start = f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n{headers}\r\n"
            writer.write(start.encode() + answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()
