"""What `chat` shows of an agent's tools, through a pipe and in the terminal."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.commands.caller import MAX_SHOWN, Deeds, details_of, ending
from retell_ws.commands.chat import chat
from retell_ws.commands.terminal import talk
from retell_ws.examples import clinic
from retell_ws.handle import Call
from retell_ws.settings import Settings
from retell_ws.testing import Action, Script, Use
from retell_ws.testing.acceptance import ToolSeen
from retell_ws.testing.news import News

BOOKED = '(tool book: {"day":"Tuesday","name":"Bo"} → You are booked for Tuesday at ten, Bo.)'


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clinic, "diary", clinic.Diary())


def piped(*lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_a_pipe_shows_each_tool_below_the_answer_it_belongs_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    piped("Book Tuesday, my name is Bo", "Hello", "Can I talk to the nurse?", monkeypatch=monkeypatch)
    assert chat("retell_ws.examples.clinic", from_number="+14155550123") == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines() if "first frame" not in line]
    assert shown == [
        "agent: Harbor Clinic, this is Ana. How can I help you?",
        "you: Book Tuesday, my name is Bo",
        "agent: One moment, I will book that. You are booked for Tuesday at ten, Bo. "
        "Is there anything else I can do for you?",
        BOOKED,
        "you: Hello",
        "agent: Hello! How can I help you today?",
        "you: Can I talk to the nurse?",
        "agent: One moment, I will connect you.",
        '(tool transfer_call: {"to":"the nurse","message":"One moment, I will connect you."} '
        "→ The transfer begins once this was said.)",
        "(call_transfer to +14155550142)",
    ]


class Screen(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.news = News()

    def write(self, text: str) -> int:
        self.news.tell()
        return super().write(text)


class Terminal:
    """A terminal whose keys the test presses and whose screen it reads."""

    def __init__(self, keys: PipeInput) -> None:
        self._keys = keys
        self._screen = Screen()
        self.output = Vt100_Output(self._screen, lambda: Size(rows=40, columns=200), term="dumb")

    def type(self, line: str) -> None:
        self._keys.send_text(f"{line}\r")

    async def shows(self, text: str) -> None:
        await self._screen.news.until(lambda: text in self._screen.getvalue(), 10)


@asynccontextmanager
async def at_a_terminal(agent: Agent, script: Script | None = None) -> AsyncIterator[Terminal]:
    """Have `chat` run in a terminal, until the call is over."""
    settings = Settings(port=0, model="scripted", scripted_ttft_ms=0, scripted_spacing_ms=0)
    with create_pipe_input() as keys:
        terminal = Terminal(keys)
        with create_app_session(input=keys, output=terminal.output):
            async with running(agent, settings, model=script) as server:
                details = details_of((), "+14155550123")
                chatting = asyncio.create_task(talk(server.url, "Ana", details=details, speed=1000, raw=False))
                yield terminal
                async with asyncio.timeout(10):
                    assert await chatting == 0


async def test_a_terminal_shows_them_too() -> None:
    async with at_a_terminal(clinic.agent) as terminal:
        await terminal.shows("How can I help you?")
        terminal.type("Book Tuesday, my name is Bo")
        await terminal.shows(BOOKED)
        terminal.type("Can I talk to the nurse?")
        await terminal.shows("call ended: call_transfer to +14155550142")


async def test_a_terminal_shows_the_keys_that_are_pressed() -> None:
    agent = Agent("You call a machine.", greeting="Hello.")

    @agent.tool
    async def dial(call: Call) -> str:
        """Dial."""
        call.press("12#")
        return "pressed"

    async with at_a_terminal(agent, Script([[Use("dial"), "One moment."]])) as terminal:
        await terminal.shows("Hello.")
        terminal.type("For opening hours, press one two pound.")
        await terminal.shows("(it presses 12#)")
        terminal.type("/quit")


async def test_a_terminal_shows_that_the_line_was_redialled() -> None:
    async with at_a_terminal(Agent("You are Ana.", greeting="Hello.")) as terminal:
        await terminal.shows("Hello.")
        terminal.type("/drop")
        await terminal.shows("the line was cut and redialled")
        terminal.type("/quit")


def test_a_tool_that_takes_its_time_is_told_twice_and_another_once() -> None:
    deeds = Deeds()
    slow, quick = ToolSeen("fetch", "{}"), ToolSeen("book", "{}", "Done.", True)
    assert deeds.news([slow, quick]) == ["(tool fetch: {} → still running)", "(tool book: {} → Done.)"]
    assert deeds.news([slow, quick]) == []
    slow.result, slow.successful = "It is\nhere.", True
    assert deeds.news([slow, quick]) == ["(tool fetch: {} → It is here.)"]
    assert deeds.news([slow, quick]) == []


def test_what_did_not_work_is_told_as_that_and_what_is_long_is_cut() -> None:
    seen = [ToolSeen("book", '{"day":"Sunday"}', "Full.", False), ToolSeen("list", "{}", "word " * 200, True)]
    refused, long = Deeds().news(seen)
    assert refused == '(tool book: {"day":"Sunday"} → did not work: Full.)'
    assert long.endswith("…)") and len(long) < MAX_SHOWN + 30


def test_where_a_call_went_on_is_told() -> None:
    assert ending("call_transfer", Action("transfer_number", "+14155550142")) == "call_transfer to +14155550142"
    assert ending("agent_hangup", Action("end_call")) == "agent_hangup"
    assert ending("user_hangup", None) == "user_hangup"
