"""The terminal of `chat`: the agent's words as they are spoken above a line to type on. Never waits for the agent."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout

from ..testing.dial import DialError
from ..testing.retell import CallEnded, FakeRetell, Superseded
from .caller import DETAILS, HELP, ONE_DIAL, timing

__all__ = ["talk"]


class _Screen:
    """What stands on the terminal: finished lines above, the agent's current words in the prompt."""

    def __init__(self, *, raw: bool) -> None:
        self.session: PromptSession[str] = PromptSession()
        self.raw = raw
        self._said = ""

    def prompt(self) -> FormattedText:
        speaking = [("bold ansicyan", "agent  "), ("", f"{self._said.strip()}\n")] if self._said else []
        return FormattedText([*speaking, ("bold", "you    ")])

    def word(self, word: str) -> None:
        self._said += word
        self.session.app.invalidate()

    def frame(self, data: str) -> None:
        if self.raw:
            self.note(data)

    def close_line(self, *, cut: bool = False) -> None:
        """Move the agent's words from the prompt to the lines above."""
        said, self._said = self._said.strip(), ""
        if said:
            print_formatted_text(FormattedText([("bold ansicyan", "agent  "), ("", said + (" —" if cut else ""))]))

    def note(self, text: str) -> None:
        print_formatted_text(FormattedText([("ansibrightblack", f"       {text}")]))


async def talk(url: str, name: str, *, speed: float, raw: bool) -> int:
    """Hold one conversation.

    Args:
        url: The server.
        name: What to call it on the screen.
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
        details=DETAILS,
        dial_policy=ONE_DIAL,
        speed=speed,
        reminder_max_count=0,
        on_word=screen.word,
        on_frame=screen.frame,
    )
    with patch_stdout(raw=True):
        async with retell, asyncio.TaskGroup() as tasks:
            screen.note(f"talking to {name} · /help for commands · Enter while it speaks interrupts")
            typing = tasks.create_task(_type(screen, retell, tasks))
            await retell.ended(timeout_s=7200)  # the longest call there is (§1.1)
            typing.cancel()
    screen.close_line()
    reason = retell.disconnection_reason or ""
    screen.note(f"call ended: {reason}")
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
                        continue
                    case "/drop":
                        await _drop(screen, retell)
                        continue
                following.cancel()
                screen.close_line(cut=True)
                response_id = await (retell.silence() if line == "/silence" else retell.request(line))
                following = tasks.create_task(_follow(screen, retell, response_id))
    finally:
        following.cancel()


async def _drop(screen: _Screen, retell: FakeRetell) -> None:
    await retell.drop()
    screen.note("line cut; redialling")
    with suppress(DialError):  # noted by the call as its end
        await retell.redial()


async def _follow(screen: _Screen, retell: FakeRetell, response_id: int) -> None:
    """Wait until one answer was spoken, then put it above with its times."""
    try:
        answer = await retell.answer(response_id, timeout_s=7200)
        await retell.spoken(response_id)
    except (Superseded, CallEnded):
        return
    screen.close_line()
    screen.note(timing(answer))
