"""Tools, ledger, intents and what is around the turns, where they were found to break."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from retell_ws.actions import StartTurn
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.budget import Budget
from retell_ws.call import CallMachine
from retell_ws.errors import SettingsError, ToolError
from retell_ws.handle import Call
from retell_ws.intent import TransferCall
from retell_ws.models.messages_api import body_of
from retell_ws.ports import Delta, Rest, no_rest
from retell_ws.prompt import SPOKEN_INTO
from retell_ws.request import ModelRequest
from retell_ws.server import Server
from retell_ws.session import Session
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.summary import INSTRUCTIONS
from retell_ws.testing import FakeRetell
from retell_ws.testing.caller import calling
from retell_ws.testing.script import Script, Step, Use
from retell_ws.tools import FAILED, FAILED_EFFECT, WITHDRAWN
from retell_ws.wire import CallInfo

from .puppet import serving, single
from .test_tools import Gate, agent, calling_at_a_pace, finish, finish_next, told

pytestmark = pytest.mark.usefixtures("clean_loop")


# ---------------------------------------------------------------------------- what a function may do


@pytest.mark.parametrize("side_effect", [True, False])
async def test_a_plain_tool_that_finds_nothing_next_has_failed_at_once(
    side_effect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ana = agent()

    @ana.tool(side_effect=side_effect, timeout_s=60)
    def first_free() -> str:
        """Look."""
        return next(iter(list[str]()))

    async with calling(ana, [Use("first_free"), "Sorry."]) as caller:
        await caller.says("When?")
        assert told(caller, 1)[0].content == (FAILED_EFFECT if side_effect else FAILED)
    assert "RuntimeError at" in caplog.text and "test_tools_attacks.py" in caplog.text


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_tool_that_exits_ends_no_server(is_plain: bool) -> None:
    ana = agent()

    def plain() -> str:
        """Exit."""
        raise SystemExit("usage: …")

    async def awaited() -> str:
        """Exit."""
        raise SystemExit("usage: …")

    ana.tool(side_effect=False, name="leave")(plain if is_plain else awaited)
    async with calling(ana, [Use("leave"), "Sorry.", "Nine."]) as caller:
        await caller.says("When?")
        assert told(caller, 1)[0].content == FAILED
        assert (await caller.says("When?")).text == "Nine."


async def test_a_hook_and_a_condition_that_exit_end_no_server(caplog: pytest.LogCaptureFixture) -> None:
    ana = agent()

    @ana.on_start
    async def begin(call: Call) -> None:
        raise SystemExit

    def when(call: Call) -> bool:
        raise SystemExit

    @ana.tool(side_effect=False, when=when)
    async def look_up() -> str:
        """Look."""
        return "ten"

    async with calling(ana, ["Nine."]) as caller:
        assert (await caller.says("When?")).text == "Nine."
    assert "the hook on_start failed: SystemExit" in caplog.text
    assert "whether it may be called cannot be told: SystemExit" in caplog.text


# ---------------------------------------------------------------------------- once


async def test_a_side_effect_whose_transfer_is_refused_is_not_done_again() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    charged: list[int] = []

    @ana.tool
    async def charge(call: Call, dollars: int) -> str:
        """Charge, and hand on."""
        charged.append(dollars)
        call.transfer("billing")
        return "charged"

    steps: list[Step] = [Use("charge", dollars=5), "Hm.", Use("charge", dollars=5), "Hm."]
    async with calling(ana, steps, details={"call_type": "web_call"}) as caller:
        await caller.says("charge me five")
        assert "only phone calls can be transferred" in told(caller, 1)[0].content
        await caller.says("did that work?")
    assert charged == [5]


async def test_a_set_of_arguments_is_the_same_call_in_any_order() -> None:
    ana = agent()
    booked: list[set[int]] = []

    @ana.tool
    async def book(seats: set[int]) -> str:
        """Book."""
        booked.append(seats)
        return "ok"

    steps: list[Step] = [Use("book", seats=[0, 8]), "Ok.", Use("book", seats=[8, 0]), "Ok."]
    async with calling(ana, steps) as caller:
        await caller.says("seats 0 and 8")
        await caller.says("did you?")
    assert booked == [{0, 8}]


async def test_a_number_of_any_length_costs_no_turn() -> None:
    ana = agent()
    booked: list[int] = []

    @ana.tool
    async def book(number: int) -> str:
        """Book."""
        booked.append(number)
        return "ok"

    async with calling(ana, [Use("book", number=10**30), "Well."]) as caller:
        assert (await caller.says("book")).text == "Well."


# ---------------------------------------------------------------------------- the check and the effect


async def test_a_stage_that_is_over_when_the_tool_would_begin_is_over() -> None:
    class Desk(msgspec.Struct):
        paid: bool = False

    ana = agent(state=Desk)
    paid: list[int] = []

    @ana.tool(when=lambda call: not call.state.paid)
    async def pay(call: Call, dollars: int) -> str:
        """Pay."""
        call.state.paid = True
        paid.append(dollars)
        return "ok"

    async with calling(ana, [[Use("pay", dollars=1), Use("pay", dollars=2)], "Paid."]) as caller:
        await caller.says("pay")
    assert len(paid) == 1


async def test_a_stage_is_judged_by_the_caller_that_was_verified() -> None:
    ana = agent()
    owner = "+15035550142"
    opened: list[str | None] = []

    @ana.tool(when=lambda call: call.caller.number == owner)
    async def open_door(call: Call) -> str:
        """Open."""
        opened.append(call.caller.number)
        return "open"

    gate = Gate()

    async def verify(call_id: str) -> CallInfo:
        await gate()
        return CallInfo(call_id=call_id, from_number="+14155550123")

    model = Script([Use("open_door"), "Hm."])
    async with (
        Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0), verify=verify) as server,
        FakeRetell(server.url, details={"call_type": "phone_call", "from_number": owner}) as retell,
    ):
        await retell.greeting()
        asked = await retell.request("open")
        await gate.within()
        await retell.quiet(0.05)
        gate.open.set()
        await retell.answer(asked)
    assert opened == []


@pytest.mark.parametrize("options", [{"background": True}, {"timeout_s": 0.05}])
async def test_a_side_effect_that_waits_for_the_verification_is_done_though_the_answer_has_ended(
    options: dict[str, Any],
) -> None:
    ana = agent()
    booked: list[str] = []
    done = asyncio.Event()

    @ana.tool(**options)
    async def book(day: str) -> str:
        """Book."""
        booked.append(day)
        done.set()
        return "ok"

    gate = Gate()

    async def verify(call_id: str) -> CallInfo:
        await gate()
        return CallInfo(call_id=call_id)

    model = Script([Use("book", day="Tuesday"), "I am booking it.", "And now?"])
    async with (
        Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0), verify=verify) as server,
        FakeRetell(server.url) as retell,
    ):
        await retell.ask("book Tuesday")
        gate.open.set()
        async with asyncio.timeout(5):
            await done.wait()
    assert booked == ["Tuesday"]


async def test_a_side_effect_that_waited_too_long_for_the_verification_is_told_as_not_begun() -> None:
    ana = agent()
    booked: list[str] = []

    @ana.tool(background=True)
    async def book(day: str) -> str:
        """Book."""
        booked.append(day)
        return "ok"

    gate = Gate()

    async def verify(call_id: str) -> CallInfo:
        await gate()
        return CallInfo(call_id=call_id)

    model = Script([Use("book", day="Tuesday"), "I am booking it.", "Very well.", "No."])
    async with (
        Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0), verify=verify) as server,
        FakeRetell(server.url) as retell,
    ):
        await retell.ask("book Tuesday")
        await retell.ask("no, leave it")
        gate.open.set()
        await retell.quiet(0.05)
        await retell.ask("so it is not booked?")
    assert booked == []
    assert WITHDRAWN in model.requests[3].messages[-1].text


# ---------------------------------------------------------------------------- silence


async def test_a_side_effect_that_hangs_is_waited_for_once() -> None:
    gate = Gate()
    ana = agent()

    @ana.tool(timeout_s=0.5)
    async def book(day: str) -> str:
        """Book."""
        await gate()
        return "ok"

    loop = asyncio.get_running_loop()
    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("book")
        stream = await puppet.asked(1)
        stream.call("book", day="Tuesday")
        stream.end("tool_use")
        await gate.within()
        await finish_next(retell, puppet, 2, "hello?")
        asked_at = loop.time()
        await finish_next(retell, puppet, 3, "are you there?")
        assert loop.time() - asked_at < 1.0
        gate.open.set()


# ---------------------------------------------------------------------------- what breaks a call


class Written:
    """A model whose requests are written for the API, as the real one's are."""

    name = "written"

    def __init__(self, script: Script) -> None:
        self._script = script

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        msgspec.json.encode(body_of(request, "model"))
        async for delta in self._script.stream(request, rest):
            yield delta

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("how", ["result", "refusal"])
async def test_half_an_emoji_in_a_result_does_not_end_the_talk(how: str) -> None:
    ana = agent()
    name = json.loads('"Zo\\ud83d"')  # what a JavaScript system makes of a name it cut

    @ana.tool(side_effect=False)
    async def who() -> str:
        """Who."""
        if how == "refusal":
            raise ToolError(name)
        return str(name)

    async with calling(ana, Written(Script([Use("who"), "It is Zo.", "Yes."]))) as caller:
        assert (await caller.says("who?")).text == "It is Zo."
        assert (await caller.says("sure?")).text == "Yes."


