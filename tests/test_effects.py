"""Side effects under fire: callers who speak into them, lines that drop, Retell that asks again, a thousand calls."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.handle import Call
from retell_ws.ports import Delta, End, Rest, Text, ToolCall, no_rest
from retell_ws.prompt import STILL_RUNNING
from retell_ws.request import ModelRequest, ToolResult
from retell_ws.settings import Settings
from retell_ws.testing import FakeRetell, Superseded
from retell_ws.testing.dial import DialPolicy

pytestmark = pytest.mark.usefixtures("clean_loop")

CALLS = 1000
AT_ONCE = 100
SEED = 20_261_125

SETTINGS = Settings(port=0, holding_ms=150, first_text_ms=1500, stall_ms=1000, max_calls=CALLS)
WATCHDOG_S = 1.5
"""The longest silence the watchdog allows: `first_text_ms`."""

MARGIN_S = 2.0
"""For two cores that play both ends of a hundred calls."""


class Stubborn:
    """A model that books whenever it does not see that it has: what a barge-in makes of most of them."""

    name = "stubborn"

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._asked = 0

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        self._asked += 1
        await asyncio.sleep(self._chance.uniform(0, 0.01))
        results = [
            block
            for message in request.messages
            if not isinstance(message.content, str)
            for block in message.content
            if isinstance(block, ToolResult) and not block.is_error
        ]
        if results and results[-1].content != STILL_RUNNING:
            yield Text("It is ")
            await asyncio.sleep(self._chance.uniform(0, 0.005))
            yield Text("booked.")
            yield End("end_turn")
            return
        yield Text("One moment. ")
        await asyncio.sleep(self._chance.uniform(0, 0.005))
        # Not always written in the same way.
        arguments = self._chance.choice(['{"day":"Tuesday","hour":10}', '{ "hour": 10, "day": "Tuesday" }'])
        yield ToolCall(f"toolu_{self._asked}", "book", arguments)
        yield End("tool_use")

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Listener:
    """Measures how long a caller with an open question hears nothing."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._since: float | None = None

    def waits(self) -> None:
        if self._since is None:
            self._since = asyncio.get_running_loop().time()

    def hears(self, frame: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._since is not None and '"response"' in frame:
            self.longest_s = max(self.longest_s, now - self._since)
            self._since = None if '"content_complete":true' in frame else now

    def is_away(self) -> None:
        self._since = None  # the line is down: nobody can be heard


@pytest.mark.timeout(240)
async def test_a_thousand_calls_in_which_everything_happens_in_the_middle_of_a_booking() -> None:
    chance = random.Random(SEED)
    done: Counter[str] = Counter()
    agent = Agent("You are Ana.", greeting="Hi.")

    @agent.tool(timeout_s=1.0)
    async def book(call: Call, day: str, hour: int) -> str:
        """Book."""
        await asyncio.sleep(chance.uniform(0, 0.06))
        done[call.id] += 1  # the effect
        await asyncio.sleep(chance.uniform(0, 0.02))  # and the way back
        return f"Booked for {day} at {hour}."

    async def call(number: int) -> FakeRetell:
        listener = Listener()
        retell = FakeRetell(
            url, dial_policy=DialPolicy(attempts=1), ping_s=None, redials=False, on_frame=listener.hears
        )
        async with retell:
            await retell.greeting()
            await trouble(retell, listener, random.Random(SEED + number))
            listener.waits()
            answer = await retell.ask(f"So, is it booked? {number}")
            assert "booked" in answer.text
        assert retell.report.faults == () and retell.report.unclosed == ()
        assert listener.longest_s <= WATCHDOG_S + MARGIN_S
        return retell

    async def trouble(retell: FakeRetell, listener: Listener, chance: random.Random) -> None:
        said = "Tuesday at ten"
        listener.waits()
        latest = await retell.request(said)
        for _ in range(chance.randint(1, 4)):
            await asyncio.sleep(chance.uniform(0, 0.05))
            match chance.choice(["barge in", "ask again", "redial", "finish", "remind"]):
                case "barge in":
                    said += chance.choice([" please", " thanks", " or so"])
                    listener.waits()
                    latest = await retell.request(said, grow=True)
                case "ask again":
                    listener.waits()
                    latest = await retell.request()
                case "remind":
                    listener.waits()
                    latest = await retell.silence()
                case "redial":
                    await retell.drop()
                    listener.is_away()
                    await asyncio.sleep(chance.uniform(0, 0.03))
                    await retell.redial()
                    listener.waits()
                case "finish":
                    with suppress(Superseded):
                        await retell.answer(latest)
        await retell.answer(retell.rules.latest)

    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(number: int) -> FakeRetell:
        async with gate:
            return await call(number)

    async with running(agent, SETTINGS, model=Stubborn(chance)) as server:
        url = server.url
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gated(number)) for number in range(CALLS)]
        statistics = server.statistics()
    calls = [task.result() for task in tasks]
    assert {retell.call_id: done[retell.call_id] for retell in calls if done[retell.call_id] != 1} == {}
    assert sum(done.values()) == CALLS
    assert statistics["tool_started"] == CALLS, "nothing was begun that was not done"
    # The trouble was real.
    assert statistics["turn_superseded"] > CALLS / 3 and statistics["reattached"] > CALLS / 4
