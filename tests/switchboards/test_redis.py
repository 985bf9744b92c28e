"""The switchboard over Redis when things are not as they should be: rubbish, silence, outages, a cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from retell_ws.control import Done, Reply, Say
from retell_ws.letters import MAX_LETTER, Request, Shown, Told, decode, encode
from retell_ws.stores.redis_client import client_of
from retell_ws.switchboards import redis as module
from retell_ws.switchboards.redis import RedisSwitchboard
from retell_ws.testing import BlackHole, ToxicProxy
from tests.machine import free_port
from tests.redis_servers import RedisServer, cluster, valkey
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

ASKED = Request("1", "a", "call_1", Say("Hello."))
BACK = Request("2", "b", "call_1", Say("Hello."))


@asynccontextmanager
async def board(
    url: str, name: str, answer: Callable[[Request], Reply] | None = None
) -> AsyncIterator[RedisSwitchboard]:
    async with client_of(url) as client:
        made = RedisSwitchboard(client, name=name, prefix="test:")
        async with made.listening(answer or (lambda request: Done())):
            yield made


@asynccontextmanager
async def ear(url: str, name: str) -> AsyncIterator[tuple[Redis, AsyncIterator[bytes]]]:
    """Listen on a server's channel as somebody who is no server of ours."""

    async def heard() -> AsyncIterator[bytes]:
        while True:
            message = await pubsub.get_message(timeout=5)
            if message is not None and message["type"] == "message":
                yield message["data"]

    async with client_of(url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(f"test:server:{name}")
        assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
        yield client, heard()


async def test_rubbish_on_the_channel_is_counted_and_nothing_else(frail: RedisServer) -> None:
    rubbish = [b"", b"{}", b"\xff", b"[" * 5000, b"x" * (MAX_LETTER + 1), b'{"letter":"request"}', encode(ASKED)[:-1]]
    async with board(frail.url, "b") as b, client_of(frail.url) as client:
        for data in rubbish:
            assert await client.publish("test:server:b", data) == 1
        assert await client.publish("test:server:b", encode(Told("1", "nobody", Done()))) == 1
        async with board(frail.url, "a") as a:
            assert await a.ask("b", ASKED, 5) == Done()
        assert b.figures()["ignored"] == len(rubbish) + 1
        assert b.figures()["answered"] == 1


async def test_a_reply_by_another_server_or_to_another_request_is_none(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, ear(frail.url, "b") as (client, heard):
        asking = asyncio.create_task(a.ask("b", ASKED, 5))
        assert decode(await anext(heard)) == ASKED
        told = (Told("1", "c", Done("redial")), Told("2", "b", Done("redial")), Shown("1", "b", None))
        for letter in (*told, Told("1", "b", Done())):
            await client.publish("test:server:a", encode(letter))
        assert await asking == Done()
        await client.publish("test:server:a", encode(Told("1", "b", Done("redial"))))
        await until(lambda: a.figures()["ignored"] == 4)


async def test_a_server_that_gives_no_reply_is_silent_and_a_late_one_is_nobodys(frail: RedisServer) -> None:
    async with board(frail.url, "a") as a, ear(frail.url, "b") as (client, heard):
        assert await a.ask("b", ASKED, 0.05) == "silent"
        assert decode(await anext(heard)) == ASKED
        await client.publish("test:server:a", encode(Told("1", "b", Done())))
        await until(lambda: a.figures()["ignored"] == 1)


async def test_what_waits_for_a_reply_is_bounded(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASKED", 1)
    async with board(frail.url, "a") as a, ear(frail.url, "b") as (client, heard):
        first = asyncio.create_task(a.ask("b", ASKED, 5))
        await anext(heard)
        assert await a.ask("b", ASKED, 5) == "down"
        await client.publish("test:server:a", encode(Told("1", "b", Done())))
        assert await first == Done()


async def test_what_waits_to_be_told_is_bounded_before_it_is_done(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REPLIES", 0)
    done: list[Request] = []

    def answer(request: Request) -> Reply:
        done.append(request)
        return Done()

    async with board(frail.url, "a") as a, board(frail.url, "b", answer) as b:
        assert await a.ask("b", ASKED, 0.2) == "silent"
        assert done == [] and b.figures()["ignored"] == 1


def has_told(caplog: pytest.LogCaptureFixture, times: int) -> bool:
    return caplog.text.count("cannot be listened to") == times


async def test_an_outage_is_told_once_and_over_when_redis_is_back(
    frail: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "retell_ws")
    async with board(frail.url, "a") as a, board(frail.url, "b") as b:
        for times in (2, 4):
            frail.kill()
            await until(lambda: not a.is_up and not b.is_up)
            assert await a.ask("b", ASKED, 5) == "down"
            assert a.figures()["degraded"] == 1
            await until(partial(has_told, caplog, times))
            frail.start()
            await until(lambda: a.is_up and b.is_up)
            assert await a.ask("b", ASKED, 5) == Done()
            assert a.figures()["degraded"] == 0
            assert caplog.text.count("cannot be listened to") == times
            assert caplog.text.count("is listened to again") == times


async def test_without_redis_the_start_does_not_wait_and_it_is_found_later(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.05)
    frail.kill()
    async with asyncio.timeout(2):
        async with board(frail.url, "a") as a:
            assert not a.is_up
            assert await a.ask("b", ASKED, 5) == "down"
    async with board(frail.url, "a") as a:
        frail.start()
        await until(lambda: a.is_up)


async def test_a_connection_that_is_silent_is_looked_at(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    async with client_of(frail.url) as client, board(frail.url, "a") as a:
        await client.ping()
        pings = (await client.info("commandstats"))["cmdstat_ping"]["calls"]
        async with asyncio.timeout(5):
            while (await client.info("commandstats"))["cmdstat_ping"]["calls"] < pings + 3:
                pass
        assert a.is_up
        assert await a.ask("a", ASKED, 5) == Done()


async def test_a_connection_that_stays_silent_is_given_up(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    async with ToxicProxy("127.0.0.1", frail.port) as proxy, board(f"redis://{proxy.address}", "a") as a:
        assert a.is_up
        with proxy.having(BlackHole()):
            await until(lambda: not a.is_up)
        await until(lambda: a.is_up)


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("kept", ["all connections", "the subscription alone"])
async def test_a_failover_that_leaves_the_connections_is_noticed_and_all_hear_each_other_again(
    frail: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str, is_busy: bool
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.1)

    async def talk() -> None:  # so that there is never silence on the old connection
        async with client_of(frail.url) as client:
            while not is_over.is_set():  # a cancel may be lost in the client
                await client.publish("test:server:a", b"x")
                await asyncio.sleep(0.01)

    is_over = asyncio.Event()
    with RedisServer(valkey(), tmp_path / "new", port=free_port()) as new:
        async with ToxicProxy("127.0.0.1", frail.port) as proxy, board(f"redis://{proxy.address}", "a") as a:
            assert await a.ask("a", ASKED, 5) == Done()
            frail.told("REPLICAOF", "127.0.0.1", 1)
            proxy.target = ("127.0.0.1", new.port)
            if kept == "the subscription alone":
                frail.told("CLIENT", "KILL", "TYPE", "normal")
            talking = [asyncio.create_task(talk())] if is_busy else []
            try:
                async with board(new.url, "b") as b, asyncio.timeout(5):
                    while await a.ask("b", ASKED, 1) != Done() or await b.ask("a", BACK, 1) != Done():  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            finally:
                is_over.set()
                await asyncio.gather(*talking)


async def test_a_replica_is_not_listened_to_for_nobody_else_is_there(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.05)
    frail.told("REPLICAOF", "127.0.0.1", 1)
    async with board(frail.url, "a") as a:
        assert not a.is_up
        assert await a.ask("b", ASKED, 1) == "down"
        frail.told("REPLICAOF", "NO", "ONE")
        await until(lambda: a.is_up)
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_a_message_that_redis_does_not_confirm_may_still_have_been_heard(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with board(frail.url, "a") as a, board(frail.url, "b"):
        publish = Redis.publish

        async def broken(client: Redis, channel: str, message: bytes) -> int:
            await publish(client, channel, message)
            raise ConnectionError("cut before the reply")

        monkeypatch.setattr(Redis, "publish", broken)
        assert await a.ask("b", ASKED, 5) == Done()


async def test_what_could_not_be_sent_in_time_was_not_sent(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SENDERS", 0)
    async with board(frail.url, "a") as a:
        assert await a.ask("b", ASKED, 0.05) == "down"


async def test_in_a_cluster_any_node_will_do_and_only_silence_tells_that_nobody_is_there(tmp_path: Path) -> None:
    with cluster(valkey(), tmp_path) as nodes:
        one, other, _ = nodes.servers
        async with board(one.url, "a") as a, board(other.url, "b") as b:
            assert await a.ask("b", ASKED, 5) == Done()
            assert await b.ask("a", Request("2", "b", "call_1", Say("Hello.")), 5) == Done()
            # Each node counts its own subscribers, so that 0 of them means nothing.
            assert await a.ask("nobody", ASKED, 0.2) == "silent"


async def test_an_account_that_may_not_ask_what_redis_it_is_relies_on_silence(frail: RedisServer) -> None:
    rights = ("reset", "on", ">secret", "&test:server:*", "+publish", "+subscribe", "+ping", "+hello")
    frail.told("ACL", "SETUSER", "ours", *rights)
    url = frail.url.replace("redis://", "redis://ours:secret@")
    async with board(url, "a") as a, board(url, "b"):
        assert await a.ask("b", ASKED, 5) == Done()
        assert await a.ask("nobody", ASKED, 0.2) == "silent"
