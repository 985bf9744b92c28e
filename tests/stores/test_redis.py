"""Calls in Redis while Redis fails: gone, slow, silent, emptied; and what never may be seen of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
import uvloop
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from retell_ws.ports import Effect, Kept
from retell_ws.stores import redis as redis_calls
from retell_ws.stores import redis_pipe
from retell_ws.stores.call_image import MAX_LEDGER, MAX_TALK
from retell_ws.stores.limits import MAX_EFFECTS
from retell_ws.stores.redis import RedisCallStore
from retell_ws.testing import Latency, ToxicProxy
from retell_ws.testing.toxics import Placed
from tests.redis_servers import RedisServer
from tests.waiting import until

from .conftest import fresh_prefix
from .kept import taken

pytestmark = pytest.mark.usefixtures("clean_loop")


class Wire:
    """The way to a Redis, which can be slow, or cut.

    Attributes:
        url: The Redis, by way of here.
        is_cut: All connections were ended, and nobody is let in.
    """

    def __init__(self, proxy: ToxicProxy) -> None:
        self._proxy = proxy
        self._slow: Placed | None = None
        self.url = f"redis://{proxy.address}/0"
        self.is_cut = False

    def slow(self, seconds: float) -> None:
        """Take so long each way from now on."""
        if self._slow is not None:
            self._proxy.remove(self._slow)
        self._slow = self._proxy.add(Latency(seconds))

    def cut(self) -> None:
        """End all connections, and let nobody in."""
        self.is_cut = True
        self._proxy.down()
        self._proxy.cut()

    async def mend(self) -> None:
        """Let them in again."""
        self.is_cut = False
        await self._proxy.up()


@contextlib.asynccontextmanager
async def wire_to(server: RedisServer) -> AsyncIterator[Wire]:
    async with ToxicProxy("127.0.0.1", server.port) as proxy:
        yield Wire(proxy)


@pytest.fixture
async def wire(server: RedisServer) -> AsyncIterator[Wire]:
    async with wire_to(server) as wire:
        yield wire


async def taken_over(one: RedisCallStore, other: RedisCallStore) -> None:
    """Let a call be with one server, and then with another one, of which the first does not know."""
    await one.attach("call_1", nothing)
    one.write("call_1", {"turn": b"1"})
    await until(lambda: one.figures()["written"] == 1)
    await other.attach("call_1", nothing)


class Told:
    """Counts how often a server was told that it has lost a call."""

    def __init__(self) -> None:
        self._times = 0

    def __call__(self) -> None:
        self._times += 1

    def times(self) -> int:
        return self._times


def nothing() -> None:
    """Be told of nothing."""


async def kept_by(url: str, prefix: str, call_id: str = "call_1") -> Kept:
    """Give what a server that comes new to a call is told."""
    async with RedisCallStore(url, name="new", prefix=prefix) as store:
        return await store.attach(call_id, nothing)


def is_degraded(store: RedisCallStore) -> bool:
    return store.figures()["degraded"] == 1


# -- at once


@pytest.mark.parametrize("many", [1, 50])
async def test_what_is_written_is_with_redis_though_this_process_does_nothing_more(
    server: RedisServer, prefix: str, many: int
) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        for number in range(many):
            await store.attach(f"call_{number}", nothing)
        for number in range(many):
            store.write(f"call_{number}", {"turn": b"1" * 2000})
            store.say(f"call_{number}", "Hello.")
        # The loop stands still from here on, as it does for a process that was killed.
        found: list[object] = []
        deadline = time.monotonic() + 5
        while found != [b"1" * 2000, b"Hello."] and time.monotonic() < deadline:
            found = server.told("HMGET", f"{prefix}{{call_{many - 1}}}", "p:turn", "said")
        assert found == [b"1" * 2000, b"Hello."]


@pytest.mark.parametrize("loop", ["uvloop.run", "asyncio.run"])
def test_what_was_written_outlives_a_process_that_is_killed_right_after(
    server: RedisServer, prefix: str, loop: str
) -> None:
    code = f"""
import asyncio, os, signal, uvloop
from retell_ws.stores.redis import RedisCallStore
from retell_ws.testing import Latency, ToxicProxy
from retell_ws.testing.toxics import Placed
async def main():
    async with RedisCallStore({server.url!r}, name="a", prefix={prefix!r}) as store:
        await store.attach("call_1", lambda: None)
        store.write("call_1", {{"turn": b"1"}})
        store.say("call_1", "Hello")
        os.kill(os.getpid(), signal.SIGKILL)
{loop}(main())
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found: list[object] = []
    deadline = time.monotonic() + 5
    while found != [b"1", b"Hello"] and time.monotonic() < deadline:
        found = server.told("HMGET", f"{prefix}{{call_1}}", "p:turn", "said")
    assert found == [b"1", b"Hello"]


