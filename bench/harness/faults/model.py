"""The model of the fault bench: it answers with numbered words, calls the side effect, and goes on where it was cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from bench.harness.faults.words import Question, key_of, outcome, pieces, question_in, read
from retell_ws.ports import Delta, End, Rest, Text, ToolCall, Usage, no_rest
from retell_ws.request import ModelRequest, ToolResult

__all__ = ["TOOL", "NumberedModel", "answer"]

TOOL = "book"
"""The side effect."""

DONE = "booked"
"""What the tool says when it ran."""


def answer(request: ModelRequest) -> list[Text | ToolCall]:
    """Decide what comes next: pure, the same for the same request, on whichever server it is asked.

    What was said of this answer already is the assistant's text after the question; it goes on after its last word,
    whether it was cut by a takeover (then a note of the server's comes last, `prompt.CONTINUE`) or by a tool call.
    """
    question: Question | None = None
    result: ToolResult | None = None
    last, told = 0, False
    for message in request.messages:
        if message.role == "user":
            if (found := question_in(message.text)) is not None:
                question, result, last, told = found, None, 0, False
            if not isinstance(message.content, str):
                result = next((block for block in message.content if isinstance(block, ToolResult)), result)
        elif question is not None:
            for one in read(message.text).words:
                if (one.call, one.question) == (question.call, question.number):
                    last, told = max(last, one.place), told or bool(one.outcome)
    if question is None:
        return [Text("Yes?")]
    words: list[Text | ToolCall] = [Text(piece) for piece in pieces(question, after=last)]
    if not question.books or told or last:
        return words
    if result is None:
        arguments = msgspec.json.encode({"key": key_of(question)}).decode()
        return [ToolCall(f"toolu_{key_of(question)}", TOOL, arguments)]
    return [Text(outcome(question, done=result.content.endswith(DONE))), *words]


class NumberedModel:
    """Implements `ports.Model`.

    Args:
        ttft_ms: Time before the first delta, in milliseconds.
        spacing_ms: Time between two deltas, in milliseconds.
    """

    name = "numbered"

    def __init__(self, *, ttft_ms: float, spacing_ms: float) -> None:
        self._ttft_s = ttft_ms / 1000
        self._spacing_s = spacing_ms / 1000

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Answer; see `ports.Model.stream`."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._ttft_s
        deltas = answer(request)
        if not deltas:
            await asyncio.sleep(self._ttft_s)
        for delta in deltas:
            await asyncio.sleep(max(due - loop.time(), 0.0))
            yield delta
            due += self._spacing_s
        called = any(isinstance(delta, ToolCall) for delta in deltas)
        yield End(
            stop_reason="tool_use" if called else "end_turn", usage=Usage(output_tokens=len(deltas)), model=self.name
        )

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have nothing to do: there is no connection."""

    async def aclose(self) -> None:
        """Have nothing to close."""
