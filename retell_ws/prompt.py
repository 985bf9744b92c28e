"""From the agent and Retell's transcript to one request for the model. Pure functions.

The parts are ordered for the provider's prompt cache: what never changes during a call comes first and stays
byte-stable, the conversation comes last (`models/messages_api.py`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .agent import Agent
from .tool import ToolSpec
from .transcript import AGENT, Question

__all__ = ["Block", "Message", "ModelRequest", "ToolResult", "ToolUse", "Words", "build"]

CALL_BEGINS = "(The call begins.)"
"""Stands before the agent's greeting: the model's API wants the conversation to open with its user."""

REMINDER = "(The caller has been silent for a while. Check in with one short, friendly sentence.)"
"""What stands for the caller's turn when Retell sends `reminder_required` (protocol §2.5)."""

GO_ON = "(The caller is listening.)"
"""What stands for the caller's turn when Retell asks though the agent spoke last, or nobody has spoken."""

NO_WORDS = "..."
"""Stands for an utterance without words: the model's API refuses empty messages (protocol §2.6)."""


class Words(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """What somebody said, in a message that holds tool calls or results too."""

    text: str


class ToolUse(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    """A tool the model called.

    Attributes:
        id: The model's id of this call.
        name: The tool's.
        input: Its arguments, a JSON object.
    """

    id: str
    name: str
    input: msgspec.Raw


class ToolResult(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result", omit_defaults=True):
    """What came of it; the results of one message's calls stand together in the next message, before its words."""

    tool_use_id: str
    content: str
    is_error: bool = False


Block: TypeAlias = Words | ToolUse | ToolResult


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation as the model sees it; its content is text, or blocks where tools come in."""

    role: Literal["user", "assistant"]
    content: str | tuple[Block, ...]

    @property
    def text(self) -> str:
        """Its words alone."""
        if isinstance(self.content, str):
            return self.content
        return " ".join([block.text for block in self.content if isinstance(block, Words)])


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked: everything an adapter needs, nothing of any vendor.

    Attributes:
        system: The agent's instructions; identical in every request of a call.
        messages: The conversation, oldest first; starts with the caller and ends with the caller.
        max_tokens: Upper bound of the answer in tokens.
        model: The model's name; empty for the adapter's own default.
        tools: What the model may call, in an order that never changes during a call.
        tool_choice: `none` when it may call nothing this time, though its tools are still told.
    """

    system: str
    messages: tuple[Message, ...]
    max_tokens: int
    model: str = ""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"


def build(agent: Agent, question: Question) -> ModelRequest:
    """Put the question of one `response_id` to the model.

    The transcript is the truth about what was said and heard, so it is all there is to build from. The API
    refuses empty messages, space at the end, two messages of one role in a row, and a conversation that does
    not open and end with its user; each of these occurs in real transcripts (protocol §2.6) and is mended here.
    """
    turns: list[tuple[Literal["user", "assistant"], list[str]]] = []

    def add(role: Literal["user", "assistant"], content: str) -> None:
        if turns and turns[-1][0] == role:
            turns[-1][1].append(content)
        else:
            turns.append((role, [content]))

    for utterance in question.transcript:
        content = (utterance.content or "").strip()
        if utterance.role != AGENT:
            add("user", content or NO_WORDS)
        elif content:
            if not turns:
                add("user", CALL_BEGINS)
            add("assistant", content)
    if question.kind == "reminder":
        add("user", REMINDER)
    elif not turns or turns[-1][0] == "assistant":
        add("user", GO_ON)
    messages = tuple([Message(role, " ".join(parts)) for role, parts in turns])
    return ModelRequest(system=agent.instructions, messages=messages, max_tokens=agent.max_tokens, model=agent.model)
