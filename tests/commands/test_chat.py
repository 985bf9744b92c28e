"""What `chat` shows of an agent's tools and of what it says unasked, through a pipe and in the terminal."""

from __future__ import annotations

import asyncio
import io
import queue
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from websockets.asyncio.server import ServerConnection, serve

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.commands.caller import MAX_SHOWN, Deeds, details_of, ending
from retell_ws.commands.chat import chat
from retell_ws.commands.terminal import talk
from retell_ws.examples import clinic
from retell_ws.handle import Call
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.testing import Action, Script, Use
from retell_ws.testing.acceptance import ToolSeen
from retell_ws.testing.news import News

from ..http_client import TOKEN, ask
from ..puppet import Puppet, serving
from ..waiting import until

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

    server: Server

    def __init__(self, keys: PipeInput) -> None:
        self._keys = keys
        self._screen = Screen()
        self.output = Vt100_Output(self._screen, lambda: Size(rows=40, columns=200), term="dumb")

    def type(self, line: str) -> None:
        self._keys.send_text(f"{line}\r")

    @property
    def finished(self) -> list[str]:
        """The agent's lines above the prompt: those within it are drawn again and again, and end otherwise."""
        return re.findall(r"agent  \x1b\[0m([^\x1b\r]*)\r\n", self._screen.getvalue())

    async def shows(self, text: str) -> None:
        await self._screen.news.until(lambda: text in self._screen.getvalue(), 10)


@asynccontextmanager
async def at_a_terminal(agent: Agent, script: Script | None = None, *, speed: float = 1000) -> AsyncIterator[Terminal]:
    """Have `chat` run in a terminal, until the call is over."""
    settings = Settings(
        port=0, http_port=0, admin_token=TOKEN, model="scripted", scripted_ttft_ms=0, scripted_spacing_ms=0
    )
    async with running(agent, settings, model=script) as server:
        with create_pipe_input() as keys:
            terminal = Terminal(keys)
            terminal.server = server
            with create_app_session(input=keys, output=terminal.output):
                details = details_of((), "+14155550123")
                chatting = asyncio.create_task(talk(server.url, "Ana", details=details, speed=speed, raw=False))
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


async def order(server: Server, what: str, **body: str) -> None:
    """Have the server do something with its only call, from outside."""
    (call,) = (await ask(server, "GET", "/calls")).body["calls"]
    assert await ask(server, "POST", f"/calls/{call['id']}/{what}", body) == (200, {"done": True})


async def test_a_terminal_gives_each_interruption_a_line_of_its_own() -> None:
    async with at_a_terminal(Agent("You are Ana.", greeting="Hello.")) as terminal:
        await terminal.shows("first sentence")
        await order(terminal.server, "say", text="First note from outside.")
        await terminal.shows("First note from outside.\r\n")
        await order(terminal.server, "say", text="Second note.")
        await terminal.shows("Second note.\r\n")
        await order(terminal.server, "end", message="Good night.")
        await terminal.shows("call ended: agent_hangup")
    assert terminal.finished == ["Hello.", "First note from outside.", "Second note.", "Good night."]


async def test_a_terminal_marks_an_answer_that_an_interruption_cut_and_an_interruption_that_the_caller_cut() -> None:
    script = Script([f"One {'more ' * 30}", "Yes."])
    async with at_a_terminal(Agent("You are Ana.", greeting="Hello."), script, speed=1) as terminal:
        await terminal.shows("first sentence")
        terminal.type("Hi.")
        await terminal.shows("One")
        await order(terminal.server, "say", text=f"Note {'well ' * 30}")
        await terminal.shows("Note")
        terminal.type("Stop.")
        await terminal.shows("Yes.\r\n")
        terminal.type("/quit")
    _, answer, unasked, last = terminal.finished
    assert answer.startswith("One") and answer.endswith(" —")
    assert unasked.startswith("Note") and unasked.endswith(" —")
    assert last == "Yes."


class Typist:
    """A standard input whose lines the test gives when it likes."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()

    def type(self, line: str) -> None:
        self._lines.put(f"{line}\n")

    def end(self) -> None:
        self._lines.put("")

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        return self._lines.get(timeout=30)


class Pipe:
    """What a `chat` without a terminal reads and writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.typist, self._out = Typist(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", self.typist)
        monkeypatch.setattr(sys, "stdout", self._out)

    @property
    def written(self) -> str:
        return self._out.getvalue()

    @property
    def shown(self) -> list[str]:
        lines = [line.strip() for line in self.written.splitlines()]
        return [line for line in lines if not line.startswith(("(first frame", "(total"))]

    async def shows(self, *lines: str) -> None:
        """Wait until these are the last lines, times aside."""
        await until(lambda: self.shown[-len(lines) :] == list(lines))


@asynccontextmanager
async def through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Pipe, Server, Puppet]]:
    """Have `chat` run without a terminal, in a thread of its own, until the call is over."""
    async with serving(agent=Agent("You are Ana.", greeting="Hello."), http_port=0, admin_token=TOKEN) as (
        server,
        puppet,
    ):
        pipe = Pipe(monkeypatch)
        chatting = asyncio.create_task(asyncio.to_thread(chat, server.url))
        try:
            yield pipe, server, puppet
        finally:
            pipe.typist.end()
            async with asyncio.timeout(10):
                assert await chatting == 0


