"""The tool loop, from the model's choice to the next prompt, through a real server and a real socket."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retell_ws.agent import Agent
from retell_ws.errors import ToolError
from retell_ws.handle import Call
from retell_ws.holding import Holding
from retell_ws.ports import Delta, Effect, End, Model, Rest, Text, ToolCall, no_rest
from retell_ws.prompt import STILL_RUNNING
from retell_ws.request import Message, ModelRequest, ToolResult, ToolUse
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import FakeRetell
from retell_ws.testing.caller import Caller, calling
from retell_ws.testing.script import Step, Use
from retell_ws.tools import BROKE_OFF, CUT_OFF, FAILED, FAILED_EFFECT, LATE, UNKNOWN, UNVERIFIED
from retell_ws.turn import MAX_ROUNDS
from retell_ws.wire import CallInfo

from .puppet import Puppet, Stream, serving, single

pytestmark = pytest.mark.usefixtures("clean_loop")


def agent(**options: Any) -> Agent:
    return Agent("You are Ana.", greeting="Hi.", **options)


def results(request: ModelRequest) -> list[ToolResult]:
    """The tool results of a request, oldest first."""
    return [
        block
        for message in request.messages
        if not isinstance(message.content, str)
        for block in message.content
        if isinstance(block, ToolResult)
    ]


def told(caller: Caller, number: int) -> list[ToolResult]:
    assert caller.model is not None
    return results(caller.model.requests[number])


class Gate:
    """Holds a tool in its middle until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.passed = 0

    async def __call__(self) -> None:
        self.entered.set()
        await self.open.wait()
        self.passed += 1

    async def within(self) -> None:
        async with asyncio.timeout(5):
            await self.entered.wait()


# ---------------------------------------------------------------------------- rounds


async def test_words_before_a_call_are_said_when_the_model_begins_to_write_it() -> None:
    async with serving(agent=agent()) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("When?")
        stream = await puppet.asked(1)
        stream.say("Let me look")
        stream.write()
        assert await retell.piece(asked, at_least=11) == "Let me look"
        stream.end()


async def test_a_model_that_stops_in_the_middle_of_a_call_stalls() -> None:
    async with serving(agent=agent(), stall_ms=200) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("When?")
        stream = await puppet.asked(1)
        stream.say("Let me look.")
        stream.write()
        text = (await retell.answer(asked)).text
        assert text.startswith("Let me look. Sorry, I lost")
        await asyncio.wait_for(stream.closed.wait(), 5)


@pytest.mark.parametrize(
    ("before", "after", "then", "whole"),
    [
        pytest.param(
            "Let me check",
            "\n\nplease",
            "# Times\n- ten",
            "Let me check. please Times. ten",
            id="a pause stands behind",
        ),
        pytest.param(
            "Let me look.",
            "One moment, please.",
            "At ten",  # too short to be said before its end
            "Let me look. One moment, please. At ten",
            id="two words",
        ),
        pytest.param(
            "Frei ist nur der",
            " 1. oder der",
            "2. Mai.",
            "Frei ist nur der 1. oder der 2. Mai.",
            id="a sentence goes on",
        ),
    ],
)
async def test_words_on_both_sides_of_a_call_read_as_one_text(before: str, after: str, then: str, whole: str) -> None:
    ana = agent()

    @ana.tool(side_effect=False)
    async def look_up() -> str:
        """Look up."""
        return "ten"

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("When?")
        stream = await puppet.asked(1)
        stream.say(before)
        stream.call("look_up")
        stream.say(after)
        stream.end("tool_use")
        await finish(puppet, 2, then)
        assert (await retell.answer(asked)).text == whole


