"""The terminal of `chat`: the agent's words as they are spoken above a line to type on. Never waits for the agent."""

from __future__ import annotations

import asyncio
import textwrap
from contextlib import suppress
from typing import Any

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout

from ..testing.acceptance import Exchange
from ..testing.dial import DialError
from ..testing.retell import CallEnded, FakeRetell, Superseded
from .caller import HELP, ONE_DIAL, PATIENT, WAITS, Deeds, Redials, ending, pressing, timing, unknown
from .plain import one_line

__all__ = ["talk"]

MARGIN = 7
"""Columns before what is said: who says it."""


class _Screen:
    """What stands on the terminal: finished lines above, the agent's current words in the prompt."""

    def __init__(self, *, raw: bool) -> None:
        # What is typed is shown again by `caller`, below the agent's words: the prompt itself leaves nothing behind.
        self.session: PromptSession[str] = PromptSession(erase_when_done=True)
        self.raw = raw
        self.deeds = Deeds()
        self._said = ""
        self._unasked: Exchange | None = None  # the interruption that is being spoken

    def prompt(self) -> FormattedText:
        """The words being spoken, as many of their last lines as there is room for, and where to type."""
        size = self.session.app.output.get_size()
        lines = self._lines(one_line(self._said))[-max(1, size.rows - 3) :]
        speaking = [part for number, line in enumerate(lines) for part in self._agent(line, first=number == 0)]
        return FormattedText([*speaking, ("bold", "you    ")])

    def word(self, word: str) -> None:
        self._said += word
        self._close_unasked()
        self.session.app.invalidate()

    def interrupted(self, interrupt: Exchange) -> None:
        """Begin a line when the agent speaks unasked: nobody waits for the end of these words, as of an answer's."""
        if interrupt is not self._unasked:
            self.close_line(cut=True)
            self._unasked = interrupt
        self._close_unasked()

    def frame(self, data: str) -> None:
        if self.raw:
            self.note(data)

    def close_answer(self) -> None:
        """Move an answer to the lines above, unless an interruption did: the words in the prompt are its own then."""
        if self._unasked is None:
            self.close_line()

    def _close_unasked(self) -> None:
        unasked = self._unasked
        if unasked is None or not unasked.is_complete or len(self._said) < unasked.length:
            return
        self.close_line()
        if unasked.action is not None and unasked.action.kind == "digit_to_press":
            self.note(pressing(unasked.action))

    def close_line(self, *, cut: bool = False) -> None:
        """Move the agent's words from the prompt to the lines above."""
        said, self._said = one_line(self._said), ""
        self._unasked = None
        if said:
            lines = self._lines(said + (" —" if cut else ""))
            parts = [part for number, line in enumerate(lines) for part in self._agent(line, first=number == 0)]
            print_formatted_text(FormattedText(parts), end="")

    def caller(self, line: str) -> None:
        print_formatted_text(FormattedText([("bold", "you    "), ("", line)]))

    def note(self, text: str) -> None:
        for line in self._lines(text):
            print_formatted_text(FormattedText([("ansibrightblack", f"{'':{MARGIN}}{line}")]))

    def _lines(self, text: str) -> list[str]:
        columns = self.session.app.output.get_size().columns
        return textwrap.wrap(text.strip(), max(20, columns - MARGIN - 1))

    def _agent(self, line: str, *, first: bool) -> list[tuple[str, str]]:
        return [("bold ansicyan", f"{'agent' if first else '':{MARGIN}}"), ("", f"{line}\n")]


async def talk(url: str, name: str, *, details: dict[str, Any], speed: float, raw: bool) -> int:
    """Hold one conversation.

    Args:
        url: The server.
        name: What to call it on the screen.
        details: The call object.
        speed: Factor on the agent's pace.
        raw: Whether to begin with showing frames.

    Returns:
        0, or 1 when the call ended in error.

    Raises:
        DialError: The server could not be reached.
    """
    screen = _Screen(raw=raw)
    retell = FakeRetell(
        url,
        details=details,
        dial_policy=ONE_DIAL,
        redial_policy=PATIENT,
        speed=speed,
        reminder_max_count=0,
        on_word=screen.word,
        on_interrupt=screen.interrupted,
        on_frame=screen.frame,
        on_open=Redials(screen.note),
    )
    with patch_stdout(raw=True):
        async with retell, asyncio.TaskGroup() as tasks:
            screen.note(f"talking to {name}")
            screen.note("/help for commands · Enter while it speaks interrupts")
            typing = tasks.create_task(_type(screen, retell, tasks))
            await retell.ended(timeout_s=7200)  # the longest call there is (§1.1)
            typing.cancel()
    screen.close_line(cut=retell.disconnection_reason == "user_hangup")
    reason = retell.disconnection_reason or ""
    screen.note(f"call ended: {ending(reason, retell.rules.current.action)}")
    return 1 if reason.startswith("error") else 0


async def _type(screen: _Screen, retell: FakeRetell, tasks: asyncio.TaskGroup) -> None:
    """Read lines until the caller hangs up."""
    following = tasks.create_task(_follow(screen, retell, 0))
    try:
        while True:
            try:
                line = (await screen.session.prompt_async(screen.prompt)).strip()
            except (EOFError, KeyboardInterrupt):
                line = "/quit"
            with suppress(CallEnded):  # seen by `talk`, which waits for the end
                match line:
                    case "":
                        continue
                    case "/quit":
                        await retell.hang_up()
                        return
                    case "/help":
                        screen.note(HELP)
                        continue
                    case "/raw":
                        screen.raw = not screen.raw
                        screen.note(f"frames are {'shown' if screen.raw else 'hidden'}")
                        continue
                    case "/drop":
                        await _drop(retell)
                        continue
                if wrong := unknown(line):
                    screen.note(wrong)
                    continue
                following.cancel()
                screen.close_line(cut=True)
                screen.caller(line)
                response_id = await (retell.silence() if line == "/silence" else retell.request(line))
                following = tasks.create_task(_follow(screen, retell, response_id))
    finally:
        following.cancel()


async def _drop(retell: FakeRetell) -> None:
    await retell.drop()
    with suppress(DialError):  # noted by the call as its end
        await retell.redial()


async def _follow(screen: _Screen, retell: FakeRetell, response_id: int) -> None:
    """Wait until one answer was spoken, then put it above with its times."""
    try:
        answer = await retell.answer(response_id, timeout_s=7200)
        await retell.spoken(response_id)
    except (Superseded, CallEnded):
        return
    screen.close_answer()
    for line in screen.deeds.news(retell.rules.tools.values()):
        screen.note(line)
    if answer.action is not None and answer.action.kind == "digit_to_press":
        screen.note(pressing(answer.action))
    if response_id == 0 and not answer.text:
        screen.note(WAITS)
    else:
        screen.note(timing(answer).replace(" ms", "\N{NO-BREAK SPACE}ms"))