async def test_a_call_is_kept_for_two_hours_and_ten_minutes_after_each_write(server: RedisServer, prefix: str) -> None:
    key = f"{prefix}{{call_1}}"

    def is_renewed() -> bool:
        return bool(server.told("TTL", key) > 7790)

    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        assert is_renewed()
        server.told("EXPIRE", key, 5)
        store.write("call_1", {"turn": b"1"})
        await until(is_renewed)
        server.told("EXPIRE", key, 5)
        store.say("call_1", "Hello")
        await until(is_renewed)
        server.told("EXPIRE", key, 5)
        await store.claim("call_1", "book")
        assert is_renewed()


# -- gone, and back


async def test_a_redis_that_is_gone_costs_nothing_and_lacks_nothing_afterwards(
    frail: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Told()
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        assert (await store.attach("call_1", lost)).is_known
        assert await store.claim("call_1", "before") is None
        store.write("call_1", {"turn": b"1"})
        frail.kill()
        await until(lambda: is_degraded(store))

        began = time.monotonic()
        store.say("call_1", "Hello")
        store.write("call_1", {"turn": b"2", "call": b"x"})
        store.say("call_1", "there")
        assert await store.claim("call_1", "before") == Effect("begun")
        assert await store.claim("call_1", "during") is None
        assert await store.claim("call_1", "during") == Effect("begun")
        await store.settle("call_1", "before", Effect("done", "Booked."))
        assert await store.claim("call_1", "taken back") is None
        await store.release("call_1", "taken back")
        await store.save("call_1", b"state")
        assert await store.load("call_1") == b"state"
        assert await taken(store.attach("call_2", nothing)) == Kept(is_known=False)
        store.write("call_2", {"turn": b"other"})
        assert await store.owner("call_1") is None
        assert time.monotonic() - began < 0.1
        assert await store.claim("call_2", "book") == Effect("refused"), "nobody knows what was done before"

        frail.start()
        await until(lambda: not is_degraded(store))
        await until(lambda: frail.told("EXISTS", f"{prefix}{{call_1}}", f"{prefix}{{call_2}}") == 2)
        assert await store.claim("call_2", "book") is None
        assert await store.owner("call_2") == "a"
        store.say("call_1", ".")
        kept = await taken(kept_by(frail.url, prefix))
        assert kept == Kept(
            has_moved=True,
            parts={"turn": b"2", "call": b"x"},
            said="there.",
            effects={"before": Effect("done", "Booked."), "during": Effect("begun")},
        )
        assert lost.times() == 0
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert "cannot be reached" in said[0] and "back" in said[1]


async def test_a_server_starts_without_redis(frail: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    frail.kill()
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        assert is_degraded(store)
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
        assert not (await store.attach("call_1", nothing)).is_known
        store.write("call_1", {"turn": b"1"})
        frail.start()
        await until(lambda: bool(frail.told("HGET", f"{prefix}{{call_1}}", "p:turn")))


async def test_a_redis_that_stands_still_is_given_up_and_brought_all_when_it_goes_on(
    frail: RedisServer, prefix: str
) -> None:
    lost = Told()
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", lost)
        store.write("call_1", {"turn": b"1"})
        frail.pause()
        store.say("call_1", "Hello ")
        began = time.monotonic()
        assert await store.claim("call_1", "book") is None, "what was done before is known"
        assert not (await store.attach("call_2", nothing)).is_known
        assert time.monotonic() - began < 2.5
        await until(lambda: is_degraded(store))
        store.say("call_1", "there")
        began = time.monotonic()
        assert not (await store.attach("call_3", nothing)).is_known
        assert await store.claim("call_1", "pay") is None
        assert time.monotonic() - began < 0.1, "given up by now"
        frail.resume()
        await until(lambda: not is_degraded(store))
        await until(lambda: frail.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello there")
        store.say("call_1", ".")
        await until(lambda: frail.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello there.")
        kept = await kept_by(frail.url, prefix)
        assert kept.said == "Hello there."
        assert kept.effects == {"book": Effect("begun"), "pay": Effect("begun")}
        assert lost.times() == 0


async def test_an_attach_survives_the_end_of_its_connection(server: RedisServer, wire: Wire, prefix: str) -> None:
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as store,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await other.attach("call_1", nothing)
        other.write("call_1", {"turn": b"1"})
        wire.slow(0.05)
        attach = asyncio.create_task(store.attach("call_1", nothing))
        await asyncio.sleep(0.02)  # it is on the wire
        wire.cut()
        await wire.mend()
        wire.slow(0.0)
        assert (await attach).parts == {"turn": b"1"}


async def test_an_attach_whose_reply_was_lost_still_tells_that_the_call_was_elsewhere(
    server: RedisServer, wire: Wire, prefix: str
) -> None:
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await taken_over(one, other)
        other.write("call_1", {"turn": b"2"})
        assert await other.claim("call_1", "book:{}") is None
        await other.settle("call_1", "book:{}", Effect("done", "Booked."))
        await until(lambda: other.figures()["written"] == 3)
        wire.slow(0.2)
        attaching = asyncio.create_task(one.attach("call_1", nothing))
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "owner") == b"a")
        wire.cut()
        wire.slow(0.0)
        await wire.mend()
        kept = await attaching
        assert kept.is_known and kept.has_moved
        assert kept.parts == {"turn": b"2"}
        assert await one.claim("call_1", "book:{}") == Effect("done", "Booked.")


async def test_what_was_done_is_known_to_a_server_whose_first_attach_was_too_slow(
    server: RedisServer, wire: Wire, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_calls, "LIMIT_S", 0.6)
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await other.attach("call_1", nothing)
        assert await other.claim("call_1", "book:{}") is None
        await other.settle("call_1", "book:{}", Effect("done", "Booked."))
        await until(lambda: other.figures()["written"] == 2)
        wire.slow(0.45)
        assert not (await one.attach("call_1", nothing)).is_known
        one.write("call_1", {"turn": b"1"})
        wire.slow(0.2)
        kept = await one.attach("call_1", nothing)
        assert kept.is_known
        assert kept.effects == {"book:{}": Effect("done", "Booked.")}
        wire.slow(0.0)
        assert await one.claim("call_1", "book:{}") == Effect("done", "Booked.")
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "p:turn") == b"1")
        assert server.told("HEXISTS", f"{prefix}{{call_1}}", "e:book:{}") == 1


