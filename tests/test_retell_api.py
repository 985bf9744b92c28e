"""The one question to Retell's REST API, asked of a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.errors import SettingsError
from retell_ws.retell_api import MAX_ANSWER, RetellApi
from retell_ws.settings import Settings
from retell_ws.testing import FakeRetell
from retell_ws.wire import CallInfo

pytestmark = pytest.mark.usefixtures("clean_loop")

KEY = "key_canary_0123456789"
CALL = {"call_id": "call_1", "call_status": "ongoing", "agent_id": "agent_1", "from_number": "+15035550142"}


class Api:
    """A server that gives the same answer to everything and writes down what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.asked: list[str] = []
        self.status = status
        self.body = body
        self.silent = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(head.decode())
                if self.silent:
                    await reader.read()
                    break
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (self.status, len(self.body)) + self.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(status: int = 200, call: Any = CALL) -> AsyncIterator[tuple[Api, str]]:
    api = Api(status, call if isinstance(call, bytes) else msgspec.json.encode(call))
    server = await asyncio.start_server(api.handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield api, f"http://{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


async def client(url: str, **more: Any) -> RetellApi:
    return await asyncio.to_thread(RetellApi, KEY, url, **more)  # making one reads certificates from the disk


async def test_a_call_that_goes_on_is_known() -> None:
    async with answering() as (api, url), await client(url, agents=["agent_1"]) as retell:
        assert await retell.ongoing_call("call_1") == msgspec.convert(CALL, CallInfo)
        (head,) = api.asked
        assert head.startswith("GET /v2/get-call/call_1 HTTP/1.1\r\n")
        assert f"authorization: Bearer {KEY}" in head


@pytest.mark.parametrize(
    ("status", "call"),
    [
        (404, {"status": "error", "message": "not found"}),
        (401, {"status": "error"}),
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, {"call_id": 7}),
        (200, b"[" * 50_000),
        (200, {**CALL, "call_status": "ended"}),
        (200, {**CALL, "call_status": None}),
        (200, {**CALL, "agent_id": "agent_2"}),
    ],
)
async def test_anything_else_is_no_call_of_ours(status: int, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with answering(status, call) as (_, url), await client(url, agents=["agent_1"]) as retell:
        assert await retell.ongoing_call("call_1") is None
    assert KEY not in caplog.text


async def test_an_api_that_is_silent_or_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.retell_api.ANSWER_S", 0.1)
    async with answering() as (api, url), await client(url) as retell:
        api.silent = True
        assert await retell.ongoing_call("call_1") is None
    async with await client(url) as retell:
        assert await retell.ongoing_call("call_1") is None


@pytest.mark.parametrize("piece", [b" " * 65536, b" "])
async def test_an_answer_without_an_end_is_not_read_for_ever(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # In large pieces it is too long before it is too late, and in small ones the other way round.
    monkeypatch.setattr("retell_ws.retell_api.ANSWER_S", 5.0 if len(piece) > 1 else 0.2)
    sent, gone = 0, asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0.001)
        writer.close()
        gone.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, await client(f"http://{host}:{port}") as retell:
        async with asyncio.timeout(4):
            assert await retell.ongoing_call("call_1") is None
        await gone.wait()
    assert sent < 4 * MAX_ANSWER


async def test_a_call_id_cannot_change_the_question() -> None:
    async with answering() as (api, url), await client(url) as retell:
        await retell.ongoing_call("../v2/list?x=1")
        assert api.asked[0].startswith("GET /v2/get-call/..%2Fv2%2Flist%3Fx%3D1 ")


@pytest.mark.parametrize(("key", "url"), [("a b", "https://x"), ("é", "https://x"), ("k", "ftp://x"), ("k", "")])
def test_a_key_or_address_that_is_none_is_the_operators_mistake(key: str, url: str) -> None:
    with pytest.raises(SettingsError):
        RetellApi(key, url)


async def test_a_server_that_verifies_needs_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETELL_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="RETELL_API_KEY"):
        async with running(Agent("You are Ana."), Settings(port=0, model="scripted", verify_calls=True)):
            pass


async def test_a_server_asks_when_a_call_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    agent = Agent("You are Ana.", greeting="Hi.")
    async with answering() as (api, url):
        settings = Settings(port=0, model="scripted", verify_calls=True, retell_url=url)
        async with running(agent, settings) as server, FakeRetell(server.url, call_id="call_1") as retell:
            assert await retell.greeting() == "Hi."
            while not api.asked:
                await retell.ping()
    assert api.asked[0].startswith("GET /v2/get-call/call_1 ")
