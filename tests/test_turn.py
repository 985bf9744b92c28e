"""One turn, from the model's deltas to the frames a caller's line would get. A real machine, no socket."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from retell_ws.actions import Action, Send, StartTurn
from retell_ws.agent import Agent
from retell_ws.call import CallMachine
from retell_ws.controls import CallControls
from retell_ws.errors import ModelBroken, ModelUnavailable
from retell_ws.facts import Fact
from retell_ws.handle import Call
from retell_ws.holding import Holding
from retell_ws.line import Line
from retell_ws.peer import Peer
from retell_ws.ports import Model
from retell_ws.settings import Settings
from retell_ws.speech import MAX_PIECE
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.talk import Talk
from retell_ws.testing import FakeRetell
from retell_ws.tools import Tools
from retell_ws.turn import Turn
from retell_ws.waste import Waste
from retell_ws.wire import Response, decode_outbound

from .puppet import Puppet, Stream, serving, single

pytestmark = pytest.mark.usefixtures("clean_loop")

AGENT = Agent("You are Ana.")
LINES = AGENT.lines
HELD = Holding(LINES, "call_1").pick("statement")
"""What a caller who says "hi" hears first when they have to wait."""
REQUEST = b'{"interaction_type":"response_required","response_id":1,"transcript":[{"role":"user","content":"hi"}]}'


class Tape:
    """What went out, in order. Stands where the session is, and where its socket is."""

    is_open = True

    def __init__(self, agent: Agent) -> None:
        self.call = CallMachine("call_1", agent)
        self.frames: list[Response] = []
        self.starts: list[StartTurn] = []
        loop = asyncio.get_running_loop()
        self.line = Line(call=self.call, perform=self.perform, lost=lambda: None, now=loop.time)
        self.agent = agent
        self.recorded: list[Fact] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.line.peer = cast(Peer, self)
        self._news = asyncio.Event()

    def turn(self, model: Model, settings: Settings) -> Turn:
        """A turn for the first start, as a session makes it."""
        call, store = Call("call_1", controls=CallControls(self.line)), MemoryCallStore(lambda: 0.0)
        tools = Tools(self.agent, call, store=store, spawn=self.spawn, record=self.recorded.append, note=self.line.note)
        talk = Talk(
            agent=self.agent,
            model=single(model),
            settings=settings,
            line=self.line,
            call=call,
            tools=tools,
            store=store,
            record=self.recorded.append,
            spawn=self.spawn,
            spawn_lasting=self.spawn,
            waste=Waste(settings.speculation_percent / 100),
        )
        return Turn(self.starts[0], talk)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def write(self, frame: bytes) -> bool:
        message = decode_outbound(frame)
        if isinstance(message, Response):
            self.frames.append(message)
            self._news.set()
        return False

    async def until(self, text: str, response_id: int = 1) -> None:
        """Wait until exactly this text has gone out."""
        async with asyncio.timeout(5):
            while self.text(response_id) != text:
                self._news.clear()
                await self._news.wait()

    def perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.write(action.frame)
            elif isinstance(action, StartTurn):
                self.starts.append(action)

    def of(self, response_id: int) -> list[Response]:
        return [frame for frame in self.frames if frame.response_id == response_id]

    def text(self, response_id: int = 1) -> str:
        return "".join(frame.content for frame in self.of(response_id))

    def completions(self, response_id: int = 1) -> int:
        return sum(frame.content_complete for frame in self.of(response_id))


@asynccontextmanager
async def asked(agent: Agent = AGENT, **settings: Any) -> AsyncIterator[tuple[Tape, Stream, asyncio.Task[None]]]:
    """A turn that has put its question to the model."""
    tape, puppet = Tape(agent), Puppet()
    now = asyncio.get_running_loop().time()
    tape.perform(tape.call.attached(now))
    tape.perform(tape.call.receive(REQUEST, now))
    turn = tape.turn(puppet, Settings(**settings))
    task = asyncio.create_task(turn.run())
    try:
        yield tape, await puppet.asked(1), task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_words_leave_as_they_come_until_the_first_sentence_and_gathered_after_it() -> None:
    async with asked() as (tape, stream, task):
        stream.say("Good ", "morning. ", "How ", "can ", "I ", "help?")
        stream.end()
        await task
        assert [frame.content for frame in tape.of(1)] == ["Good ", "morning. ", "How can I help?"]
        assert tape.completions() == 1


async def test_gathered_words_leave_when_the_model_pauses() -> None:
    async with asked() as (tape, stream, task):
        stream.say("Good morning. ", "How ", "can ")
        await tape.until("Good morning. How can ")
        stream.say("I help?")
        stream.end()
        await task
        assert tape.text() == "Good morning. How can I help?"


async def test_the_request_holds_the_conversation() -> None:
    async with asked() as (_, stream, _task):
        assert stream.request.system == "You are Ana."
        assert [message.content for message in stream.request.messages] == ["hi"]


@pytest.mark.parametrize(
    ("said", "reason", "spoken"),
    [
        (("Hello.",), "end_turn", "Hello."),
        (("Hello.",), "stop_sequence", "Hello."),
        ((), "end_turn", LINES.apology),
        ((), "refusal", LINES.refusal),
        (("I think",), "refusal", f"I think {LINES.refusal}"),
        (("I think",), "max_tokens", f"I think {LINES.cut}"),
        ((), "max_tokens", LINES.apology),
        (("I think",), "model_context_window_exceeded", f"I think {LINES.closing}"),
    ],
)
async def test_every_way_a_model_ends_is_spoken_and_completed_once(
    said: tuple[str, ...], reason: str, spoken: str
) -> None:
    async with asked() as (tape, stream, task):
        stream.say(*said)
        stream.end(reason)
        await task
        assert tape.text() == spoken
        assert tape.completions() == 1


@pytest.mark.parametrize(
    ("said", "error", "spoken"),
    [
        ((), ModelUnavailable("529", status=529), LINES.apology),
        (("I think",), ModelBroken("cut"), f"I think {LINES.closing}"),
        (("I think ",), ValueError("a bug"), f"I think {LINES.closing}"),
    ],
)
async def test_every_failure_is_spoken_and_completed_once(said: tuple[str, ...], error: Exception, spoken: str) -> None:
    async with asked() as (tape, stream, task):
        stream.say(*said)
        stream.fail(error)
        await task
        assert tape.text() == spoken
        assert tape.completions() == 1


async def test_held_words_are_said_before_the_closing_phrase() -> None:
    async with asked() as (tape, stream, task):
        stream.say("Good morning. ", "We ", "are")
        stream.fail(ModelBroken("cut"))
        await task
        assert tape.text() == f"Good morning. We are {LINES.closing}"


async def test_a_stream_without_an_end_is_closed_for_the_caller() -> None:
    async with asked() as (tape, stream, task):
        stream.say("I think")
        stream.stop()
        await task
        assert tape.text() == f"I think {LINES.closing}"
        assert tape.completions() == 1


async def test_a_slow_model_is_bridged_by_the_holding_phrase() -> None:
    async with asked(holding_ms=100, first_text_ms=5000) as (tape, stream, task):
        await tape.until(f"{HELD} ")
        stream.say("Hello.")
        stream.end()
        await task
        assert tape.text() == f"{HELD} Hello."


async def test_a_model_that_speaks_in_time_is_not_announced() -> None:
    async with asked(holding_ms=60_000) as (tape, stream, task):
        stream.say("Hello.")
        stream.end()
        await task
        assert tape.text() == "Hello."


async def test_a_silent_model_ends_in_an_apology_and_is_closed() -> None:
    async with asked(holding_ms=100, first_text_ms=600) as (tape, stream, task):
        await asyncio.wait_for(task, 10)
        assert tape.text() == f"{HELD} {LINES.apology}"
        assert tape.completions() == 1
        assert stream.closed.is_set()


async def test_a_model_that_stalls_ends_in_a_closing_phrase() -> None:
    async with asked(stall_ms=100) as (tape, stream, task):
        stream.say("I think ")
        await asyncio.wait_for(task, 2)
        assert tape.text() == f"I think {LINES.closing}"


async def test_an_endless_turn_is_ended() -> None:
    async with asked(turn_s=0.2, stall_ms=5000) as (tape, stream, task):
        stream.say("I think ")
        await asyncio.wait_for(task, 2)
        assert tape.completions() == 1


async def test_a_cancelled_turn_closes_the_stream_and_says_nothing_more() -> None:
    async with asked() as (tape, stream, task):
        stream.say("Good ")
        await tape.until("Good ")
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert stream.closed.is_set()
        assert tape.text() == "Good "


async def test_a_huge_piece_is_cut_into_frames_of_bounded_size() -> None:
    async with asked() as (tape, stream, task):
        stream.say("x" * (2 * MAX_PIECE + 1))
        stream.end()
        await task
        assert [len(frame.content) for frame in tape.of(1)] == [MAX_PIECE, MAX_PIECE, 1, 0]


# ---------------------------------------------------------------------------- greetings that are functions


async def greeted(greeting: Any, **settings: Any) -> Tape:
    agent = Agent("You are Ana.", greeting=greeting)
    tape = Tape(agent)
    tape.perform(tape.call.attached(0.0))
    tape.perform(tape.call.details_due(0.0))
    settings_ = Settings(**settings)
    await tape.turn(Puppet(), settings_).run()
    return tape


async def test_a_greeting_may_be_a_plain_function() -> None:
    tape = await greeted(lambda call: f"Hello, {call.id}.")
    assert [(frame.content, frame.content_complete) for frame in tape.of(0)] == [("Hello, call_1.", False), ("", True)]


async def test_a_greeting_may_be_a_coroutine() -> None:
    async def greet(call: Call) -> str:
        return "Hello there."

    assert (await greeted(greet)).text(0) == "Hello there."


async def test_a_greeting_may_come_piece_by_piece() -> None:
    async def greet(call: Call) -> AsyncIterator[str]:
        yield "Hello "
        yield ""
        yield "there."

    assert (await greeted(greet)).text(0) == "Hello there."


async def test_an_empty_greeting_is_completed_in_silence() -> None:
    tape = await greeted(lambda call: "")
    assert [(frame.content, frame.content_complete) for frame in tape.of(0)] == [("", True)]


async def test_a_greeting_that_raises_is_replaced() -> None:
    def greet(call: Call) -> str:
        return str(call.variables["name"])

    tape = await greeted(greet)
    assert tape.text(0) == LINES.greeting
    assert tape.completions(0) == 1


async def test_a_greeting_that_hangs_is_replaced_without_a_holding_phrase() -> None:
    async def greet(call: Call) -> str:
        await asyncio.Event().wait()
        return "never"

    assert (await greeted(greet, holding_ms=100, first_text_ms=200)).text(0) == LINES.greeting


async def test_a_greeting_that_gives_no_text_is_replaced() -> None:
    async def numbers(call: Call) -> AsyncIterator[Any]:
        yield "Hello there. "
        yield 5

    tape = await greeted(numbers)
    assert (tape.text(0), tape.completions(0)) == ("Hello there. ", 1), "nobody is greeted twice"
    tape = await greeted(lambda call: None)
    assert (tape.text(0), tape.completions(0)) == (LINES.greeting, 1)


async def test_a_greeting_that_waits_for_something_cancelled_is_replaced() -> None:
    async def greet(call: Call) -> str:
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        gone.cancel()
        return await gone

    tape = await greeted(greet)
    assert (tape.text(0), tape.completions(0)) == (LINES.greeting, 1)


async def test_a_greeting_that_does_not_let_itself_be_cancelled_is_replaced_in_time() -> None:
    asked_to_end = asyncio.Event()
    may_end = asyncio.Event()

    async def greet(call: Call) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            asked_to_end.set()
        await may_end.wait()
        return "never"

    agent = Agent("You are Ana.", greeting=greet)
    tape = Tape(agent)
    tape.perform(tape.call.attached(0.0))
    tape.perform(tape.call.details_due(0.0))
    turn = tape.turn(Puppet(), Settings(holding_ms=100))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(turn.run())
        async with asyncio.timeout(5):
            await asked_to_end.wait()
        assert (tape.text(0), tape.completions(0)) == (LINES.greeting, 1)
        may_end.set()
    assert (tape.text(0), tape.completions(0)) == (LINES.greeting, 1)


async def test_gathered_words_do_not_wait_for_a_model_that_never_rests() -> None:
    async with asked() as (tape, stream, _):
        stream.rests = False
        stream.say("One. ", "Two ", "three")
        await tape.until("One. Two three")
        assert [frame.content for frame in tape.of(1)] == ["One. ", "Two three"]


async def test_a_cancelled_turn_leaves_nothing_for_the_cycle_collector() -> None:
    # A barge-in is the normal case: what each leaves behind is collected in one go, while every call waits.
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        async with asked() as (tape, stream, task):
            stream.say("Good ")
            await tape.until("Good ")
        del tape, stream, task
        gc.collect()
        assert not any(isinstance(garbage, Turn) for garbage in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_white_space_is_no_progress() -> None:
    async with asked(holding_ms=100, first_text_ms=300, stall_ms=200) as (tape, stream, task):
        blank = asyncio.create_task(blanks(stream))
        await task
        blank.cancel()
        assert tape.text().split() == f"{HELD} {LINES.apology}".split() or LINES.closing in tape.text()
        assert tape.completions() == 1


async def blanks(stream: Stream) -> None:
    while True:
        stream.say(" ")
        await asyncio.sleep(0.02)


async def test_a_loop_that_stood_still_does_not_cost_an_answer_whose_words_lie_ready() -> None:
    async with serving(stall_ms=300, holding_ms=5000, first_text_ms=6000) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            number = await retell.request("hello")
            stream = await puppet.asked(1)
            stream.say("Yes, ")
            await retell.piece(number)
            time.sleep(0.5)  # noqa: ASYNC251  # what a blocking function of the agent's does
            stream.say("until six.")
            stream.end()
            assert (await retell.answer(number)).text == "Yes, until six."


async def test_a_greeting_that_ends_early_is_closed_by_its_turn() -> None:
    closed = asyncio.Event()

    async def greet(call: Call) -> AsyncIterator[Any]:
        try:
            yield 5
        finally:
            await asyncio.sleep(0)  # a connection goes back to its pool
            closed.set()

    await greeted(greet)
    assert closed.is_set()