async def test_who_cannot_tell_whether_a_call_was_elsewhere_does_nothing_that_may_have_been_done_there(
    server: RedisServer, wire: Wire, prefix: str
) -> None:
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await one.attach("call_1", nothing)
        assert await one.claim("call_1", "note:{}") is None
        await one.settle("call_1", "note:{}", Effect("done", "Noted."))
        await until(lambda: one.figures()["written"] == 2)
        await other.attach("call_1", nothing)
        assert await other.claim("call_1", "book:{}") is None
        wire.cut()
        await until(lambda: is_degraded(one))
        assert not (await one.attach("call_1", nothing)).is_known
        assert await one.claim("call_1", "book:{}") == Effect("refused")
        assert await one.claim("call_1", "note:{}") == Effect("done", "Noted.")
        await wire.mend()
        await until(lambda: not is_degraded(one))
        assert await one.claim("call_1", "book:{}") == Effect("begun")


async def test_a_claim_during_an_attach_waits_for_what_was_done_elsewhere(
    server: RedisServer, wire: Wire, prefix: str
) -> None:
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await taken_over(one, other)
        assert await other.claim("call_1", "book:{}") is None
        await other.settle("call_1", "book:{}", Effect("done", "Booked."))
        await until(lambda: other.figures()["written"] == 2)
        wire.slow(0.1)
        attaching = asyncio.create_task(one.attach("call_1", nothing))
        await asyncio.sleep(0)  # it is on the wire
        assert await one.claim("call_1", "book:{}") == Effect("done", "Booked.")
        assert await one.claim("call_1", "note:{}") is None
        assert (await attaching).is_known


async def test_a_claim_during_an_attach_that_redis_does_not_answer_is_refused_in_time(
    frail: RedisServer, prefix: str
) -> None:
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        frail.pause()
        attaching = [asyncio.create_task(store.attach("call_1", nothing))]
        await asyncio.sleep(0)
        began = time.monotonic()
        claim = asyncio.create_task(store.claim("call_1", "book:{}"))
        await asyncio.sleep(0.1)
        attaching.append(asyncio.create_task(store.attach("call_1", nothing)))  # which outlasts the claim's patience
        assert await claim == Effect("refused")
        assert time.monotonic() - began < 2
        frail.resume()
        await asyncio.wait(attaching)


