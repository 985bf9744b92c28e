"""A model that needs no account: fixed rules, deterministic, enough to hold a conversation. Never reaches the network.

It is what answers on the first run, in tests and in benches, and what the fake API says by default. It takes orders
as a receptionist would: greets, books (asks for day and name), tells the opening hours, says goodbye, and otherwise
repeats what it heard and asks whether that is right.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from ..errors import ModelBroken, ModelUnavailable
from ..ports import Delta, End, Rest, Text, Usage, no_rest
from ..prompt import CALL_BEGINS, GO_ON, REMINDER, Message, ModelRequest

__all__ = ["ScriptedModel", "pieces", "reply"]

LISTENING: Final = "I am here. What can I do for you?"
CHECK_IN: Final = "Are you still there?"
HELLO: Final = "Hello! How can I help you today?"
GOODBYE: Final = "Thank you for calling. Goodbye!"
HOURS: Final = "We are open from nine to five, Monday to Friday. Would you like an appointment?"
WHICH_DAY: Final = "Gladly. Which day would suit you?"
WHAT_NAME: Final = "And what name may I put it under?"
ANYTHING_ELSE: Final = "Is there anything else I can do for you?"
NOTED: Final = f"Good, I have noted it. {ANYTHING_ELSE}"
ONCE_MORE: Final = "Sorry about that. What is it you need?"
IS_THAT_RIGHT: Final = "Is that right?"

MAX_REPEATED_WORDS: Final = 20
"""As much of a request as is said back; nobody listens to more."""

_WEEKDAY = re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.IGNORECASE)
_DAY = re.compile(
    rf"(?:\b(?:next|this)\s+)?{_WEEKDAY.pattern}|\b(?:the day after )?tomorrow\b|\btoday\b|\bnext week\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:(?:my |the )?name(?: is|'s)|this is|i am|i'm|it's for|it is for|it's|it is|under|for)\s+"
    r"(?!(?:a|an|the)\b)([^\W\d_][\w'-]*(?:\s+(?-i:[A-Z])[\w'-]*)?)",
    re.IGNORECASE,
)
_BOOK = re.compile(r"\b(?:book|booking|appointment|reserve|reservation|schedule)\b", re.IGNORECASE)
_HOURS = re.compile(r"\b(?:hours|open|opening|close|closing|closed)\b", re.IGNORECASE)
_BYE = re.compile(
    r"\b(?:bye|goodbye|that's all|that is all|that's it|nothing else|no thanks|no thank you)\b", re.IGNORECASE
)
_HELLO = re.compile(r"\W*(?:hello|hi|hey|good (?:morning|afternoon|evening))\b(?:\W+there\b)?\W*", re.IGNORECASE)
_YES = re.compile(r"\W*(?:yes|yeah|yep|sure|right|correct|exactly|okay|ok|please)\b", re.IGNORECASE)
_NO = re.compile(r"\W*(?:no|nope|nah|wrong)\b", re.IGNORECASE)


def reply(messages: Sequence[Message]) -> str:
    """Answer a conversation.

    Args:
        messages: Oldest first, the caller's turn last.

    Returns:
        One or two sentences; the same for the same conversation.
    """
    heard = messages[-1].content.strip() if messages else ""
    asked = messages[-2].content if len(messages) > 1 else ""
    if heard.endswith(REMINDER):
        return CHECK_IN
    if heard in (GO_ON, CALL_BEGINS) or not re.search(r"\w", heard):
        return LISTENING
    if _BYE.search(heard) or (asked.endswith(ANYTHING_ELSE) and _NO.match(heard)):
        return GOODBYE
    if asked.endswith(WHICH_DAY):
        return WHAT_NAME
    if asked.endswith(WHAT_NAME):
        return f"You are booked for {_day(messages)}, {_name(heard)}. {ANYTHING_ELSE}"
    if _BOOK.search(heard) or (asked.endswith(HOURS) and _YES.match(heard)):
        return WHAT_NAME if _DAY.search(heard) else WHICH_DAY
    if _HOURS.search(heard):
        return HOURS
    if asked.endswith(IS_THAT_RIGHT) and _YES.match(heard):
        return NOTED
    if asked.endswith(IS_THAT_RIGHT) and _NO.match(heard):
        return ONCE_MORE
    if _HELLO.fullmatch(heard):
        return HELLO
    return f"You said: {_repeated(_HELLO.sub('', heard, count=1) if _HELLO.match(heard) else heard)}. {IS_THAT_RIGHT}"


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

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `ports.Model.stream`."""
        if self._closed:
            raise ModelUnavailable("the model is closed")
        words = pieces(reply(request.messages))
        loop = asyncio.get_running_loop()
        due = loop.time() + self._ttft_s
        for word in words:
            # By the clock, so that lateness does not add up; and never without giving way, as no network would.
            early = due - loop.time()
            await asyncio.sleep(max(early, rest()) if early > 0 else 0)
            if self._closed:
                raise ModelBroken("the model was closed")
            yield Text(word)
            due += self._spacing_s
        yield End(
            usage=Usage(
                input_tokens=sum(len(message.content.split()) for message in request.messages),
                output_tokens=len(words),
            ),
            model=self.name,
        )

    async def warm(self) -> None:
        """Have nothing to do: there is no connection."""

    async def aclose(self) -> None:
        """Answer nothing more; streams still open end in `ModelBroken` at their next word."""
        self._closed = True


def _day(messages: Sequence[Message]) -> str:
    """Find the day the caller named last; what they answered to the question when it was no day we know."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role == "user":
            if found := _DAY.search(message.content):
                return _WEEKDAY.sub(lambda weekday: weekday.group().capitalize(), found.group().lower())
            if index and messages[index - 1].content.endswith(WHICH_DAY):
                return _repeated(message.content)
    return "the day you named"


def _name(heard: str) -> str:
    found = _NAME.search(heard)
    return found.group(1) if found else _repeated(heard)


def _repeated(text: str) -> str:
    return " ".join(text.split()[:MAX_REPEATED_WORDS]).rstrip(" .,!?;:…")
