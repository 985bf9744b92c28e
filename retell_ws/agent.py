"""The agent as its author declares it. No I/O.

agent = Agent("You are Ana, the receptionist of Harbor Clinic. One or two short sentences.",
              greeting="Harbor Clinic, this is Ana.")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import msgspec

from .errors import AgentError
from .handle import Call

__all__ = ["Agent", "Greeting", "Lines"]


Greeting: TypeAlias = str | Callable[[Call], str | Awaitable[str] | AsyncIterator[str]]
"""The begin message: a text, or a function of the call that returns one, at once, later or piece by piece."""


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller hears when something goes wrong; set them in the agent's language.

    Attributes:
        greeting: Instead of a greeting whose function failed.
        holding: While the model takes too long for its first word.
        apology: Instead of an answer that never began.
        closing: After an answer that broke off in the middle.
        refusal: Instead of an answer the model refused to give.
        cut: After an answer that reached `max_tokens`.
    """

    greeting: str = "Hello, how can I help you?"
    holding: str = "One moment, please."
    apology: str = "I'm sorry, something went wrong on my side. Could you say that again?"
    closing: str = "Sorry, I lost my thread. Could you say that again?"
    refusal: str = "I'm sorry, I can't help with that."
    cut: str = "Shall I go on?"


class Agent:
    """Who answers the call.

    Args:
        instructions: The system prompt. Say who the agent is and that it speaks: short sentences, no lists.
        greeting: The begin message, said once per call. Empty: the caller speaks first. A function of the `Call`
            waits for Retell's `call_details`, up to the setting `details_wait_ms`.
        model: The model's name, when it is not the server's default.
        max_tokens: Upper bound of one answer, in tokens.
        lines: What is said when something goes wrong.
        tool_calls_in_transcript: Ask Retell for `transcript_with_tool_calls` (protocol §3.1).

    Raises:
        AgentError: The instructions are empty, or a number is out of range.
    """

    __slots__ = ("greeting", "instructions", "lines", "max_tokens", "model", "tool_calls_in_transcript")

    def __init__(
        self,
        instructions: str,
        *,
        greeting: Greeting = "",
        model: str = "",
        max_tokens: int = 300,
        lines: Lines | None = None,
        tool_calls_in_transcript: bool = False,
    ) -> None:
        if not instructions.strip():
            raise AgentError("an agent needs instructions: Agent('You are ...')")
        if max_tokens < 1:
            raise AgentError(f"max_tokens must be at least 1, not {max_tokens}")
        self.instructions = instructions
        self.greeting = greeting
        self.model = model
        self.max_tokens = max_tokens
        self.lines = lines or Lines()
        self.tool_calls_in_transcript = tool_calls_in_transcript
