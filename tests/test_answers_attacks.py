"""The answer cache under attack: nobody hears what is another's, and a crowd costs one answer (reliability D.3).

The model here is the worst there could be: it reads everything it was asked with aloud. So whatever of one caller's got
into a request, and from there into the cache, would be heard by whoever is answered with it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.answers import VERSION, Answer, granted, key_of, opening, scope_of
from retell_ws.cache import Cache
from retell_ws.errors import ModelUnavailable
from retell_ws.handle import Call
from retell_ws.ports import Delta, End, Rest, Text, ToolCall, no_rest
from retell_ws.prompt import build
from retell_ws.race import RacingModel
from retell_ws.recall import RecallingModel
from retell_ws.request import ModelRequest
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.answers import MemoryAnswerStore
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import FakeRetell
from retell_ws.testing.caller import calling
from retell_ws.testing.script import Script, Use

from .puppet import serving

pytestmark = pytest.mark.usefixtures("clean_loop")

SECRET = b"s" * 32
CANARY = "Zanzibarquux"
GREETING = "Harbor Clinic, this is Ana."
CALLS = 10_000


class Gossip:
    """A model that reads its whole request aloud, and calls the first tool it is given once."""

    name = "gossip"

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        self.asked += 1
        await asyncio.sleep(0)
        told = b"tool_result" in msgspec.json.encode(request.messages)
        if request.tools and not told:
            yield ToolCall("toolu_1", request.tools[0].name, "{}")
            yield End("tool_use")
            return
        # Words alone: what stands for markup or an address would not be said.
        heard = re.findall(r"\w+", f"{request.system} {msgspec.json.encode(request.messages).decode()}")
        yield Text(f"I was asked {' '.join(heard)[-3000:]}.")
        yield End()

    async def warm(self, request: ModelRequest | None = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


def recalling(model: Any, store: MemoryAnswerStore | None = None) -> RecallingModel:
    return RecallingModel(
        RacingModel(model, model_name="claude-haiku-5-5", hedge=False),
        MemoryAnswerStore(lambda: 0.0) if store is None else store,
        secret=SECRET,
        ttl_s=3600,
        model_name="claude-haiku-5-5",
        clock=lambda: 1000.0,
    )


@asynccontextmanager
async def greeted(server: Server, **options: Any) -> AsyncIterator[FakeRetell]:
    """Call, and hear the greeting: what is said into it begins another talk."""
    async with FakeRetell(server.url, **options) as retell:
        await retell.greeting()
        yield retell


def ana(**options: Any) -> Agent:
    return Agent("You are Ana.", greeting=GREETING, **{"cache": True, **options})


def told_of(call: Call) -> str:
    return f"You are Ana. The caller is {call.variables.get('name', 'unknown')}."


def with_tool() -> Agent:
    agent = ana()

    @agent.tool(side_effect=False)
    async def account(call: Call) -> str:
        """Look up the account of the caller."""
        return f"The account is in the name of {CANARY}."

    return agent


AGENTS = {
    "words": ana(),
    "variables": ana(call_data=["name"]),
    "stages": Agent(told_of, greeting=GREETING, cache=True),
    "greeting": Agent("You are Ana.", greeting=lambda call: f"Hello {call.variables.get('name', 'you')}.", cache=True),
    "tools": with_tool(),
}

TELLING = (
    f"My name is {CANARY}.",
    f"I am {CANARY} and I want to know your hours.",
    f"What are your hours? This is {CANARY}.",
)
PLAIN = ("What are your hours?", "Hello", "Who am I?", "What is my name?", "What did the last caller say?")


def fuzzed(chance: random.Random) -> tuple[str, ...]:
    """What B says: what A said, or nearly, or something else, once or twice, spelled in any way."""

    def once() -> str:
        words = chance.choice(TELLING + PLAIN).split()
        match chance.randrange(6):
            case 0:
                words = [word for word in words if CANARY not in word] or ["Hello"]
            case 1:
                words = words[: chance.randrange(1, len(words) + 1)]
            case 2:
                chance.shuffle(words)
            case 3:
                words = [word.replace(CANARY, chance.choice(("Zanzibar", "quux", "Bo", "…"))) for word in words]
            case 4:
                words = [*words, chance.choice(("please", "", "?", "(The call begins.)", "\x00", "and", "."))]
        text = " ".join(words)
        return chance.choice((text, text.upper(), text.lower(), text.replace(" ", "  "), f"({text})", f"{text}!?"))

    return (once(),) if chance.random() < 0.7 else (once(), chance.choice(("Hello.", GREETING, "Yes.")), once())


async def test_after_a_calls_of_one_caller_ten_thousand_of_another_hear_nothing_of_theirs() -> None:
    gossip = Gossip()
    store = MemoryAnswerStore(lambda: 0.0)
    model = recalling(gossip, store)
    # Caller A, over the socket: the name in their words, in the variables of their call, in what a tool found.
    for agent in AGENTS.values():
        async with Server(agent, model, MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
            for said in (*TELLING, *PLAIN):
                details = {"retell_llm_dynamic_variables": {"name": CANARY}}
                async with greeted(server, details=details) as retell:
                    assert (await retell.ask(said)).text
    assert len(store) == len(TELLING) + len(PLAIN), "of the agent alone that holds nothing but the talk"
    # Caller B, past the socket: as each of these agents would put B's questions to the model.
    chance, leaks = random.Random(7), 0
    for number in range(CALLS):
        agent = AGENTS["words"] if number % 2 else list(AGENTS.values())[number // 2 % len(AGENTS)]
        heard = fuzzed(chance)
        plain = agent if isinstance(agent.greeting, str) and isinstance(agent.instructions, str) else ana()
        question = opening(plain, heard)
        scope = granted(scope_of(agent, "claude-haiku-5-5"), agent.cache, question)
        request = build(plain, question, cache_scope=scope)
        async with aclosing(model.stream(request)) as deltas:
            answer = "".join([delta.text async for delta in deltas if isinstance(delta, Text)])
        own = " ".join(heard).casefold()
        leaks += CANARY.casefold() in answer.casefold() and CANARY.casefold() not in own
    statistics = model.statistics()
    assert leaks == 0
    assert statistics.hits > CALLS / 10, "the cache was really asked"
    assert statistics.refused == 0
    await model.aclose()


@pytest.mark.parametrize("agent", [pytest.param(agent, id=name) for name, agent in AGENTS.items() if name != "words"])
async def test_what_holds_more_than_the_talk_is_asked_anew_each_time(agent: Agent) -> None:
    gossip = Gossip()
    model = recalling(gossip)
    async with Server(agent, model, MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
        for name in (CANARY, "Bo"):
            before = gossip.asked
            details = {"retell_llm_dynamic_variables": {"name": name}}
            async with greeted(server, details=details) as retell:
                answer = await retell.ask("What are your hours?")
                assert gossip.asked > before
                assert name == CANARY or CANARY not in answer.text or agent is AGENTS["tools"]
    statistics = model.statistics()
    assert (statistics.hits, statistics.misses) == (0, 0)
    await model.aclose()


async def test_hooks_that_change_the_request_keep_it_out_even_when_they_ask_for_it() -> None:
    agent = ana()
    seen: list[str] = []

    @agent.before_model
    def personal(call: Call, request: ModelRequest) -> ModelRequest:
        return msgspec.structs.replace(request, system=f"The caller is {call.id}.", cache_scope="everybody")

    class Looking(Gossip):
        async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
            seen.append(request.cache_scope)
            async for delta in super().stream(request, rest):
                yield delta

    async with Server(agent, recalling(Looking()), MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
        for _ in range(2):
            async with greeted(server) as retell:
                await retell.ask("What are your hours?")
    assert seen == ["", ""]


async def test_digits_keys_and_later_questions_are_asked_anew_each_time() -> None:
    gossip = Gossip()
    model = recalling(gossip)
    async with Server(ana(), model, MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
        for _ in range(2):
            async with greeted(server) as retell:
                await retell.ask("My account is 5551234.")
                await retell.ask("And my balance?")
                await retell.ask("And yesterday?")
    assert model.statistics().hits == 0 == model.statistics().misses
    assert gossip.asked == 6
    await model.aclose()


@pytest.mark.parametrize(
    "other",
    [
        Agent("You are Bea.", greeting=GREETING, cache=True),
        ana(model="claude-other"),
        ana(max_tokens=50),
        ana(cache=Cache(tenant="south")),
    ],
    ids=["instructions", "model", "max_tokens", "tenant"],
)
async def test_two_agents_of_one_transcript_share_nothing(other: Agent) -> None:
    gossip = Gossip()
    model = recalling(gossip)
    for agent in (ana(), other, ana(), other):
        async with Server(agent, model, MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
            async with greeted(server) as retell:
                await retell.ask("What are your hours?")
    assert gossip.asked == 2
    await model.aclose()


async def test_a_value_of_another_tenant_in_the_store_is_a_miss_and_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryAnswerStore(lambda: 0.0)
    model = recalling(Gossip(), store)
    agent = ana()
    scope = scope_of(agent, "claude-haiku-5-5")
    key = key_of(
        SECRET,
        build(agent, opening(agent, ["What are your hours?"]), cache_scope=scope),
        "gossip/claude-haiku-5-5",
    )
    theirs = Answer(
        version=VERSION, key=key, scope="theirs", model="gossip/claude-haiku-5-5", created_at=0.0, text=CANARY
    )
    await store.put(key, theirs, ttl_s=60)
    async with Server(agent, model, MemoryCallStore(lambda: 0.0), Settings(port=0)) as server:
        async with greeted(server) as retell:
            assert CANARY not in (await retell.ask("What are your hours?")).text
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "scope" in warnings[0].getMessage()
    assert CANARY not in caplog.text
    await model.aclose()


# ---------------------------------------------------------------------------- over the socket


async def test_a_hundred_calls_that_ask_the_same_at_once_cost_one_answer() -> None:
    async with serving(agent=ana()) as (server, puppet), AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(greeted(server)) for _ in range(100)]
        await asyncio.gather(*(call.request("What are your hours?") for call in calls))
        asking = [asyncio.create_task(call.answer(1)) for call in calls]
        stream = await puppet.asked(1)
        stream.say("We are open. ")
        await asyncio.gather(*(call.piece(1) for call in calls))
        stream.say("From nine ", "to five.")
        stream.end()
        answers = await asyncio.gather(*asking)
        assert {answer.text for answer in answers} == {"We are open. From nine to five."}
        assert len(puppet.streams) == 1
        assert not any(call.report.faults for call in calls)


async def test_a_hit_is_a_whole_answer_in_a_few_frames_that_say_when_they_are_complete() -> None:
    long = "We are open from nine to five. " * 40
    async with serving(agent=ana()) as (server, puppet):
        async with greeted(server) as first:
            asking = asyncio.create_task(first.ask("What are your hours?"))
            stream = await puppet.asked(1)
            for word in long.split():
                stream.say(f"{word} ")
            stream.end()
            said = (await asking).text
        async with greeted(server) as second:
            answer = await second.ask("what are  your hours")
            assert answer.text.strip() == said.strip() == long.strip()
            assert answer.frames <= 3
            report = second.report
            assert report.completions[1] == 1 and not report.faults and not report.unclosed
            follow_up = asyncio.create_task(second.ask("And on Sunday?"))
            (await puppet.asked(2)).say("Closed.")
            puppet.streams[1].end()
            assert (await follow_up).text == "Closed.", "the call goes on as any other"
        assert len(puppet.streams) == 2


async def test_a_barge_in_of_the_first_who_asked_does_not_silence_the_others() -> None:
    async with serving(agent=ana()) as (server, puppet):
        async with greeted(server) as leader, greeted(server) as follower:
            first = await leader.request("What are your hours?")
            stream = await puppet.asked(1)
            stream.say("We are open. ")
            await leader.piece(first)
            asked = await follower.request("What are your hours?")
            asking = asyncio.create_task(follower.answer(asked))
            await follower.piece(asked)
            barging = asyncio.create_task(leader.ask("No, wait, where are you?"))
            other = await puppet.asked(2)
            assert not stream.closed.is_set()
            stream.say("From nine.")
            stream.end()
            assert (await asking).text == "We are open. From nine."
            other.say("At the harbor.")
            other.end()
            assert (await barging).text == "At the harbor."
            assert not leader.report.faults and not follower.report.faults


async def test_a_barge_in_of_the_only_one_closes_the_models_stream() -> None:
    async with serving(agent=ana()) as (server, puppet), greeted(server) as retell:
        await retell.piece(await _begun(retell, puppet))
        asking = asyncio.create_task(retell.ask("Never mind."))
        await asyncio.wait_for(puppet.streams[0].closed.wait(), 2)
        (await puppet.asked(2)).say("All right.")
        puppet.streams[1].end()
        assert (await asking).text == "All right."


async def _begun(retell: FakeRetell, puppet: Any) -> int:
    response_id = await retell.request("What are your hours?")
    (await puppet.asked(1)).say("We are ")
    return response_id


@pytest.mark.parametrize("before", ["", "We are open. "], ids=["before any word", "in the middle"])
async def test_an_answer_that_fails_is_an_apology_to_each_and_never_an_answer(before: str) -> None:
    async with serving(agent=ana()) as (server, puppet), AsyncExitStack() as stack:
        calls = [await stack.enter_async_context(greeted(server)) for _ in range(5)]
        for call in calls:
            await call.request("What are your hours?")
        asking = [asyncio.create_task(call.answer(1)) for call in calls]
        stream = await puppet.asked(1)
        if before:
            stream.say(before)
            await asyncio.gather(*(call.piece(1) for call in calls))
        else:
            await puppet.facts.wait("turn_started", 5)
        stream.fail(ModelUnavailable("529", status=529, kind="overloaded_error"))
        lines = ana().lines
        expected = f"{before}{lines.closing}" if before else lines.apology
        assert {answer.text for answer in await asyncio.gather(*asking)} == {expected}
        again = asyncio.create_task(calls[0].ask("What are your hours? Please."))
        (await puppet.asked(2)).say("From nine.")
        puppet.streams[1].end()
        assert (await again).text == "From nine."
    assert puppet.facts.seen["turn_failed"] == 5


async def test_a_script_of_one_step_answers_two_calls() -> None:
    script = Script(["We are open from nine."])
    store, model = MemoryCallStore(lambda: 0.0), recalling(script)
    async with Server(ana(), model, store, Settings(port=0)) as server:
        for _ in range(2):
            async with greeted(server) as retell:
                assert (await retell.ask("Hours?")).text == "We are open from nine."
    await model.aclose()


async def test_the_kill_switch_and_an_agent_that_says_nothing_ask_each_time() -> None:
    for agent, switch in ((ana(), False), (Agent("You are Ana.", greeting=GREETING), True)):
        async with serving(agent=agent, answer_cache=switch) as (server, puppet):
            for number in (1, 2):
                async with greeted(server) as retell:
                    asking = asyncio.create_task(retell.ask("Hours?"))
                    stream = await puppet.asked(number)
                    assert stream.request.cache_scope == ""
                    stream.say("From nine.")
                    stream.end()
                    await asking


async def test_an_agent_that_allows_what_it_cannot_is_told_so_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with calling(with_tool(), [Use("account"), "It is found."]) as caller:
        assert (await caller.says("Who am I?")).text == "It is found."
    assert "nothing is answered from the cache, though the agent allows it: it has tools" in caplog.text
