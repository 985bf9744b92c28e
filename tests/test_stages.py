"""Where the time of a turn went: what the record says, and that turns of every kind make one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from retell_ws.agent import Agent
from retell_ws.errors import ModelBroken, ModelUnavailable
from retell_ws.facts import TurnMeasured
from retell_ws.first_tokens import FirstTokens
from retell_ws.handle import Call
from retell_ws.race import RacingModel
from retell_ws.request import ModelRequest
from retell_ws.stages import Stages
from retell_ws.testing import FakeRetell

from .puppet import GREETING, Puppet, serving

pytestmark = pytest.mark.usefixtures("clean_loop")


def test_what_came_is_told_from_the_request_on() -> None:
    stages = Stages(
        asked_at=10.0, queued_s=0.25, decoded_at=10.5, prompt_at=11.0, connect_s=0.125, rounds=1, attempts=1
    )
    stages.first_token_at, stages.sentence_at = 11.5, 12.0
    assert stages.measured(7, "finished", 13.0, 10.0) == TurnMeasured(
        7,
        "finished",
        attempts=1,
        rounds=1,
        queued_s=0.25,
        decoded_s=0.5,
        prompt_s=1.0,
        connect_s=0.125,
        first_token_s=1.5,
        first_sentence_s=2.0,
        done_s=3.0,
    )


def test_what_never_came_is_told_as_nothing() -> None:
    told = Stages(asked_at=10.0).measured(7, "superseded", 10.5, 10.0)
    assert told == TurnMeasured(7, "superseded", done_s=0.5)


def test_what_a_speculation_had_done_before_the_request_is_done_at_0() -> None:
    stages = Stages(begun_at=9.0, asked_at=10.0, prompt_at=9.25, first_token_at=9.5, sentence_at=10.25)
    told = stages.measured(7, "finished", 11.0, 10.0)
    assert (told.adopted, told.head_start_s) == (True, 1.0)
    assert (told.prompt_s, told.first_token_s, told.first_sentence_s, told.done_s) == (0.0, 0.0, 0.25, 1.0)


def test_after_a_reask_it_is_told_from_that() -> None:
    stages = Stages(asked_at=10.0, decoded_at=10.0, sentence_at=12.0)
    assert stages.measured(8, "finished", 13.0, 11.5).first_sentence_s == 0.5


class Measured(logging.Handler):
    """The records of turns."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fact = getattr(record, "fact", None)
        if fact is not None and fact["fact"] == "turn_measured":
            self.told.append(fact)


@pytest.fixture
def measured() -> Iterator[list[dict[str, Any]]]:
    handler, log = Measured(), logging.getLogger("retell_ws")
    log.addHandler(handler)
    yield handler.told
    log.removeHandler(handler)


async def test_an_answer_passes_its_stages_in_order(measured: list[dict[str, Any]]) -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, ", "until six. ", "And on Sunday.")
        stream.end()
        await retell.answer(asked)
        await puppet.facts.wait("turn_measured")
    (told,) = measured  # the greeting is no turn of the model's
    assert told["outcome"] == "finished" and told["response_id"] == asked and told["rounds"] == 1
    assert told["stop_reason"] == "end_turn"
    times = [told[f"{stage}_s"] for stage in ("decoded", "prompt", "first_token", "first_sentence", "done")]
    assert times == sorted(times) and times[0] >= 0 and told["queued_s"] >= 0


async def test_an_answer_that_was_spoken_into_is_told_too(measured: list[dict[str, Any]]) -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("I need")
        first = await puppet.asked(1)
        first.say("You ")
        await retell.piece(1)
        await retell.request("I need a doctor")
        (await puppet.asked(2)).fail(ModelUnavailable("529"))
        await puppet.facts.wait("turn_measured", 2)
    told = {fact["response_id"]: fact for fact in measured}
    assert told[1]["outcome"] == "superseded" and told[1]["first_token_s"] is not None
    assert told[1]["first_sentence_s"] is None
    assert told[2]["outcome"] == "failed" and told[2]["first_token_s"] is None
    assert (told[1]["attempts"], told[2]["attempts"]) == (1, 1), "the model was asked, whatever came of it"


