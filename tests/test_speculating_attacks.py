"""What a review found wrong with speculations, each as it was shown: none of it may come back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.budget import Budget
from retell_ws.handle import Call
from retell_ws.ports import End, Usage
from retell_ws.request import ModelRequest
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import FakeRetell

from .puppet import GREETING, Stream, serving

pytestmark = pytest.mark.usefixtures("clean_loop")


class Name(msgspec.Struct):
    name: str = "nobody"


def update(*words: str, kind: str = "update_only", **more: Any) -> str:
    """A message in which agent and caller spoke in turn, the greeting first."""
    said = [{"role": "agent" if n % 2 == 0 else "user", "content": word} for n, word in enumerate((GREETING, *words))]
    return msgspec.json.encode({"interaction_type": kind, "transcript": said, **more}).decode()


def end(stream: Stream, **usage: int) -> None:
    stream._deltas.put_nowait(End("end_turn", Usage(**usage)))
    stream._deltas.put_nowait(None)


async def closed(stream: Stream) -> None:
    await asyncio.wait_for(stream.closed.wait(), 2)


async def test_instructions_that_fail_at_its_adoption_are_told_as_they_would_be_without_it() -> None:
    asked = 0

    def instructions(call: Call) -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise KeyError("stage")
        return "You are Ana."

    agent = Agent(instructions, greeting=GREETING)
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        (await puppet.asked(1)).say("Yes.")
        answer = await retell.answer(await retell.request())
        assert answer.text == agent.lines.apology
        assert retell.report.faults == () and server.statistics().get("reattached", 0) == 0


async def test_an_answer_that_is_paid_for_is_given_though_it_used_up_the_budget() -> None:
    agent = Agent("You are Ana.", greeting=GREETING, budget=Budget(tokens=1000))
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, until six.")
        end(stream, input_tokens=1200, output_tokens=5)
        await closed(stream)
        assert (await retell.answer(await retell.request())).text == "Yes, until six."


async def test_its_words_are_heard_whatever_happens_to_what_is_told_of_it() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes. ")
        end(stream, input_tokens=10**400)  # more than a counter can hold
        await closed(stream)
        assert (await retell.answer(await retell.request())).text.strip() == "Yes."


async def test_what_was_kept_of_a_call_is_not_given_up_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asyncio.Event()

    async def load(self: MemoryCallStore, call_id: str) -> bytes:
        await found.wait()
        return b'{"name":"Bob"}'

    monkeypatch.setattr(MemoryCallStore, "load", load)
    agent = Agent(lambda call: f"Caller: {call.state.name}.", greeting=GREETING, state=Name)
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        await retell.quiet(0.4)
        assert puppet.streams == []
        found.set()
        await retell.request()
        assert (await puppet.asked(1)).request.system == "Caller: Bob."


async def test_what_before_model_went_by_is_compared_too() -> None:
    agent = Agent("You are Ana.", greeting=GREETING, state=Name, speculate=True)
    calls: list[Call] = []

    @agent.before_model
    def tell(call: Call, request: ModelRequest) -> ModelRequest:
        calls.append(call)
        return msgspec.structs.replace(request, system=f"Caller: {call.state.name}.")

    async with serving(agent=agent) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Who am I?")
        first = await puppet.asked(1)
        first.say("You are nobody. ")
        calls[0].state.name = "Bob"
        asked = await retell.request()
        second = await puppet.asked(2)
        assert second.request.system == "Caller: Bob." and first.closed.is_set()
        second.say("You are Bob.")
        second.end()
        assert (await retell.answer(asked)).text == "You are Bob."


async def test_a_call_over_its_budget_is_not_left_for_a_speculation() -> None:
    agent = Agent("You are Ana.", greeting=GREETING, budget=Budget(tokens=1000))
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, until six. ")
        await retell.piece(asked)
        # The update is read while its tokens are not counted yet, and its turn begins when they are.
        session = server._calls._sessions[retell.call_id]
        end(stream, input_tokens=5000, output_tokens=5)
        heard = update("Are you open?", "Yes, until six.", "And tomorrow?", turntaking="user_turn").encode()
        session._perform(session._machine.receive(heard, 1.0))
        await puppet.facts.wait("turn_measured")
        await retell.ping()
        assert server.statistics().get("over_budget", 0) == 0
        assert len(puppet.streams) == 1


async def test_keys_are_not_forgotten_over_an_update_that_does_not_tell_them() -> None:
    agent = Agent("You are Ana.", greeting=GREETING, keypad=True)
    pressed: list[str] = []
    goes_on = asyncio.Event()

    @agent.tool(side_effect=False)
    async def read(call: Call) -> str:
        """Read."""
        pressed.append(call.digits)
        await goes_on.wait()
        pressed.append(call.digits)
        return "Read."

    woven = [
        {"role": "agent", "content": GREETING},
        {"role": "user", "content": "My pin."},
        {"role": "dtmf", "digit": "1"},
        {"role": "dtmf", "digit": "2"},
    ]
    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.send_raw(
            update("My pin.", kind="response_required", response_id=1, transcript_with_tool_calls=woven)
        )
        stream = await puppet.asked(1)
        stream.call("read")
        stream.end("tool_use")
        await puppet.facts.wait("tool_started")
        await retell.send_raw(update("My pin.", "Let me see.", "Hello?", turntaking="user_turn"))
        await retell.ping()
        goes_on.set()
        await puppet.facts.wait("tool_finished")
        assert pressed == ["12", "12"]


async def test_one_that_never_began_is_told_of_as_dropped() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        session = server._calls._sessions[retell.call_id]
        for words in ("Are you.", "Are you open?", "Are you open today?"):  # in one read of the socket
            session._perform(session._machine.receive(update(words).encode(), 1.0))
        await retell.ping()
        assert server.statistics()["speculation_started"] == 2
        assert server.statistics()["speculation_dropped"] == 2


async def test_one_that_nobody_asks_for_does_not_hold_its_stream_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.turn.LAPSE_S", 0.05)
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        await closed(await puppet.asked(1))
        asked = await retell.request()
        stream = await puppet.asked(2)
        stream.say("Yes.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes."


async def test_one_that_is_adopted_has_the_time_of_any_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.turn.LAPSE_S", 0.05)
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        asked = await retell.request()
        await retell.quiet(0.15)
        stream.say("Yes.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes."
        assert len(puppet.streams) == 1


async def test_what_a_tool_did_stands_behind_the_words_that_were_asked() -> None:
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.tool(side_effect=False)
    async def look(day: str) -> str:
        """Look."""
        return "Free."

    async with serving(agent=agent, speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Tuesday.")
        stream = await puppet.asked(1)
        stream.call("look", day="Tuesday")
        stream.end("tool_use")
        asked = await retell.request("Um, Tuesday.", grow=True)
        second = await puppet.asked(2)
        kinds = [type(message.content).__name__ for message in second.request.messages]
        assert kinds == ["str", "str", "str", "tuple", "tuple"], "the caller's words, the call, its result"
        assert second.request.messages[2].text == "Um, Tuesday."
        second.say("It is free.")
        second.end()
        assert (await retell.answer(asked)).text == "It is free."


async def test_the_next_request_is_compared_with_that_of_the_answer_before() -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes.")
        stream._deltas.put_nowait(End("end_turn", message_id="msg_1"))
        stream._deltas.put_nowait(None)
        await closed(stream)
        await retell.answer(await retell.request())
        await retell.request("And on Sunday")
        assert (await puppet.asked(2)).request.previous_id == "msg_1"


async def test_one_that_is_given_up_at_the_moment_of_the_request_is_not_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retell_ws.turn.LAPSE_S", 1000.0)
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you open?")
        first = await puppet.asked(1)
        session = server._calls._sessions[retell.call_id]
        assert session._speculation is not None and session._speculation.turn._deadline is not None
        deadline = session._speculation.turn._deadline
        request = update("Are you open?", kind="response_required", response_id=1).encode()

        def ask() -> None:
            assert deadline.expired()  # its task is cancelled, and has not had a step since
            session._perform(session._machine.receive(request, 1.0))

        deadline.reschedule(0.0)
        asyncio.get_running_loop().call_soon(ask)
        second = await puppet.asked(2)
        assert first.closed.is_set()
        second.say("Yes.")
        second.end()
        await puppet.facts.wait("turn_finished")
        assert server.statistics().get("reattached", 0) == 0


async def test_one_that_is_adopted_and_spoken_into_before_its_first_step_leaves_no_timer_behind() -> None:
    async with serving(speculate=True, holding_ms=100) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        session = server._calls._sessions[retell.call_id]

        def hears(data: str) -> None:
            session._perform(session._machine.receive(data.encode(), 1.0))

        hears(update("Are you open?"))  # all of it in one read of the socket
        hears(update("Are you open?", kind="response_required", response_id=1))
        assert session._turn is not None
        adopted = session._turn.turn
        hears(update("Are you open? On Sunday?", kind="response_required", response_id=2))
        stream = await puppet.asked(1)
        assert stream.request.messages[-1].text == "Are you open? On Sunday?"
        assert adopted._look is None
        stream.say("No.")
        stream.end()
        await puppet.facts.wait("turn_finished")