async def test_what_a_tool_gives_goes_back_to_the_model_under_the_same_id() -> None:
    ana = agent()

    @ana.tool
    async def book(call: Call, day: str, guests: int = 2) -> dict[str, Any]:
        """Book."""
        return {"day": day, "guests": guests, "number": call.caller.number}

    async with calling(ana, [["Let me see.", Use("book", day="Tuesday")], "You are booked."]) as caller:
        answer = await caller.says("Tuesday, please")
        assert answer.text == "Let me see. You are booked."
        assert [block.content for block in told(caller, 1)] == ['{"day":"Tuesday","guests":2,"number":"+14155550123"}']
        assert caller.tools == [("book", {"day": "Tuesday"})]
        (run,) = caller.runs
        assert (run.successful, run.result) == (True, told(caller, 1)[0].content)


async def test_words_leave_while_tools_run() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(side_effect=False)
    async def look_up() -> str:
        """Look up."""
        await gate()
        return "ten"

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("when?")
        stream = await puppet.asked(1)
        stream.say("Let me look. ")
        stream.call("look_up")
        await gate.within()
        stream.say("It takes a moment. ")
        assert await retell.piece(asked, at_least=30) == "Let me look. It takes a moment. "
        stream.end("tool_use")
        gate.open.set()
        await finish(puppet, 2, "At ten.")
        assert (await retell.answer(asked)).text == "Let me look. It takes a moment. At ten."


async def finish(puppet: Puppet, number: int, text: str) -> Stream:
    stream = await puppet.asked(number)
    stream.say(text)
    stream.end()
    return stream


async def test_tools_of_one_message_run_side_by_side_and_one_that_must_runs_alone() -> None:
    ana = agent()
    together = asyncio.Barrier(2)
    order: list[str] = []

    @ana.tool(side_effect=False)
    async def left() -> None:
        """Left."""
        await together.wait()
        order.append("left")

    @ana.tool
    async def right() -> None:
        """Right."""
        await together.wait()
        order.append("right")

    @ana.tool(parallel=False)
    async def alone() -> None:
        """Alone."""
        assert len(order) == 2
        await asyncio.sleep(0)
        order.append("alone")

    @ana.tool
    async def after() -> None:
        """After."""
        order.append("after")

    step: list[Any] = [Use("left"), Use("right"), Use("alone"), Use("after")]
    async with calling(ana, [step, "Done."]) as caller:
        await caller.says("everything")
        assert sorted(order[:2]) == ["left", "right"] and order[2:] == ["alone", "after"]
        assert [block.content for block in told(caller, 1)] == ["done"] * 4


async def test_a_model_that_never_stops_calling_may_only_speak_at_last() -> None:
    ana = agent()

    @ana.tool(side_effect=False)
    def again() -> None:
        """Again."""

    steps: list[Step] = [*[Use("again")] * (MAX_ROUNDS - 1), "That is all."]
    async with calling(ana, steps) as caller:
        assert (await caller.says("go")).text == "That is all."
        assert caller.model is not None
        assert [request.tool_choice for request in caller.model.requests] == ["auto"] * (MAX_ROUNDS - 1) + ["none"]
    async with calling(ana, [Use("again")] * MAX_ROUNDS) as caller:
        assert (await caller.says("go")).text == ana.lines.apology


async def test_a_model_that_has_nothing_to_say_after_its_tools_does_not_leave_it_at_that() -> None:
    ana = agent()

    @ana.tool(side_effect=False)
    def look_up() -> str:
        """Look up."""
        return "ten"

    async with calling(ana, [["Let me see.", Use("look_up")], ""]) as caller:
        assert (await caller.says("when?")).text == f"Let me see. {ana.lines.closing}"


@pytest.mark.parametrize("ending", ["cut", "max_tokens", "refusal"])
async def test_a_side_effect_of_a_message_that_did_not_end_well_is_not_begun(ending: str) -> None:
    ana = agent()
    ran: list[str] = []

    @ana.tool
    async def book() -> None:
        """Book."""
        ran.append("book")

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("book")
        stream = await puppet.asked(1)
        stream.call("book")
        await retell.ping()  # time enough for a tool that does not wait
        assert ran == []
        stream.stop() if ending == "cut" else stream.end(ending)
        await retell.answer(asked)
        await finish_next(retell, puppet, 2)
        assert ran == []
        assert results(puppet.streams[1].request) == [], "and nothing of it is told"
        assert puppet.facts.seen["tool_started"] == 0


