"""Small hosts on loopback that misbehave as a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

__all__ = ["Peer", "host"]


class Peer:
    """The host's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        """Counts connections from 1."""

    async def request(self) -> bytes:
        """Read one request, head and body; empty when the client is gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def answer(self, body: bytes, *, head: str = "") -> None:
        self.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body)

    async def gone(self) -> None:
        """Wait until the client has closed, whichever way."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def host(handle: Callable[[Peer], Awaitable[None]], *, ssl: SSLContext | None = None) -> AsyncIterator[str]:
    """Serve `handle`, once a connection. A failure in it fails the test."""
    peers: dict[Peer, asyncio.Task[None]] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer = Peer(reader, writer, len(peers) + 1)
        peers[peer] = task
        try:
            await handle(peer)
        except ConnectionError:
            pass  # the client went, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if ssl else 'http'}://127.0.0.1:{port}/v1/messages"
    finally:
        server.close()
        for peer in peers:
            peer.writer.transport.abort()
        async with asyncio.timeout(5):
            await asyncio.gather(*peers.values())
            await server.wait_closed()