async def test_a_look_up_that_is_cancelled_from_within_is_told() -> None:
    ana = agent()

    @ana.tool(side_effect=False)
    async def look_up() -> str:
        """Look up."""
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        lost.cancel()
        return await lost

    async with calling(ana, [Use("look_up"), "That did not work."]) as caller:
        assert (await caller.says("look")).text == "That did not work."
        assert told(caller, 1)[0].is_error


async def test_what_a_tool_says_stands_apart_from_what_the_model_said() -> None:
    ana = agent()

    @ana.tool
    async def book(call: Call) -> str:
        """Book."""
        call.say("One moment.")
        return "ok"

    async with calling(ana, [["Let me see.", Use("book")], "Done."]) as caller:
        assert (await caller.says("book")).text == "Let me see. One moment. Done."


async def test_what_a_function_before_the_model_raises_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ana = agent()

    @ana.before_model
    def check(call: Call, request: ModelRequest) -> None:
        raise ValueError(f"cannot place {request.messages[-1].text!r}")

    with caplog.at_level(logging.INFO):
        async with calling(ana, []) as caller:
            assert (await caller.says("my name is Canary")).text == ana.lines.apology
    assert "ValueError" in caplog.text and "Canary" not in caplog.text


@pytest.mark.parametrize("how", ["spoken into", "refused", "late", "done"])
async def test_a_call_with_tools_is_freed_without_the_cycle_collector(how: str) -> None:
    ana, gate = agent(), Gate()

    @ana.tool(side_effect=False, timeout_s=0.1 if how == "late" else 10.0)
    async def look_up() -> str:
        """Look up."""
        if how == "refused":
            raise ToolError("no")
        if how != "done":
            await gate()
        return "ok"

    async with serving(agent=ana) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            gc.collect()
            gc.disable()
            asked = await retell.request("look")
            stream = await puppet.asked(1)
            stream.call("look_up")
            stream.end("tool_use")
            if how == "spoken into":
                await gate.within()
                await finish_next(retell, puppet, 2)
            else:
                await finish(puppet, 2, "Well.")
                await retell.answer(asked)
            puppet.streams.clear()
            del stream
            (session,) = [weakref.ref(o) for o in gc.get_objects() if isinstance(o, Session)]
            (call,) = [weakref.ref(o) for o in gc.get_objects() if isinstance(o, CallMachine)]
        try:
            server._calls._sessions[retell.call_id].close()
            await asyncio.sleep(0.05)
            assert session() is None and call() is None
        finally:
            gc.enable()


