"""A call to an agent that may do something: every frame in its order, and nothing is carried out. Judges no frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ...wire import Response, ToolCallInvocation, ToolCallResult
from ..checking import Failed, Server
from ..frames import ServerMessage, Unreadable, read_frame
from ..report import Answer
from ..retell import FakeRetell
from .asking import answered, begun, connected

__all__ = ["ACTIONS", "PHONE", "Heard", "Line", "actions_of", "hearing"]

PHONE = {
    "call_type": "phone_call",
    "agent_id": "agent_conformance",
    "direction": "inbound",
    "from_number": "+14155550123",
    "to_number": "+14155550199",
}
"""A call that can be transferred."""

ACTIONS = ("end_call", "transfer_number", "digit_to_press")


class Heard(msgspec.Struct, frozen=True):
    """One message of the server's.

    Attributes:
        message: The message.
        latest: The newest id that had been asked for.
        is_open: Whether that id was still to be completed.
    """

    message: ServerMessage
    latest: int
    is_open: bool


class Line:
    """A call past its begin message, with everything that was said on it.

    Attributes:
        server: The server.
        retell: The call.
        heard: Its messages, oldest first.
        unreadable: Tool messages Retell would drop, and why.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.retell: FakeRetell
        self.heard: list[Heard] = []
        self.unreadable: list[str] = []

    def hear(self, data: str) -> None:
        """Take a frame, before the call does."""
        frame = read_frame(data)
        if not isinstance(frame, Unreadable):
            self.heard.append(Heard(frame.message, self.retell.rules.latest, self.retell.rules.is_open))
        elif frame.detail.startswith("tool_call_"):
            self.unreadable.append(frame.detail)

    @property
    def invocations(self) -> list[ToolCallInvocation]:
        """The tools that were called, in order."""
        return [one.message for one in self.heard if isinstance(one.message, ToolCallInvocation)]

    @property
    def results(self) -> dict[str, ToolCallResult]:
        """What came of them, by the id of the call."""
        messages = [one.message for one in self.heard]
        return {message.tool_call_id: message for message in messages if isinstance(message, ToolCallResult)}

    def responses(self, response_id: int) -> list[Response]:
        """The frames of one id."""
        messages = [one.message for one in self.heard]
        return [one for one in messages if isinstance(one, Response) and one.response_id == response_id]

    def actions(self, response_id: int) -> set[str]:
        """What one id asks for, be it more than one thing."""
        return {kind for frame in self.responses(response_id) for kind in actions_of(frame)}

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until something holds of what was heard; tells whether it did. Raises `CallEnded`."""
        try:
            await self.retell.until(holds, timeout_s=timeout_s)
        except TimeoutError:
            return False
        return True

    async def says(self, text: str) -> Answer:
        """Say something and wait for the whole answer."""
        return await self.answer(await self.retell.request(text))

    async def answer(self, response_id: int) -> Answer:
        """Wait for the completion of one id."""
        return await answered(self.server, self.retell, response_id)

    async def all_results(self) -> None:
        """Wait for the results of all tools, and fail without them."""

        def missing() -> list[str]:
            return [call.name for call in self.invocations if call.tool_call_id not in self.results]

        limit_s = self.server.patience.answer_s
        if not await self.until(lambda: not missing(), timeout_s=limit_s):
            raise Failed(f"no result of {', '.join(missing())} after {limit_s:g} s")


@asynccontextmanager
async def hearing(server: Server, **more: Any) -> AsyncIterator[Line]:
    """A call by telephone in which nobody is hung up on or handed on, whatever the agent asks for."""
    line = Line(server)
    async with connected(server, **{"details": PHONE, "acts": False, "on_frame": line.hear, **more}) as line.retell:
        await begun(server, line.retell)
        yield line


def actions_of(frame: Response) -> set[str]:
    """The actions one frame asks for; a false or null field asks for nothing (§9.18)."""
    return {name for name in ACTIONS if getattr(frame, name)}
