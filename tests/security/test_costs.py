"""Calls that have no end: what they may cost is bounded, in money and in what a model is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.budget import Budget
from retell_ws.ports import Delta, End, Rest, Text, Usage, no_rest
from retell_ws.reminders import Reminders
from retell_ws.request import ModelRequest
from retell_ws.server import MAX_MESSAGE
from retell_ws.settings import Settings
from retell_ws.testing.retell import CallEnded, FakeRetell
from tests.puppet import serving

pytestmark = pytest.mark.usefixtures("clean_loop")


class Dear:
    """A model of which each answer costs a thousand tokens.

    Attributes:
        asked: How often it was.
    """

    name = "dear"

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        self.asked += 1
        yield Text("Could you say that again? ")
        yield End("end_turn", usage=Usage(input_tokens=900, output_tokens=100))

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def test_a_machine_that_talks_for_ever_is_left_when_its_budget_is_used_up() -> None:
    model = Dear()
    agent = Agent("You are Ana.", greeting="Hello.", budget=Budget(tokens=5000))
    settings = Settings(port=0, hedge=False, warm_cache=False)
    async with running(agent, settings, model=model) as server, FakeRetell(server.url) as retell:
        await retell.greeting()
        with suppress(CallEnded):
            for number in range(20):
                await retell.ask(f"Please leave a message after the tone. {number}")
        assert await retell.ended() == "agent_hangup"
    assert model.asked == 5


async def test_a_machine_that_is_silent_for_ever_is_left() -> None:
    model = Dear()
    agent = Agent("You are Ana.", greeting="Hello.", reminders=Reminders(times=2))
    async with running(agent, Settings(port=0, hedge=False, warm_cache=False), model=model) as server:
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            with suppress(CallEnded):
                for _ in range(20):
                    await retell.answer(await retell.silence())
            assert await retell.ended() == "agent_hangup"
    assert model.asked <= 3


UTTERANCES = 20_000
"""Of a caller and an agent who have talked for four hours without a break, and more."""


async def test_what_a_model_is_sent_of_an_endless_talk_has_an_end() -> None:
    said = [
        {"role": role, "content": f"{number} is what I said, and I say it again."}
        for number in range(UTTERANCES)
        for role in ("agent", "user")
    ]
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        for number in (1, 2):
            message = {"interaction_type": "response_required", "response_id": number, "transcript": said}
            frame = msgspec.json.encode(message).decode()
            assert len(frame) < MAX_MESSAGE
            await retell.send_raw(frame)
            stream = await puppet.asked(number)
            sent = stream.request.messages
            assert str(sent[-1].content).endswith(said[-1]["content"])
            assert len(sent) < 1000 and sum(len(str(one.content)) for one in sent) < 100_000
            said.append({"role": "user", "content": "And on."})
