"""Commands find the call's server, and are done at most once: several servers' sides of it in one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from retell_ws.control import Command, Done, Look, NotHere, Outcome, Refused, Reply, Say, Seen, Status
from retell_ws.letters import Request
from retell_ws.ports import Missed
from retell_ws.reach import REMEMBERED, Reach
from retell_ws.switchboards.memory import MemorySwitchboard

from .store_away import Store

pytestmark = pytest.mark.usefixtures("clean_loop")

AWAY = Status("call_1", 1.0, False, "idle")
THERE = Status("call_1", 1.0, True, "idle")
SAY = Say("Hello.")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.reach.PAUSES_S", (0.01, 0.01, 0.01))


class Board(MemorySwitchboard):
    """One server's, on which strange things can happen.

    Attributes:
        miss: What comes of the next requests instead, by server.
        heard: Servers that were asked.
        before: Called before each request is delivered.
    """

    def __init__(self, name: str, beside: MemorySwitchboard | None) -> None:
        super().__init__(name, beside=beside)
        self.miss: dict[str, Missed] = {}
        self.heard: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.down = False

    @property
    def is_up(self) -> bool:
        return not self.down and super().is_up

    async def ask(self, server: str, request: Request, limit_s: float) -> Reply | Missed:
        self.heard.append(server)
        self.before()
        if (missed := self.miss.get(server)) is not None:
            return missed
        return await super().ask(server, request, limit_s)


class Place:
    """A server, as far as commands go: the calls it has, and what was done to them."""

    def __init__(self, name: str, beside: Place | None) -> None:
        self.store: Store = Store(lambda: 0.0, name=name, beside=None if beside is None else beside.store)
        self.board: Board = Board(name, None if beside is None else beside.board)
        self.calls: dict[str, Status] = {}
        self.done: list[Command] = []
        self.fails = False
        self.reach = Reach(self.here, self.store, self.board)

    def here(self, call_id: str, command: Command) -> Reply:
        if self.fails:
            raise AssertionError("a bug")
        status = self.calls.get(call_id)
        if status is None or not status.attached:
            return NotHere(status)
        if isinstance(command, Look):
            return Seen(status)
        self.done.append(command)
        return Done()

    async def take(self, status: Status = THERE) -> None:
        await self.store.attach(status.id, lambda: None)
        self.calls[status.id] = status

    async def do(self, command: Command = SAY, call_id: str = "call_1") -> Outcome:
        return await self.reach.do(call_id, command)


@asynccontextmanager
async def places(number: int) -> AsyncIterator[list[Place]]:
    made: list[Place] = []
    async with AsyncExitStack() as stack:
        for n in range(number):
            place = Place("abc"[n], made[0] if made else None)
            await stack.enter_async_context(place.board.listening(place.reach.answer))
            made.append(place)
        yield made


def kind(outcome: Outcome) -> str:
    assert isinstance(outcome, Refused)
    return outcome.kind


async def test_a_call_that_is_here_is_moved_here() -> None:
    async with places(2) as (a, _):
        await a.take()
        assert await a.do() == Done()
        assert a.done == [SAY] and a.board.heard == []


async def test_a_call_that_is_elsewhere_is_moved_there_from_any_server() -> None:
    async with places(3) as (a, b, c):
        await b.take()
        assert [await place.do() for place in (a, b, c)] == [Done()] * 3
        assert await a.do(Look()) == await c.do(Look()) == Seen(THERE)
        assert b.done == [SAY] * 3 and a.done == c.done == []


async def test_a_call_nobody_has_is_unknown_at_once() -> None:
    async with places(2) as (a, _):
        assert kind(await a.do()) == "unknown"
        assert a.board.heard == []


async def test_a_call_that_is_over_is_unknown() -> None:
    async with places(2) as (a, b):
        await b.take()
        del b.calls["call_1"]
        assert kind(await a.do()) == kind(await b.do()) == "unknown"


async def test_a_refusal_is_the_answer() -> None:
    async with places(2) as (a, b):
        await b.take()
        refused = Refused("impossible", "the agent is leaving the call already")
        b.board._servers["b"] = lambda request: refused
        assert await a.do() == refused


async def test_a_call_that_moves_between_look_up_and_delivery_is_followed_and_moved_once() -> None:
    async with places(3) as (a, b, c):
        await b.take()

        def moves() -> None:
            a.board.before = lambda: None
            del b.calls["call_1"]
            c.store._calls["call_1"].owner = c.store
            c.calls["call_1"] = THERE

        a.board.before = moves
        assert await a.do() == Done()
        assert a.board.heard == ["b", "c"] and b.done == [] and c.done == [SAY]


async def test_a_call_without_a_socket_is_waited_for() -> None:
    async with places(2) as (a, b):
        await b.take(AWAY)
        assert kind(await a.do()) == kind(await b.do()) == "moved"
        assert await a.do(Look()) == await b.do(Look()) == Seen(AWAY), "looking needs no socket"
        a.board.before = lambda: b.calls.update(call_1=THERE)
        assert await a.do() == Done()
        assert b.done == [SAY]


async def test_a_call_that_lost_its_socket_here_and_was_taken_elsewhere_is_moved_there() -> None:
    async with places(2) as (a, b):
        await a.take(AWAY)
        await b.take()
        assert await a.do() == Done()
        assert b.done == [SAY] and a.done == []
        assert await a.do(Look()) == Seen(THERE)


async def test_a_call_whose_server_is_gone_is_refused_until_another_has_taken_it() -> None:
    async with places(3) as (a, b, c):
        await b.take()
        del b.board._servers["b"]
        assert kind(await a.do()) == "moved"
        assert a.board.heard == ["b"] * 4
        await c.take()
        assert await a.do() == Done()
        b.board._servers["b"] = b.reach.answer


async def test_a_server_that_gives_no_reply_is_not_asked_again() -> None:
    async with places(2) as (a, b):
        await b.take()
        a.board.miss["b"] = "silent"
        assert kind(await a.do()) == "unanswered"
        assert a.board.heard == ["b"]


async def test_after_silence_the_next_owner_is_asked_with_the_same_request() -> None:
    async with places(3) as (a, b, c):
        await b.take()
        a.board.miss["b"] = "silent"

        def moves() -> None:
            c.store._calls["call_1"].owner = c.store
            c.calls["call_1"] = THERE

        a.board.before = moves
        assert await a.do() == Done()
        assert a.board.heard == ["b", "c"] and c.done == [SAY]


async def test_after_silence_nothing_else_is_claimed_to_be_known() -> None:
    async with places(3) as (a, b, _):
        await b.take()
        a.board.miss["b"] = "silent"
        a.board.before = lambda: setattr(a.store, "gone", True)
        assert kind(await a.do()) == "unanswered"


async def test_the_whole_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.reach.TOTAL_S", 0.05)
    never = asyncio.Event()

    class Hanging(Board):
        async def ask(self, server: str, request: Request, limit_s: float) -> Reply | Missed:
            await never.wait()
            return "down"

    async with places(2) as (a, b):
        await b.take()
        reach = Reach(a.here, a.store, Hanging("a", None))
        assert kind(await reach.do("call_1", SAY)) == "unanswered"


async def test_without_redis_calls_here_are_moved_and_others_are_out_of_reach() -> None:
    async with places(2) as (a, b):
        await a.take()
        await b.take(Status("call_2", 1.0, True, "idle"))
        a.board.down = True
        a.store.gone = True
        assert await a.do() == Done()
        assert kind(await a.do(call_id="call_2")) == "unreachable"
        a.board.down = False
        assert kind(await a.do(call_id="call_2")) == "unreachable", "the store cannot be asked"
        a.store.gone, a.board.miss["b"] = False, "down"
        assert kind(await a.do(call_id="call_2")) == "unreachable"
        a.board.miss.clear()
        assert await a.do(call_id="call_2") == Done()


async def test_without_a_switchboard_there_are_only_our_own_calls() -> None:
    async with places(1) as (a,):
        reach = Reach(a.here, a.store, None)
        assert kind(await reach.do("call_1", SAY)) == "unknown"
        await a.take()
        assert await reach.do("call_1", SAY) == Done()


# ---------------------------------------------------------------------------- at most once


async def test_what_is_delivered_twice_is_done_once_and_answered_twice() -> None:
    async with places(1) as (a,):
        await a.take()
        request = Request("1", "b", "call_1", SAY)
        assert [a.reach.answer(request) for _ in range(3)] == [Done()] * 3
        assert a.done == [SAY]
        assert a.reach.answer(Request("2", "b", "call_1", SAY)) == Done()
        assert a.done == [SAY, SAY]


async def test_what_was_not_done_may_come_again() -> None:
    async with places(1) as (a,):
        request = Request("1", "b", "call_1", SAY)
        assert a.reach.answer(request) == NotHere()
        await a.take()
        assert a.reach.answer(request) == Done()


async def test_what_is_remembered_is_bounded() -> None:
    async with places(1) as (a,):
        await a.take()
        for number in range(REMEMBERED + 5):
            a.reach.answer(Request(str(number), "b", "call_1", SAY))
        assert len(a.reach._done) == REMEMBERED
        a.reach.answer(Request(str(REMEMBERED), "b", "call_1", SAY))
        assert len(a.done) == REMEMBERED + 5


async def test_a_bug_costs_one_command_and_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with places(2) as (a, b):
        await b.take()
        b.fails = True
        assert kind(await a.do()) == "unanswered"
        assert a.board.heard == ["b"]
        assert "a command failed" in caplog.text