@pytest.mark.parametrize("brought", ["by an upload", "by the next attach"])
@pytest.mark.parametrize("parts", [{"turn": b"1"}, {}], ids=["with parts", "with nothing else"])
async def test_a_claim_that_was_taken_back_stays_so_after_an_attach_whose_reply_was_too_late(
    frail: RedisServer, prefix: str, brought: str, parts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{prefix}{{call_1}}"
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        if parts:
            store.write("call_1", parts)
        assert await store.claim("call_1", "book") is None
        assert await store.claim("call_1", "slot:1") is None
        await store.settle("call_1", "slot:1", Effect("done", "Held."))
        assert await store.owner("call_1") == "a"
        epoch = frail.told("HGET", key, "epoch")
        monkeypatch.setattr(redis_calls, "LIMIT_S", 0.3)
        frail.pause()
        assert not (await store.attach("call_1", nothing)).is_known
        await store.release("call_1", "book")
        await store.forget("call_1", "slot:")
        monkeypatch.undo()
        attaching = asyncio.create_task(store.attach("call_1", nothing)) if brought == "by the next attach" else None
        await asyncio.sleep(0)
        frail.resume()
        await until(lambda: frail.told("HGET", key, "epoch") != epoch)  # it arrived, when nobody waited for it any more
        if attaching is not None:
            assert await taken(attaching) == Kept(parts=parts)
        await until(lambda: not frail.told("HEXISTS", key, "e:book") and not frail.told("HEXISTS", key, "e:slot:1"))
        assert await store.claim("call_1", "book") is None
        assert await store.claim("call_1", "slot:1") is None


@pytest.mark.parametrize("is_emptied", [False, True])
async def test_what_was_done_elsewhere_is_known_though_the_reply_to_what_took_the_call_back_was_lost(
    server: RedisServer, wire: Wire, prefix: str, is_emptied: bool
) -> None:
    key = f"{prefix}{{call_1}}"
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await one.attach("call_1", nothing)
        assert await one.claim("call_1", "note:{}") is None
        if is_emptied:  # and nothing there tells of the one that had it before
            server.told("DEL", key)
        await other.attach("call_1", nothing)
        assert await other.claim("call_1", "book:{}") is None
        wire.cut()
        await until(lambda: is_degraded(one))
        assert not (await one.attach("call_1", nothing)).is_known
        wire.slow(0.1)
        await wire.mend()
        await until(lambda: server.told("HGET", key, "owner") == b"a")
        wire.cut()  # it was brought, and nobody here has heard of it
        wire.slow(0.0)
        await until(lambda: is_degraded(one))
        await wire.mend()
        await until(lambda: not is_degraded(one))
        assert await one.claim("call_1", "book:{}") == Effect("begun")
        assert (await one.attach("call_1", nothing)).effects == {"note:{}": Effect("begun"), "book:{}": Effect("begun")}


async def test_of_two_servers_that_bring_a_call_to_an_emptied_redis_the_later_owner_has_it(
    frail: RedisServer, prefix: str
) -> None:
    for order in ((0, 1), (1, 0)):
        older, newer = Told(), Told()
        async with (
            wire_to(frail) as one,
            wire_to(frail) as two,
            RedisCallStore(one.url, name="a", prefix=prefix) as a,
            RedisCallStore(two.url, name="b", prefix=prefix) as b,
        ):
            await a.attach("call_1", older)
            a.write("call_1", {"turn": b"older"})
            await b.attach("call_1", newer)
            b.write("call_1", {"turn": b"newer"})
            assert await b.owner("call_1") == "b"
            for wire in (one, two):
                wire.cut()
            await until(lambda a=a, b=b: is_degraded(a) and is_degraded(b))  # type: ignore[misc]
            frail.kill()
            frail.start()
            for number in order:
                await (one, two)[number].mend()
                await until(lambda store=(a, b)[number]: not is_degraded(store))  # type: ignore[misc]
                assert any([await (a, b)[number].owner("call_1") for _ in range(20)])  # one may be too slow to tell
            a.write("call_1", {"turn": b"late"})
            await until(lambda older=older: older.times() == 1)  # type: ignore[misc]
            b.say("call_1", "Hello")
            await until(lambda: frail.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello")
            assert frail.told("HGET", f"{prefix}{{call_1}}", "p:turn") == b"newer"
            assert newer.times() == 0


async def test_who_took_a_call_without_redis_has_it_afterwards(server: RedisServer, wire: Wire, prefix: str) -> None:
    lost = Told()
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as cut_off,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await other.attach("call_1", lost)
        other.write("call_1", {"turn": b"old", "call": b"kept"})
        assert await other.claim("call_1", "book") is None
        wire.cut()
        await until(lambda: is_degraded(cut_off))
        assert await taken(cut_off.attach("call_1", nothing)) == Kept(is_known=False)
        cut_off.write("call_1", {"turn": b"new"})
        cut_off.say("call_1", "Hello")
        claim = asyncio.create_task(cut_off.claim("call_1", "book"))
        await wire.mend()
        assert await claim == Effect("begun"), "it waited for Redis, which knows"
        other.write("call_1", {"turn": b"older"})
        await until(lambda: lost.times() == 1)
        kept = await kept_by(server.url, prefix)
        assert kept.parts == {"turn": b"new", "call": b"kept"}
        assert kept.said == "Hello"


async def test_who_took_a_call_without_redis_loses_it_to_whoever_took_it_later(
    server: RedisServer, wire: Wire, prefix: str
) -> None:
    lost = Told()
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as cut_off,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        wire.cut()
        await until(lambda: is_degraded(cut_off))
        await cut_off.attach("call_1", lost)
        cut_off.write("call_1", {"turn": b"old"})
        await asyncio.sleep(0.05)  # later by more than a message takes: who attaches at the same moment may be either
        await other.attach("call_1", nothing)
        other.write("call_1", {"turn": b"new"})
        await wire.mend()
        await until(lambda: lost.times() == 1)
        cut_off.write("call_1", {"turn": b"late"})
        assert (await kept_by(server.url, prefix)).parts == {"turn": b"new"}


# -- slow, and forgetful


async def test_a_slow_redis_costs_no_call_no_word_and_no_tool(server: RedisServer, wire: Wire, prefix: str) -> None:
    lost = Told()
    wire.slow(0.15)
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as slow,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await other.attach("call_1", nothing)
        other.write("call_1", {"turn": b"1"})
        began = time.monotonic()
        kept = await slow.attach("call_1", lost)
        assert (kept.is_known, kept.parts) == (True, {"turn": b"1"})
        assert await slow.claim("call_1", "book") is None
        assert await slow.claim("call_1", "book") == Effect("begun")
        assert time.monotonic() - began < 1.2
        began = time.monotonic()
        for number in range(100):
            slow.say("call_1", f"{number} ")
        assert time.monotonic() - began < 0.1
        said = " ".join(map(str, range(100))) + " "
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "said") == said.encode())
        await until(lambda: slow.figures()["written"] == 101)
        assert slow.figures()["failed"] == 0 == lost.times()