async def finish_next(retell: FakeRetell, puppet: Puppet, number: int, said: str = "and now?") -> Stream:
    asked = await retell.request(said)
    stream = await finish(puppet, number, "Well.")
    await retell.answer(asked)
    return stream


# ---------------------------------------------------------------------------- lines while it runs


async def test_the_holding_phrase_of_a_tool_is_said_when_the_model_said_nothing() -> None:
    ana = agent()

    @ana.tool(say="One moment, I will look.")
    async def book() -> str:
        """Book."""
        return "ok"

    async with calling(ana, [Use("book"), "Done.", ["Sure.", Use("book")], "Done."]) as caller:
        assert (await caller.says("one")).text == "One moment, I will look. Done."
        assert (await caller.says("two")).text == "Sure. Done."


async def test_a_long_tool_does_not_leave_the_caller_in_silence() -> None:
    ana, gate = agent(), Gate()

    @ana.tool
    async def book() -> str:
        """Book."""
        await gate()
        return "ok"

    async with calling(ana, [["Sure.", Use("book")], "Done."], holding_ms=100) as caller:
        asked = await caller.retell.request("book")
        held = Holding(ana.lines, caller.retell.call_id)
        lines = ["Sure.", held.pick("statement"), held.pick("working"), held.pick("working"), ""]
        await caller.retell.piece(asked, at_least=len(" ".join(lines)))
        gate.open.set()
        answer = await caller.retell.answer(asked)
        assert answer.text.startswith(" ".join(lines)) and answer.text.endswith(" Done.")


async def test_a_tool_whose_time_is_up_is_told_and_its_result_comes_as_news() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(timeout_s=0.05)
    async def book() -> str:
        """Book."""
        await gate()
        return "Booked for nine."

    async with calling(ana, [Use("book"), "I will tell you.", "It is done."]) as caller:
        answer = await caller.says("book")
        assert answer.text == f"{ana.lines.late} I will tell you."
        assert [block.content for block in told(caller, 1)] == [STILL_RUNNING]
        gate.open.set()
        await caller.retell.quiet(0.05)
        await caller.says("and?")
        assert caller.model is not None
        assert "Booked for nine." in caller.model.requests[2].messages[-1].text
        (run,) = caller.runs
        assert run.result == "Booked for nine."


async def test_a_tool_that_is_late_is_told_of_while_another_runs_on() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(timeout_s=0.05, side_effect=False)
    async def quick() -> str:
        """Quick."""
        await asyncio.Event().wait()
        return "never"

    @ana.tool
    async def slow() -> str:
        """Slow."""
        await gate()
        return "ok"

    async with calling(ana, [[Use("quick"), Use("slow"), Use("quick")], "Well."]) as caller:
        asked = await caller.retell.request("both")
        assert (await caller.retell.piece(asked, at_least=len(ana.lines.late))) == f"{ana.lines.late} "
        gate.open.set()
        assert (await caller.retell.answer(asked)).text == f"{ana.lines.late} Well."


