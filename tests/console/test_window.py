"""The window between a browser and the port of calls: what goes through, and how each side learns of an end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, web
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from retell_ws.console import window
from retell_ws.console.window import DROPPED, REFUSED, relay
from retell_ws.testing.retell import FakeRetell
from tests.http_client import TOKEN
from tests.machine import free_port
from tests.puppet import serving
from tests.waiting import until

from .browser import closed_with, heard, opened, ticket

pytestmark = pytest.mark.usefixtures("clean_loop")

Answer = Callable[[ServerConnection], Awaitable[None]]


class Through:
    """A browser and a server with a window between them.

    Attributes:
        browser: The browser's socket.
        ended: Set when the window has closed.
    """

    def __init__(self, browser: ClientWebSocketResponse, ended: asyncio.Event) -> None:
        self.browser = browser
        self.ended = ended

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await self.ended.wait()


@asynccontextmanager
async def window_to(url: str) -> AsyncIterator[Through]:
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        browser = web.WebSocketResponse(timeout=1, max_msg_size=window.MAX_MESSAGE)
        await browser.prepare(request)
        try:
            await relay(browser, request.transport, url)
        finally:
            ended.set()
        return browser

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{runner.addresses[0][1]}/", max_msg_size=0) as browser,
        ):
            yield Through(browser, ended)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def through(answer: Answer) -> AsyncIterator[Through]:
    """Have a server that does as the test likes."""
    async with serve(answer, "127.0.0.1", 0, compression=None, max_size=None, close_timeout=0.1) as server:
        async with window_to(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/x") as made:
            yield made


async def echo(line: ServerConnection) -> None:
    async for message in line:
        await line.send(message)


async def test_what_one_side_sends_the_other_gets_in_order_and_unchanged() -> None:
    async with through(echo) as made:
        texts = ["", "a", "\u2028\0ä", "x" * 100_000, '{"interaction_type":"ping_pong"}']
        for text in texts:
            await made.browser.send_str(text)
        await made.browser.send_bytes(b"\xff\0")
        assert [(await made.browser.receive()).data for _ in texts] == texts
        last = await made.browser.receive()
        assert (last.type, last.data) == (WSMsgType.BINARY, b"\xff\0")


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
async def test_the_code_a_server_closes_with_is_the_browser_s(code: int) -> None:
    async with through(lambda line: line.close(code)) as made:
        assert (await closed_with(made.browser))[0] == code
        await made.end()


async def test_words_before_the_end_arrive_before_the_end() -> None:
    async def answer(line: ServerConnection) -> None:
        await line.send("Goodbye.")
        await line.close(1000)

    async with through(answer) as made:
        assert (await made.browser.receive()).data == "Goodbye."
        assert (await closed_with(made.browser))[0] == 1000


async def test_an_abort_of_the_server_s_is_a_code_of_its_own() -> None:
    async def answer(line: ServerConnection) -> None:
        line.transport.abort()

    async with through(answer) as made:
        assert (await closed_with(made.browser))[0] == DROPPED
        await made.end()


class Ends:
    """Notes how a server's socket has ended."""

    def __init__(self) -> None:
        self.codes: list[int | None] = []
        self.come = asyncio.Event()

    async def __call__(self, line: ServerConnection) -> None:
        self.come.set()
        try:
            while True:
                await line.recv()
        except ConnectionClosed as exc:
            self.codes.append(None if exc.rcvd is None else exc.rcvd.code)


async def closes(browser: ClientWebSocketResponse, code: int) -> None:
    await browser.close(code=code)


async def breaks(browser: ClientWebSocketResponse) -> None:
    transport = browser.get_extra_info("socket")
    assert transport is not None
    response = browser._response
    assert response.connection is not None and response.connection.transport is not None
    response.connection.transport.abort()


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (partial(closes, code=1000), 1000),
        (partial(closes, code=DROPPED), None),
        (partial(closes, code=1001), None),
        (breaks, None),
    ],
    ids=["hangs up", "drops", "goes away", "breaks"],
)
async def test_how_a_browser_leaves_is_told(
    leave: Callable[[ClientWebSocketResponse], Awaitable[None]], code: int | None
) -> None:
    ends = Ends()
    async with through(ends) as made:
        await ends.come.wait()
        await leave(made.browser)
        await made.end()
        await until(lambda: ends.codes == [code])


async def test_a_browser_that_closes_without_a_code_hangs_up() -> None:
    ends = Ends()
    async with through(ends) as made:
        await ends.come.wait()
        writer = made.browser._writer
        await writer.send_frame(b"", WSMsgType.CLOSE)
        await made.end()
        await until(lambda: ends.codes == [1000])


async def test_a_message_that_is_too_long_ends_the_line_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_MESSAGE", 1000)
    ends = Ends()
    async with through(ends) as made:
        await ends.come.wait()
        await made.browser.send_bytes(b"x" * 1001)
        assert (await closed_with(made.browser))[0] == 1009
        await until(lambda: ends.codes == [None])


async def test_a_browser_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "SEND_S", 0.1)
    sent = 0

    async def floods(line: ServerConnection) -> None:
        nonlocal sent
        with pytest.raises(ConnectionClosed):
            while True:
                await line.send(os.urandom(100_000))
                sent += 1

    async with through(floods) as made:
        await made.end()
    assert 0 < sent * 100_000 < 60_000_000, "what nobody reads is not gathered"


async def test_a_server_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "SEND_S", 0.1)
    over = asyncio.Event()

    async def sleeps(line: ServerConnection) -> None:
        await over.wait()

    async with through(sleeps) as made:
        try:
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(5):
                    while not made.ended.is_set():
                        await made.browser.send_bytes(b"x" * 100_000)
            await made.end()
        finally:
            over.set()


async def test_a_server_that_refuses_or_is_not_there_is_told_with_its_status() -> None:
    async with serving(http_port=0) as (server, _):
        async with window_to(f"{server.url}/not/there") as made:
            assert await closed_with(made.browser) == (REFUSED, "404")
    async with window_to(f"ws://127.0.0.1:{free_port()}/x") as made:
        assert await closed_with(made.browser) == (REFUSED, "no connection")


async def test_a_server_that_does_not_accept_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "DIAL_S", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        async with window_to(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/x") as made:
            assert await closed_with(made.browser) == (REFUSED, "no connection")


# ---------------------------------------------------------------------------- before a real server


async def test_a_call_that_moves_is_dropped() -> None:
    async with serving(http_port=0, admin_token=TOKEN, shares=True) as (server, puppet):
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"
            await server._calls.leave()
            assert (await closed_with(socket))[0] == DROPPED


async def test_a_browser_that_hangs_up_ends_the_call_and_one_that_drops_may_come_back() -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, puppet):
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"
            await socket.close(code=DROPPED)
        await puppet.facts.wait("detached")
        assert server.live() == 1
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"
            await socket.close(code=1000)
        await puppet.facts.wait("detached", 2)
        assert server.live() == 1


async def test_a_server_that_ends_leaves_no_window_open() -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, _):
        shown = await ticket(server)
        stack = opened(server, shown)
        socket = await stack.__aenter__()
        assert (await heard(socket))["response_type"] == "config"
    assert (await closed_with(socket))[0] == DROPPED
    await stack.__aexit__(None, None, None)


async def test_a_call_of_retell_s_goes_on_beside_it() -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell, opened(server, await ticket(server)) as socket:
            await retell.greeting()
            assert (await heard(socket))["response_type"] == "config"
            asked = await retell.request("Hello?")
            stream = await puppet.asked(1)
            stream.say("Hi.")
            stream.end()
            assert (await retell.answer(asked)).text == "Hi."
