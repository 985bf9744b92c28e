"""The ways one socket ends: what Retell would see of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from retell_ws.peer import PENDING, Peer

pytestmark = pytest.mark.usefixtures("clean_loop")


@asynccontextmanager
async def peers(work: Callable[[Peer], object], send_s: float = 0.2) -> AsyncIterator[int]:
    """A listener that hands each socket to `work`; yields its port."""

    async def handle(connection: ServerConnection) -> None:
        peer = Peer(connection, send_s=send_s)
        result = work(peer)
        if asyncio.iscoroutine(result):
            await result
        await peer.ended()

    async with serve(handle, "127.0.0.1", 0, ping_interval=None, write_limit=PENDING) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def seen(port: int) -> tuple[list[str], int]:
    """What came on a socket, and its close code, 1006 for none."""
    received: list[str] = []
    async with connect(f"ws://127.0.0.1:{port}", ping_interval=None) as socket:
        try:
            while True:
                received.append(str(await asyncio.wait_for(socket.recv(), 5)))
        except ConnectionClosed:
            pass
    return received, socket.close_code or 1006


async def test_hanging_up_is_a_close_with_1000() -> None:
    async with peers(lambda peer: peer.hang_up()) as port:
        assert await seen(port) == ([], 1000)


async def test_dropping_sends_no_close_frame() -> None:
    async with peers(lambda peer: peer.drop()) as port:
        assert await seen(port) == ([], 1006)


async def test_releasing_sends_what_was_written_and_then_no_close_frame() -> None:
    def last_words(peer: Peer) -> None:
        for _ in range(100):
            peer.write(b'"word"')
        peer.release()
        peer.write(b'"too late"')

    async with peers(last_words) as port:
        assert await seen(port) == (['"word"'] * 100, 1006)


async def test_a_frame_is_text_and_is_written_at_once() -> None:
    async def write(peer: Peer) -> None:
        peer.write("né".encode())
        await peer.hang_up()

    async with peers(write) as port:
        assert await seen(port) == (["né"], 1000)


async def test_a_socket_that_ended_is_not_open_and_swallows_frames() -> None:
    states: list[bool] = []

    async def write(peer: Peer) -> None:
        states.append(peer.is_open)
        peer.drop()
        states.append(peer.is_open)
        peer.write(b"lost")
        await peer.room()

    async with peers(write) as port:
        assert await seen(port) == ([], 1006)
    assert states == [True, False]


async def test_a_peer_that_reads_again_in_time_is_kept() -> None:
    full: list[bool] = []

    async def flood(peer: Peer) -> None:
        while not peer.write(b"x" * 60_000):
            pass
        await asyncio.wait_for(peer.room(), 5)
        full.append(peer.write(b"y"))
        await peer.hang_up()

    async with peers(flood, send_s=10) as port:
        received, code = await seen(port)
        assert code == 1000
        assert len(received) > 1
    assert full == [False]


async def test_releasing_a_peer_that_does_not_read_does_not_wait_for_it() -> None:
    async def flood(peer: Peer) -> None:
        while not peer.write(b"x" * 60_000):
            pass
        peer.release()

    ended = asyncio.Event()

    async def work(peer: Peer) -> None:
        await flood(peer)
        await peer.ended()
        ended.set()

    async with peers(work) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.wait_for(ended.wait(), 5)
        writer.close()
