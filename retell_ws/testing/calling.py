"""One call to an agent, from the caller's side, over the real protocol: for the tests of whoever writes agents.

async with calling(agent, [Use("book", day="Tuesday", name="Bo"), "You are booked."]) as caller:
    await caller.says("Tuesday, for Bo.")
    assert caller.tools == [("book", {"day": "Tuesday", "name": "Bo"})]
    assert "booked" in caller.heard
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..agent import Agent
from ..blueprints import running
from ..ports import Model
from ..settings import Settings
from .acceptance import Action, ToolSeen
from .dial import DialPolicy
from .leaks import nothing_left
from .report import Answer, answer_of
from .retell import FakeRetell
from .script import Script, Step

__all__ = ["Caller", "calling"]

PHONE = {"call_type": "phone_call", "direction": "inbound", "from_number": "+14155550123", "to_number": "+14155550199"}
"""Who calls, unless the test says otherwise."""


class Caller:
    """Who calls.

    Args:
        retell: The call.
        model: The script, when the test wrote one.
        timeout_s: Longest wait for an answer, in seconds.

    Attributes:
        retell: The whole synthetic call, for what is not offered here.
        model: The script; its `requests` are what the model was asked.
    """

    def __init__(self, retell: FakeRetell, model: Script | None, timeout_s: float) -> None:
        self.retell = retell
        self.model = model
        self._timeout_s = timeout_s

    # ------------------------------------------------------------------------ what the caller does

    async def says(self, text: str) -> Answer:
        """Say something and hear the whole answer. While the agent speaks this interrupts it.

        Raises:
            TimeoutError: The answer was not completed in time.
            CallEnded: The call is over.
        """
        return await self._answer(await self.retell.request(text))

    async def begins(self, text: str) -> str:
        """Say something and hear only the first words of the answer; whatever comes next interrupts it."""
        return await self.retell.piece(await self.retell.request(text), timeout_s=self._timeout_s)

    async def asks_again(self) -> Answer:
        """Let Retell ask once more in the same words, as it does when it is unsure (protocol §4.2)."""
        return await self._answer(await self.retell.request())

    async def says_nothing(self) -> Answer:
        """Be silent until Retell sends a reminder, and hear what the agent says."""
        return await self._answer(await self.retell.silence())

    async def presses(self, digits: str) -> Answer:
        """Press keys, and hear what the agent says to them."""
        await self.retell.press(digits)
        return await self._answer(await self.retell.request())

    async def drops(self) -> None:
        """Lose the line, and be redialled."""
        await self.retell.drop()
        await self.retell.redial()

    async def _answer(self, response_id: int) -> Answer:
        return await self.retell.answer(response_id, timeout_s=self._timeout_s)

    # ------------------------------------------------------------------------ what came of it

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Every completed answer, the greeting first."""
        return tuple(answer_of(exchange) for exchange in self.retell.rules.exchanges.values() if exchange.is_complete)

    @property
    def heard(self) -> str:
        """Everything the agent said, in one text."""
        return " ".join(exchange.text for exchange in self.retell.rules.exchanges.values())

    @property
    def tools(self) -> list[tuple[str, dict[str, Any]]]:
        """The tools that ran, in order, with their arguments."""
        return [(tool.name, msgspec.json.decode(tool.arguments)) for tool in self.runs]

    @property
    def runs(self) -> tuple[ToolSeen, ...]:
        """The same with what came of them."""
        return self.retell.report.tools

    @property
    def actions(self) -> list[Action]:
        """What Retell was asked to do with the call, in order: hang-ups, transfers, keys."""
        exchanges = [*self.retell.rules.exchanges.values()]
        if self.retell.rules.interrupt is not None:
            exchanges.append(self.retell.rules.interrupt)
        return [exchange.action for exchange in exchanges if exchange.action is not None]

    async def ended(self) -> str:
        """Wait for the end of the call; gives Retell's reason (protocol §6.8)."""
        return await self.retell.ended(timeout_s=self._timeout_s)


@asynccontextmanager
async def calling(
    agent: Agent,
    model: Iterable[Step] | Model | None = None,
    *,
    details: dict[str, Any] | None = None,
    timeout_s: float = 10.0,
    **settings: Any,
) -> AsyncIterator[Caller]:
    """Serve an agent and call it.

    Args:
        agent: Who answers.
        model: What the model says and chooses, step by step; a model; None for the scripted one, without its pauses.
        details: Fields of Retell's call object over the usual ones, which are those of an inbound phone call.
        timeout_s: Longest wait for an answer, in seconds.
        settings: Fields of `retell_ws.settings.Settings`.

    Yields:
        The caller, greeted.

    Raises:
        AssertionError: After the block: the server broke the protocol, the script was not played as written, or
            something of the call was left behind.
    """
    script: Script | None = None
    if model is None:
        settings = {"model": "scripted", "scripted_ttft_ms": 0, "scripted_spacing_ms": 0, **settings}
        played: Model | None = None
    elif isinstance(model, Iterable):
        played = script = Script(model)
    else:
        played = model
    async with nothing_left():
        async with running(agent, Settings(**{"port": 0, **settings}), model=played) as server:
            retell = FakeRetell(
                server.url,
                details={**PHONE, **(details or {})},
                dial_policy=DialPolicy(attempts=1),
                reminder_max_count=0,
            )
            async with retell:
                await retell.greeting(timeout_s=timeout_s)
                yield Caller(retell, script, timeout_s)
            faults = retell.report.faults
        del retell, server
    if faults:
        raise AssertionError(f"the server broke the protocol: {faults}")
    if script is not None and script.unplanned:
        raise AssertionError(f"the model was asked {script.unplanned} times more than the script has steps")
    if script is not None and script.left:
        raise AssertionError(f"{script.left} steps of the script were not played")
