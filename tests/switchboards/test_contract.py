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
from retell_ws.views import CallView, ServerView
from tests.machine import free_port
from tests.redis_servers import RedisServer, valkey
from tests.views import call_view, server_view

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


# ---------------------------------------------------------------------------- what others may see


class Sights:
    """One server's sights."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    def server(self) -> ServerView:
        self.asked += 1
        return server_view(self.name)

    async def call(self, call_id: str) -> CallView | None:
        return call_view(self.name, call_id) if call_id.startswith("call_") else None


async def test_a_roll_call_is_answered_by_all_others_that_may_be_seen(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    seen = {name: Sights(name) for name in "ac"}
    async with a.listening(echo, seen["a"]), b.listening(echo), c.listening(echo, seen["c"]):
        present, is_complete = await a.roll_call(5)
        assert (list(present), is_complete) == ([server_view("c")], True)
        present, is_complete = await c.roll_call(5)
        assert (list(present), is_complete) == ([server_view("a")], True)
        assert [each.asked for each in seen.values()] == [1, 1], "nobody asks itself"
        assert a.figures()["ignored"] == c.figures()["ignored"] == 0
    present, is_complete = await a.roll_call(5)
    assert (list(present), is_complete) == ([], False), "it hears nobody now"


async def test_a_server_that_is_alone_waits_for_nobody(make: Make) -> None:
    a = make("a")
    async with a.listening(echo, Sights("a")):
        async with asyncio.timeout(2):
            present, is_complete = await a.roll_call(60)
    assert (list(present), is_complete) == ([], True)


async def test_a_call_is_shown_by_the_server_that_is_asked(make: Make) -> None:
    a, b, c = make("a"), make("b"), make("c")
    async with a.listening(echo, Sights("a")), b.listening(echo, Sights("b")), c.listening(echo):
        assert await a.show("b", "call_7", 5) == call_view("b", "call_7")
        assert await a.show("b", "other", 5) is None
        assert await a.show("c", "call_7", 5) is None, "it may not be seen"
        assert await a.show("d", "call_7", 5) == "gone"
        assert a.figures()["asked"] == b.figures()["answered"] == 0, "no commands"


async def test_many_looks_at_once_see_their_own_calls(make: Make) -> None:
    a, b = make("a"), make("b")
    async with a.listening(echo, Sights("a")), b.listening(echo, Sights("b")):
        asking = [a.show("b", f"call_{number}", 10) for number in range(50)]
        rolls = [b.roll_call(10) for _ in range(20)]
        views, present = await asyncio.gather(asyncio.gather(*asking), asyncio.gather(*rolls))
    assert views == [call_view("b", f"call_{number}") for number in range(50)]
    assert [(list(each), whole) for each, whole in present] == [([server_view("a")], True)] * 20