async def test_a_look_up_whose_time_is_up_is_given_up() -> None:
    ana = agent()
    cancelled = asyncio.Event()

    @ana.tool(side_effect=False, timeout_s=0.05)
    async def look_up() -> str:
        """Look up."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    async with calling(ana, [Use("look_up"), "Sorry."]) as caller:
        assert (await caller.says("look")).text == f"{ana.lines.late} Sorry."
        assert [(block.content, block.is_error) for block in told(caller, 1)] == [(LATE, True)]
        assert cancelled.is_set()


# ---------------------------------------------------------------------------- what goes wrong


async def test_what_a_tool_says_of_its_failure_goes_to_the_model() -> None:
    ana = agent()

    @ana.tool
    def book(day: str) -> None:
        """Book."""
        raise ToolError(f"There is nothing free on {day}.")

    async with calling(ana, [Use("book", day="Sunday"), "Sunday is full."]) as caller:
        await caller.says("Sunday")
        assert told(caller, 1)[0].content == "There is nothing free on Sunday." and told(caller, 1)[0].is_error
        assert caller.runs[0].successful is False


@pytest.mark.parametrize(("side_effect", "text"), [(True, FAILED_EFFECT), (False, FAILED)])
async def test_an_exception_is_told_without_its_text_and_the_turn_goes_on(
    side_effect: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    ana = agent()

    @ana.tool(side_effect=side_effect)
    async def book(name: str) -> None:
        """Book."""
        raise RuntimeError(f"no room for {name}")

    with caplog.at_level(logging.INFO):
        async with calling(ana, [Use("book", name="Canary"), "That did not work."]) as caller:
            assert (await caller.says("book")).text == "That did not work."
            assert [(block.content, block.is_error) for block in told(caller, 1)] == [(text, True)]
    assert "RuntimeError" in caplog.text and "Canary" not in caplog.text


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        (Use("fly", to="Rome"), "there is no tool 'fly'; the tools are: book"),
        (Use("book"), "day"),
        (Use("book", day=7), "day"),
        (Use("book", day="Tuesday", hour=9), "hour"),
    ],
)
async def test_a_call_that_makes_no_sense_goes_back_to_the_model(use: Use, problem: str) -> None:
    ana = agent()

    @ana.tool
    async def book(day: str) -> str:
        """Book."""
        return f"{day}"

    async with calling(ana, [use, "Pardon?"]) as caller:
        assert (await caller.says("book")).text == "Pardon?"
        (block,) = told(caller, 1)
        assert block.is_error and problem in block.content
        assert caller.tools == [], "nothing ran"


async def test_a_tool_may_be_offered_at_some_stages_only() -> None:
    ana = agent()
    stage = {"ready": False}

    @ana.tool(when=lambda call: stage["ready"])
    async def pay() -> str:
        """Pay."""
        return "paid"

    @ana.tool(when=lambda call: 1 / 0 > 0)
    async def broken() -> str:
        """Never."""
        return "never"

    async with calling(ana, [Use("pay"), "No.", Use("pay"), "Paid."]) as caller:
        await caller.says("pay")
        assert told(caller, 1)[0].content == "there is no tool 'pay'; the tools are: none"
        stage["ready"] = True
        await caller.says("now pay")
        assert told(caller, 3)[-1].content == "paid"
        assert caller.model is not None
        offered = [[tool.name for tool in request.tools] for request in caller.model.requests]
        # The second knows of a call, and the API wants to know the tools then; none may be called.
        assert offered == [[], ["pay", "broken"], ["pay"], ["pay"]]
        assert caller.requests[1].tool_choice == "none"


# ---------------------------------------------------------------------------- once


@asynccontextmanager
async def held(ana: Agent, gate: Gate) -> AsyncIterator[tuple[FakeRetell, Puppet, Server]]:
    """A call in the middle of a booking."""
    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("book Tuesday")
        stream = await puppet.asked(1)
        stream.call("book", day="Tuesday")
        stream.end("tool_use")
        await gate.within()
        yield retell, puppet, server
        gate.open.set()


def booking(gate: Gate, **options: Any) -> Agent:
    ana = agent()

    @ana.tool(**options)
    async def book(day: str) -> str:
        """Book."""
        await gate()
        return f"Booked for {day}."

    return ana


async def test_a_side_effect_the_caller_speaks_into_is_done_and_told_to_the_next_prompt() -> None:
    gate = Gate()
    async with held(booking(gate), gate) as (retell, puppet, _):
        asked = await retell.request("book Tuesday, thanks", grow=True)
        gate.open.set()
        stream = await finish(puppet, 2, "You are booked.")
        assert [block.content for block in results(stream.request)] == ["Booked for Tuesday."]
        assert stream.request.messages[-1].text == "book Tuesday, thanks"
        assert (await retell.answer(asked)).text == "You are booked."
    assert gate.passed == 1


async def test_the_next_turn_does_not_wait_for_ever() -> None:
    gate = Gate()
    async with held(booking(gate), gate) as (retell, puppet, _):
        asked = await retell.request("hello?")
        stream = await finish(puppet, 2, "I am at it.")
        assert [block.content for block in results(stream.request)] == [STILL_RUNNING]
        await retell.answer(asked)
        gate.open.set()
        await puppet.facts.wait("tool_finished")
        stream = await finish_next(retell, puppet, 3)
        assert "Booked for Tuesday." in stream.request.messages[-1].text
    assert gate.passed == 1


async def test_the_same_call_joins_the_one_that_runs() -> None:
    gate = Gate()
    async with held(booking(gate), gate) as (retell, puppet, _):
        asked = await retell.request("hello?")
        stream = await puppet.asked(2)
        stream.call("book", day="Tuesday")
        stream.end("tool_use")
        await retell.quiet(0.05)
        gate.open.set()
        stream = await finish(puppet, 3, "Booked.")
        assert [block.content for block in results(stream.request)] == [STILL_RUNNING, "Booked for Tuesday."]
        await retell.answer(asked)
        assert puppet.facts.seen["tool_started"] == 1
    assert gate.passed == 1


async def test_the_same_call_later_on_gives_the_first_result() -> None:
    gate = Gate()
    gate.open.set()
    steps: list[Step] = [
        Use("book", day="Tuesday"),
        "Booked.",
        Use("book", day="Tuesday"),
        "Booked.",
        Use("book", day="Friday"),
        "Booked.",
    ]
    async with calling(booking(gate), steps) as caller:
        for said in ("book Tuesday", "did you?", "and Friday"):
            await caller.says(said)
        again = told(caller, 3)[-1]
        assert again.content.endswith("Booked for Tuesday.") and not again.is_error
        assert [arguments["day"] for _, arguments in caller.tools] == ["Tuesday", "Friday"]
    assert gate.passed == 2


async def test_what_was_refused_may_be_tried_again() -> None:
    ana = agent()
    tries: list[int] = []

    @ana.tool
    async def book(day: str) -> str:
        """Book."""
        tries.append(1)
        if len(tries) == 1:
            raise ToolError("Full.")
        return "Booked."

    steps: list[Step] = [Use("book", day="Tuesday"), "Full.", Use("book", day="Tuesday"), "Booked."]
    async with calling(ana, steps) as caller:
        await caller.says("book")
        await caller.says("again")
        assert told(caller, 3)[-1].content == "Booked."


async def test_what_broke_in_the_middle_is_never_repeated() -> None:
    ana = agent()
    tries: list[int] = []

    @ana.tool
    async def book(day: str) -> str:
        """Book."""
        tries.append(1)
        raise ConnectionResetError

    steps: list[Step] = [Use("book", day="Tuesday"), "Hm.", Use("book", day="Tuesday"), "I do not know."]
    async with calling(ana, steps) as caller:
        await caller.says("book")
        await caller.says("again")
        assert (told(caller, 3)[-1].content, told(caller, 3)[-1].is_error) == (UNKNOWN, True)
    assert len(tries) == 1


async def test_what_a_dead_server_had_begun_is_unknown() -> None:
    ana = agent()
    ran: list[str] = []

    @ana.tool
    async def book(day: str) -> str:
        """Book."""
        ran.append(day)
        return "Booked."

    store = MemoryCallStore(lambda: 0.0)
    await store.claim("call_1", 'book:{"day":"Tuesday"}')
    model = Scripted([[ToolCall("t", "book", '{"day":"Tuesday"}'), End("tool_use")], [Text("Hm."), End()]])
    async with (
        Server(ana, single(model), store, Settings(port=0)) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.ask("book")
    assert results(model.requests[1])[0].content == UNKNOWN
    assert ran == []
    assert await store.claim("call_1", 'book:{"day":"Tuesday"}') == Effect("begun"), "and stays so"


class Scripted:
    """A model that gives out deltas as they are."""

    name = "deltas"

    def __init__(self, answers: Sequence[Sequence[Delta]]) -> None:
        self.answers = answers
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        for delta in self.answers[len(self.requests) - 1]:
            yield delta

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_a_side_effect_goes_on_when_the_call_is_over_and_the_server_waits_for_it() -> None:
    gate = Gate()
    ana = booking(gate)
    async with held(ana, gate) as (retell, _, server):
        await retell.hang_up()
        asyncio.get_running_loop().call_later(0.1, gate.open.set)
    assert gate.passed == 1


async def test_a_tool_that_takes_a_minute_is_not_begun_for_a_caller_who_spoke_on() -> None:
    """The fence: between the model's message and the first step of the tool, a newer request is read."""
    ana = agent()
    ran: list[str] = []

    @ana.tool
    async def book(day: str) -> str:
        """Book."""
        ran.append(day)
        return "Booked."

    class Late(MemoryCallStore):
        """A store whose claim takes until the test says so."""

        async def claim(self, call_id: str, key: str) -> Effect | None:
            claimed.set()
            await go_on.wait()
            return await super().claim(call_id, key)

    claimed, go_on = asyncio.Event(), asyncio.Event()
    store, puppet = Late(lambda: 0.0), Puppet()
    async with Server(ana, single(puppet), store, Settings(port=0)) as server, FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("book Tuesday")
        stream = await puppet.asked(1)
        stream.call("book", day="Tuesday")
        stream.end("tool_use")
        await asyncio.wait_for(claimed.wait(), 5)
        asked = await retell.request("no, wait")
        await retell.ping()
        go_on.set()
        stream = await finish(puppet, 2, "Yes?")
        await retell.answer(asked)
        assert ran == [] and results(stream.request) == []
        assert await store.claim(retell.call_id, 'book:{"day":"Tuesday"}') is None, "it may be tried anew"


