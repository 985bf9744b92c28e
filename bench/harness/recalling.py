"""Callers who ask common questions right after the greeting, over and over. It knows what the answers should be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from bench.harness import machine
from bench.harness.cached_receptionist import agent
from bench.harness.plans import Recalling, RecallingResult
from bench.harness.socket import CallSocket, Reply, dial
from retell_ws.answers import opening
from retell_ws.models.scripted import reply
from retell_ws.prompt import build

__all__ = ["QUESTIONS", "run"]

FAILED_AFTER_S = 15.0
AT_ONCE = 25

QUESTIONS = (
    "What are your hours?",
    "Where can I park?",
    "Do you take new patients?",
    "Is there a pharmacy near you?",
    "How do I get there by bus?",
    "I need an appointment.",
    "Do you speak Spanish?",
    "Which insurance do you take?",
)
"""A call asks one after the other: in the words of the question before it would get that one's answer anyhow."""


class Asked:
    """What all calls of a plan saw in the window."""

    def __init__(self) -> None:
        self.begins_ns = self.ends_ns = 0
        self.first_ns: list[int] = []
        self.complete_ns: list[int] = []
        self.frames: list[int] = []
        self.turns = self.failed = self.wrong = 0


class AskingCall:
    """One call: a question, its whole answer, the next question."""

    def __init__(self, number: int, plan: Recalling, asked: Asked, script: list[tuple[bytes, str]]) -> None:
        self.socket: CallSocket | None = None
        self.greeted = asyncio.Event()
        self.told = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._plan = plan
        self._asked = asked
        self._script = script
        self._next = number  # calls ask different things at one time
        self._id = 0
        self._text: list[str] = []
        self._asked_ns = self._first_ns = 0
        self._due = 0.0
        self._timers: list[asyncio.TimerHandle] = []
        self._is_stopping = False

    def begin(self, after_s: float) -> None:
        """Ask for the first time after so many seconds."""
        self._due = self._loop.time() + after_s
        self._timers = [self._loop.call_at(self._due, self.ask)]

    def ask(self) -> None:
        """Ask the next question."""
        if self.socket is None or self._is_stopping:
            return
        self._id += 1
        self._next = (self._next + 1) % len(self._script)
        self._text.clear()
        self._first_ns = 0
        self.told.clear()
        self._timers = [self._loop.call_later(FAILED_AFTER_S, self._fail)]
        self._asked_ns = time.monotonic_ns()
        self.socket.send(self._script[self._next][0] % self._id)

    def stop(self) -> None:
        """Ask no more."""
        self._is_stopping = True

    def close(self) -> None:
        """Hang up."""
        self._is_stopping = True
        for timer in self._timers:
            timer.cancel()
        if self.socket is not None:
            self.socket.hang_up()

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Take one message of the server's."""
        if reply.response_type != "response":
            return
        if reply.response_id != self._id or not self._id:
            if reply.response_id == 0 and reply.content_complete:
                self.greeted.set()
            return
        if reply.content:
            self._first_ns = self._first_ns or now_ns
            self._text.append(reply.content)
        if reply.content_complete:
            self._complete(now_ns)

    def lost(self, why: str) -> None:
        """The socket is gone: so is the turn."""
        self.socket = None
        if not self._is_stopping:
            self._fail()

    def _complete(self, now_ns: int) -> None:
        asked = self._asked
        self._timers.pop().cancel()
        if asked.begins_ns <= self._asked_ns < asked.ends_ns:
            asked.turns += 1
            asked.first_ns.append(self._first_ns - self._asked_ns)
            asked.complete_ns.append(now_ns - self._asked_ns)
            asked.frames.append(len(self._text))
            asked.wrong += "".join(self._text).strip() != self._script[self._next][1]
        self.told.set()
        if self._plan.cycle_s:
            self._due = max(self._due + self._plan.cycle_s, self._loop.time())
            self._timers = [self._loop.call_at(self._due, self.ask)]
        elif asked.ends_ns:
            self.ask()

    def _fail(self) -> None:
        self._asked.failed += 1
        self.told.set()


def script() -> list[tuple[bytes, str]]:
    """Write each question as a request, but for its id, beside the answer of the scripted model."""
    written = []
    for words in QUESTIONS:
        question = opening(agent, [words])
        message = {"interaction_type": "response_required", "response_id": "%d", "transcript": question.transcript}
        data = msgspec.json.encode(message).replace(b"%", b"%%").replace(b'"%%d"', b"%d")
        written.append((data, reply(build(agent, question).messages)))
    return written


async def run(plan: Recalling, progress: Callable[[float], None]) -> RecallingResult:
    """Carry out the plan: call, have every question answered once, then measure.

    Args:
        plan: What to do.
        progress: Is told how far it is, from 0 to 1.
    """
    asked, questions = Asked(), script()
    calls = [AskingCall(number, plan, asked, questions) for number in range(plan.calls)]
    free = asyncio.Semaphore(AT_ONCE)

    async def opened(number: int) -> None:
        async with free, asyncio.timeout(FAILED_AFTER_S):
            calls[number].socket = await dial(plan.url, f"bench_{number:05}", calls[number])
            await calls[number].greeted.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.calls):
            tasks.create_task(opened(number))
    filler = AskingCall(0, msgspec.structs.replace(plan, cycle_s=0.0), asked, questions)
    filler.socket = await dial(plan.url, "bench_filler", filler)
    await filler.greeted.wait()
    for _ in questions:
        filler.ask()
        await filler.told.wait()
    filler.close()
    for number, call in enumerate(calls):
        call.begin(plan.cycle_s * number / len(calls))
    asked.ends_ns = 1  # from here on who has an answer asks again
    await asyncio.sleep(plan.warm_s)
    before = machine.sample(plan.pids)
    asked.begins_ns, asked.ends_ns = before.at_ns, before.at_ns + int(plan.window_s * 1e9)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < plan.window_s:
        await asyncio.sleep(min(0.5, plan.window_s - passed))
        progress(min(1.0, passed / plan.window_s))
    after = machine.sample(plan.pids)
    for call in calls:
        call.stop()
    async with asyncio.timeout(FAILED_AFTER_S):
        await asyncio.gather(*(call.told.wait() for call in calls))
    for call in calls:
        call.close()
    return RecallingResult(
        first_ns=asked.first_ns,
        complete_ns=asked.complete_ns,
        frames=asked.frames,
        turns=asked.turns,
        failed=asked.failed,
        wrong=asked.wrong,
        cost=machine.cost(before, after),
    )
