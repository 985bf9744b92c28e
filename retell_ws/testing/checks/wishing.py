"""What the caller says to get an agent to do something, in words for any agent. One that does nothing is not checked.

Agents ask back before they act, so each wish goes on for some turns with answers that fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ...wire import ToolCallInvocation
from ..checking import Failed, Skipped
from ..report import Answer
from .hearing import Line

__all__ = ["ANOTHER", "BOOKING", "anything", "effect", "fitting", "hung_up", "tool_called", "transferred"]

BOOKING = "I would like to book an appointment for Tuesday. My name is Alex."

ANOTHER = "I would like to book another appointment, for Wednesday. My name is Robin."

GOODBYE = ("That is all, thank you. Goodbye.", "No, thank you. Goodbye.", "Goodbye.")

PERSON = ("Can I speak to a person, please?", "I want to talk to a person about my bill.", "Yes, please connect me.")

TURNS = 4
"""Turns to get a tool called."""

_FITTING = (
    (r"\bphone\b|\bnumber\b", "My number is 415 555 0123."),
    (r"\be-?mail\b", "It is alex at example dot com."),
    (r"\bbirth", "The third of May, 1990."),
    (r"\bname\b|\bwho\b", "My name is Alex Miller."),
    (r"\btime\b|\bhour\b|o'clock|\bmorning\b|\bafternoon\b", "Ten in the morning, please."),
    (r"\bday\b|\bdate\b|\bwhen\b", "On Tuesday, please."),
    (r"\breason\b|\bservice\b|\bkind\b|\btype\b|\bwhat (?:for|is it)\b", "A regular check-up."),
    (r"\binstead\b|\banother\b|\bnot available\b|\bfully booked\b", "Any other day is fine, the first free one."),
)
"""What the agent may ask about a booking, and an answer to it; the first row that fits."""

_LOOKS = re.compile(
    r"(?:^|[^a-z])(?:get|check|find|list|search|look|lookup|query|fetch|show|read|free|available|availability)(?:[^a-z]|$)"
)
_LEAVES = re.compile(r"end_?call|hang_?up|good_?bye|transfer|hand_?off|connect|escalate", re.IGNORECASE)


def fitting(asked: str) -> str:
    """Answer what the agent asked about a booking."""
    question = asked.lower()
    return next((answer for pattern, answer in _FITTING if re.search(pattern, question)), "Yes, please go ahead.")


def anything(call: ToolCallInvocation) -> bool:
    """Any tool will do."""
    return True


def effect(call: ToolCallInvocation) -> bool:
    """Whether a tool does something in the world, as far as its name tells: to look something up twice is no harm."""
    return not _LOOKS.search(call.name) and not _LEAVES.search(call.name)


async def tool_called(
    line: Line, wanted: Callable[[ToolCallInvocation], bool] = anything, *, said: str = BOOKING
) -> int:
    """Ask for a booking until a tool is called, and return the id, at once; it may still be open.

    Args:
        line: The call.
        wanted: Tells which tools count.
        said: What the caller begins with.

    Raises:
        Skipped: The agent calls none.
        Failed: An answer, or a readable invocation, did not come.
    """
    name = f"tools: {wanted.__name__}"
    _skip_if_known(line, name)
    for _ in range(TURNS):
        before = len(line.invocations)
        response_id = await line.retell.request(said)
        exchange = line.retell.rules.exchanges[response_id]

        def called(since: int = before) -> bool:
            return any(wanted(call) for call in line.invocations[since:])

        def is_over() -> bool:
            return called() or bool(line.unreadable) or exchange.is_complete  # noqa: B023  # waited for in this turn

        await line.until(is_over, timeout_s=line.server.patience.answer_s)
        if line.unreadable:
            raise Failed(line.unreadable[0])
        if called():
            return response_id
        answer = await line.answer(response_id)
        if called():
            return response_id
        if answer.action is not None:
            break
        said = fitting(answer.text)
    tools = {call.name for call in line.invocations}
    told = f"only {', '.join(sorted(tools))} was called" if tools else "no tool was called"
    why = f"{told} though a booking was asked for"
    if not any(wanted(call) for call in line.invocations):
        line.server.lacks[name] = why
    raise Skipped(why)


async def hung_up(line: Line) -> Answer:
    """Say goodbye until the agent hangs up; returns the answer that does. Raises as `tool_called` does."""
    return await _acts(line, "end_call", GOODBYE, "the agent does not hang up when the caller says goodbye")


async def transferred(line: Line) -> Answer:
    """Ask for a person until the agent hands the caller on; likewise."""
    return await _acts(line, "transfer_number", PERSON, "the agent hands nobody on who asks for a person")


async def _acts(line: Line, kind: str, words: tuple[str, ...], otherwise: str) -> Answer:
    _skip_if_known(line, kind)
    for text in words:
        answer = await line.says(text)
        if kind in line.actions(answer.response_id):
            return answer
        if answer.action is not None:
            break
    line.server.lacks[kind] = otherwise
    raise Skipped(otherwise)


def _skip_if_known(line: Line, name: str) -> None:
    if name in line.server.lacks:
        raise Skipped(line.server.lacks[name])