async def test_a_pipe_shows_what_is_said_unasked_each_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async with through_a_pipe(monkeypatch) as (pipe, server, _):
        await pipe.shows("agent: Hello.")
        await order(server, "say", text="First note from outside.")
        await pipe.shows("agent: Hello.", "agent: First note from outside.")
        await order(server, "say", text="Second note.")
        await order(server, "end", message="Good night.")
        await pipe.shows("agent: Second note.", "agent: Good night.", "(agent_hangup)")
        pipe.typist.type("Are you there?")


async def test_a_pipe_shows_an_answer_above_the_goodbye_that_broke_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with through_a_pipe(monkeypatch) as (pipe, server, puppet):
        await pipe.shows("agent: Hello.")
        pipe.typist.type("When are you open?")
        await puppet.asked(1)
        await order(server, "end", message="Good night.")
        await pipe.shows("you: When are you open?", "agent:", "agent: Good night.", "(agent_hangup)")


async def test_a_pipe_waits_no_longer_for_an_answer_that_the_agent_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retell drops what comes for it after that (§9.15), and not every server completes it before."""

    async def foreign(line: ServerConnection) -> None:
        await line.send(response(0, "Hello.", content_complete=True))
        async for message in line:
            if orjson.loads(message)["interaction_type"] == "response_required":
                await line.send(response(1, "From eight "))
                note = {"response_type": "agent_interrupt", "interrupt_id": 1, "content": "We close now."}
                await line.send(orjson.dumps({**note, "content_complete": True}).decode())

    async with serve(foreign, "127.0.0.1", 0) as server:
        pipe = Pipe(monkeypatch)
        port = server.sockets[0].getsockname()[1]
        pipe.typist.type("When are you open?")
        pipe.typist.end()
        assert await asyncio.to_thread(chat, f"ws://127.0.0.1:{port}", timeout_s=5) == 0
    assert pipe.shown == ["agent: Hello.", "you: When are you open?", "agent: From eight —", "agent: We close now."]


HOSTILE = "Hi \x1b]0;PWNED\x07\x1b[2J\x9b2J\u202e there."
HARMLESS = "Hi ]0;PWNED [2J 2J there."


async def hostile(line: ServerConnection) -> None:
    """Say what a terminal would obey, in each place there is for words."""
    await line.send(response(0, HOSTILE, content_complete=True))
    async for message in line:
        asked = orjson.loads(message)
        if asked["interaction_type"] != "response_required":
            continue
        tool = {"tool_call_id": "a", "name": HOSTILE, "arguments": HOSTILE}
        await line.send(orjson.dumps({"response_type": "tool_call_invocation", **tool}).decode())
        result = {"tool_call_id": "a", "content": HOSTILE, "successful": True}
        await line.send(orjson.dumps({"response_type": "tool_call_result", **result}).decode())
        last = {"digit_to_press": HOSTILE} if asked["response_id"] == 1 else {"transfer_number": HOSTILE}
        answer = {"response_type": "response", "response_id": asked["response_id"], "content": HOSTILE}
        await line.send(orjson.dumps({**answer, "content_complete": True, **last}).decode())


async def test_words_do_nothing_to_whoever_reads_a_pipe_unless_they_want_the_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(hostile, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for raw in (False, True):
            pipe = Pipe(monkeypatch)
            for line in ("Hello", "Bye"):
                pipe.typist.type(line)
            assert await asyncio.to_thread(chat, url, timeout_s=5, raw=raw) == 0
            told = pipe.written
            assert told.count(f"agent: {HARMLESS}\n") == 3
            assert f"(tool {HARMLESS}: {HARMLESS} → {HARMLESS})" in told
            assert f"(it presses {HARMLESS})" in told and f"(call_transfer to {HARMLESS})" in told
            assert all(line.isprintable() for line in told.split("\n")) is not raw


async def test_words_do_nothing_to_a_terminal() -> None:
    async with serve(hostile, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with create_pipe_input() as keys:
            terminal = Terminal(keys)
            with create_app_session(input=keys, output=terminal.output):
                chatting = asyncio.create_task(talk(url, "Ana", details={}, speed=1000, raw=False))
                await terminal.shows("first sentence")
                for word in (f"(it presses {HARMLESS})", f"call_transfer to {HARMLESS}"):
                    terminal.type("Hello")
                    await terminal.shows(word)
                assert await chatting == 0
    assert terminal.finished == [HARMLESS] * 3


def response(response_id: int, content: str, *, content_complete: bool = False) -> str:
    message = {"response_type": "response", "response_id": response_id, "content": content}
    return orjson.dumps({**message, "content_complete": content_complete}).decode()


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
