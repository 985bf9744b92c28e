"""What the scripted model says where no tool comes in. Pure, and the same for the same conversation.

It talks as a receptionist would: greets, books (asks for day and name), tells the opening hours, says goodbye, and
otherwise repeats what it heard and asks whether that is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ..prompt import CALL_BEGINS, DATA, GO_ON, REMINDER
from ..request import Message

__all__ = [
    "ANYTHING_ELSE",
    "CHECK_IN",
    "GOODBYE",
    "HELLO",
    "HOURS",
    "LISTENING",
    "WHAT_NAME",
    "WHICH_DAY",
    "day_in",
    "heard_in",
    "is_no_request",
    "is_own_question",
    "name_in",
    "repeated",
    "reply",
    "says_bye",
    "says_no",
    "says_yes",
]

LISTENING: Final = "I am here. What can I do for you?"
CHECK_IN: Final = "Are you still there?"
HELLO: Final = "Hello! How can I help you today?"
GOODBYE: Final = "Thank you. Goodbye!"
HOURS: Final = "We are open from nine to five, Monday to Friday. Would you like an appointment?"
WHICH_DAY: Final = "Gladly. Which day would suit you?"
WHAT_NAME: Final = "And what name may I put it under?"
ANYTHING_ELSE: Final = "Is there anything else I can do for you?"
NOTED: Final = f"Good, I have noted it. {ANYTHING_ELSE}"
ONCE_MORE: Final = "Sorry about that. What is it you need?"
IS_THAT_RIGHT: Final = "Is that right?"

OWN_QUESTIONS: Final = (LISTENING, CHECK_IN, HELLO, HOURS, ANYTHING_ELSE, ONCE_MORE, IS_THAT_RIGHT)
"""Questions whose answers are understood here; any other one was asked by the agent's greeting, or by a tool."""

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
_DATA = re.compile(re.escape(DATA).replace(re.escape("{data}"), ".*?"), re.DOTALL)
_YES = re.compile(r"\W*(?:yes|yeah|yep|sure|right|correct|exactly|okay|ok|please)\b", re.IGNORECASE)
_NO = re.compile(r"\W*(?:no|nope|nah|wrong)\b", re.IGNORECASE)


def reply(messages: Sequence[Message]) -> str:
    """Answer a conversation.

    Args:
        messages: Oldest first, the caller's turn last.

    Returns:
        One or two sentences; the same for the same conversation.
    """
    heard = heard_in(messages[-1]) if messages else ""
    asked = messages[-2].text if len(messages) > 1 else ""
    if heard.endswith(REMINDER):
        return CHECK_IN
    if is_no_request(heard):
        return LISTENING
    if says_bye(heard) or (asked.endswith(ANYTHING_ELSE) and says_no(heard)):
        return GOODBYE
    if asked.endswith(WHICH_DAY):
        return WHAT_NAME
    if asked.endswith(WHAT_NAME):
        return f"You are booked for {_day(messages)}, {name_in(heard)}. {ANYTHING_ELSE}"
    if _BOOK.search(heard) or (asked.endswith(HOURS) and says_yes(heard)):
        return WHAT_NAME if _DAY.search(heard) else WHICH_DAY
    if _HOURS.search(heard):
        return HOURS
    if asked.endswith(CHECK_IN) and says_yes(heard):
        return LISTENING
    if asked.endswith(IS_THAT_RIGHT) and says_yes(heard):
        return NOTED
    if asked.endswith(IS_THAT_RIGHT) and says_no(heard):
        return ONCE_MORE
    if _HELLO.fullmatch(heard):
        return HELLO
    return f"You said: {repeated(_HELLO.sub('', heard, count=1) if _HELLO.match(heard) else heard)}. {IS_THAT_RIGHT}"


def heard_in(message: Message) -> str:
    """Take what the caller said: the data of a call, which stands before their first words, is no part of it."""
    return _DATA.sub("", message.text, count=1).strip()


def is_own_question(said: str) -> bool:
    """Tell whether what was said last asks something that `reply` understands the answer to."""
    return said.endswith(OWN_QUESTIONS)


def is_no_request(heard: str) -> bool:
    """Tell whether the caller was silent, or made sounds that are no words."""
    return heard.endswith(REMINDER) or heard in (GO_ON, CALL_BEGINS) or not re.search(r"\w", heard)


def says_bye(heard: str) -> bool:
    """Tell whether the caller is done."""
    return _BYE.search(heard) is not None


def says_yes(heard: str) -> bool:
    """Tell whether an answer begins with a yes."""
    return _YES.match(heard) is not None


def says_no(heard: str) -> bool:
    """Tell whether an answer begins with a no."""
    return _NO.match(heard) is not None


def day_in(heard: str) -> str | None:
    """Find a day, by its name or as seen from today."""
    found = _DAY.search(heard)
    return _WEEKDAY.sub(lambda weekday: weekday.group().capitalize(), found.group().lower()) if found else None


def name_in(heard: str) -> str:
    """Find the name in the answer to a question for it: all of the answer, when nothing else is."""
    found = _NAME.search(heard)
    return found.group(1) if found else repeated(heard)


def repeated(text: str) -> str:
    """Take as much of what was heard as may be said back."""
    return " ".join(text.split()[:MAX_REPEATED_WORDS]).rstrip(" .,!?;:…")


def _day(messages: Sequence[Message]) -> str:
    """Find the day the caller named last; what they answered to the question when it was no day we know."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role == "user":
            if day := day_in(message.text):
                return day
            if index and messages[index - 1].text.endswith(WHICH_DAY):
                return repeated(message.text)
    return "the day you named"
