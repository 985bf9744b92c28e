"""Speculations over real sockets: what the model is asked, when, and that nothing happens for one that is dropped."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.budget import Budget
from retell_ws.errors import ModelBroken
from retell_ws.handle import Call
from retell_ws.ports import Delta, End, Rest, Text, ToolCall, no_rest
from retell_ws.prompt import GO_ON
from retell_ws.request import ModelRequest, ToolResult
from retell_ws.session import Session
from retell_ws.settings import Settings
from retell_ws.testing import FakeRetell
from retell_ws.testing.dial import DialPolicy
from retell_ws.transcript import without_fillers

from .puppet import GREETING, serving

pytestmark = pytest.mark.usefixtures("clean_loop")


async def test_the_model_is_asked_before_retell_asks_and_its_words_are_kept() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, ")
        asked = await retell.request()
        assert await retell.piece(asked) == "Yes, "
        stream.say("until six.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes, until six."
        assert len(puppet.streams) == 1 and retell.report.faults == ()
        assert server.statistics()["speculation_adopted"] == 1


async def test_an_answer_that_is_whole_is_given_at_once() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, until six.")
        stream.end()
        await asyncio.wait_for(stream.closed.wait(), 2)
        asked = await retell.request("Are you open", grow=True)
        assert (await retell.answer(asked)).text == "Yes, until six."
        await puppet.facts.wait("turn_measured")
        assert len(puppet.streams) == 1


async def test_going_on_closes_the_stream_and_begins_anew() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open.")
        first = await puppet.asked(1)
        first.say("Yes.")
        await retell.say("Are you open on Sunday?", grow=True)
        second = await puppet.asked(2)
        await asyncio.wait_for(first.closed.wait(), 2)
        second.say("On Sunday we are closed.")
        second.end()
        asked = await retell.request()
        assert (await retell.answer(asked)).text == "On Sunday we are closed."
        assert server.statistics()["speculation_dropped"] == 1


async def test_words_that_stay_the_same_are_answered_without_a_mark() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("are you open")
        (await puppet.asked(1)).say("Yes. ")
        assert await retell.piece(await retell.request()) == "Yes. "


async def test_a_call_that_ends_takes_its_speculation_along() -> None:
    async with serving(speculate=True, grace_s=0.05) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            await retell.say("are you")
            await retell.say("are you open?", grow=True)
            stream = await puppet.asked(1)
        await asyncio.wait_for(stream.closed.wait(), 2)
        await puppet.facts.wait("call_ended")
        await puppet.facts.wait("speculation_dropped")


async def test_a_call_that_speculated_is_freed_without_the_cycle_collector() -> None:
    async with serving(speculate=True, grace_s=0.05) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            await retell.say("Are you open?")
            await puppet.asked(1)
            await retell.say("Are you open on Sunday?", grow=True)
            stream = await puppet.asked(2)
            asked = await retell.request()
            stream.say("No.")
            stream.end()
            await retell.answer(asked)
            gc.collect()
            gc.disable()
            try:
                (session,) = [o for o in gc.get_objects() if isinstance(o, Session) and o.call_id == retell.call_id]
                freed = weakref.ref(session)
                del session
                await retell.hang_up()
                await puppet.facts.wait("call_ended")
                await retell.ended()
                await puppet.facts.wait("turn_measured")
                for _ in range(100):
                    if freed() is None:
                        break
                    await asyncio.sleep(0)
                assert freed() is None
            finally:
                gc.enable()


# ------------------------------------------------------------------------ nothing happens


def booking(**options: Any) -> tuple[Agent, list[str]]:
    """An agent that can do something, and what it did."""
    done: list[str] = []
    agent = Agent("You are Ana.", greeting=GREETING, **options)

    @agent.tool(say="I will book that.")
    async def book(day: str) -> str:
        """Book."""
        done.append(f"booked {day}")
        return "Booked."

    @agent.tool(side_effect=False)
    async def look(day: str) -> str:
        """Look."""
        done.append(f"looked at {day}")
        return "Free."

    return agent, done


@pytest.mark.parametrize("tool", ["book", "look"])
async def test_a_tool_waits_until_it_is_adopted(tool: str) -> None:
    agent, done = booking()
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Tuesday, please.")
        stream = await puppet.asked(1)
        stream.call(tool, day="Tuesday")
        stream.end("tool_use")
        await retell.ping()
        assert done == [] and retell.report.tools == ()
        asked = await retell.request()
        second = await puppet.asked(2)
        assert len(done) == 1
        second.say("All right.")
        second.end()
        assert (await retell.answer(asked)).text.endswith("All right.")
        assert len(done) == 1 and len(retell.report.tools) == 1


@pytest.mark.parametrize("tool", ["book", "look"])
async def test_a_tool_of_a_dropped_one_never_runs(tool: str) -> None:
    agent, done = booking()
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Tuesday, please.")
        stream = await puppet.asked(1)
        stream.call(tool, day="Tuesday")
        stream.end("tool_use")
        await retell.ping()
        asked = await retell.request("Tuesday, please, or no, not at all.", grow=True)
        await asyncio.wait_for(stream.closed.wait(), 2)
        second = puppet.streams[-1]
        second.say("As you like.")
        second.end()
        assert (await retell.answer(asked)).text == "As you like."
        assert done == [] and retell.report.tools == ()


async def test_nobody_is_asked_to_hold_who_does_not_wait() -> None:
    async with serving(speculate=True, holding_ms=100) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        await retell.quiet(0.3)
        stream.say("Yes.")
        stream.end()
        await asyncio.wait_for(stream.closed.wait(), 2)
        assert (await retell.answer(await retell.request())).text == "Yes."


async def test_its_patience_begins_when_the_caller_waits() -> None:
    async with serving(speculate=True, holding_ms=100) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        asked = await retell.request()
        assert await retell.piece(asked)  # the holding phrase
        stream.say("Yes.")
        stream.end()
        text = (await retell.answer(asked)).text
        assert text.endswith("Yes.") and text != "Yes."
        assert server.statistics()["speculation_adopted"] == 1


async def test_one_that_failed_costs_the_caller_nothing() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        first = await puppet.asked(1)
        first.say("Yes, ")
        first.fail(ModelBroken("cut"))
        await asyncio.wait_for(first.closed.wait(), 2)
        asked = await retell.request()
        second = await puppet.asked(2)
        second.say("Until six.")
        second.end()
        assert (await retell.answer(asked)).text == "Until six."


async def test_one_whose_instructions_are_others_by_now_is_not_adopted() -> None:
    stage = ["ask"]
    agent = Agent(lambda call: f"Stage: {stage[0]}.", greeting=GREETING)
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        first = await puppet.asked(1)
        first.say("Yes, in the first stage. ")
        stage[0] = "pay"
        asked = await retell.request()
        second = await puppet.asked(2)
        assert second.request.system == "Stage: pay."
        second.say("Yes.")
        second.end()
        assert (await retell.answer(asked)).text == "Yes."
        assert first.closed.is_set()


# ------------------------------------------------------------------------ who speculates


@pytest.mark.parametrize(
    ("options", "hook", "settings", "speculates"),
    [
        ({}, False, {}, False),  # `single` does not
        ({}, False, {"speculate": True}, True),
        ({"speculate": True}, False, {}, True),
        ({"speculate": False}, False, {"speculate": True}, False),
        ({}, True, {"speculate": True}, False),
        ({"speculate": True}, True, {}, True),
        ({"budget": Budget(tokens=1)}, False, {"speculate": True}, True),
        ({}, False, {"speculate": True, "speculation_tokens": 0}, False),
        ({}, False, {"speculate": True, "speculation_percent": 0}, False),
    ],
)
async def test_who_speculates(options: Any, hook: bool, settings: Any, speculates: bool) -> None:
    agent = Agent("You are Ana.", greeting=GREETING, **options)
    if hook:
        agent.before_model(lambda call, request: None)
    async with serving(agent=agent, **settings) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        await retell.ping()
        assert server.statistics().get("speculation_started", 0) == speculates


async def test_what_may_be_wasted_is_bounded() -> None:
    async with serving(speculate=True, speculation_tokens=10) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        first = await puppet.asked(1)
        asked = await retell.request("Are you open on Sunday?", grow=True)
        await asyncio.wait_for(first.closed.wait(), 2)
        await puppet.facts.wait("speculation_dropped")
        stream = puppet.streams[-1]
        stream.say("No.")
        stream.end()
        await retell.answer(asked)
        begun = server.statistics()["speculation_started"]
        await retell.say("Oh. Bye.")
        await retell.ping()
        assert server.statistics()["speculation_started"] == begun


# ------------------------------------------------------------------------ whatever the caller does

CALLS = 300
AT_ONCE = 50
SEED = 20_261_126

PHRASES = [
    "Tuesday.",
    "Tuesday at ten.",
    "uh, Tuesday at ten",
    "Tuesday at ten?",
    "No, Friday.",
    "Friday",
    "Friday, please.",
]


class Eager:
    """A model that books what it hears last, at once, whenever it has not been told that it did."""

    name = "eager"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._asked = 0

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        self._asked += 1
        await asyncio.sleep(self._chance.uniform(0, 0.006))
        last = request.messages[-1]
        if not isinstance(last.content, str) and isinstance(last.content[-1], ToolResult):
            yield Text("It is booked.")
            yield End("end_turn")
            return
        if self._chance.random() < 0.3:
            yield Text("One moment. ")
        words = without_fillers(last.text)
        yield ToolCall(f"toolu_{self._asked}", "book", f'{{"words":"{words}"}}')
        await asyncio.sleep(self._chance.uniform(0, 0.003))
        yield End("tool_use")

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


def last_words(retell: FakeRetell) -> set[str]:
    """What a model may hear last: what was said since the agent spoke, or since a tool did something in between; that
    the caller listens, when an answer to what was asked before came in between."""
    said: list[str] = []
    heard = {without_fillers(GO_ON)} if retell.conversation.utterances[-1]["role"] != "user" else set()
    for utterance in reversed(retell.conversation.utterances):
        if utterance["role"] != "user":
            break
        said.insert(0, utterance["content"])
        heard.add(without_fillers(" ".join(said)))
    return heard


@pytest.mark.timeout(120)
async def test_no_side_effect_ever_runs_for_words_that_retell_did_not_ask_about() -> None:
    booked: dict[str, list[str]] = {}
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.tool
    async def book(call: Call, words: str) -> str:
        """Book."""
        booked.setdefault(call.id, []).append(words)
        return "Booked."

    async def call(number: int) -> tuple[str, set[str]]:
        chance = random.Random(SEED + number)
        asked: set[str] = set()
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=1), ping_s=None) as retell:
            await retell.greeting()
            for _ in range(4):
                grow = False
                for _ in range(chance.randint(1, 4)):  # recognition changes its mind
                    await retell.say(chance.choice(PHRASES), grow=grow)
                    grow = True
                    await asyncio.sleep(chance.uniform(0, 0.008))
                if chance.random() < 0.5:
                    await retell.say(chance.choice(PHRASES), grow=True)
                asked |= last_words(retell)
                response_id = await retell.request()
                if chance.random() < 0.3:
                    continue  # the caller speaks into it
                if chance.random() < 0.2:
                    response_id = await retell.request()
                await retell.answer(response_id)
            assert retell.report.faults == ()
        return retell.call_id, asked

    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(number: int) -> tuple[str, set[str]]:
        async with gate:
            return await call(number)

    async with running(
        agent, Settings(port=0, speculate=True, speculation_percent=1000), model=Eager(random.Random(SEED))
    ) as server:
        url = server.url
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gated(number)) for number in range(CALLS)]
        statistics = server.statistics()
    for call_id, asked in [task.result() for task in tasks]:
        effects = booked.get(call_id, [])
        assert set(effects) <= asked, "nothing happened for words nobody asked about"
        assert len(effects) == len(set(effects)), "and nothing twice"
    # The trouble was real.
    assert statistics["speculation_adopted"] > CALLS and statistics["speculation_dropped"] > CALLS