async def test_a_redis_that_forgot_the_scripts_is_given_them_again(server: RedisServer, prefix: str) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        server.told("SCRIPT", "FLUSH")
        assert await taken(store.attach("call_1", nothing)) == Kept()
        server.told("SCRIPT", "FLUSH")
        store.write("call_1", {"turn": b"1"})
        store.say("call_1", "Hello")
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello")
        server.told("SCRIPT", "FLUSH")
        assert await store.claim("call_1", "book") is None
        store.say("call_1", " there")
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello there")
        kept = await kept_by(server.url, prefix)
        assert (kept.parts, kept.effects) == ({"turn": b"1"}, {"book": Effect("begun")})


async def test_a_claim_that_came_with_all_the_rest_to_a_redis_that_forgot_the_scripts_is_ones_own(
    server: RedisServer, prefix: str
) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        store.write("call_1", {"turn": b"1"})
        assert await store.owner("call_1") == "a"
        server.told("SCRIPT", "FLUSH")
        store.say("call_1", "Let me see.")  # finds no script: all of the call is brought, and the claim with it
        assert await store.claim("call_1", "book") is None
        assert await store.claim("call_1", "book") == Effect("begun")
        assert await store.owner("call_1") == "a"
        kept = await kept_by(server.url, prefix)
        assert (kept.said, kept.effects) == ("Let me see.", {"book": Effect("begun")})