async def test_a_look_up_ends_with_its_turn() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(side_effect=False)
    async def look_up(day: str) -> str:
        """Look up."""
        await gate()
        return "ten"

    async with serving(agent=ana) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("when?")
        stream = await puppet.asked(1)
        stream.call("look_up", day="Tuesday")
        stream.end("tool_use")
        await gate.within()
        stream = await finish_next(retell, puppet, 2)
        assert results(stream.request) == []
        (run,) = retell.report.tools
        assert (run.result, run.successful) == (CUT_OFF, False), "Retell's records tell how it ended"
    assert gate.passed == 0


# ---------------------------------------------------------------------------- in the background


async def test_the_call_goes_on_beside_a_tool_in_the_background() -> None:
    gate = Gate()
    steps: list[Step] = [Use("book", day="Tuesday"), "I will let you know.", "Sure.", "It is booked."]
    async with calling(booking(gate, background=True), steps) as caller:
        assert (await caller.says("book")).text == "I will let you know."
        assert told(caller, 1)[0].content == STILL_RUNNING
        await caller.says("meanwhile")
        gate.open.set()
        await caller.retell.quiet(0.05)
        await caller.says("and?")
        assert caller.model is not None
        assert "Booked for Tuesday." in caller.model.requests[3].messages[-1].text


