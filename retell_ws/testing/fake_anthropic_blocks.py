"""What the fake API answers, block by block: given by a test, canned, or the scripted model's. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ..models.scripted import pieces
from ..models.scripted_tools import answer
from ..request import Message, ModelRequest
from ..tool import ToolSpec
from . import fake_anthropic_events as events

__all__ = ["Block", "Request", "Step", "scripted", "steps_of", "text_steps"]

JSON_PIECE: Final = re.compile(r".{1,12}", re.DOTALL)
"""The API sends a tool's input in pieces of about this size, cut anywhere."""


class Block(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One block of an answer: `text`, or `tool` with its `input`.

    Attributes:
        text: What is said; never empty.
        tool: Name of the tool called.
        input: Its arguments.
        id: The id of the call; None for one of the API's kind, which no other call has.
    """

    text: str | None = None
    tool: str | None = None
    input: dict[str, object] = {}
    id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a block that is neither or both."""
        if bool(self.text) == bool(self.tool):
            raise ValueError("a block holds a text or a tool")


class Request(msgspec.Struct):
    """As much of a request's body as the answer depends on."""

    model: str = ""
    max_tokens: int = 0
    stream: bool = False
    messages: msgspec.Raw = msgspec.Raw(b"[]")
    tools: msgspec.Raw = msgspec.Raw(b"[]")
    tool_choice: msgspec.Raw = msgspec.Raw(b"{}")
    system: msgspec.Raw = msgspec.Raw(b"[]")
    thinking: msgspec.Raw = msgspec.Raw(b"null")
    cache_control: msgspec.Raw = msgspec.Raw(b"null")
    diagnostics: msgspec.Raw = msgspec.Raw(b"null")


class Step(msgspec.Struct):
    """One delta, with all that is written with it.

    Attributes:
        start: The event that begins its block, when it is the first one.
        data: Its own event.
        index: Its block's index.
        json: The piece of a tool's input it brings; None for text.
    """

    start: bytes
    data: bytes
    index: int
    json: str | None = None


class _Choice(msgspec.Struct):
    type: str = "auto"


def scripted(request: Request) -> list[Block]:
    """Answer as the scripted model does. What it cannot read, which our clients do not send, it takes for nothing."""
    try:
        messages = msgspec.json.decode(request.messages, type=tuple[Message, ...])
        tools = msgspec.json.decode(request.tools, type=tuple[ToolSpec, ...])
        choice = msgspec.json.decode(request.tool_choice, type=_Choice)
    except msgspec.ValidationError:
        messages, tools, choice = (), (), _Choice()
    answered = answer(
        ModelRequest(
            system="",
            messages=messages,
            max_tokens=request.max_tokens,
            tools=tools,
            tool_choice="none" if choice.type == "none" else "auto",
        )
    )
    blocks = [Block(text=answered.text)] if answered.text else []
    if answered.call is not None:
        blocks.append(Block(tool=answered.call.name, input=answered.call.input))
    return blocks


def steps_of(blocks: Sequence[Block], *, request_id: int) -> list[Step]:
    """Cut blocks into deltas.

    Args:
        blocks: The answer.
        request_id: Becomes part of the ids of calls.
    """
    steps = []
    for index, block in enumerate(blocks):
        if block.tool:
            made = _tool_steps(block.id or f"toolu_{request_id:020d}{index:04d}", block.tool, block.input, index)
        else:
            made = text_steps(pieces(block.text or ""), index)
        if index:
            made[0].start = events.block_stop(index - 1) + made[0].start
        steps += made
    return steps


def text_steps(texts: Sequence[str], index: int) -> list[Step]:
    """Say these in one block."""
    steps = [Step(b"", events.delta(text, index), index) for text in texts]
    for step in steps[:1]:
        step.start = events.block_start(index)
    return steps


def _tool_steps(tool_id: str, name: str, input_: dict[str, object], index: int) -> list[Step]:
    # The first piece is always empty, and the only one of arguments that are none.
    written = json.dumps(input_, ensure_ascii=False) if input_ else ""
    steps = [Step(b"", events.input_delta(piece, index), index, piece) for piece in ["", *JSON_PIECE.findall(written)]]
    steps[0].start = events.tool_start(index, tool_id, name)
    return steps