async def test_a_claim_whose_reply_was_lost_stays_begun(server: RedisServer, wire: Wire, prefix: str) -> None:
    async with RedisCallStore(wire.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        wire.slow(0.1)
        claim = asyncio.create_task(store.claim("call_1", "book"))
        await until(lambda: server.told("HEXISTS", f"{prefix}{{call_1}}", "e:book") == 1)
        wire.cut()
        wire.slow(0.0)
        await wire.mend()
        assert await claim is None
        assert await store.claim("call_1", "book") == Effect("begun")
        await until(lambda: not is_degraded(store))
        await until(lambda: store.figures()["written"] > 0)
        assert await store.claim("call_1", "book") == Effect("begun")
        assert (await kept_by(server.url, prefix)).effects == {"book": Effect("begun")}


async def test_a_master_that_became_a_replica_is_left_and_no_call_is_kept_for_ever(
    frail: RedisServer, prefix: str
) -> None:
    async with RedisCallStore(frail.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        frail.told("REPLICAOF", "127.0.0.1", 1)
        for number in range(20):  # all of them are refused at one stroke
            store.write("call_1", {"turn": b"%d" % number})
        await until(lambda: store.figures()["failed"] >= 20)
        frail.told("REPLICAOF", "NO", "ONE")
        await until(lambda: store.figures()["written"] >= 1)
        store.detach("call_1")
        await until(lambda: len(store) == 0)
    assert (await kept_by(frail.url, prefix)).parts == {"turn": b"19"}


async def test_the_first_attach_after_a_failover_that_left_the_connection_is_told_by_the_new_master(
    frail: RedisServer, server: RedisServer, prefix: str
) -> None:
    async with (
        ToxicProxy("127.0.0.1", frail.port) as proxy,
        RedisCallStore(f"redis://{proxy.address}/0", name="a", prefix=prefix) as store,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await other.attach("call_1", nothing)
        other.write("call_1", {"turn": b"1"})
        await until(lambda: other.figures()["written"] == 1)
        frail.told("REPLICAOF", "127.0.0.1", 1)
        proxy.target = ("127.0.0.1", server.port)
        assert await taken(store.attach("call_1", nothing)) == Kept(has_moved=True, parts={"turn": b"1"})


async def test_a_record_that_was_deleted_is_brought_again(server: RedisServer, prefix: str) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        store.write("call_1", {"turn": b"1"})
        assert await store.claim("call_1", "book") is None
        server.told("DEL", f"{prefix}{{call_1}}")
        assert await store.claim("call_1", "pay") is None
        await until(lambda: server.told("HLEN", f"{prefix}{{call_1}}") == 6)
        server.told("DEL", f"{prefix}{{call_1}}")
        assert (await store.attach("call_1", nothing)).parts == {"turn": b"1"}, "from here"
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "p:turn") == b"1")


async def test_a_value_of_another_type_costs_nothing_but_the_record(
    server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.told("SET", f"{prefix}{{call_1}}", "poison")
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        assert not (await store.attach("call_1", nothing)).is_known
        store.write("call_1", {"turn": b"1"})
        assert await store.claim("call_1", "book") == Effect("refused")
        assert await store.load("call_1") is None
        assert await store.owner("call_1") is None
        assert (await store.attach("call_2", nothing)).is_known
        server.told("DEL", f"{prefix}{{call_1}}")
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "p:turn") == b"1")
    assert "poison" not in caplog.text


async def test_fields_that_nobody_of_ours_wrote_are_left_alone(server: RedisServer, prefix: str) -> None:
    for field in (b"p:\xff", b"e:\xff", b"", b":", b"other", b"\xff\xff\xff"):
        server.told("HSET", f"{prefix}{{call_1}}", field, b"x")
    server.told("HSET", f"{prefix}{{call_1}}", b"owner", b"\xff", b"epoch", b"no number")
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        assert await store.owner("call_1") is not None
        assert await taken(store.attach("call_1", nothing)) == Kept(has_moved=True)
        assert await store.claim("call_1", "book") is None


async def test_effects_that_cannot_be_read_are_not_done_anew(server: RedisServer, prefix: str) -> None:
    values = (b"", b"{", b'{"outcome":"refused"}', b'{"outcome":7}', b"[" * 5000, b"\xff")
    for number, value in enumerate(values):
        server.told("HSET", f"{prefix}{{call_1}}", f"e:{number}", value)
    kept = await kept_by(server.url, prefix)
    assert set(kept.effects.values()) == {Effect("unknown")}
    assert len(kept.effects) == len(values)


