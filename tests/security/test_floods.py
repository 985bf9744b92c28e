"""Much of something: what one socket sends costs that socket, and the calls of others go on.

Nothing here is timed. Another call asks and is answered, while the flood lasts or right after it; where a server would
stand still, or fill its memory, that is what does not happen within the deadlines of the test.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from retell_ws import connection
from retell_ws import server as server_module
from retell_ws.errors import RetellWsError
from retell_ws.run import FILES
from retell_ws.server import MAX_MESSAGE, Server
from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.retell import FakeRetell
from tests.http_client import connected
from tests.machine import place_of
from tests.processes import served
from tests.puppet import GREETING, Puppet, serving
from tests.raw import deaf

MASK = b"\0\0\0\0"
TEXT, MORE, PING, PONG = b"\x81\x80" + MASK, b"\x00\x80" + MASK, b"\x89\x80" + MASK, b"\x8a\x80" + MASK
FLOOD = 100_000
"""Frames. A server that takes them all is busy with them for seconds."""

loops = pytest.mark.usefixtures("clean_loop")


@asynccontextmanager
async def beside() -> AsyncIterator[tuple[Server, Puppet, FakeRetell]]:
    """Run a server with a call on it that nothing must happen to."""
    async with serving() as (server, puppet), FakeRetell(server.url, call_id="beside") as other:
        assert await other.greeting() == GREETING
        yield server, puppet, other


async def is_answered(puppet: Puppet, other: FakeRetell) -> None:
    """Have the other call ask, and be answered."""
    streams = len(puppet.streams)
    asked = await other.request("still there?")
    stream = await puppet.asked(streams + 1)
    stream.say("Yes.")
    stream.end()
    assert (await other.answer(asked)).text == "Yes."


async def until_end(reader: StreamReader) -> int:
    """Read a socket to its end; give how many bytes came."""
    count = 0
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            count += len(data)
    return count


async def pour(writer: StreamWriter, frame: bytes) -> None:
    """Send a frame again and again, until it is enough or nobody takes it."""
    with suppress(ConnectionError, RuntimeError):
        for _ in range(FLOOD // 1000):
            writer.write(frame * 1000)
            await writer.drain()


@loops
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(PING, id="pings"),
        pytest.param(PONG, id="pongs nobody asked for"),
        pytest.param(TEXT, id="empty messages"),
        pytest.param(b"\x81\x82" + MASK + b"{}", id="rubbish"),
        pytest.param(b"\x81\xa8" + MASK + b'{"interaction_type":"ping_pong","x":[1]}', id="messages"),
        pytest.param(MORE, id="fragments"),
    ],
)
async def test_a_flood_of_frames_ends_its_own_socket(frame: bytes) -> None:
    async with beside() as (server, puppet, other):
        reader, writer = await deaf(f"{server.address}/flood")
        if frame is MORE:
            writer.write(b"\x01\x80" + MASK)
        reading = asyncio.create_task(until_end(reader))
        await pour(writer, frame)
        await is_answered(puppet, other)
        async with asyncio.timeout(5):
            assert await reading < 256 * 1024
        await puppet.facts.wait("detached")
        # What was taken of it is what came before somebody counted.
        assert puppet.facts.seen["bad_message"] <= connection.FRAMES + connection.PIECE // len(TEXT)
        writer.close()


@loops
async def test_as_many_frames_as_any_call_needs_are_taken() -> None:
    async with beside() as (server, _, __), connect(f"{server.address}/busy") as line:
        for number in range(connection.FRAMES // 2):
            await line.send(f'{{"interaction_type":"ping_pong","timestamp":{number}}}')
        last = {"response_type": "ping_pong", "timestamp": connection.FRAMES // 2 - 1}
        while msgspec.json.decode(await line.recv()) != last:
            pass


@loops
async def test_one_byte_too_many_is_refused_and_one_fewer_is_not() -> None:
    async with beside() as (server, puppet, other), connect(f"{server.address}/bomb") as line:
        await line.send("x" * MAX_MESSAGE)
        await puppet.facts.wait("bad_message")
        with pytest.raises(ConnectionClosed) as closed:
            await line.send("x" * (MAX_MESSAGE + 1))
            while True:
                await line.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        await is_answered(puppet, other)


@loops
@pytest.mark.parametrize("length", [MAX_MESSAGE + 1, 1 << 40, (1 << 63) - 1])
async def test_a_long_message_is_refused_by_its_head_alone(length: int) -> None:
    async with beside() as (server, puppet, other):
        reader, writer = await deaf(f"{server.address}/claim")
        writer.write(b"\x81\xff" + length.to_bytes(8, "big") + MASK)  # and not a byte of it
        async with asyncio.timeout(5):
            came = b""
            while data := await reader.read(1024):
                came += data
        assert (1009).to_bytes(2, "big") in came
        await is_answered(puppet, other)
        writer.close()


@loops
async def test_a_message_in_pieces_is_too_long_when_all_of_them_are() -> None:
    async with beside() as (server, puppet, other):
        reader, writer = await deaf(f"{server.address}/pieces")
        reading = asyncio.create_task(until_end(reader))
        piece = b"\xff" + (1 << 20).to_bytes(8, "big") + MASK + bytes(1 << 20)
        writer.write(b"\x01" + piece)
        with suppress(ConnectionError, RuntimeError):
            for _ in range(8):
                writer.write(b"\x00" + piece)
                await writer.drain()
        await reading
        await is_answered(puppet, other)
        writer.close()


@loops
async def test_compression_is_not_spoken_whoever_offers_it() -> None:
    async with beside() as (server, puppet, other):
        async with connect(f"{server.address}/offer", compression="deflate") as line:
            assert line.response is not None
            assert "Sec-WebSocket-Extensions" not in line.response.headers
        reader, writer = await deaf(f"{server.address}/deflated")
        writer.write(b"\xc1\x85" + MASK + b"\x4b\x04\x02\x00\x00")  # a message with the bit that says "compressed"
        async with asyncio.timeout(5):
            came = b""
            while data := await reader.read(1024):
                came += data
        assert (1002).to_bytes(2, "big") in came
        await is_answered(puppet, other)
        writer.close()


DEEP = "[" * 100_000


@loops
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(DEEP, id="deep"),
        pytest.param(f'{{"interaction_type":"update_only","later":{DEEP}}}', id="deep where unknown"),
        pytest.param(
            '{"interaction_type":"update_only","transcript":%s}' % (DEEP + "]" * len(DEEP)), id="a deep transcript"
        ),
        pytest.param(
            '{"interaction_type":"call_details","call":{"call_id":"x","metadata":%s}}' % ('{"a":' * 100_000),
            id="deep metadata",
        ),
        pytest.param(
            msgspec.json.encode({f"key {n}": n for n in range(60_000)} | {"interaction_type": "update_only"}).decode(),
            id="many keys",
        ),
        pytest.param(
            msgspec.json.encode(
                {
                    "interaction_type": "call_details",
                    "call": {"call_id": "x", "metadata": dict.fromkeys(map(str, range(60_000)))},
                }
            ).decode(),
            id="many keys of metadata",
        ),
        pytest.param('{"interaction_type":"ping_pong","timestamp":%s}' % ("9" * 200_000), id="a long number"),
    ],
)
async def test_a_message_nobody_can_have_meant_costs_nobody_anything(message: str) -> None:
    async with beside() as (server, puppet, other):
        async with FakeRetell(server.url, call_id="odd") as odd:
            await odd.greeting()
            await odd.send_raw(message)
            await is_answered(puppet, odd)
        await is_answered(puppet, other)


@loops
async def test_a_request_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HANDSHAKE_S", 0.2)
    async with beside() as (server, puppet, other):
        reader, writer = await connected(server.address)
        dripping = asyncio.create_task(drip(writer))
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        await dripping
        await is_answered(puppet, other)


async def drip(writer: StreamWriter) -> None:
    """Send a head that has no end, a byte now and then."""
    with suppress(ConnectionError):
        writer.write(b"GET /llm-websocket/call_1 HTTP/1.1\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


IDLE = 2000


@contextmanager
def open_files(count: int) -> Iterator[None]:
    """Let this process, and those it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"{hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_two_thousand_sockets_that_say_nothing_leave_room_for_a_call() -> None:
    with open_files(IDLE + 500), ExitStack() as idle:
        async with served("--model", "scripted") as (_, line):
            place = place_of(line["ws"])
            for _ in range(IDLE):
                idle.enter_context(socket.create_connection(place, timeout=5))
            async with FakeRetell(line["ws"]) as retell:
                assert await retell.greeting()
                assert (await retell.ask("What are your hours?")).text


async def test_a_server_opens_as_many_files_as_it_may() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        async with served("--model", "scripted") as (process, _):
            assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE) == (min(FILES, hard), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_server_without_files_to_open_takes_calls_again_once_it_has_some() -> None:
    async with served("--model", "scripted") as (process, line):
        server = psutil.Process(process.pid)
        server.rlimit(psutil.RLIMIT_NOFILE, (server.num_fds() + 16, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        idle = [await connected(line["ws"]) for _ in range(100)]
        async with asyncio.timeout(20):
            # Whoever says nothing is let go of before Retell gives up.
            while not await is_greeted(line["ws"]):  # noqa: ASYNC110  # nothing tells us
                await asyncio.sleep(0.1)
        for _, writer in idle:
            writer.transport.abort()


async def is_greeted(url: str) -> bool:
    """Try to call once."""
    try:
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=1), redials=False) as retell:
            return bool(await retell.greeting())
    except RetellWsError:
        return False