def raced(puppet: Puppet) -> RacingModel:
    def at_once() -> FirstTokens:
        return FirstTokens(default_s=0.005, shortest_s=0.005, longest_s=0.005)

    return RacingModel(puppet, model_name="main", fallback_model="next", first_tokens=at_once)


async def test_every_request_of_a_turn_that_fails_is_counted(measured: list[dict[str, Any]]) -> None:
    async with serving(raced=raced) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        for number in (2, 1, 3):  # the second request of a slow model, the first one, and then the other model's
            (await puppet.asked(number)).fail(ModelUnavailable("529", kind="overloaded_error"))
        await retell.answer(asked)
        await puppet.facts.wait("turn_measured")
    (told,) = measured
    assert (told["outcome"], told["attempts"], told["hedged"], told["fallback"]) == ("failed", 3, True, False)


async def test_a_second_request_is_counted_though_the_caller_did_not_wait_for_it(
    measured: list[dict[str, Any]],
) -> None:
    async with serving(raced=raced) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("I need")
        await puppet.asked(2)
        await retell.request("I need a doctor")
        stream = await puppet.asked(3)
        stream.say("Of course.")
        stream.end()
        await puppet.facts.wait("turn_measured", 2)
    told = {fact["response_id"]: (fact["outcome"], fact["attempts"], fact["hedged"]) for fact in measured}
    assert told == {1: ("superseded", 2, True), 2: ("finished", 1, False)}


async def test_two_rounds_of_which_the_second_fails_are_two_requests(measured: list[dict[str, Any]]) -> None:
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.tool
    def hours() -> str:
        """Tell the hours."""
        return "nine to five"

    async with serving(agent=agent) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        first = await puppet.asked(1)
        first.call("hours")
        first.end("tool_use")
        (await puppet.asked(2)).fail(ModelBroken("cut"))
        await retell.answer(asked)
        await puppet.facts.wait("turn_measured")
    (told,) = measured
    assert (told["outcome"], told["rounds"], told["attempts"]) == ("failed", 2, 2)
    assert told["stop_reason"] == "", "that of the first round is not how the second one ended"


async def test_a_turn_that_fails_before_it_asks_has_asked_nobody(measured: list[dict[str, Any]]) -> None:
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.before_model
    def broken(_call: Call, _request: ModelRequest) -> None:
        raise LookupError("a bug of the agent's")

    async with serving(agent=agent) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.answer(await retell.request("Are you open?"))
        await puppet.facts.wait("turn_measured")
    (told,) = measured
    assert (told["outcome"], told["attempts"]) == ("failed", 0)


async def test_a_reask_makes_no_record_of_its_own_and_moves_the_id(measured: list[dict[str, Any]]) -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("Are you open")
        stream = await puppet.asked(1)
        asked = await retell.request("Are you open?", grow=True)
        await puppet.facts.wait("turn_reasked")
        stream.say("Yes.")
        stream.end()
        await retell.answer(asked)
        await puppet.facts.wait("turn_measured")
    (told,) = measured
    assert told["response_id"] == asked


async def test_a_speculation_is_told_when_it_is_adopted_and_not_when_it_is_dropped(
    measured: list[dict[str, Any]],
) -> None:
    async with serving(speculate=True) as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.say("Are you")
        await retell.say("Are you open.", grow=True)
        await puppet.asked(1)
        await retell.say("Are you open today?", grow=True)
        stream = await puppet.asked(2)
        stream.say("Yes. ")
        stream.end()
        await asyncio.wait_for(stream.closed.wait(), 2)
        await retell.answer(await retell.request())
        await puppet.facts.wait("turn_measured")
    (told,) = measured
    assert told["adopted"] and told["head_start_s"] > 0 and told["outcome"] == "finished"
    assert told["first_sentence_s"] == told["first_token_s"] == 0