async def test_a_tool_in_the_background_may_speak_when_it_is_done() -> None:
    ana, gate = agent(), Gate()

    @ana.tool(background=True)
    async def fetch(call: Call) -> None:
        """Fetch."""
        await gate()
        call.say("Your parcel is here.")

    async with calling(ana, [Use("fetch"), "I will look."]) as caller:
        await caller.says("my parcel?")
        gate.open.set()
        await caller.retell.quiet(0.05)
        interrupt = caller.retell.rules.interrupt
        assert interrupt is not None and interrupt.text == "Your parcel is here."


# ---------------------------------------------------------------------------- threads, and what tools do to the call


async def test_a_plain_function_runs_in_a_thread_and_may_speak_and_leave_from_there() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    threads: list[int] = []

    @ana.tool
    def hand_on(call: Call) -> str:
        """Hand on."""
        threads.append(threading.get_ident())
        call.say("One moment.")
        call.transfer("billing", "Connecting you.")
        return "ok"

    async with calling(ana, [Use("hand_on")]) as caller:
        answer = await caller.says("billing")
        assert answer.text == "One moment. Connecting you."
        assert [action.value for action in caller.actions] == ["+14155550100"]
        assert await caller.ended() == "call_transfer"
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize(
    ("message", "heard"),
    [("**Bye!** 👋\n\nSee https://x.example/a", "Bye! See our website"), ("<thinking>Done.</thinking>", "Goodbye.")],
)
async def test_a_goodbye_of_the_model_s_is_made_fit_for_the_voice(message: str, heard: str) -> None:
    async with calling(agent(end_call=True), [Use("end_call", message=message)]) as caller:
        answer = await caller.says("bye")
        assert answer.text == heard
        assert await caller.ended() == "agent_hangup"


