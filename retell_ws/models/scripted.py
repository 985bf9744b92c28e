"""A model that needs no account: fixed rules, deterministic, enough to hold a conversation. Never reaches the network.

It is what answers on the first run, in tests and in benches, and what the fake API says by default. Without tools it
talks as a receptionist would (`scripted_lines.py`); with tools it asks for what they need and calls them
(`scripted_tools.py`), so that any agent with simple tools can be tried.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

import msgspec

from ..errors import ModelBroken, ModelUnavailable
from ..ports import Delta, End, Rest, Text, ToolCall, Usage, no_rest
from ..prompt import CONTINUE
from ..request import ModelRequest
from .scripted_lines import CHECK_IN, GOODBYE, HELLO, HOURS, LISTENING, reply
from .scripted_tools import answer

__all__ = ["CHECK_IN", "GOODBYE", "HELLO", "HOURS", "LISTENING", "ScriptedModel", "pieces", "reply"]


def pieces(text: str) -> list[str]:
    """Cut a text into words, each with the space after it."""
    return re.findall(r"\S+\s*", text)


class ScriptedModel:
    """Implements `ports.Model`.

    Args:
        ttft_ms: Time before the first delta, in milliseconds.
        spacing_ms: Time between two deltas, in milliseconds.
    """

    name = "scripted"

    def __init__(self, *, ttft_ms: float = 200, spacing_ms: float = 15) -> None:
        self._ttft_s = ttft_ms / 1000
        self._spacing_s = spacing_ms / 1000
        self._closed = False
        self._calls = 0

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `ports.Model.stream`."""
        if self._closed:
            raise ModelUnavailable("the model is closed")
        answered, said = answer(request), ""
        if len(request.messages) > 2 and request.messages[-1].text == CONTINUE:
            said = request.messages[-2].text
            answered = answer(msgspec.structs.replace(request, messages=request.messages[:-2]))
        if answered.text.startswith(said):  # otherwise another model has begun it
            answered = msgspec.structs.replace(answered, text=answered.text[len(said) :].lstrip())
        deltas: list[Delta] = [Text(word) for word in pieces(answered.text)]
        if answered.call is not None:
            self._calls += 1
            arguments = msgspec.json.encode(answered.call.input).decode()
            deltas.append(ToolCall(f"toolu_scripted_{self._calls:06d}", answered.call.name, arguments))
        loop = asyncio.get_running_loop()
        due = loop.time() + self._ttft_s
        for delta in deltas:
            # By the clock, so that lateness does not add up; and never without giving way, as no network would.
            early = due - loop.time()
            await asyncio.sleep(max(early, rest()) if early > 0 else 0)
            if self._closed:
                raise ModelBroken("the model was closed")
            yield delta
            due += self._spacing_s
        yield End(
            stop_reason="end_turn" if answered.call is None else "tool_use",
            usage=Usage(
                input_tokens=sum(len(message.text.split()) for message in request.messages),
                output_tokens=len(deltas),
            ),
            model=self.name,
        )

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have nothing to do: there is no connection."""

    async def aclose(self) -> None:
        """Answer nothing more; streams still open end in `ModelBroken` at their next word."""
        self._closed = True
