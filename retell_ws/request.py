"""What a model is asked: messages, tools and limits, nothing of any vendor. Its structs encode as the Messages API has
them, which other models' adapters translate."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .tool import ToolSpec

__all__ = ["Block", "Message", "ModelRequest", "ToolResult", "ToolUse", "Words"]


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
        previous_id: `End.message_id` of the call's answer before; empty for none. It changes no answer: the provider
            says by it why its prompt cache missed.
        cache_scope: Whose answers these are, when the answer may be kept and given to another caller who asks the same
            in a conversation that is the same from its beginning; empty when it may not (`answers.py`).
    """

    system: str
    messages: tuple[Message, ...]
    max_tokens: int
    model: str = ""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    previous_id: str = ""
    cache_scope: str = ""

    def asks_the_same(self, other: ModelRequest) -> bool:
        """Tell whether a model would be asked the same by another request."""
        return (
            self.messages == other.messages
            and self.system == other.system
            and self.tools == other.tools
            and self.tool_choice == other.tool_choice
            and self.model == other.model
            and self.max_tokens == other.max_tokens
        )
