"""The ways one socket ends: what Retell would see of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from retell_ws.connection import Connection, making
from retell_ws.peer import Peer

from .raw import deaf

pytestmark = pytest.mark.usefixtures("clean_loop")


@asynccontextmanager
async def peers(work: Callable[[Peer], object], send_s: float = 0.2) -> AsyncIterator[int]:
    """A listener that hands each socket to `work`; yields its port."""

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        peer = Peer(connection)
        result = work(peer)
        if asyncio.iscoroutine(result):
            await result
        await peer.ended()

    make = making(send_s=send_s, close_s=send_s)
    async with serve(handle, "127.0.0.1", 0, create_connection=make, ping_interval=None) as server:
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
        _, writer = await deaf(f"ws://127.0.0.1:{port}/")
        await asyncio.wait_for(ended.wait(), 5)
        writer.close()


async def test_releasing_a_peer_that_leaves_a_little_unread_does_not_wait_for_it() -> None:
    ended = asyncio.Event()

    async def work(peer: Peer) -> None:
        while not peer._transport.get_write_buffer_size():
            assert not peer.write(b"x" * 1_000)
        peer.release()
        await peer.ended()
        ended.set()

    async with peers(work) as port:
        _, writer = await deaf(f"ws://127.0.0.1:{port}/")
        await asyncio.wait_for(ended.wait(), 5)
        writer.close()


async def test_a_peer_that_pings_and_does_not_read_is_dropped() -> None:
    async with peers(lambda peer: None) as port:
        _, writer = await deaf(f"ws://127.0.0.1:{port}/")
        pings = b"\x89\xfd\0\0\0\0" + b"p" * 125  # RFC 6455 §5.5.2, with the longest payload
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    writer.write(pings * 500)
                    await writer.drain()
        writer.close()


async def test_a_peer_that_says_goodbye_and_stays_is_dropped() -> None:
    ended = asyncio.Event()

    async def work(peer: Peer) -> None:
        await peer.ended()
        ended.set()

    async with peers(work) as port:
        _, writer = await deaf(f"ws://127.0.0.1:{port}/")
        writer.write(b"\x88\x82\0\0\0\0\x03\xe8")  # a close frame with 1000, and the TCP connection left open
        await asyncio.wait_for(ended.wait(), 5)
        writer.close()
