"""Slow and failing models, heard from the caller's end of the line: the race over the real fake API, both clients."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import pytest
import pytest_asyncio

from retell_ws.agent import Agent
from retell_ws.blueprints import build_model, running
from retell_ws.errors import SettingsError
from retell_ws.first_tokens import FirstTokens
from retell_ws.ports import Model
from retell_ws.race import RacingModel
from retell_ws.run import checking
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.testing.fake_anthropic import FakeAnthropic, FakeAnthropicProcess
from retell_ws.testing.retell import FakeRetell

AGENT = Agent("You are Ana.", greeting="Harbor Clinic.")
LINES = AGENT.lines

TEXT = "One two three. Four five six. Seven eight nine."

MAIN, NEXT = "claude-haiku-5-5", "claude-sonnet-5-5"

Serving = Callable[..., AbstractAsyncContextManager[tuple[Server, RacingModel]]]


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropicProcess(ttft_ms=10, spacing_ms=2, text=TEXT, fault_s=0.2, ping_ms=50) as process:
        yield process


@pytest.fixture(params=["anthropic", "anthropic-sdk"])
def serving(request: pytest.FixtureRequest, fake: FakeAnthropic) -> Serving:
    @asynccontextmanager
    async def start(*, deadline_s: float = 5.0, **more: Any) -> AsyncIterator[tuple[Server, RacingModel]]:
        settings = Settings(port=0, model=request.param, model_url=fake.url, holding_ms=20_000, **more)
        # As at a start; the client of the SDK takes its second there.
        model = await asyncio.to_thread(build_model, settings, {"ANTHROPIC_API_KEY": "canary"})
        assert isinstance(model, RacingModel)
        model._first_tokens = lambda: FirstTokens(default_s=deadline_s)
        async with running(AGENT, settings, model=model) as server:
            yield server, model

    return start


async def asked(fake: FakeAnthropic) -> Counter[str]:
    return Counter([entry["body"]["model"] for entry in await fake.log() if entry["body"]["max_tokens"]])


async def ended(fake: FakeAnthropic, how: str, times: int) -> list[dict[str, Any]]:
    """Wait until so many requests ended so; each look is a request of its own, so this gives way."""
    async with asyncio.timeout(5):
        while len(found := [entry for entry in await fake.log() if entry["ended"] == how]) < times:
            pass
    return found


@pytest.mark.parametrize("fault", ["529", "500", "429", "reset_before"])
async def test_a_main_model_that_fails_is_answered_for_at_once(
    serving: Serving, fake: FakeAnthropic, fault: str
) -> None:
    await fake.control(fault=fault, fault_models=[MAIN])
    async with serving() as (server, model), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        for number in range(8):
            begun = time.monotonic()
            assert (await retell.ask(f"Question {number}?", timeout_s=5)).text == TEXT
            assert time.monotonic() - begun < 1.5
        counts = await asked(fake)
        assert counts[NEXT] == 8
        # On a kept connection a reset may only mean that it had grown old: the client itself then tries a new one.
        assert 1 <= counts[MAIN] <= (10 if fault == "reset_before" else 5), "then it is passed over"
        assert model.statistics().breakers == {MAIN: "open", NEXT: "closed"}
        assert retell.report.faults == ()


@pytest.mark.parametrize("fault", ["529", "429"])
async def test_when_both_models_fail_the_caller_hears_the_apology_in_time(
    serving: Serving, fake: FakeAnthropic, fault: str
) -> None:
    await fake.control(fault=fault)
    async with serving() as (server, _), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        for number in range(12):  # with closed breakers, and with open ones
            begun = time.monotonic()
            request = await retell.request(f"Question {number}?")
            assert (await retell.answer(request, timeout_s=5)).text == LINES.apology
            assert time.monotonic() - begun < 1.5
            assert retell.report.completions[request] == 1
        await fake.control(fault=None)
        assert (await retell.ask("Are you back?", timeout_s=5)).text == TEXT, "the first one is asked all the same"


async def test_an_answer_of_pings_alone_is_answered_by_a_second_request_and_closed(
    serving: Serving, fake: FakeAnthropic
) -> None:
    await fake.control(faults=["pings_only"], spacing_ms=100)
    async with serving(deadline_s=0.4) as (server, model), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        request = await retell.request("Hello?")
        await retell.piece(request)
        (loser,) = await ended(fake, "peer_closed", 1)
        assert loser["fault"] == "pings_only"
        others = [entry for entry in await fake.log() if entry["id"] != loser["id"]]
        assert [entry["ended"] for entry in others] == [None], "closed while the winner is still speaking"
        assert (await retell.answer(request, timeout_s=5)).text == TEXT
        assert (await asked(fake)) == {MAIN: 2}
        statistics = model.statistics()
        assert (statistics.hedges, statistics.hedges_won, statistics.fallbacks) == (1, 1, 0)
        assert retell.report.completions[request] == 1


async def test_retry_after_sends_the_next_turns_straight_to_the_other_model(
    serving: Serving, fake: FakeAnthropic
) -> None:
    await fake.control(faults=["429"], fault_models=[MAIN], retry_after_s=90)
    async with serving() as (server, _), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        for number in range(4):
            assert (await retell.ask(f"Question {number}?", timeout_s=5)).text == TEXT
        assert (await asked(fake)) == {MAIN: 1, NEXT: 4}


@pytest.mark.parametrize("fault", ["cut", "reset", "error_event", "no_message_stop"])
async def test_a_cut_in_mid_stream_gets_the_closing_phrase_and_no_word_twice(
    serving: Serving, fake: FakeAnthropic, fault: str
) -> None:
    await fake.control(faults=[fault])
    async with serving() as (server, _), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        request = await retell.request("Hello?")
        spoken = (await retell.answer(request, timeout_s=5)).text
        assert spoken.endswith(LINES.closing)
        assert TEXT.startswith(spoken.removesuffix(LINES.closing).strip())
        assert (await asked(fake)) == {MAIN: 1}
        assert (await retell.ask("And again?", timeout_s=5)).text == TEXT


async def test_a_barge_in_while_two_requests_run_closes_both(serving: Serving, fake: FakeAnthropic) -> None:
    await fake.control(faults=["pings_only", "pings_only"])
    async with serving(deadline_s=0.4) as (server, _), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        await retell.request("I need")
        async with asyncio.timeout(5):
            while (await asked(fake))[MAIN] < 2:
                pass  # each look is a request of its own
        second = await retell.request("I need a doctor.", grow=True)
        assert len(await ended(fake, "peer_closed", 2)) == 2
        assert (await retell.answer(second, timeout_s=5)).text == TEXT


async def test_without_hedging_and_another_model_a_fault_is_what_it_was(serving: Serving, fake: FakeAnthropic) -> None:
    await fake.control(faults=["529"])
    async with (
        serving(hedge=False, fallback_model="", deadline_s=0.4) as (server, _),
        FakeRetell(server.url, reminder_max_count=0) as retell,
    ):
        await retell.greeting()
        assert (await retell.ask("Hello?", timeout_s=5)).text == LINES.apology
        assert (await retell.ask("Hello?", timeout_s=5)).text == TEXT
        assert (await asked(fake)) == {MAIN: 2}


async def test_a_call_s_start_fills_the_prompt_cache_once_for_all_calls(fake: FakeAnthropic) -> None:
    agent = Agent("You are Ana, the receptionist of Harbor Clinic. " * 60, greeting="Harbor Clinic.")

    def client(warm_cache: bool) -> tuple[Settings, Model]:
        settings = Settings(port=0, model="anthropic", model_url=fake.url, warm_cache=warm_cache)
        return settings, build_model(settings, {"ANTHROPIC_API_KEY": "canary"})

    for warm_cache in (False, True):
        await fake.control(reset=True)
        await fake.clear()
        settings, model = client(warm_cache)
        async with running(agent, settings, model=model) as server:
            for _ in range(3):
                async with FakeRetell(server.url, reminder_max_count=0) as retell:
                    await retell.greeting()
                    if warm_cache:
                        await ended(fake, "done", 1)
        bodies = [entry["body"] for entry in await fake.log()]
        assert [body["max_tokens"] for body in bodies] == [0] * warm_cache


@pytest.mark.parametrize("fault", ["401", "529"])
async def test_the_question_at_the_start_is_the_main_model_s_alone(fake: FakeAnthropic, fault: str) -> None:
    await fake.control(fault=fault, fault_models=[MAIN])
    settings = Settings(port=0, model="anthropic", model_url=fake.url)
    model = build_model(settings, {"ANTHROPIC_API_KEY": "canary"})
    try:
        with pytest.raises(SettingsError) if fault == "401" else nullcontext():
            async with checking(model, AGENT, settings):
                await ended(fake, fault, 1)
        assert (await asked(fake)) == {MAIN: 1}
    finally:
        await model.aclose()