# ---------------------------------------------------------------------------- intents


def asks(machine: CallMachine, response_id: int, *said: str, reminder: bool = False) -> list[Any]:
    """Ask with a transcript of the caller's and the agent's utterances in turn; gives the actions."""
    message = {
        "interaction_type": "reminder_required" if reminder else "response_required",
        "response_id": response_id,
        "transcript": [
            {"role": "user" if number % 2 else "agent", "content": content} for number, content in enumerate(said)
        ],
    }
    return list(machine.receive(msgspec.json.encode(message), 0.0))


def generation_of(actions: list[Any]) -> int:
    (start,) = [action for action in actions if isinstance(action, StartTurn)]
    return int(start.generation)


def transferring() -> CallMachine:
    """A call in which a transfer was given."""
    machine = CallMachine("call_1", agent(transfers={"billing": "+14155550100"}))
    machine.attached(0.0)
    generation = generation_of(asks(machine, 1, "Hi.", "my bill"))
    machine.place(generation, TransferCall("+14155550100"), "Connecting you.", 0.0)
    machine.finish(generation, 0.0)
    return machine


def is_transfer(action: Any) -> bool:
    return b'"transfer_number":"+1' in getattr(action, "frame", b"")


async def test_silence_after_an_objection_the_model_failed_at_transfers_nobody() -> None:
    machine = transferring()
    said = ["Hi.", "my bill", "Connecting you.", "no, do not transfer me"]
    generation = generation_of(asks(machine, 2, *said))
    machine.fail(generation, 0.0, "no_text", "I'm sorry?")
    actions = asks(machine, 3, *said, "I'm sorry?", reminder=True)
    assert not any(map(is_transfer, actions)), "the caller has objected"
    assert any(isinstance(action, StartTurn) for action in actions)


