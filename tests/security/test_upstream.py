"""A model's host that is hostile, or a gateway that was taken over: it may spoil its own answer, and nothing else.

It cannot have the key or the talk sent elsewhere, cannot fill the memory, cannot hold a turn open, and the next answer
is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import build_model, running
from retell_ws.errors import ModelError, SettingsError
from retell_ws.models.anthropic import AnthropicModel
from retell_ws.models.anthropic_sdk import AnthropicSdkModel
from retell_ws.models.sse import MAX_EVENT_BYTES
from retell_ws.prompt import build
from retell_ws.settings import Settings
from retell_ws.testing.retell import FakeRetell
from retell_ws.transcript import Question
from tests.models.test_sse import STOP, event, text, tool_start
from tests.processes import KEY

pytestmark = pytest.mark.usefixtures("clean_loop")

Plays = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = text("All is well. ") + STOP


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def written(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


class Host:
    """A host that plays one thing after the other, one a request, and then answers rightly.

    Attributes:
        heads: What it was asked, without bodies.
        written: How many bytes it could send.
    """

    def __init__(self, *plays: Plays) -> None:
        self._plays = list(plays)
        self.heads: list[str] = []
        self.written = 0
        self.handlers: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (this := asyncio.current_task()) is not None:
            self.handlers.add(this)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    self.heads.append(head)
                    length = head.lower().partition("content-length:")[2].partition("\r\n")[0]
                    await reader.readexactly(int(length or 0))
                    if self._plays:
                        await self._plays.pop(0)(writer)
                    else:
                        await written(writer, HEAD + chunk(WHOLE) + chunk(b""))
        finally:
            writer.close()


@asynccontextmanager
async def hosting(host: Host) -> AsyncIterator[str]:
    server = await asyncio.start_server(host.handle, "127.0.0.1", 0)
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await server.wait_closed()
        if host.handlers:  # they end when they notice that nobody listens
            _, unaware = await asyncio.wait(host.handlers, timeout=10)
            assert not unaware


# ---------------------------------------------------------------------------- answers that are none


async def an_event_of_a_hundred_megabytes(writer: asyncio.StreamWriter) -> None:
    await written(writer, HEAD)
    for _ in range(1600):
        await written(writer, chunk(b"data: " + b"x" * 65536))


async def events_without_end(writer: asyncio.StreamWriter) -> None:
    await written(writer, HEAD)
    while not writer.is_closing():
        await written(writer, chunk(event('{"type":"tomorrow"}') * 1000))


async def pings_without_end(writer: asyncio.StreamWriter) -> None:
    await written(writer, HEAD)
    while not writer.is_closing():
        await written(writer, chunk(event('{"type":"ping"}')))
        await asyncio.sleep(0.01)


async def a_head_without_end(writer: asyncio.StreamWriter) -> None:
    await written(writer, b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        await written(writer, b"x-more: " + b"x" * 1000 + b"\r\n")


async def no_text(writer: asyncio.StreamWriter) -> None:
    await written(
        writer, HEAD + chunk(b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\xff"}}\n\n')
    )
    await written(writer, chunk(STOP) + chunk(b""))


async def deep_json(writer: asyncio.StreamWriter) -> None:
    await written(writer, HEAD + chunk(event('{"type":"message_start","message":' + "[" * 100_000)) + chunk(b""))


async def a_tool_without_end(writer: asyncio.StreamWriter) -> None:
    await written(writer, HEAD + chunk(tool_start()))
    piece = chunk(
        event(
            '{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"%s"}}'
            % ("x" * 1000)
        )
    )
    while not writer.is_closing():
        await written(writer, piece)


async def no_http(writer: asyncio.StreamWriter) -> None:
    await written(writer, b"\x16\x03\x01\x02\x00\x01\x00" * 1000)
    writer.close()


async def a_bomb(writer: asyncio.StreamWriter) -> None:
    await written(
        writer, HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + chunk(b"\x1f\x8b" * 100) + chunk(b"")
    )


PLAYS = [
    an_event_of_a_hundred_megabytes, events_without_end, pings_without_end, a_head_without_end, no_text, deep_json,
    a_tool_without_end, no_http, a_bomb,
]  # fmt: skip


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
async def test_an_answer_that_is_none_is_an_apology_and_the_next_one_is_whole(
    play: Plays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    host = Host(play)
    async with hosting(host) as url:
        settings = Settings(
            port=0,
            model="anthropic",
            model_url=url,
            fallback_model="",
            hedge=False,
            warm_cache=False,
            first_text_ms=500,
        )
        async with (
            running(Agent("You are Ana.", greeting="Hello."), settings) as server,
            FakeRetell(server.url) as retell,
        ):
            await retell.greeting()
            answer = await retell.ask("Are you well?")
            assert answer.text and "All is well" not in answer.text
            assert "All is well." in (await retell.ask("And now?")).text


async def test_a_long_event_is_not_read_to_its_end() -> None:
    sent = 0

    async def play(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await written(writer, HEAD + chunk(b"data: "))
        while sent < 100 << 20:
            await written(writer, chunk(b"x" * 65536))
            sent += 65536

    async with hosting(Host(play)) as url:
        model = AnthropicModel(api_key=KEY, base_url=url)
        with pytest.raises(ModelError):
            await answered(model)
        await model.aclose()
    assert sent < 16 * MAX_EVENT_BYTES  # what is under way in the kernel's buffers, too


async def test_an_answer_byte_by_byte_is_whole() -> None:
    async def play(writer: asyncio.StreamWriter) -> None:
        for byte in HEAD + chunk(WHOLE) + chunk(b""):
            await written(writer, bytes([byte]))

    async with hosting(Host(play)) as url:
        model = AnthropicModel(api_key=KEY, base_url=url)
        assert await answered(model) == "All is well. "
        await model.aclose()


async def answered(model: Any) -> str:
    """Ask, and give the words of the answer."""
    request = build(Agent("You are Ana."), Question("response", ()))
    return "".join([getattr(delta, "text", "") async for delta in model.stream(request)])


# ---------------------------------------------------------------------------- where the key and the talk go


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give what sets all variables that have ever led a client elsewhere."""

    def lead(url: str) -> None:
        for name in ("ANTHROPIC_BASE_URL", "RETELL_BASE_URL", "RETELLAI_BASE_URL"):
            monkeypatch.setenv(name, url)
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another token")
        monkeypatch.setenv("ANTHROPIC_PROFILE", "another profile")

    yield lead


