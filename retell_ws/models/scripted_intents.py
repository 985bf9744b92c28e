"""Which tool a caller's words ask for, as the scripted model guesses it: by the words of the tools' names. Pure.

A few things a caller may want go by many words; each is one row of a table, read for what was said and for the names
of tools alike. Nouns help to choose between tools: `cancel_order`, `cancel_appointment`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from ..tool import ToolSpec
from .scripted_arguments import Argument, arguments_of, words_of
from .scripted_lines import says_bye

__all__ = ["BOOK", "CANCEL", "CONFIRM", "END", "MOVE", "TRANSFER", "Tool", "asked_for", "tools_of"]

BOOK: Final = "book"
CANCEL: Final = "cancel"
MOVE: Final = "move"
CONFIRM: Final = "confirm"
TRANSFER: Final = "transfer"
END: Final = "end"
ORDER: Final = "order"
CALL_BACK: Final = "call back"
SEND: Final = "send"
LOOK_UP: Final = "look up"


def _any(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


_SAID: Final = {
    BOOK: _any("book", "booked", "reserve", "schedule", "sign (?:me )?up", "set up"),
    CANCEL: _any("cancel", "cancell?ed", "cancell?ing", "cancellation", "call off"),
    MOVE: _any(
        "move", "reschedule", "rescheduled", "postpone", "change", "(?:another|a different|some other) (?:day|time)",
    ),
    CONFIRM: _any("confirm", "confirmed", "i(?:'ll| will) (?:come|be there)", "see you"),
    TRANSFER: _any(
        "transfer", "human", "operator", "representative", "real person", "a person", "connect", "handoff", "hand off",
        "escalate", "(?:speak|talk) (?:to|with)", "put me through",
    ),
    END: _any("hang up", "hangup", "end (?:the |this |our )?call"),
    ORDER: _any("to order", "order (?:an?|some|two|three|four|five)", "(?:place|make) an order", "buy", "purchase"),
    CALL_BACK: _any("call ?back", "(?:call|ring) (?:me|us) back"),
    SEND: _any("send", "resend", "text me", "sms", "e-?mail me"),
    LOOK_UP: _any("look ?up", "look for", "find", "check", "search", "track", "status", "where(?:'s| is| are)?"),
}  # fmt: skip
"""What a caller says for each."""

_NAMED: Final = {
    TRANSFER: _any("person"),
    END: _any("end", "finish", "goodbye", "bye"),
    ORDER: _any("^order", "(?:place|create|make|new|submit|start)(?: an?| new)? order"),
    LOOK_UP: _any("get", "fetch", "query", "list", "show", "read", "lookup"),
}
"""What a tool may be named beside that."""

_BOOKING: Final = _any("bookings?", "appointments?", "reservations?")
"""Nouns that mean booking where nothing else is said: one may also cancel or move them."""

_IT: Final = _any("it")

_CONTRARY: Final = frozenset({CANCEL, MOVE, TRANSFER, END})
"""What is meant in earnest: it never asks for a tool just because of a noun they share."""

_EMPTY: Final = frozenset(
    "a an the my your our their this that it is are be do does did i you we me us of for to in on at by with from "
    "about and or not no can could would will like want need have has please tool make create add new place request "
    "caller call when what which who how use if there any".split()
)
"""Words that tell no tool from another."""


class Tool(msgspec.Struct, frozen=True):
    """A tool, read for what asks for it.

    Attributes:
        name: Its name.
        arguments: In the schema's order.
        wants: The rows of the table its name belongs to.
        nouns: The other words of its name, without their endings.
        told: The words of its description, likewise.
    """

    name: str
    arguments: tuple[Argument, ...]
    wants: frozenset[str]
    nouns: frozenset[str]
    told: frozenset[str]


def tools_of(specs: Sequence[ToolSpec]) -> tuple[Tool, ...]:
    """Read the tools of a request."""
    return tuple([_tool(spec) for spec in specs])


def asked_for(heard: str, tools: Sequence[Tool]) -> tuple[Tool, frozenset[str]] | None:
    """Guess which tool the caller wants.

    Args:
        heard: What they said.
        tools: Those to choose from; of equals, the first one is meant.

    Returns:
        The tool, and the rows of the table both it and the words belong to; None when no tool was asked for.
    """
    wants = _wants(heard)
    words = _stems(heard)
    best, best_score = None, 0.0
    for tool in tools:
        score = _score(tool, wants, words, is_it=_IT.search(heard) is not None)
        if score > best_score:
            best, best_score = tool, score
    return None if best is None else (best, best.wants & wants)


def _tool(spec: ToolSpec) -> Tool:
    spoken = " ".join(words_of(spec.name))
    wants = frozenset(want for want, pattern in _SAID.items() if pattern.search(spoken))
    wants |= {want for want, pattern in _NAMED.items() if pattern.search(spoken)}
    if not wants and _BOOKING.search(spoken):
        wants = frozenset({BOOK})
    return Tool(spec.name, arguments_of(spec.input_schema), wants, _others(spoken), _others(spec.description))


def _wants(heard: str) -> frozenset[str]:
    wants = frozenset(want for want, pattern in _SAID.items() if pattern.search(heard))
    if says_bye(heard):
        wants |= {END}
    return wants if wants or not _BOOKING.search(heard) else frozenset({BOOK})


def _score(tool: Tool, wants: frozenset[str], words: frozenset[str], *, is_it: bool) -> float:
    """Weigh what speaks for a tool; 0 when it was not asked for."""
    nouns, told = tool.nouns & words, tool.told & words
    if common := tool.wants & wants:
        # To check is said of everything: it must be this, or what is talked of already.
        asked = common != {LOOK_UP} or not tool.nouns or bool(nouns or told or is_it)
    elif tool.wants:
        asked = tool.wants == {LOOK_UP} and not wants and bool(tool.nouns) and tool.nouns <= words
    elif tool.nouns:
        asked = bool(nouns) and not wants & _CONTRARY
    else:
        asked = len(told) > 1
    return 4 * len(common) + 2 * len(nouns) + 0.5 * min(len(told), 3) if asked else 0


def _others(text: str) -> frozenset[str]:
    """Take the words that belong to no row of the table."""
    for pattern in (*_SAID.values(), *_NAMED.values()):
        text = pattern.sub(" ", text)
    return _stems(text)


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in re.findall(r"[^\W_]+", text.lower()) if word not in _EMPTY)


def _stem(word: str) -> str:
    """Cut the endings off that set one mention apart from another, roughly: opening, openings; price, prices."""
    for ending in ("s", "ing", "ed", "e"):
        if len(word) > len(ending) + 2 and word.endswith(ending) and not word.endswith("ss"):
            word = word[: -len(ending)]
    return word