async def test_a_late_reply_about_a_call_that_was_lost_does_not_let_go_of_it_taken_again(
    server: RedisServer, wire: Wire, prefix: str
) -> None:
    lost = Told()
    async with (
        RedisCallStore(wire.url, name="a", prefix=prefix) as one,
        RedisCallStore(server.url, name="b", prefix=prefix) as other,
    ):
        await taken_over(one, other)
        wire.slow(0.1)
        one.write("call_1", {"turn": b"2"})
        one.detach("call_1")
        await asyncio.sleep(0.1)  # so that one reply comes before the call is taken again, and the other one after it
        one.write("call_1", {"turn": b"3"})  # the last words of some side effect
        await until(lambda: len(one) == 0)
        await one.attach("call_1", lost)
        assert await one.owner("call_1") == "a"  # of which the answer comes behind all of those replies
        assert len(one) == 1
        await other.attach("call_1", nothing)
        one.write("call_1", {"turn": b"4"})
        await until(lambda: lost.times() == 1)


# -- bounds


async def test_what_is_too_long_is_left_out(server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        store.write("call_1", {"small": b"1", "big": b"1"})
        store.write("call_1", {"big": b"x" * (MAX_TALK + 1)})
        store.say("call_1", "x" * (MAX_TALK + 1))
        store.say("call_1", "Hello")
        await store.save("call_1", b"x" * (MAX_TALK + 1))
        assert await store.claim("call_1", "k" * MAX_LEDGER) == Effect("refused")
        await store.claim("call_1", "book")
        await store.settle("call_1", "book", Effect("done", "x" * MAX_LEDGER))
        assert await store.owner("call_1") == "a"
        kept = await kept_by(server.url, prefix)
        assert kept.parts == {"small": b"1"}, "an old part beside newer ones would be wrong"
        assert kept.said == "Hello"
        assert kept.effects == {"book": Effect("done")}
        assert server.told("HGET", f"{prefix}{{call_1}}", "state") is None
    assert len([record for record in caplog.records if "left out" in record.getMessage()]) == 1
    assert "xxx" not in caplog.text


async def test_the_ledger_is_bounded(server: RedisServer, prefix: str) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        for number in range(MAX_EFFECTS + 1):
            assert await store.claim("call_1", str(number)) is None
        assert await store.claim("call_1", "0") is None, "the oldest went"
        assert await store.claim("call_1", str(MAX_EFFECTS)) == Effect("begun")
        assert await store.owner("call_1") == "a"
        assert len((await kept_by(server.url, prefix)).effects) == MAX_EFFECTS


async def test_more_than_may_be_under_way_comes_later(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_pipe, "MAX_COUNT", 5)
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        await store.attach("call_1", nothing)
        for number in range(200):
            store.say("call_1", f"{number} ")
        said = "".join(f"{number} " for number in range(200))
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "said") == said.encode())
        assert store.figures()["failed"] > 0
        store.say("call_1", "Hello")
        await until(lambda: server.told("HGET", f"{prefix}{{call_1}}", "said") == f"{said}Hello".encode())


async def test_calls_that_ended_are_forgotten_here(server: RedisServer, prefix: str) -> None:
    async with RedisCallStore(server.url, name="a", prefix=prefix) as store:
        for number in range(50):
            await store.attach(f"call_{number}", nothing)
            store.write(f"call_{number}", {"turn": b"1"})
            store.detach(f"call_{number}")
        await until(lambda: len(store) == 0)
        assert len((await kept_by(server.url, prefix, "call_49")).parts) == 1


# -- any order


@hypothesis_settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(("attach", "write", "say", "claim", "settle", "release", "detach"))
        ),
        max_size=25,
    )
)
def test_only_the_newest_owner_is_heard(server: RedisServer, steps: list[tuple[int, str]]) -> None:
    uvloop.run(_only_the_newest_owner_is_heard(server.url, steps))