async def test_a_transfer_cut_off_by_thanks_happens() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    async with calling_at_a_pace(ana) as (retell, puppet):
        asked = await retell.request("I have a question on my bill")
        stream = await puppet.asked(1)
        stream.call("transfer_call", to="billing", message="Of course, I will now connect you to our billing people.")
        stream.end("tool_use")
        await retell.piece(asked)
        again = await retell.request("right, thanks")
        assert retell.disconnection_reason is None, "the transfer was cut off"
        answer = await retell.answer(again)
        assert answer.text == ana.lines.transfer
        assert await retell.ended() == "call_transfer"
        assert len(puppet.streams) == 1, "without the model"


async def test_a_premium_number_of_the_models_is_refused() -> None:
    ana = agent(transfers={"billing": "+14155550100"})

    @ana.tool
    async def hand_on(call: Call, number: str) -> None:
        """Hand on."""
        call.transfer(number)

    steps: list[Step] = [Use("transfer_call", to="+19005550000"), "No.", Use("hand_on", number="+19005550000"), "No."]
    async with calling(ana, steps) as caller:
        await caller.says("call my line")
        await caller.says("then the other way")
        assert "billing" in told(caller, 1)[-1].content and told(caller, 1)[-1].is_error
        assert told(caller, 3)[-1].content == BROKE_OFF.format(
            problem="'+19005550000' is not in the directory and is not dialled; choose one of: billing"
        )
        assert caller.actions == []


async def test_a_side_effect_that_leaves_and_was_spoken_into_leaves_when_it_is_called_again() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    tickets: list[str] = []

    @ana.tool
    async def escalate(call: Call, about: str) -> str:
        """Escalate."""
        tickets.append(about)
        call.transfer("billing", "Connecting you.")
        return "ticket written"

    async with calling_at_a_pace(ana) as (retell, puppet):
        await retell.request("my bill is wrong")
        stream = await puppet.asked(1)
        stream.call("escalate", about="bill")
        stream.end("tool_use")
        await retell.answer(retell.rules.latest)
        asked = await retell.request("wait, how long does that take?")
        await finish(puppet, 2, "A day.")
        await retell.answer(asked)
        asked = await retell.request("fine, then do it after all")
        stream = await puppet.asked(3)
        stream.call("escalate", about="bill")
        stream.end("tool_use")
        answer = await retell.answer(asked)
        assert answer.action is not None and answer.action.value == "+14155550100"
        assert await retell.ended() == "call_transfer"
    assert tickets == ["bill"], "one ticket"


@asynccontextmanager
async def calling_at_a_pace(ana: Agent) -> AsyncIterator[tuple[FakeRetell, Puppet]]:
    """A phone call in which words take time, so that they can be cut off."""
    details = {"call_type": "phone_call"}
    async with (
        serving(agent=ana) as (server, puppet),
        FakeRetell(server.url, speed=20, details=details, reminder_max_count=0) as retell,
    ):
        await retell.greeting()
        yield retell, puppet


# ---------------------------------------------------------------------------- authority