@pytest.mark.parametrize("kind", [AnthropicModel, AnthropicSdkModel])
async def test_the_environment_leads_the_key_nowhere_else(kind: Any, elsewhere: Callable[[str], None]) -> None:
    thief, host = Host(), Host()
    async with hosting(thief) as there, hosting(host) as url:
        elsewhere(there)
        model = await asyncio.to_thread(kind, api_key=KEY, base_url=url)  # the official one reads certificates
        assert await answered(model) == "All is well. "
        await model.aclose()
    assert thief.heads == []
    assert KEY in host.heads[-1] and "another token" not in host.heads[-1]


@pytest.mark.parametrize("kind", [AnthropicModel, AnthropicSdkModel])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_neither_key_nor_talk_elsewhere(kind: Any, status: int) -> None:
    thief = Host()
    async with hosting(thief) as there:

        async def play(writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 {status} X\r\nlocation: {there}/v1/messages\r\ncontent-length: 0\r\n\r\n"
            await written(writer, head.encode())

        async with hosting(Host(play)) as url:
            model = await asyncio.to_thread(kind, api_key=KEY, base_url=url)  # the official one reads certificates
            with pytest.raises(ModelError):
                await answered(model)
            await model.aclose()
    assert thief.heads == []


def test_headers_out_of_the_environment_stop_the_start() -> None:
    environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_CUSTOM_HEADERS": "Host: elsewhere\nAuthorization: Bearer x"}
    with pytest.raises(SettingsError, match="unset ANTHROPIC_CUSTOM_HEADERS") as refused:
        build_model(Settings(model="anthropic-sdk"), environment)
    assert "elsewhere" not in str(refused.value)