async def _only_the_newest_owner_is_heard(url: str, steps: list[tuple[int, str]]) -> None:
    prefix = fresh_prefix()
    parts: dict[str, bytes] = {}
    said, owner, has_it = "", -1, [False] * 3
    effects: dict[str, Effect] = {}
    told = [Told(), Told(), Told()]
    async with contextlib.AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(RedisCallStore(url, name=str(number), prefix=prefix)) for number in range(3)
        ]
        for step, (number, what) in enumerate(steps):
            store, is_owner, value = stores[number], number == owner, f"{step} "
            if what == "attach":
                kept = await store.attach("call_1", told[number])
                assert (dict(kept.parts), kept.said, dict(kept.effects)) == (parts, said, effects)
                assert kept.has_moved == (owner not in (-1, number))
                owner, has_it[number] = number, True
            elif not has_it[number]:
                continue  # a server writes to calls that it has taken
            elif what == "write":
                store.write("call_1", {"turn": value.encode()})
                if is_owner:
                    parts["turn"], said = value.encode(), ""
            elif what == "say":
                store.say("call_1", value)
                said += value if is_owner else ""
            elif what == "claim":
                before = effects.get("book")
                assert await store.claim("call_1", "book") in (
                    (before,) if is_owner else (Effect("refused"), Effect("begun"), Effect("done", "Booked."))
                )
                if is_owner:
                    effects.setdefault("book", Effect("begun"))
            elif what == "settle" and is_owner and "book" in effects:
                await store.settle("call_1", "book", Effect("done", "Booked."))
                effects["book"] = Effect("done", "Booked.")
            elif what == "release" and is_owner:
                await store.release("call_1", "book")
                effects.pop("book", None)
            elif what == "detach":
                store.detach("call_1")
                has_it[number] = False
            await store.owner("call_1")  # what went before it was answered
        assert (await stores[0].attach("call_1", nothing)).parts == parts
        assert all(
            one.times() <= sum(1 for who, what in steps if what == "attach" and who == number)
            for number, one in enumerate(told)
        )


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_faults_one_server_has_a_call_and_the_others_know(
    frail: RedisServer, prefix: str, seed: int
) -> None:
    chance = random.Random(seed)
    key = f"{prefix}{{call_1}}"
    async with contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(wire_to(frail)) for _ in range(3)]
        stores = [
            await stack.enter_async_context(RedisCallStore(wire.url, name=str(number), prefix=prefix))
            for number, wire in enumerate(wires)
        ]
        told = [Told() for _ in stores]
        has_it = [False] * 3
        for step in range(80):
            number = chance.randrange(3)
            store, wire = stores[number], wires[number]
            what = chance.choice(("attach", "write", "say", "claim", "settle", "cut", "mend", "slow", "empty", "pass"))
            match what:
                case "attach":
                    await store.attach("call_1", told[number])
                    has_it[number] = True
                case "write" if has_it[number]:
                    store.write("call_1", {"turn": f"{number} {step}".encode()})
                case "say" if has_it[number]:
                    store.say("call_1", f"{number} {step} ")
                case "claim" if has_it[number] and not wire.is_cut:
                    await store.claim("call_1", f"book {step}")
                case "settle" if has_it[number]:
                    await store.settle("call_1", f"book {step}", Effect("done"))
                case "cut":
                    wire.cut()
                case "mend":
                    await wire.mend()
                case "slow":
                    wire.slow(chance.choice((0.0, 0.002, 0.02)))
                case "empty":
                    frail.told(*chance.choice((("FLUSHALL",), ("SCRIPT", "FLUSH"))))
                case "pass":
                    await asyncio.sleep(0.01)
        for wire in wires:
            await wire.mend()
            wire.slow(0.0)
        await until(lambda: not any(is_degraded(store) for store in stores))
        before = [one.times() for one in told]
        assert (await stores[0].attach("call_1", told[0])).is_known
        stores[0].write("call_1", {"turn": b"last"})
        stores[0].say("call_1", "Hello")
        await until(lambda: frail.told("HMGET", key, "owner", "p:turn", "said") == [b"0", b"last", b"Hello"])
        for number in (1, 2):
            if has_it[number]:
                refused = stores[number].figures()["refused"]
                stores[number].write("call_1", {"turn": b"late"})
                await until(lambda number=number, refused=refused: stores[number].figures()["refused"] > refused)  # type: ignore[misc]
        assert await stores[0].claim("call_1", "last") is None
        assert frail.told("HMGET", key, "owner", "p:turn", "said") == [b"0", b"last", b"Hello"]
        assert told[0].times() == before[0]


# -- secrets


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cr3t#x@host:1/0",
        "redis://user:s3cr3t@host:port/0",
        "http://user:s3cr3t@host",
        "s3cr3t",
        "redis://user:s3cr3t@[host/0",
        "redis://user:s3cr3t@host:1/0?nonsense=1",
    ],
)
def test_a_bad_url_is_not_quoted(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        RedisCallStore(url, name="a")
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "redis://" in str(caught.value)


async def test_a_password_is_never_shown(server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"redis://nobody:s3cr3t@127.0.0.1:{server.port}/0"
    async with RedisCallStore(url, name="a", prefix=prefix) as store:
        assert is_degraded(store), "there is no such user"
        assert "s3cr3t" not in repr(store) + str(store.figures())
        await store.attach("call_1", nothing)
    assert caplog.text
    assert "s3cr3t" not in caplog.text
