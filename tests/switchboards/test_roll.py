"""Roll calls over Redis, when somebody is missing, is too many, or tells rubbish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from retell_ws.control import Done
from retell_ws.letters import Present, RollCall, Show, Shown, decode, encode
from retell_ws.ports import Sights
from retell_ws.stores.redis_client import client_of
from retell_ws.switchboards import redis as module
from retell_ws.switchboards import roll
from retell_ws.switchboards.redis import RedisSwitchboard
from retell_ws.switchboards.roll import Roll
from retell_ws.views import CallView, ServerView
from tests.redis_servers import RedisServer, cluster, valkey
from tests.views import call_view, server_view
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")


class Own:
    """One server's sights; they may have a bug."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = False

    def server(self) -> ServerView:
        if self.fails:
            raise ValueError("a bug")
        return server_view(self.name)

    async def call(self, call_id: str) -> CallView | None:
        if self.fails:
            raise ValueError("a bug")
        return call_view(self.name, call_id)


@asynccontextmanager
async def board(url: str, name: str, sights: Sights | None = None) -> AsyncIterator[RedisSwitchboard]:
    async with client_of(url) as client:
        made = RedisSwitchboard(client, name=name, prefix="test:")
        async with made.listening(lambda request: Done(), sights or Own(name)):
            yield made


async def test_who_has_heard_and_gives_no_answer_is_missing(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, board(frail.url, "b"), client_of(frail.url) as client:
        async with client.pubsub() as stranger:
            await stranger.subscribe("test:server:@all")
            assert (await stranger.get_message(timeout=5))["type"] == "subscribe"
            assert await a.roll_call(0.2) == ([server_view("b")], False)
        assert await a.roll_call(5) == ([server_view("b")], True)


async def test_with_more_servers_than_are_heard_it_is_not_complete(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where in (module, roll):
        monkeypatch.setattr(where, "MAX_PRESENT", 1)
    async with board(frail.url, "a") as a, board(frail.url, "b"):
        assert await a.roll_call(5) == ([server_view("b")], True)
        async with board(frail.url, "c"):
            present, is_complete = await a.roll_call(5)
            assert (len(present), is_complete) == (1, False)


async def test_a_bug_in_what_a_server_shows_costs_that_answer_and_nothing_else(frail: RedisServer) -> None:
    own = Own("b")
    async with board(frail.url, "a") as a, board(frail.url, "b", own) as b:
        own.fails = True
        assert await a.roll_call(0.1) == ([], False)
        assert await a.show("b", "call_1", 0.1) == "silent"
        own.fails = False
        assert await a.roll_call(5) == ([server_view("b")], True)
        assert b.is_up


async def test_without_redis_nobody_is_asked_and_nobody_waits(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, board(frail.url, "b") as b:
        frail.kill()
        await until(lambda: not a.is_up and not b.is_up)
        async with asyncio.timeout(2):
            assert await a.roll_call(60) == ((), False)
            assert await a.show("b", "call_1", 60) == "down"
        frail.start()
        await until(lambda: a.is_up and b.is_up)
        assert await a.roll_call(5) == ([server_view("b")], True)


async def test_a_roll_call_that_could_not_be_published_is_not_complete(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with board(frail.url, "a") as a:

        async def fails(server: str, letter: object) -> None:
            return None

        monkeypatch.setattr(a, "_publish", fails)
        assert await a.roll_call(0.05) == ([], False)


async def test_roll_calls_at_once_are_bounded(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASKED", 0)
    async with board(frail.url, "a") as a:
        assert await a.roll_call(5) == ((), False)
        assert await a.show("a", "call_1", 5) == "down"


async def test_answers_waiting_to_be_sent_are_bounded(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with board(frail.url, "a") as a, board(frail.url, "b") as b:
        monkeypatch.setattr(module, "MAX_REPLIES", 0)
        assert await a.roll_call(0.1) == ([], False)
        assert await a.show("b", "call_1", 0.1) == "silent"
        assert b.figures()["ignored"] == 2


async def test_what_nobody_has_asked_for_is_ignored(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, client_of(frail.url) as client:
        for letter in (Present("1", "b", server_view("b")), Shown("1", "b", call_view("b")), Shown("2", "b", None)):
            await client.publish("test:server:a", encode(letter))
        await until(lambda: a.figures()["ignored"] == 3)


async def test_nobody_answers_a_roll_call_in_the_name_of_another(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, client_of(frail.url) as client, client.pubsub() as stranger:
        await stranger.subscribe("test:server:@all")
        assert (await stranger.get_message(timeout=5))["type"] == "subscribe"
        called = asyncio.create_task(a.roll_call(0.5))
        while (message := await stranger.get_message(ignore_subscribe_messages=True, timeout=5)) is None:
            pass
        asked = decode(message["data"])
        for letter in (Present(asked.id, "a", server_view("a")), Present(asked.id, "b", server_view("c"))):
            await client.publish("test:server:a", encode(letter))
        await until(lambda: a.figures()["ignored"] == 2)
        await client.publish("test:server:a", encode(Present(asked.id, "b", server_view("b"))))
        assert await called == ([server_view("b")], True)


async def test_in_a_cluster_servers_are_waited_for_while_there_is_time(tmp_path: Path) -> None:
    with cluster(valkey(), tmp_path) as nodes:
        async with AsyncExitStack() as stack:
            boards = [
                await stack.enter_async_context(board(node.url, name))
                for node, name in zip(nodes.servers, "abc", strict=False)
            ]
            # Each node counts its own subscribers, so nobody knows how many are still to come.
            present, is_complete = await boards[0].roll_call(1)
            assert (sorted(each.name for each in present), is_complete) == (["b", "c"], True)
            assert await boards[0].show("c", "call_1", 5) == call_view("c")


# ---------------------------------------------------------------------------- one roll call


def test_each_answer_counts_once_and_the_last_one_completes_it() -> None:
    made = Roll()
    made.expect(2)
    assert made.hear("b", server_view("b")) and not made.complete.is_set()
    assert not made.hear("b", server_view("x")) and not made.complete.is_set()
    assert made.hear("c", server_view("c")) and made.complete.is_set()
    assert not made.hear("d", server_view("d"))
    assert made.present == {"b": server_view("b"), "c": server_view("c")}


def test_answers_that_come_before_anybody_knows_how_many_there_are_count() -> None:
    made = Roll()
    assert made.hear("b", server_view("b")) and not made.complete.is_set()
    made.expect(1)
    assert made.complete.is_set()


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roll, "MAX_PRESENT", 3)
    made = Roll()
    made.expect(1000)
    assert [made.hear(str(number), server_view()) for number in range(5)] == [True] * 3 + [False] * 2
    assert made.complete.is_set()


def test_letters_of_looks_are_read_as_they_were_written() -> None:
    for letter in (RollCall("1", "a"), Present("1", "a", server_view()), Show("1", "a", "c"), Shown("1", "a", None)):
        assert decode(encode(letter)) == letter
    assert decode(encode(Shown("1", "a", call_view()))) == Shown("1", "a", call_view())