@asynccontextmanager
async def verifying(ana: Agent, model: Model, answer: CallInfo | None, gate: Gate) -> AsyncIterator[Any]:
    asked: list[str] = []

    async def verify(call_id: str) -> CallInfo | None:
        asked.append(call_id)
        await gate()
        return answer

    store = MemoryCallStore(lambda: 0.0)
    async with Server(ana, single(model), store, Settings(port=0), verify=verify) as server:
        yield server, asked


def refund() -> tuple[Agent, list[str | None], Scripted]:
    ana = agent()
    refunded: list[str | None] = []

    @ana.tool
    async def refund(call: Call) -> str:
        """Refund."""
        refunded.append(call.caller.number)
        return "ok"

    call: list[Delta] = [ToolCall("1", "refund", ""), End("tool_use")]
    words: list[Delta] = [Text("Well."), End()]
    model = Scripted([call, words, call, words])
    return ana, refunded, model


async def test_a_side_effect_waits_for_the_call_to_be_verified_and_takes_the_caller_from_there() -> None:
    ana, refunded, model = refund()
    gate = Gate()
    details = CallInfo(call_id="call_1", from_number="+15035550142")
    async with verifying(ana, model, details, gate) as (server, asked):
        spoofed = {"call_type": "phone_call", "from_number": "+16665550000"}
        async with FakeRetell(server.url, call_id="call_1", details=spoofed) as retell:
            assert await retell.greeting() == "Hi.", "talk does not wait"
            answering = await retell.request("refund me")
            await gate.within()
            await retell.quiet(0.05)
            assert refunded == []
            gate.open.set()
            await retell.answer(answering)
    assert refunded == ["+15035550142"] and asked == ["call_1"]


async def test_a_call_that_is_none_gets_words_and_no_side_effects() -> None:
    ana, refunded, model = refund()
    gate = Gate()
    gate.open.set()
    async with verifying(ana, model, None, gate) as (server, asked), FakeRetell(server.url, call_id="call_1") as retell:
        for said in ("refund me", "do it"):
            assert (await retell.ask(said)).text == "Well."
    assert refunded == [] and asked == ["call_1"] * 3, "asked anew for each"
    assert {block.content for block in results(model.requests[3])} == {UNVERIFIED}


async def test_a_look_up_needs_no_verification() -> None:
    ana = agent()

    @ana.tool(side_effect=False)
    async def hours() -> str:
        """Hours."""
        return "nine to five"

    model = Scripted([[ToolCall("1", "hours", "{}"), End("tool_use")], [Text("Nine."), End()]])
    gate = Gate()
    async with verifying(ana, model, None, gate) as (server, _), FakeRetell(server.url) as retell:
        assert (await retell.ask("when?")).text == "Nine."
        gate.open.set()


async def test_what_the_model_made_up_does_not_spoil_later_requests() -> None:
    ana = agent()
    stage = {"open": True}

    @ana.tool(when=lambda call: stage["open"])
    async def book() -> str:
        """Book."""
        stage["open"] = False
        return "ok"

    steps: list[Step] = [[Use("no such tool!"), Use("book")], "Done.", "And more."]
    async with calling(ana, steps) as caller:
        await caller.says("book")
        await caller.says("and?")
        last = caller.requests[-1]
        used = [block.name for message in last.messages for block in message.content if isinstance(block, ToolUse)]
        assert used == ["unknown", "book"]
        assert [tool.name for tool in last.tools] == ["book"] and last.tool_choice == "none", (
            "though none may be called"
        )


async def test_the_messages_of_a_tool_round_are_what_the_api_takes() -> None:
    ana = agent()

    @ana.tool
    async def book() -> str:
        """Book."""
        return "ok"

    async with calling(ana, [["One.", Use("book")], ["Two.", Use("book")], "Three."]) as caller:
        await caller.says("book")
        assert caller.model is not None
        messages: tuple[Message, ...] = caller.model.requests[2].messages
        roles = [message.role for message in messages]
        assert roles == ["user", "assistant"] * 3 + ["user"]
        assert [message.text for message in messages[3::2]] == ["One.", "Two."]
