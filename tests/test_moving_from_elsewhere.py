"""Commands to calls that another server has: real servers in one loop, and a real Valkey between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.control import Done, End, Say
from retell_ws.errors import SettingsError
from retell_ws.letters import Request, encode
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.stores.redis_client import client_of
from retell_ws.switchboards.redis import RedisSwitchboard
from retell_ws.testing.retell import FakeRetell

from .http_client import TOKEN, Answer, ask
from .puppet import GREETING, Puppet, single
from .redis_servers import RedisServer
from .waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

SETTINGS = Settings(port=0, http_port=0, admin_token=TOKEN)


class Place:
    """One server of a fleet.

    Attributes:
        server: It.
        store: Its sight of which server has a call.
        board: How it asks the others.
    """

    def __init__(self, name: str, url: str, beside: Place | None) -> None:
        now = asyncio.get_running_loop().time
        self.client = client_of(url)
        self.store: MemoryCallStore = (
            MemoryCallStore(now, name=name, is_shared=True)
            if beside is None
            else MemoryCallStore(now, name=name, beside=beside.store)
        )
        self.board = RedisSwitchboard(self.client, name=name, prefix="test:")
        agent = Agent("You are Ana.", greeting=GREETING, transfers={"billing": "+14155550100"})
        self.server = Server(agent, single(Puppet()), self.store, SETTINGS, switchboard=self.board)

    @asynccontextmanager
    async def call(self, call_id: str = "call_1") -> AsyncIterator[FakeRetell]:
        """Have Retell dial it."""
        async with FakeRetell(self.server.url, call_id=call_id, redials=False) as retell:
            await retell.greeting()
            await self.store.attach(call_id, lambda: None)
            yield retell

    async def say(self, text: str, call_id: str = "call_1") -> Answer:
        """Ask this server to say something in a call."""
        return await ask(self.server, "POST", f"/calls/{call_id}/say", {"text": text})


@asynccontextmanager
async def fleet(redis: RedisServer, number: int) -> AsyncIterator[list[Place]]:
    made: list[Place] = []
    async with AsyncExitStack() as stack:
        for n in range(number):
            place = Place("abc"[n], redis.url, made[0] if made else None)
            await stack.enter_async_context(place.client)
            await stack.enter_async_context(place.server)
            made.append(place)
        yield made


def heard(retell: FakeRetell) -> tuple[int, str]:
    """How many interruptions there were, and the words of the newest."""
    interrupt = retell.rules.interrupt
    return (0, "") if interrupt is None else (interrupt.response_id, interrupt.text)


async def test_a_call_is_moved_from_any_server(frail: RedisServer) -> None:
    async with fleet(frail, 3) as (a, b, c), b.call() as retell:
        for number, place in enumerate((a, b, c), start=1):
            assert await place.say(f"From {number}.") == (200, {"done": True})
            await retell.until(lambda n=number: heard(retell) == (n, f"From {n}."), timeout_s=5)  # type: ignore[misc]
        seen = await ask(a.server, "GET", "/calls/call_1")
        assert (seen.status, seen.body["id"], seen.body["turn"]) == (200, "call_1", "idle")
        assert (await ask(a.server, "GET", "/calls")).body == {"calls": []}, "only those of this server"
        refused = await ask(c.server, "POST", "/calls/call_1/transfer", {"to": "sales"})
        assert refused.status == 422 and "choose one of: billing" in refused.body["error"]
        update = await ask(a.server, "POST", "/calls/call_1/update", {"responsiveness": 0.5})
        assert update == (200, {"done": True})
        assert (await ask(a.server, "POST", "/calls/call_1/transfer", {"to": "billing"})).status == 200
        assert await retell.ended() == "call_transfer"
        assert not retell.report.faults


async def test_a_call_nobody_has_is_unknown_everywhere(frail: RedisServer) -> None:
    async with fleet(frail, 2) as places:
        for place in places:
            assert (await place.say("Hi.", "call_9")).status == 404


async def test_a_call_whose_server_has_stopped_cannot_be_moved_now(frail: RedisServer) -> None:
    async with fleet(frail, 2) as (a, b):
        async with b.call():
            await b.server.__aexit__(None, None, None)
        refused = await a.say("Hi.")
        assert refused.status == 409 and "is gone" in refused.body["error"]


async def test_a_call_that_moves_is_followed_and_told_once(frail: RedisServer) -> None:
    async with fleet(frail, 3) as (a, b, c):
        async with b.call() as before:
            await before.drop()
            await until(lambda: b.server.statistics()["calls"] == 0)
            saying = asyncio.create_task(a.say("Hello again."))
            await until(lambda: b.board.figures()["answered"] >= 1)  # it was asked, and has no socket of the call
            assert not saying.done()
            async with c.call() as after:
                assert await saying == (200, {"done": True})
                await after.until(lambda: heard(after) == (1, "Hello again."), timeout_s=5)
                assert await b.say("And you?") == (200, {"done": True}), "the old server asks the new one"
                await after.until(lambda: heard(after) == (2, "And you?"), timeout_s=5)
            assert heard(before) == (0, "")


async def test_a_call_between_two_sockets_is_refused_after_a_while(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retell_ws.reach.PAUSES_S", (0.01,))
    async with fleet(frail, 2) as (a, b), b.call() as retell:
        await retell.drop()
        await until(lambda: b.server.statistics()["calls"] == 0)
        for place in (a, b):
            refused = await place.say("Hi.")
            assert refused.status == 409 and "no connection to Retell" in refused.body["error"]
            assert (await ask(place.server, "GET", "/calls/call_1")).body["attached"] is False


async def test_without_redis_calls_here_can_be_moved_and_others_when_it_is_back(frail: RedisServer) -> None:
    async with fleet(frail, 2) as (a, b), b.call() as retell:
        frail.kill()
        await until(lambda: not a.board.is_up and not b.board.is_up)
        assert await b.say("One.") == (200, {"done": True})
        unreachable = await a.say("Two.")
        assert unreachable.status == 503 and "cannot be reached" in unreachable.body["error"]
        assert (await ask(a.server, "GET", "/readyz")).status == 200, "a server without Redis takes calls"
        frail.start()
        await until(lambda: a.board.is_up and b.board.is_up)
        assert await a.say("Three.") == (200, {"done": True})
        await retell.until(lambda: heard(retell) == (2, "Three."), timeout_s=5)


async def test_a_server_that_gives_no_reply_may_have_done_it(
    frail: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retell_ws.reach.REPLY_S", 0.05)
    monkeypatch.setattr("retell_ws.reach.PAUSES_S", (0.01, 0.01))
    async with fleet(frail, 1) as (a,), client_of(frail.url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe("test:server:deaf")
        assert await pubsub.get_message(timeout=5) is not None
        deaf = MemoryCallStore(asyncio.get_running_loop().time, name="deaf", beside=a.store)
        await deaf.attach("call_1", lambda: None)
        unanswered = await a.say("Hi.")
        assert unanswered.status == 504 and "nobody knows" in unanswered.body["error"]
        assert a.server.statistics()["switchboard_asked"] == 1
        metrics = (await ask(a.server, "GET", "/metrics")).body
        assert '\nretell_ws_commands_total{outcome="unanswered"} 1.0\n' in metrics


async def test_what_is_delivered_twice_is_said_once(frail: RedisServer) -> None:
    async with fleet(frail, 1) as (a,), a.call() as retell, client_of(frail.url) as client:
        letter = encode(Request("1", "nobody", "call_1", Say("Once.")))
        for data in (letter, b"rubbish", letter, letter):
            assert await client.publish("test:server:a", data) == 1
        await client.publish("test:server:a", encode(Request("2", "nobody", "call_1", Say("Twice."))))
        await retell.until(lambda: heard(retell)[1] == "Twice.", timeout_s=5)
        assert heard(retell) == (2, "Twice.")
        assert a.board.figures()["ignored"] == 1


async def test_many_commands_at_once_are_done_once_each(frail: RedisServer) -> None:
    async with fleet(frail, 2) as (a, b), b.call() as retell:
        replies = await asyncio.gather(*(a.server.do("call_1", Say(f"{n}.")) for n in range(50)))
        assert replies == [Done()] * 50
        await retell.until(lambda: heard(retell)[0] == 50, timeout_s=5)
        assert await a.server.do("call_1", End()) == Done()
        assert await retell.ended() == "agent_hangup"


# ---------------------------------------------------------------------------- what is seen from anywhere


async def test_servers_and_calls_are_seen_from_any_server(frail: RedisServer) -> None:
    async with fleet(frail, 3) as (a, b, c), b.call() as retell:
        await retell.request("My number is 415-555-0123.")
        await until(lambda: b.server.statistics().get("turn_started", 0) >= 1)
        for place in (a, b, c):
            told = await ask(place.server, "GET", "/servers")
            assert told.status == 200 and told.body["complete"] is True
            assert {each["name"]: [call["id"] for call in each["live"]] for each in told.body["servers"]} == {
                "a": [],
                "b": ["call_1"],
                "c": [],
            }
            seen = await ask(place.server, "GET", "/calls/call_1/view")
            assert (seen.status, seen.body["server"], seen.body["status"]["turn"]) == (200, "b", "answering")
            assert seen.body["lines"][-1] == {"role": "user", "text": "My number is [phone].", "name": ""}
        assert (await ask(a.server, "GET", "/calls/call_9/view")).status == 404
        frail.kill()
        await until(lambda: not any(place.board.is_up for place in (a, b, c)))
        told = await ask(b.server, "GET", "/servers")
        assert told.body["complete"] is False and [each["name"] for each in told.body["servers"]] == ["b"]
        assert (await ask(b.server, "GET", "/calls/call_1/view")).status == 200
        assert (await ask(a.server, "GET", "/calls/call_1/view")).status == 503


async def test_a_call_of_a_server_that_is_gone_cannot_be_seen_now(frail: RedisServer) -> None:
    async with fleet(frail, 2) as (a, b):
        async with b.call():
            await b.server.__aexit__(None, None, None)
        assert (await ask(a.server, "GET", "/calls/call_1/view")).status == 409
        told = await ask(a.server, "GET", "/servers")
        assert [each["name"] for each in told.body["servers"]] == ["a"] and told.body["complete"] is True


# ---------------------------------------------------------------------------- the composition root


async def test_the_distributed_blueprint_listens_to_its_redis(frail: RedisServer) -> None:
    settings = Settings(
        blueprint="distributed", redis_url=frail.url, port=0, http_port=0, admin_token=TOKEN, redis_prefix="x:"
    )
    async with running(Agent("You are Ana."), settings, model=Puppet()) as server, client_of(frail.url) as client:
        channels = sorted(str(channel) for channel in await client.pubsub_channels())
        assert len(channels) == 2 and channels[0] == "b'x:server:@all'" and channels[1].startswith("b'x:server:")
        async with FakeRetell(server.url, call_id="call_1") as retell:
            assert (await ask(server, "POST", "/calls/call_1/say", {"text": "Hi."})).status == 200
            await retell.until(lambda: heard(retell) == (1, "Hi."), timeout_s=5)
        assert (await ask(server, "GET", "/calls/call_9")).status == 404
        await client.aclose()
        frail.kill()
        await until(lambda: server._switchboard is not None and not server._switchboard.is_up)
        assert (await ask(server, "GET", "/calls/call_9")).status == 503
        assert (await ask(server, "GET", "/livez")).status == 200


async def test_what_is_no_url_of_redis_is_the_operators_error() -> None:
    settings = Settings(blueprint="distributed", redis_url="http://x", port=0)
    with pytest.raises(SettingsError, match="redis"):
        async with running(Agent("You are Ana."), settings, model=Puppet()):
            pass
