"""One body of tests for every implementation of `ports.Switchboard`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from retell_ws.control import MAX_TEXT, Done, NotHere, Refused, Reply, Say, Seen, Status
from retell_ws.letters import Request
from retell_ws.ports import Switchboard
from retell_ws.stores.redis_client import client_of
from retell_ws.switchboards.memory import MemorySwitchboard
from retell_ws.switchboards.redis import RedisSwitchboard
from tests.machine import free_port
from tests.redis_servers import RedisServer, valkey

pytestmark = pytest.mark.usefixtures("clean_loop")

Make = Callable[[str], Switchboard]


@asynccontextmanager
async def memory(directory: Path) -> AsyncIterator[Make]:
    first = MemorySwitchboard("first")
    yield lambda name: MemorySwitchboard(name, beside=first)


@asynccontextmanager
async def redis(directory: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(valkey(), directory, port=free_port()))
        clients = [await stack.enter_async_context(client_of(server.url)) for _ in range(3)]
        yield lambda name: RedisSwitchboard(clients.pop(), name=name, prefix="test:")


@pytest.fixture(params=[memory, redis], ids=["memory", "redis"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    async with request.param(tmp_path) as made:
        yield made


def asked(number: int = 1, text: str = "Hello.", by: str = "a") -> Request:
    return Request(str(number), by, "call_1", Say(text))


def echo(request: Request) -> Reply:
    assert isinstance(request.command, Say)
    return Refused("impossible", request.command.text)


@pytest.mark.parametrize(
    "reply",
    [Done(), Done("answer"), NotHere(), Refused("impossible", "why"), Seen(Status("call_1", 1.0, True, "leaving"))],
    ids=repr,
)
async def test_the_reply_is_what_the_other_server_says(make: Make, reply: Reply) -> None:
    heard: list[Request] = []

    def answer(request: Request) -> Reply:
        heard.append(request)
        return reply

    a, b = make("a"), make("b")
    async with a.listening(lambda request: Done()), b.listening(answer):
        assert a.is_up and b.is_up and (a.name, b.name) == ("a", "b")
        assert await a.ask("b", asked(), 5) == reply
    assert heard == [asked()]
    assert (a.figures()["asked"], b.figures()["answered"]) == (1, 1)
    assert not a.is_up


async def test_servers_do_not_hear_what_others_are_asked(make: Make) -> None:
    heard: list[str] = []

    def listens(name: str) -> Callable[[Request], Reply]:
        def answer(_: Request) -> Reply:
            heard.append(name)
            return Done()

        return answer

    a, b, c = make("a"), make("b"), make("c")
    async with a.listening(listens("a")), b.listening(listens("b")), c.listening(listens("c")):
        assert [await a.ask(name, asked(), 5) for name in "cb"] == [Done(), Done()]
        assert await b.ask("c", asked(2, by="b"), 5) == Done()
    assert heard == ["c", "b", "c"]


async def test_a_server_that_is_not_there_is_gone_at_once(make: Make) -> None:
    a, b = make("a"), make("b")
    async with a.listening(lambda request: Done()):
        assert await a.ask("b", asked(), 5) == "gone"
        async with b.listening(lambda request: Done()):
            assert await a.ask("b", asked(), 5) == Done()
        async with asyncio.timeout(2):
            assert await a.ask("b", asked(), 5) == "gone"


async def test_many_requests_at_once_get_their_own_replies(make: Make) -> None:
    a, b = make("a"), make("b")
    async with a.listening(echo), b.listening(echo):
        asking = [a.ask("b", asked(number, f"text {number}"), 10) for number in range(100)]
        asking += [b.ask("a", asked(number, f"back {number}", by="b"), 10) for number in range(50)]
        replies = await asyncio.gather(*asking)
    words = [f"text {number}" for number in range(100)] + [f"back {number}" for number in range(50)]
    assert replies == [Refused("impossible", word) for word in words]


async def test_the_longest_text_arrives(make: Make) -> None:
    a, b = make("a"), make("b")
    text = "\u2028\0" * (MAX_TEXT // 2 - 1) + "x."
    async with a.listening(lambda request: Done()), b.listening(echo):
        assert await a.ask("b", asked(1, text), 5) == Refused("impossible", text)
