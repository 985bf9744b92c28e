"""Each fault of the proxy, on real sockets, in both directions, put in and taken away while connections live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from retell_ws.testing import (
    Bandwidth,
    BlackHole,
    Latency,
    LimitData,
    Reset,
    Slicer,
    SlowClose,
    ToxicProxy,
)
from tests.machine import free_port

pytestmark = pytest.mark.usefixtures("clean_loop")

SHORT_S = 0.15
"""Long enough to tell a delay from none on a busy machine."""

TICK_S = 0.005
"""What the loop's clock, of whole milliseconds, may be early by."""


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def echo(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def nothing_comes(self) -> bool:
        try:
            async with asyncio.timeout(SHORT_S):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def connected(proxy: ToxicProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def echoing() -> AsyncIterator[ToxicProxy]:
    """A proxy before a server that gives back what it gets, and ends when the client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        ToxicProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
    ):
        yield proxy


async def seconds(client: Client, data: bytes = b"hello") -> float:
    began = time.perf_counter()
    assert await client.echo(data) == data
    return time.perf_counter() - began


async def test_without_a_fault_all_bytes_and_the_end_pass() -> None:
    data = bytes(range(256)) * 8000
    async with echoing() as proxy, connected(proxy) as client:
        assert proxy.address == f"127.0.0.1:{proxy.port}"
        got, _ = await asyncio.gather(client.reader.readexactly(len(data)), write_all(client, data))
        assert got == data
        client.writer.write_eof()
        assert await client.reader.read() == b""
        assert proxy.accepted == 1


async def write_all(client: Client, data: bytes) -> None:
    client.writer.write(data)
    await client.writer.drain()


@pytest.mark.parametrize(("way", "times"), [("up", 1), ("down", 1), ("both", 2)])
async def test_latency_delays_each_way_once_and_goes_when_it_is_taken_away(way: str, times: int) -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"warm")
        with proxy.having(Latency(SHORT_S), way=way):  # type: ignore[arg-type]
            assert await seconds(client) >= times * SHORT_S - TICK_S
        assert await seconds(client) < SHORT_S


async def test_latency_delays_a_stream_once_and_not_each_piece() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(Latency(SHORT_S), way="up")
        began = time.perf_counter()
        for number in range(10):
            client.writer.write(b"%d" % number)
            await asyncio.sleep(0.005)
        assert await client.reader.readexactly(10) == b"0123456789"
        assert SHORT_S - TICK_S <= time.perf_counter() - began < 5 * SHORT_S


async def test_jitter_delays_unevenly_and_keeps_the_order() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(Latency(0.03, jitter_s=0.03))
        took = [await seconds(client) for _ in range(8)]
        assert max(took) - min(took) > 0.005
        sent = b"".join(b"%03d " % number for number in range(100))
        for place in range(0, len(sent), 4):
            client.writer.write(sent[place : place + 4])
            await asyncio.sleep(0)
        assert await client.reader.readexactly(len(sent)) == sent


async def test_what_a_latency_holds_goes_on_at_once_when_it_is_taken_away() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        slow = proxy.add(Latency(30))
        client.writer.write(b"held")
        assert await client.nothing_comes()
        proxy.remove(slow)
        assert await client.reader.readexactly(4) == b"held"


async def test_bandwidth_lets_so_many_bytes_through_a_second() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        data = b"x" * 20_000
        with proxy.having(Bandwidth(100_000), way="down"):
            assert await seconds(client, data) >= 0.15
        assert await seconds(client, data) < 0.15


async def test_slow_close_delays_the_end_and_no_byte() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(SlowClose(SHORT_S), way="down")
        client.writer.write(b"last")
        client.writer.write_eof()
        began = time.perf_counter()
        assert await client.reader.readexactly(4) == b"last"
        assert await client.reader.read() == b""
        assert time.perf_counter() - began >= SHORT_S - TICK_S


async def test_a_black_hole_accepts_and_passes_nothing_until_it_is_gone() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"warm")
        hole = proxy.add(BlackHole())
        client.writer.write(b"lost?")
        assert await client.nothing_comes()
        async with connected(proxy) as other:
            other.writer.write(b"new")
            assert await other.nothing_comes()
            proxy.remove(hole)
            assert await other.reader.readexactly(3) == b"new"
        assert await client.reader.readexactly(5) == b"lost?"


async def test_a_black_hole_one_way_lets_the_other_pass() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readexactly(3))
        writer.write(b"yes")
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        ToxicProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
        connected(proxy) as client,
    ):
        with proxy.having(BlackHole(), way="down"):
            client.writer.write(b"ok?")
            assert await heard.get() == b"ok?"
            assert await client.nothing_comes()
        assert await client.reader.readexactly(3) == b"yes"
        client.writer.write_eof()
        assert await client.reader.read() == b""


async def test_not_even_the_end_of_a_connection_passes_a_black_hole() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"warm")
        hole = proxy.add(BlackHole())
        client.writer.write_eof()
        assert await client.nothing_comes()
        proxy.remove(hole)
        assert await client.reader.read() == b""


async def test_a_black_hole_may_close_after_a_while() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(BlackHole(close_after_s=SHORT_S))
        began = time.perf_counter()
        assert await client.reader.read() == b""
        assert time.perf_counter() - began >= SHORT_S - TICK_S


async def test_reset_resets_live_connections_and_new_ones() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"warm")
        fault = proxy.add(Reset())
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)
        async with connected(proxy) as other:
            with pytest.raises(ConnectionResetError):
                await other.reader.readexactly(1)
        proxy.remove(fault)
        async with connected(proxy) as another:
            assert await another.echo(b"fine") == b"fine"


async def test_reset_may_wait() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(Reset(after_s=SHORT_S))
        assert await client.echo(b"still") == b"still"
        began = time.perf_counter()
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize("limit", [1, 7, 64])
async def test_limit_data_ends_the_connection_after_exactly_so_many_bytes(limit: int) -> None:
    async with echoing() as proxy:
        proxy.add(LimitData(limit), way="down")
        for _ in range(2):  # each connection has its own count
            async with connected(proxy) as client:
                client.writer.write(b"x" * 100)
                assert await client.reader.read() == b"x" * limit


async def test_limit_data_counts_over_several_pieces() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"not counted")
        proxy.add(LimitData(10), way="down")
        assert await client.echo(b"12345") == b"12345"
        client.writer.write(b"67890abc")
        assert await client.reader.read() == b"67890"


async def test_a_slicer_cuts_into_small_pieces() -> None:
    pieces: list[bytes] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            pieces.append(data)
        writer.close()
        done.set()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        ToxicProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
        connected(proxy) as client,
    ):
        proxy.add(Slicer(size=3, delay_s=0.02))
        client.writer.write(b"abcdefghij")
        client.writer.write_eof()
        await done.wait()
        assert b"".join(pieces) == b"abcdefghij"
        assert len(pieces) >= 3


async def test_faults_of_several_kinds_add_up() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        proxy.add(Latency(SHORT_S), way="up")
        proxy.add(Latency(SHORT_S), way="up")
        proxy.add(Slicer(1), way="down")
        assert await seconds(client) >= 2 * SHORT_S - TICK_S


async def test_down_refuses_new_connections_leaves_the_old_ones_and_up_takes_the_same_port() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        await client.echo(b"warm")
        port = proxy.port
        proxy.down()
        proxy.down()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await client.echo(b"old") == b"old"
        await proxy.up()
        await proxy.up()
        assert proxy.port == port
        async with connected(proxy) as other:
            assert await other.echo(b"new") == b"new"


async def test_cut_resets_every_connection_and_takes_new_ones() -> None:
    async with echoing() as proxy, connected(proxy) as one, connected(proxy) as two:
        await one.echo(b"1")
        await two.echo(b"2")
        assert proxy.live == 2
        proxy.cut()
        for client in (one, two):
            with pytest.raises(ConnectionResetError):
                await client.reader.readexactly(1)
        assert proxy.live == 0
        async with connected(proxy) as other:
            assert await other.echo(b"new") == b"new"


async def test_a_new_target_is_for_new_connections() -> None:
    async with echoing() as proxy, echoing() as other, connected(proxy) as client:
        await client.echo(b"old")
        proxy.target = ("127.0.0.1", other.port)
        async with connected(proxy) as moved:
            assert await moved.echo(b"new") == b"new"
        assert await client.echo(b"old") == b"old"
        assert (proxy.accepted, other.accepted) == (2, 1)


async def test_a_reset_of_one_side_reaches_the_other() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0
        writer.transport.abort()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        ToxicProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
        connected(proxy) as client,
    ):
        client.writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)


async def test_what_was_held_is_lost_with_the_connection_that_is_cut() -> None:
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                got.extend(data)
        except OSError:
            pass
        finally:
            writer.close()

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        ToxicProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
        connected(proxy) as client,
    ):
        held = proxy.add(Latency(30))
        client.writer.write(b"held")
        await asyncio.sleep(SHORT_S)
        proxy.remove(held)  # it would go on now
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)
        await asyncio.sleep(SHORT_S)
    assert not got


async def test_a_server_that_refuses_resets_the_client() -> None:
    async with ToxicProxy("127.0.0.1", free_port()) as proxy, connected(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)


async def test_a_fault_that_is_not_in_force_cannot_be_removed() -> None:
    async with echoing() as proxy:
        fault = proxy.add(Latency(1))
        proxy.remove(fault)
        with pytest.raises(ValueError, match="not in list"):
            proxy.remove(fault)


async def test_a_sender_is_held_back_when_nothing_passes() -> None:
    async with echoing() as proxy, connected(proxy) as client:
        hole = proxy.add(BlackHole())
        data = b"x" * (32 << 20)
        sending = asyncio.create_task(write_all(client, data))
        done, _ = await asyncio.wait((sending,), timeout=SHORT_S)
        assert not done, "somebody holds 32 MiB"
        proxy.remove(hole)
        got = await client.reader.readexactly(len(data))
        assert got == data
        await sending


async def test_an_error_of_the_block_comes_out_bare() -> None:
    with pytest.raises(AssertionError, match="mine"):
        async with echoing():
            raise AssertionError("mine")
