"""What a person who calls with `chat` is, can say and sees, at a terminal as through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import UsageError
from ..testing.acceptance import Action, ToolSeen
from ..testing.dial import DialPolicy
from ..testing.report import Answer
from .plain import one_line

__all__ = [
    "COMMANDS",
    "HELP",
    "ONE_DIAL",
    "PATIENT",
    "WAITS",
    "Deeds",
    "Redials",
    "details_of",
    "ending",
    "pressing",
    "timing",
    "unknown",
]

COMMANDS = {
    "/silence": "say nothing",
    "/drop": "cut the line and redial",
    "/raw": "show what comes in, or hide it",
    "/quit": "hang up",
}
HELP = "   ".join(f"{command}: {what}" for command, what in COMMANDS.items())
WAITS = "(the agent waits for you to speak)"

MAX_SHOWN = 200
"""Characters of a tool's arguments, and of its result, that are shown."""

ONE_DIAL = DialPolicy(attempts=1)
"""Whoever sits at a terminal wants to know at once that nobody answers."""

PATIENT = DialPolicy(attempts=40, timeout_s=2.0, pause_s=0.25)
"""How a lost line is redialled: until a server that was just saved, or restarted, is back."""


def details_of(variables: tuple[str, ...], from_number: str | None) -> dict[str, Any]:
    """Make the call object (§2.2): a web call, which has no numbers, or a phone call when there is one.

    Args:
        variables: Dynamic variables, each NAME=VALUE.
        from_number: The caller's number.

    Raises:
        UsageError: A variable has no name or no value.
    """
    details: dict[str, Any] = {"call_type": "web_call", "agent_id": "agent_chat", "call_status": "registered"}
    if from_number:
        details |= {"call_type": "phone_call", "direction": "inbound", "from_number": from_number}
    for variable in variables:
        name, given, value = variable.partition("=")
        if not name or not given:
            raise UsageError(f"--var takes NAME=VALUE, not {variable!r}")
        details.setdefault("retell_llm_dynamic_variables", {})[name] = value
    return details


def unknown(line: str) -> str | None:
    """Tell what is wrong with a line that looks like a command and is none; None for what a caller says."""
    word = line.partition(" ")[0]
    return None if not word.startswith("/") or line in COMMANDS else f"{word} is no command. {HELP}"


class Redials:
    """Tells of each line but the first: the call goes on, perhaps on another server, and nobody would notice.

    Args:
        note: Shows a line to the person.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._is_first = True

    def __call__(self, headers: Mapping[str, str]) -> None:
        """Be told that a line is open, as `FakeRetell(on_open=...)` tells it."""
        if not self._is_first:
            self._note("the line was cut and redialled")
        self._is_first = False


class Deeds:
    """Tells what the agent's tools did, each once: with its result, or without it and then again when it is there."""

    def __init__(self) -> None:
        self._told: list[str | None] = []

    def news(self, tools: Iterable[ToolSeen]) -> list[str]:
        """Give a line for each tool that began or ended since.

        Args:
            tools: All of the call's, in the order of their beginnings.
        """
        lines = []
        for number, tool in enumerate(tools):
            if number == len(self._told):
                self._told.append(tool.result)
            elif self._told[number] is not None or tool.result is None:
                continue
            self._told[number] = tool.result
            lines.append(f"(tool {one_line(tool.name)}: {_short(tool.arguments)} → {_came_of(tool)})")
        return lines


def _came_of(tool: ToolSeen) -> str:
    if tool.result is None:
        return "still running"
    return _short(tool.result) if tool.successful is not False else f"did not work: {_short(tool.result)}"


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"


def ending(reason: str, action: Action | None) -> str:
    """Say in one line how a call ended, and where it went on."""
    if action is None or action.kind != "transfer_number":
        return reason
    return f"{reason} to {one_line(action.value)}"


def pressing(action: Action) -> str:
    """Say in one line which keys the agent presses."""
    return f"(it presses {one_line(action.value)})"


def timing(answer: Answer) -> str:
    """Say in one line how fast an answer was."""
    if not answer.text:
        return f"total {_ms(answer.total_s)}, without a word"
    parts = (
        f"first frame {_ms(answer.first_frame_s)}",
        f"first sentence {_ms(answer.first_sentence_s)}",
        f"{answer.frames} {'frame' if answer.frames == 1 else 'frames'}",
        f"total {_ms(answer.total_s)}",
    )
    return " · ".join(parts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