def escalating(gate: Gate) -> Agent:
    ana = agent(transfers={"billing": "+14155550100"})

    @ana.tool
    async def escalate(call: Call) -> str:
        """Write a ticket, and hand on."""
        await gate()
        call.transfer("billing", "Connecting you.")
        return "ticket written"

    return ana


async def test_the_model_is_told_of_a_transfer_that_comes_while_it_is_waited_for() -> None:
    gate = Gate()
    async with calling_at_a_pace(escalating(gate)) as (retell, puppet):
        await retell.request("my bill is wrong")
        stream = await puppet.asked(1)
        stream.call("escalate")
        stream.end("tool_use")
        await gate.within()
        asked = await retell.request("it is the one of May")
        await retell.ping()
        gate.open.set()
        stream = await finish(puppet, 2, "Well.")
        assert SPOKEN_INTO.format(act="transfer the call") in stream.request.messages[-1].text
        await retell.answer(asked)


async def test_a_transfer_is_given_by_the_turn_that_asked_for_it_again() -> None:
    gate = Gate()
    async with calling_at_a_pace(escalating(gate)) as (retell, puppet):
        await retell.request("my bill is wrong")
        stream = await puppet.asked(1)
        stream.call("escalate")
        stream.end("tool_use")
        await gate.within()
        asked = await retell.request("it is the one of May")
        stream = await puppet.asked(2)
        stream.call("escalate")
        stream.end("tool_use")
        await retell.ping()
        gate.open.set()
        answer = await retell.answer(asked)
        assert answer.action is not None and answer.action.value == "+14155550100"
        assert gate.passed == 1


async def test_an_unverified_call_can_be_ended() -> None:
    ana = agent(end_call=True)

    async def verify(call_id: str) -> CallInfo | None:
        return None

    model = Script([Use("end_call", message="Goodbye.")])
    async with (
        Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0), verify=verify) as server,
        FakeRetell(server.url, reminder_max_count=0) as retell,
    ):
        await retell.greeting()
        answer = await retell.ask("bye")
        assert answer.action is not None and answer.action.kind == "end_call"


async def test_a_transfer_is_possible_again_when_the_session_is_a_new_one() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    store = MemoryCallStore(lambda: 0.0)
    for _ in range(2):  # the caller spoke into the first one, and the line was lost for longer than `grace_s`
        async with (
            Server(ana, single(Script([Use("transfer_call", to="billing")])), store, Settings(port=0)) as server,
            FakeRetell(server.url, call_id="call_1", details={"call_type": "phone_call"}) as retell,
        ):
            await retell.greeting()
            answer = await retell.ask("my bill")
            assert answer.action is not None and answer.action.value == "+14155550100"


# ---------------------------------------------------------------------------- state


class Count(msgspec.Struct):
    number: int = 0


class SlowStore(MemoryCallStore):
    """A store that takes its time, as one behind a network does."""

    def __init__(self, *, load_s: float = 0.0, save_s: tuple[float, ...] = ()) -> None:
        super().__init__(lambda: 0.0)
        self._load_s = load_s
        self._save_s = list(save_s)

    async def load(self, call_id: str) -> bytes | None:
        state = await super().load(call_id)
        await asyncio.sleep(self._load_s)
        return state

    async def save(self, call_id: str, state: bytes) -> None:
        await asyncio.sleep(self._save_s.pop(0) if self._save_s else 0)
        await super().save(call_id, state)


def counting() -> Agent:
    ana = agent(state=Count)

    @ana.tool(side_effect=False)
    async def count(call: Call) -> str:
        """Count."""
        call.state.number += 1
        return str(call.state.number)

    return ana


