"""One call to an agent, from the caller's side, over the real protocol: for the tests of whoever writes agents.

async with calling(agent, [Use("book", day="Tuesday", name="Bo"), "You are booked."]) as caller:
    await caller.says("Tuesday, for Bo.")
    assert caller.tools == [("book", {"day": "Tuesday", "name": "Bo"})]
    assert "booked" in caller.heard
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar

import msgspec

from ..agent import Agent
from ..blueprints import running
from ..ports import Model
from ..request import ModelRequest
from ..settings import Settings
from .acceptance import Action, ToolSeen
from .dial import DialPolicy
from .leaks import nothing_left
from .report import Answer, answer_of
from .retell import FakeRetell
from .script import Script, Step

__all__ = ["Caller", "Calling", "calling"]

_T = TypeVar("_T")

PHONE = {"call_type": "phone_call", "direction": "inbound", "from_number": "+14155550123", "to_number": "+14155550199"}
"""Who calls, unless the test says otherwise."""


class Caller:
    """Who calls. Whatever waits for the agent raises `TimeoutError` with what was heard so far.

    Args:
        retell: The call.
        model: The script, when the test wrote one.
        timeout_s: Longest wait for an answer, in seconds.

    Attributes:
        retell: The whole synthetic call, for what is not offered here.
        model: The script, when there is one.
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

    async def speaks(self, text: str) -> None:
        """Say something, and wait for no answer but until the server has heard it. See `hears`."""
        await self.retell.request(text)
        await self.retell.ping()

    async def hears(self) -> Answer:
        """Hear the whole answer to what was said last."""
        return await self._answer(self.retell.rules.latest)

    async def begins(self, text: str) -> str:
        """Say something and hear only the first words of the answer; whatever comes next interrupts it."""
        response_id = await self.retell.request(text)
        return await self._in_time(response_id, self.retell.piece(response_id, timeout_s=self._timeout_s))

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

    async def hangs_up(self) -> None:
        """End the call; leaving the block does so too."""
        await self.retell.hang_up()

    async def _answer(self, response_id: int) -> Answer:
        return await self._in_time(response_id, self.retell.answer(response_id, timeout_s=self._timeout_s))

    async def _in_time(self, response_id: int, answer: Awaitable[_T]) -> _T:
        try:
            return await answer
        except TimeoutError:
            heard = self.retell.rules.exchanges[response_id].text
            running = [tool.name for tool in self.runs if tool.result is None]
            raise TimeoutError(
                f"no {'end of the' if heard else ''} answer within {self._timeout_s:g} s; "
                f"heard: {heard!r}; tools that still run: {', '.join(running) or 'none'}".replace("  ", " ")
            ) from None

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
    def requests(self) -> list[ModelRequest]:
        """What the model was asked, in order.

        Raises:
            TypeError: The model is no script: a list of steps was not given.
        """
        if self.model is None:
            raise TypeError("only a script keeps its requests: calling(agent, [...])")
        return self.model.requests

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


Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Caller]]
"""The type of `calling`, for tests that take it as a fixture."""


@asynccontextmanager
async def calling(
    agent: Agent,
    model: Iterable[Step] | Model | None = None,
    *,
    details: dict[str, Any] | None = None,
    speed: float | None = None,
    timeout_s: float = 10.0,
    leaves_nothing: bool = True,
    **settings: Any,
) -> AsyncIterator[Caller]:
    """Serve an agent and call it.

    Args:
        agent: Who answers.
        model: What the model says and chooses, step by step; a model; None for the scripted one, without its pauses.
        details: Fields of Retell's call object over the usual ones, which are those of an inbound phone call.
        speed: Factor on the pace of 160 words a minute at which the agent speaks; None speaks in no time.
        timeout_s: Longest wait for an answer, in seconds.
        leaves_nothing: Fail when tasks or sockets are left; False for an agent that keeps connections of its own.
        settings: Fields of `retell_ws.settings.Settings`.

    Yields:
        The caller, greeted.

    Raises:
        AssertionError: After the block: the server broke the protocol, the script was not played as written, or
            something of the call was left behind. What the block itself raises comes out of it as it is, with a note
            when the script was not played as written.
    """
    if model is None:
        settings = {"model": "scripted", "scripted_ttft_ms": 0, "scripted_spacing_ms": 0, **settings}
    played = Script(model) if isinstance(model, Iterable) else model
    if played is not None and not hasattr(played, "stream"):
        raise TypeError(f"{played!r} is no model; a script is a list of steps")
    script = played if isinstance(played, Script) else None
    raised: BaseException | None = None
    try:
        async with nothing_left() if leaves_nothing else nullcontext():
            async with running(agent, Settings(**{"port": 0, **settings}), model=played) as server:
                retell = FakeRetell(
                    server.url,
                    details={**PHONE, **(details or {})},
                    speed=speed,
                    dial_policy=DialPolicy(attempts=1),
                    reminder_max_count=0,
                )
                async with retell:
                    caller = Caller(retell, script, timeout_s)
                    await caller._answer(0)
                    try:
                        yield caller
                    except BaseException as exc:
                        raised = exc
                        raise
            _judge(retell, script)
            del retell, caller, server  # or they would hold what is looked for now
    except BaseException as exc:
        if raised is None or not (exc is raised or isinstance(exc, Exception)):
            raise
        _annotate(raised, script, None if exc is raised else exc)
    if raised is not None:
        raise raised


def _judge(retell: FakeRetell, script: Script | None) -> None:
    """Complain of what went wrong in a call though the test was content."""
    if script is not None and script.failure is not None:
        raise script.failure
    if retell.report.faults:
        faults = "; ".join(f"{note.finding}: {note.detail}" for note in retell.report.faults)
        raise AssertionError(f"the server broke the protocol: {faults}")
    if script is not None and script.problem:
        raise AssertionError(script.problem)


def _annotate(raised: BaseException, script: Script | None, afterwards: BaseException | None) -> None:
    """Say beside an exception what may have led to it, and what came after."""
    if script is not None and script.failure is not None:
        raised.add_note(f"a step of the script raised {script.failure!r}")
    elif script is not None and script.unplanned:  # steps that are left say nothing: the test broke off
        raised.add_note(script.problem)
    if afterwards is not None:
        raised.add_note(f"and when the call was taken down: {afterwards!r}")
