"""A call that goes on on another server: greeted once, no word twice, no tool twice, nothing forgotten."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from retell_ws import memo as memos
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.control import Say
from retell_ws.handle import Call
from retell_ws.memo import CallMemo, read
from retell_ws.ports import Kept
from retell_ws.prompt import CONTINUE
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.stores.redis import RedisCallStore
from retell_ws.testing import BlackHole, ToxicProxy
from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.retell import FakeRetell

from .machine import place_of
from .puppet import GREETING, Puppet
from .raw import deaf, masked
from .waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

PHONE = {"call_type": "phone_call", "direction": "inbound", "from_number": "+14155550123"}


def booking() -> tuple[Agent, list[str]]:
    """Make an agent that books; gives it, and the days it has booked."""
    booked: list[str] = []
    ana = Agent("You are Ana.", greeting=GREETING)

    @ana.tool
    async def book(call: Call, day: str) -> str:
        """Book."""
        booked.append(day)
        return "Booked."

    return ana, booked


class Fleet:
    """Two servers that share a store, and a balancer before them.

    Attributes:
        servers: The servers.
        models: Their models, one each.
        stores: Their stores.
        balancer: It leads to the first server.
    """

    def __init__(self, balancer: ToxicProxy) -> None:
        self.balancer = balancer
        self.servers: list[Server] = []
        self.models: list[Puppet] = []
        self.stores: list[MemoryCallStore] = []

    def call(self, **options: Any) -> FakeRetell:
        """A call that redials by itself, as Retell does."""
        policy = DialPolicy(attempts=20, timeout_s=5, pause_s=0.02)
        return FakeRetell(
            f"ws://{self.balancer.address}/llm-websocket", dial_policy=policy, reminder_max_count=0, **options
        )

    def lead_to(self, to: int) -> None:
        """Let whoever dials from now on reach another server."""
        self.balancer.target = place_of(self.servers[to].address)

    def move(self, to: int = 1) -> None:
        """Break the line, and let the redial reach another server. The first one goes on with what it does."""
        self.lead_to(to)
        self.balancer.cut()


@asynccontextmanager
async def fleet(agent: Agent | None = None, **settings: Any) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(ToxicProxy("127.0.0.1", 0))  # its target is set below
        made = Fleet(balancer)
        store = None
        for name in ("first", "second"):
            store = MemoryCallStore(lambda: 0.0, name=name, beside=store, is_shared=True)
            model = Puppet()
            ana = agent or Agent("You are Ana.", greeting=GREETING)
            served = running(ana, Settings(port=0, **settings), model=model, store=store)
            made.servers.append(await stack.enter_async_context(served))
            made.models.append(model)
            made.stores.append(store)
        made.lead_to(0)
        yield made


async def counted(server: Server, kind: str, times: int = 1) -> None:
    """Wait until a server has recorded a kind of fact so many times."""
    await until(lambda: server.statistics().get(kind, 0) >= times)


async def resumed(server: Server, retell: FakeRetell) -> None:
    """Wait until a call is on this server, and its caller knows."""
    await counted(server, "resumed")
    await until(lambda: retell.is_open)


async def test_the_greeting_is_said_once() -> None:
    async with fleet() as two, two.call() as retell:
        assert await retell.greeting() == GREETING
        await retell.quiet(0.1)
        two.move()
        await resumed(two.servers[1], retell)
        first = await retell.request("What are your hours?")
        stream = await two.models[1].asked(1)
        stream.say("From nine to five.")
        stream.end()
        assert (await retell.answer(first)).text == "From nine to five."
        assert retell.rules.exchanges[0].text == GREETING
        assert not retell.report.faults
        assert not two.models[0].streams


async def test_an_open_answer_goes_on_where_it_stood() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("What are your hours?")
        stream = await two.models[0].asked(1)
        stream.say("We ", "are ", "open ", "from")
        assert await retell.piece(asked, at_least=16) == "We are open from"
        two.move()
        other = await two.models[1].asked(1)
        *_, said, note = other.request.messages
        assert (said.role, said.text) == ("assistant", "We are open")
        assert note.text == CONTINUE
        stream.say(" midnight to midnight.")  # whose server has lost the call
        other.say("from ", "nine ", "to ", "five.")
        other.end()
        answer = await retell.answer(asked)
        assert answer.text == "We are open from nine to five."
        await counted(two.servers[0], "call_moved")
        assert not retell.report.faults
        assert retell.rules.exchanges[0].text == GREETING


async def test_what_goes_on_in_the_middle_of_a_sentence_is_no_line_of_its_own() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Wann ist noch frei?")
        stream = await two.models[0].asked(1)
        stream.say("Frei ist nur", " der")
        assert await retell.piece(asked, at_least=16) == "Frei ist nur der"
        two.move()
        other = await two.models[1].asked(1)
        other.say("der ", "1. Mai.")
        other.end()
        assert (await retell.answer(asked)).text == "Frei ist nur der 1. Mai."


async def test_a_question_whose_answer_had_not_begun_is_answered() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("What are your hours?")
        await two.models[0].asked(1)
        two.move()
        other = await two.models[1].asked(1)
        assert other.request.messages[-1].text == "What are your hours?"
        other.say("From nine.")
        other.end()
        assert (await retell.answer(asked)).text == "From nine."


async def test_an_answer_that_was_whole_is_only_completed() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Hours?")
        stream = await two.models[0].asked(1)
        stream.say("From nine.")
        stream.end()
        await retell.answer(asked)
        two.move()
        await resumed(two.servers[1], retell)
        await retell.quiet(0.1)
        assert retell.rules.exchanges[asked].text == "From nine."
        assert not two.models[1].streams
        assert not retell.report.faults


async def test_what_is_asked_anew_after_the_redial_is_answered_instead() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        first = await retell.request("Hours?")
        stream = await two.models[0].asked(1)
        stream.say("We open at")
        await retell.piece(first, at_least=10)
        two.move()
        await two.models[1].asked(1)
        await resumed(two.servers[1], retell)
        second = await retell.request("And on Sundays?")
        other = await two.models[1].asked(2)
        other.say("On Sundays we are closed.")
        other.end()
        assert (await retell.answer(second)).text == "On Sundays we are closed."
        assert retell.rules.exchanges[first].text == "We open at"
        assert not retell.report.faults


async def test_a_tool_that_was_done_is_not_done_again() -> None:
    ana, done = booking()

    async with fleet(ana) as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Book me Monday.")
        stream = await two.models[0].asked(1)
        stream.call("book", day="Monday")
        stream.end("tool_use")
        second = await two.models[0].asked(2)  # the result was told
        assert done == ["Monday"]
        second.say("You are")
        await retell.piece(asked, at_least=7)
        two.move()
        other = await two.models[1].asked(1)
        told = msgspec.json.encode(other.request.messages).decode()
        assert "Booked." in told, "what was done before stands in the prompt"
        other.call("book", day="Monday")  # a model that has lost its way
        other.end("tool_use")
        last = await two.models[1].asked(2)
        assert "done earlier" in msgspec.json.encode(last.request.messages).decode()
        last.say("You are booked.")
        last.end()
        await retell.answer(asked)
        assert done == ["Monday"]


async def test_a_tool_that_broke_off_with_its_server_is_not_tried_again() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    times = 0
    ana = Agent("You are Ana.", greeting=GREETING)

    @ana.tool
    async def book(call: Call, day: str) -> str:
        """Book."""
        nonlocal times
        times += 1
        begun.set()
        await may_end.wait()
        return "Booked."

    async with fleet(ana) as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Book me Monday.")
        stream = await two.models[0].asked(1)
        stream.call("book", day="Monday")
        stream.end("tool_use")
        await begun.wait()
        two.move()
        other = await two.models[1].asked(1)
        assert "nobody knows whether it was done" in msgspec.json.encode(other.request.messages).decode()
        other.call("book", day="Monday")
        other.end("tool_use")
        last = await two.models[1].asked(2)
        assert "nobody knows whether it was done" in msgspec.json.encode(last.request.messages[-1]).decode()
        last.say("I will check.")
        last.end()
        await retell.answer(asked)
        may_end.set()
        assert times == 1
        await counted(two.servers[0], "call_moved")


class Notes(msgspec.Struct):
    name: str = ""


async def test_state_details_and_hooks_go_along() -> None:
    ana = Agent("You are Ana.", greeting=GREETING, state=Notes)
    ran: list[str] = []
    ana.on_start(lambda call: ran.append("start"))
    ana.on_details(lambda call: ran.append("details"))
    ana.on_end(lambda call: ran.append("end"))

    @ana.tool(side_effect=False)
    async def note(call: Call, name: str) -> str:
        """Note."""
        call.state.name = name
        return "Noted."

    @ana.tool(side_effect=False)
    async def recall(call: Call) -> str:
        """Recall."""
        return f"{call.state.name} {call.from_number} {call.variables['plan']}"

    details = {**PHONE, "retell_llm_dynamic_variables": {"plan": "gold"}}
    async with fleet(ana, grace_s=0.5) as two:
        async with two.call(details=details) as retell:
            await retell.greeting()
            asked = await retell.request("I am Bo.")
            stream = await two.models[0].asked(1)
            stream.call("note", name="Bo")
            stream.end("tool_use")
            second = await two.models[0].asked(2)
            second.say("Hello Bo.")
            second.end()
            await retell.answer(asked)
            two.move()
            await resumed(two.servers[1], retell)
            asked = await retell.request("Who am I?")
            other = await two.models[1].asked(1)
            other.call("recall")
            other.end("tool_use")
            last = await two.models[1].asked(2)
            assert "Bo +14155550123 gold" in msgspec.json.encode(last.request.messages).decode()
            last.say("You are Bo.")
            last.end()
            await retell.answer(asked)
        await counted(two.servers[1], "call_ended")
        await counted(two.servers[0], "call_moved")
        await until(lambda: "end" in ran)
        assert ran == ["start", "details", "end"], "each hook ran once, wherever the call was"


async def test_a_call_may_come_back_to_a_server_that_remembers_it_otherwise() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        two.move(1)
        await resumed(two.servers[1], retell)
        asked = await retell.request("Hours?")
        other = await two.models[1].asked(1)
        other.say("We open at nine and")
        await retell.piece(asked, at_least=10)
        two.move(0)
        stream = await two.models[0].asked(1)
        assert stream.request.messages[-2].text == "We open at nine"
        stream.say("and close at five.")
        stream.end()
        assert (await retell.answer(asked)).text == "We open at nine and close at five."
        assert not retell.report.faults
        assert two.servers[0].statistics()["call_moved"] == 1


async def test_the_log_says_which_server_has_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "retell_ws")
    async with fleet() as two, two.call(redials=False) as retell:
        await retell.greeting()
        two.lead_to(1)
        async with two.call(call_id=retell.call_id) as again:
            await resumed(two.servers[1], again)
            await retell.request("Anybody there?")
            await retell.ended()
            await until(lambda: "call_moved" in caplog.text)
    assert [one.message for one in caplog.records][:3] == ["call_started", "resumed", "call_moved"]


async def test_the_loser_drops_its_socket_at_its_next_step() -> None:
    async with fleet() as two, two.call(redials=False) as retell:
        await retell.greeting()
        two.lead_to(1)
        async with two.call(call_id=retell.call_id) as again:  # dialled before the old line is known to be dead
            await resumed(two.servers[1], again)
            await retell.request("Anybody there?")
            assert await retell.ended() == "error_llm_websocket_runtime"
            assert two.stores[0].figures()["refused"] >= 1
            asked = await again.request("Hours?")
            other = await two.models[1].asked(1)
            other.say("Nine.")
            other.end()
            assert (await again.answer(asked)).text == "Nine."


async def test_words_that_come_at_once_are_kept_once() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        two.models[0].at_once = ("We open at nine. ",)
        asked = await retell.request("Hours?")
        stream = await two.models[0].asked(1)
        await retell.piece(asked, at_least=17)
        stream.say("We close at five. ")
        await retell.piece(asked, at_least=35)
        assert said_by(two.stores[0], retell.call_id) == "We open at nine. We close at five. "


def said_by(store: MemoryCallStore, call_id: str) -> str:
    """Give what whoever takes the call believes to be said."""
    kept = store._calls[call_id]
    memo = read(kept.parts["call"], CallMemo)
    assert memo is not None
    return memo.answer.text + kept.said


async def test_what_is_to_be_said_after_an_answer_is_kept() -> None:
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Hours?")
        stream = await two.models[0].asked(1)
        stream.say("We are open ")
        await retell.piece(asked, at_least=12)
        await two.servers[0].do(retell.call_id, Say("We close early today."))
        kept = two.stores[0]._calls[retell.call_id]
        await until(lambda: (memo := read(kept.parts["call"], CallMemo)) is not None and bool(memo.after))


async def test_a_change_of_the_agent_between_two_sockets_is_kept() -> None:
    async with fleet() as two:
        first, (_, writer) = two.servers[0], await deaf(f"{two.servers[0].address}/call_1")
        await counted(first, "call_started")
        writer.close()
        await counted(first, "detached")
        (session,) = first._calls
        session._call.update(responsiveness=0.2)
        kept = two.stores[0]._calls["call_1"]
        await until(lambda: (memo := read(kept.parts["call"], CallMemo)) is not None and memo.asides.config is not None)


async def test_a_drained_server_gives_its_calls_to_another_one_between_turns() -> None:
    async with fleet(drain_s=0.05) as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Hours?")
        stream = await two.models[0].asked(1)
        stream.say("We open at")
        await retell.piece(asked, at_least=10)
        two.lead_to(1)
        draining = asyncio.create_task(two.servers[0].drain())
        await retell.quiet(0.2)
        assert not draining.done()
        stream.say(" nine.")
        stream.end()
        assert (await retell.answer(asked)).text == "We open at nine."
        await draining
        await resumed(two.servers[1], retell)
        again = await retell.request("Thanks.")
        other = await two.models[1].asked(1)
        other.say("Bye.")
        other.end()
        assert (await retell.answer(again)).text == "Bye."
        assert not retell.report.faults
        assert two.servers[0].statistics().get("call_ended", 0) == 0, "it goes on elsewhere"


async def test_what_is_asked_while_the_server_leaves_is_answered_by_the_next_one() -> None:
    async with fleet(drain_s=0.0) as two, two.call() as retell:
        await retell.greeting()
        await retell.quiet(0.1)
        two.lead_to(1)
        with two.balancer.having(BlackHole()):
            asked = await retell.request("Hours?")  # on its way
            draining = asyncio.create_task(two.servers[0].drain())
            await counted(two.servers[0], "detached")
        other = await two.models[1].asked(1)
        other.say("From nine.")
        other.end()
        assert (await retell.answer(asked)).text == "From nine."
        await draining
        assert not retell.report.faults


@pytest.mark.parametrize("memo", [b'{"of": "another version"}', b""], ids=["another version's", "too large"])
async def test_a_memo_that_cannot_be_read_is_no_reason_to_greet_again(memo: bytes) -> None:
    ran: list[str] = []
    ana = Agent("You are Ana.", greeting=GREETING)
    ana.on_start(lambda call: ran.append("start"))
    ana.on_details(lambda call: ran.append("details"))
    async with fleet(ana) as two:
        two.stores[1].write("call_1", {"call": memo})
        async with two.call(call_id="call_1", details=PHONE) as retell:
            assert await retell.greeting() == ""
            asked = await retell.request("Hours?")
            stream = await two.models[0].asked(1)
            stream.say("From nine.")
            stream.end()
            assert (await retell.answer(asked)).text == "From nine."
            assert not ran, "they ran where the call was begun"
            assert not retell.report.faults


async def test_what_a_server_remembers_of_a_call_that_was_elsewhere_is_not_written_down() -> None:
    ana = Agent("You are Ana.", greeting=GREETING, state=Notes)

    @ana.tool(side_effect=False)
    async def note(call: Call, name: str) -> str:
        """Note."""
        call.state.name = name
        await asyncio.Event().wait()
        return "Noted."

    @ana.tool(side_effect=False)
    async def correct(call: Call, name: str) -> str:
        """Correct."""
        call.state.name = name
        return "Noted."

    async with fleet(ana) as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("I am Bo.")
        stream = await two.models[0].asked(1)
        stream.call("note", name="Bo")
        await counted(two.servers[0], "tool_started")
        two.move(1)
        other = await two.models[1].asked(1)
        other.call("correct", name="Bea")
        other.end("tool_use")
        last = await two.models[1].asked(2)
        last.say("Hello Bea.")
        last.end()
        await retell.answer(asked)
        two.move(0)
        await resumed(two.servers[0], retell)
        await counted(two.servers[0], "call_moved")
        await retell.quiet(0.1)
        assert await two.stores[0].load(retell.call_id) == b'{"name":"Bea"}'


class Slow(MemoryCallStore):
    """Has a call taken at once, and says so when the test lets it.

    Attributes:
        meanwhile: Happens just before it says so.
        sockets: How many the call had had, of each memo that was written.
    """

    def __init__(self, name: str, *, beside: MemoryCallStore | None = None) -> None:
        super().__init__(lambda: 0.0, name=name, beside=beside, is_shared=True)
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.taken = 0
        self.sockets: list[int] = []

    def write(self, call_id: str, parts: Mapping[str, bytes]) -> None:
        memo = read(parts["call"], CallMemo)
        assert memo is not None
        self.sockets.append(memo.sockets)
        super().write(call_id, parts)

    async def attach(self, call_id: str, lost: Callable[[], None]) -> Kept:
        kept = await super().attach(call_id, lost)
        self.taken += 1
        await self.may_tell.wait()
        if self.meanwhile is not None:
            await self.meanwhile()
        return kept


async def test_a_call_that_ends_while_it_is_taken_anew_is_still_told_that_it_is_lost() -> None:
    slow = Slow("first")
    other = MemoryCallStore(lambda: 0.0, name="second", beside=slow)
    ana = Agent("You are Ana.", greeting=GREETING)
    settings = Settings(port=0, grace_s=0.05)
    async with (
        running(ana, settings, model=Puppet(), store=slow) as first,
        running(ana, settings, model=Puppet(), store=other) as second,
        ToxicProxy(*place_of(first.address)) as balancer,
    ):
        url = f"ws://{balancer.address}/llm-websocket"
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=20, timeout_s=5, pause_s=0.02)) as retell:
            await retell.greeting()
            slow.may_tell.clear()
            balancer.cut()
            await until(lambda: slow.taken == 2)
            await counted(first, "call_ended")
            await until(lambda: first.statistics()["sessions"] == 0)
            slow.may_tell.set()
            await resumed(first, retell)
            balancer.target = place_of(second.address)
            async with FakeRetell(url, call_id=retell.call_id) as again:
                await resumed(second, again)
                await retell.request("Anybody there?")
                await counted(first, "call_moved")


@pytest.mark.parametrize("to", [0, 1])
async def test_a_server_that_leaves_waits_for_no_socket_but_the_one_it_ended(to: int) -> None:
    async with fleet(drain_s=0.0, drain_delay_s=0.0) as two:
        first = two.servers[0]
        _, older = await deaf(f"{first.address}/call_1")  # it does not answer our close
        await counted(first, "call_started")
        draining = asyncio.create_task(first.drain())
        await counted(first, "detached")
        _, newer = await deaf(f"{two.servers[to].address}/call_1")
        await counted(two.servers[to], "reattached")
        older.write(masked(b'{"interaction_type":"response_required","response_id":1,"transcript":[]}'))
        if to == 1:
            await counted(first, "call_moved")
        older.close()
        if to == 0:  # and what is asked on the newer one is not lost either
            await counted(first, "detached", 2)
            newer.write(masked(b'{"interaction_type":"response_required","response_id":2,"transcript":[]}'))
            await counted(first, "turn_started")
            newer.close()
        async with asyncio.timeout(5):
            await draining
        newer.close()
        memo = read(two.stores[to]._calls["call_1"].parts["call"], CallMemo)
        assert memo is not None and memo.answer.response_id == (0 if to else 2)


async def test_who_hangs_up_while_the_server_leaves_has_hung_up() -> None:
    async with fleet(drain_s=0.0) as two:
        async with two.call() as retell:
            await retell.greeting()
            await retell.quiet(0.1)
            with two.balancer.having(BlackHole()):
                hanging_up = asyncio.create_task(retell.hang_up())
                draining = asyncio.create_task(two.servers[0].drain())
                await counted(two.servers[0], "detached")
            await asyncio.gather(hanging_up, draining)
        await counted(two.servers[0], "call_ended")
        assert two.servers[0].statistics().get("call_moved", 0) == 0


async def test_a_call_that_was_over_before_the_server_left_has_ended_here() -> None:
    async with fleet(drain_s=0.0) as two:
        async with two.call() as retell:
            await retell.greeting()
        await counted(two.servers[0], "detached")
        await two.servers[0].drain()
        await two.servers[0]._end()
        await counted(two.servers[0], "call_ended")


async def test_no_step_of_an_old_session_is_written_over_the_new_one() -> None:
    first = Slow("first")
    second = MemoryCallStore(lambda: 0.0, name="second", beside=first)
    ana = Agent("You are Ana.", greeting=GREETING)
    settings = Settings(port=0)
    async with (
        running(ana, settings, model=Puppet(), store=first) as here,
        running(ana, settings, model=Puppet(), store=second) as there,
        ToxicProxy(*place_of(here.address)) as balancer,
    ):
        url = f"ws://{balancer.address}/llm-websocket"
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=20, timeout_s=5, pause_s=0.02)) as retell:
            await retell.greeting()
            await retell.quiet(0.1)
            balancer.target = place_of(there.address)
            balancer.cut()
            await resumed(there, retell)
            first.meanwhile = lambda: here.do(retell.call_id, Say("Nobody is to hear this."))
            balancer.target = place_of(here.address)
            balancer.cut()
            await resumed(here, retell)
            await retell.quiet(0.1)
            assert first.sockets == sorted(first.sockets) and first.sockets[-1] == 3


async def test_what_cannot_be_kept_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memos, "MAX_PART", 50)
    async with fleet() as two, two.call() as retell:
        await retell.greeting()
        for number in (1, 2):
            asked = await retell.request(f"Question {number}?")
            stream = await two.models[0].asked(number)
            stream.say(f"Answer {number}.")
            stream.end()
            await retell.answer(asked)
        assert sum("cannot be kept" in record.message for record in caplog.records) == 1


# ---------------------------------------------------------------------------- without the store


NOWHERE = "redis://127.0.0.1:1"


async def test_who_calls_while_redis_is_gone_is_greeted_and_booked() -> None:
    ana, booked = booking()

    model = Puppet()
    async with (
        RedisCallStore(NOWHERE, name="a") as store,
        running(ana, Settings(port=0), model=model, store=store) as server,
        FakeRetell(server.url, details={**PHONE, "start_timestamp": round(time.time() * 1000)}) as retell,
    ):
        assert await retell.greeting() == GREETING
        asked = await retell.request("Book me Monday.")
        stream = await model.asked(1)
        stream.call("book", day="Monday")
        stream.end("tool_use")
        last = await model.asked(2)
        last.say("Done.")
        last.end()
        await retell.answer(asked)
        assert booked == ["Monday"]
        assert server.statistics()["degraded"] == 1


async def test_who_was_talking_elsewhere_when_redis_went_is_not_greeted_and_nothing_is_done_twice() -> None:
    ana, booked = booking()

    model = Puppet()
    began_ms = round(time.time() * 1000) - 60_000
    async with (
        RedisCallStore(NOWHERE, name="a") as store,
        running(ana, Settings(port=0), model=model, store=store) as server,
        FakeRetell(server.url, details={**PHONE, "start_timestamp": began_ms}) as retell,
    ):
        assert await retell.greeting() == ""
        retell.conversation.agent_says(GREETING, response_id=0)  # as was said elsewhere
        asked = await retell.request("Book me Monday.")
        stream = await model.asked(1)
        stream.call("book", day="Monday")
        stream.end("tool_use")
        last = await model.asked(2)
        assert "cannot be looked up" in msgspec.json.encode(last.request.messages).decode()
        last.say("I will call you back.")
        last.end()
        await retell.answer(asked)
        assert not booked


async def test_a_server_that_hears_neither_retell_nor_redis_begins_no_side_effect() -> None:
    """Another server may have the call by then, and begin the same."""
    ana, booked = booking()

    class Unreachable(MemoryCallStore):
        is_away = False

        def figures(self) -> Mapping[str, float]:
            return {**super().figures(), "degraded": float(self.is_away)}

    store, model = Unreachable(lambda: 0.0, is_shared=True), Puppet()
    async with running(ana, Settings(port=0), model=model, store=store) as server:
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            await retell.request("Book me Monday.")
            stream = await model.asked(1)
            store.is_away = True
            await retell.drop()
            await counted(server, "detached")
            stream.call("book", day="Monday")
            stream.end("tool_use")
            last = await model.asked(2)
            assert "cannot be looked up" in msgspec.json.encode(last.request.messages).decode()
            await retell.redial()
            last.call("book", day="Monday")  # the line is there again, and so is the caller
            last.end("tool_use")
            await model.asked(3)
            assert booked == ["Monday"]


async def test_a_tool_that_is_called_while_an_answer_goes_on_stands_after_all_that_was_said() -> None:
    ana, booked = booking()
    async with fleet(ana) as two, two.call() as retell:
        await retell.greeting()
        asked = await retell.request("Book me Monday.")
        stream = await two.models[0].asked(1)
        stream.say("Sure, I will")
        await retell.piece(asked, at_least=12)
        two.move()
        other = await two.models[1].asked(1)
        other.say("will ", "book it.")
        other.call("book", day="Monday")
        other.end("tool_use")
        last = await two.models[1].asked(2)
        *_, said, told = last.request.messages
        assert (said.role, said.text) == ("assistant", "Sure, I will book it.")
        assert told.role == "user" and CONTINUE not in msgspec.json.encode(told).decode()
        last.say("It is booked.")
        last.end()
        assert (await retell.answer(asked)).text == "Sure, I will book it. It is booked."
        assert booked == ["Monday"]