async def test_an_older_state_never_overwrites_a_newer_one() -> None:
    store = SlowStore(save_s=(0.2, 0.0))
    async with (
        Server(
            counting(), single(Script([Use("count"), "One.", Use("count"), "Two."])), store, Settings(port=0)
        ) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.ask("count")
        await retell.ask("again")
        await retell.quiet(0.4)
        assert await store.load("call_1") == b'{"number":2}'


async def test_the_state_is_saved_when_the_server_stops() -> None:
    store = SlowStore(save_s=(0.1,))
    async with Server(counting(), single(Script([Use("count"), "One."])), store, Settings(port=0)) as server:
        retell = FakeRetell(server.url, call_id="call_1", redials=False)
        async with retell:
            await retell.ask("count")
            await retell.drop()
    assert await store.load("call_1") == b'{"number":1}'


async def test_a_state_that_is_read_late_does_not_undo_what_was_done() -> None:
    store = SlowStore(load_s=0.6)
    await store.save("call_1", b'{"number":0}')
    async with (
        Server(
            counting(), single(Script([Use("count"), "One.", Use("count"), "Two."])), store, Settings(port=0)
        ) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.ask("count")
        await retell.quiet(0.7)
        await retell.ask("again")
        assert [tool.result for tool in retell.report.tools] == ["1", "2"]


# ---------------------------------------------------------------------------- who calls, and what it costs


@pytest.mark.parametrize("number", ["anonymous", "Restricted", "", "+", "sip:bo@example.org", "+1 415"])
async def test_a_withheld_number_is_no_number(number: str) -> None:
    ana = agent()
    seen: list[str | None] = []

    @ana.on_details
    def known(call: Call) -> None:
        seen.append(call.caller.number)

    async with calling(ana, ["Hello."], details={"from_number": number}) as caller:
        await caller.says("hello")
    assert seen == [None]


async def test_a_budget_in_dollars_without_a_price_is_refused_at_the_start() -> None:
    ana = agent(budget=Budget(usd=0.01))
    with pytest.raises(SettingsError, match="price"):
        async with running(ana, Settings(port=0, model_name="house-model"), model=Script([])):
            pass


# ---------------------------------------------------------------------------- long calls and hooks


async def test_a_hook_that_is_cancelled_from_within_is_a_fact() -> None:
    ana = agent()

    @ana.on_start
    async def started(call: Call) -> None:
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        lost.cancel()
        await lost

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.ping()
        assert puppet.facts.seen["hook_failed"] == 1


async def test_a_summary_ends_with_its_call() -> None:
    ana = agent(window=10)
    asked, ended = asyncio.Event(), asyncio.Event()

    class Summing(Script):
        async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
            if request.system == INSTRUCTIONS:
                asked.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()
            async for delta in super().stream(request, rest):
                yield delta

    model = Summing(["Yes."] * 20)
    async with Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0, grace_s=0.1)) as server:
        async with FakeRetell(server.url) as retell:
            for number in range(12):
                await retell.ask(f"line {number}")
        async with asyncio.timeout(5):
            await asked.wait()
            await ended.wait()


async def test_a_question_is_answered_though_a_tool_in_the_background_speaks_meanwhile() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(background=True)
    async def fetch(call: Call) -> None:
        """Fetch."""
        await gate()
        call.say("Your parcel is here.")

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("my parcel?")
        stream = await puppet.asked(1)
        stream.call("fetch")
        stream.end("tool_use")
        await finish(puppet, 2, "I will look.")
        await retell.answer(asked)
        asked = await retell.request("and what does it cost?")
        stream = await puppet.asked(3)
        gate.open.set()
        await puppet.facts.wait("tool_finished")
        stream.say("Five dollars.")
        stream.end()
        assert (await retell.answer(asked)).text == "Five dollars. Your parcel is here."


async def test_what_tools_did_outlives_the_beginning_of_a_long_call() -> None:
    ana = agent(window=10)

    @ana.tool
    async def book() -> str:
        """Book."""
        return "Reservation QX7."

    def step(request: ModelRequest) -> Any:
        if request.system == INSTRUCTIONS:
            # An honest summary: it tells of what it was told of.
            return f"They talked. {'Reservation QX7.' if 'QX7' in str(request) else ''}"
        return Use("book") if request.messages[-1].text == "line 0" else "Yes."

    model = Script([step] * 40)
    async with Server(ana, single(model), MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
        async with FakeRetell(server.url) as retell:
            for number in range(16):
                await retell.ask(f"line {number}")
    assert any(request.system == INSTRUCTIONS for request in model.requests), "the call was summed up"
    assert "QX7" in str(model.requests[-1])
