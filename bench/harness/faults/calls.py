"""Callers of the fault bench: many calls at once, each asking its numbered questions, all written into one history."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Mapping

import msgspec

from bench.harness.faults.checks import PATIENCE_S
from bench.harness.faults.history import Event, Row
from bench.harness.faults.words import Question
from retell_ws.testing import CallEnded, DialError, DialPolicy, FakeRetell
from retell_ws.testing.lines import PING_S, PONG_LIMIT_S

__all__ = ["SERVER_HEADER", "Callers", "Habits"]

SERVER_HEADER = "x-server"
"""The balancer says in the handshake which server it chose."""

BACK_S = 35.0
"""Longest wait for a line that broke: five seconds of silence, and three dials as Retell makes them (protocol §1.4)."""

POLICY = DialPolicy()


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How people call.

    Attributes:
        shortest_s: Length of a call, from…
        longest_s: …to. Retell redials four times in a call, so calls must be shorter than five faults.
        pause_s: Longest pause before a question; the shortest is a fifth of it.
        words: Most words of an answer; the fewest are a third of it.
        barge_in: Share of the answers that are spoken into.
        books: Share of the questions that want the side effect.
        ping_s: Seconds between Retell's pings; what tests may shorten, as the next one.
        pong_limit_s: Seconds without an answer to them after which Retell gives a line up.
    """

    shortest_s: float = 10.0
    longest_s: float = 16.0
    pause_s: float = 2.0
    words: int = 30
    barge_in: float = 0.15
    books: float = 0.2
    ping_s: float = PING_S
    pong_limit_s: float = PONG_LIMIT_S


class _Frame(msgspec.Struct):
    response_type: str = "response"
    response_id: int = -1
    content: str = ""
    content_complete: bool = False


_frame = msgspec.json.Decoder(_Frame)


class Callers:
    """Keeps a number of calls alive while the block lasts, and lets them come to their end after it.

    Args:
        url: What Retell is given.
        calls: How many at once.
        seed: Of everything that is drawn.
        habits: How people call.

    Attributes:
        rows: The history so far.
        live: Calls that are on.
        broken: Calls whose line is down just now.
    """

    def __init__(self, url: str, calls: int, *, seed: int, habits: Habits) -> None:
        self.rows: list[Row] = []
        self.live = 0
        self.broken = 0
        self._url = url
        self._calls = calls
        self._seed = seed
        self._habits = habits
        self._numbers = itertools.count(1)
        self._leaving = asyncio.Event()
        self._full = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Callers:
        await self._tasks.__aenter__()
        # Spread over a third of a call, so that they neither begin nor end together.
        for slot in range(self._calls):
            self._tasks.create_task(self._slot(slot * self._habits.shortest_s / 3 / self._calls))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._leaving.set()
        await self._tasks.__aexit__(*exc)  # type: ignore[arg-type]

    def note(self, event: Event, server: str, text: str, *, call: int = -1) -> None:
        """Write down what somebody else did, such as a fault."""
        self.rows.append(Row(time.monotonic(), event, call=call, server=server, text=text))

    async def full(self, timeout_s: float = 60.0) -> None:
        """Wait until all calls are on.

        Raises:
            TimeoutError: They do not come.
        """
        async with asyncio.timeout(timeout_s):
            await self._full.wait()

    async def _slot(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while not self._leaving.is_set():
            await _Call(self, next(self._numbers)).run()

    # ------------------------------------------------------------------------ for the calls

    @property
    def url(self) -> str:
        """What Retell is given."""
        return self._url

    @property
    def habits(self) -> Habits:
        """How people call."""
        return self._habits

    def chance(self, number: int) -> random.Random:
        """What one call draws from: the same for the same seed and number."""
        return random.Random(f"{self._seed}:{number}")

    def began(self) -> None:
        """Count a call that is on."""
        self.live += 1
        if self.live >= self._calls:
            self._full.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the calls go on."""
        try:
            async with asyncio.timeout(seconds):
                await self._leaving.wait()
        except TimeoutError:
            return

    @property
    def is_leaving(self) -> bool:
        """Nobody calls any more; who is on the line comes to the end."""
        return self._leaving.is_set()


class _Call:
    def __init__(self, callers: Callers, number: int) -> None:
        self._callers = callers
        self._number = number
        self._chance = callers.chance(number)
        self._is_broken = False
        self._retell = FakeRetell(
            callers.url,
            call_id=f"call_{number:06d}_{self._chance.getrandbits(60):015x}",
            # A server that does not know a call tells by it whether this is its first socket.
            details={"call_type": "web_call", "start_timestamp": round(time.time() * 1000)},
            dial_policy=POLICY,
            ping_s=callers.habits.ping_s,
            pong_limit_s=callers.habits.pong_limit_s,
            reminder_max_count=0,
            on_frame=self._heard,
            on_open=self._opened,
            on_broken=self._broke,
        )

    def _note(self, event: Event, *, response_id: int = -1, server: str = "", text: str = "") -> None:
        row = Row(time.monotonic(), event, call=self._number, response_id=response_id, server=server, text=text)
        self._callers.rows.append(row)

    async def run(self) -> None:
        self._note("began")
        try:
            async with self._retell as retell:
                self._callers.began()
                try:
                    await self._talk(retell)
                except (CallEnded, TimeoutError):
                    pass  # how it ended is judged by its reason
                finally:
                    self._callers.live -= 1
                if retell.disconnection_reason is None:
                    self._note("hung_up")
        except DialError:
            pass
        self._mended()
        for note in self._retell.report.faults:
            self._note("finding", response_id=note.response_id or 0, text=f"{note.finding}: {note.detail}")
        self._note("ended", text=self._retell.disconnection_reason or "")

    async def _talk(self, retell: FakeRetell) -> None:
        habits, chance = self._callers.habits, self._chance
        ends_at = time.monotonic() + chance.uniform(habits.shortest_s, habits.longest_s)
        try:
            await retell.greeting(timeout_s=PATIENCE_S)
        except TimeoutError:
            pass  # the caller speaks all the same, and the history shows it
        for number in itertools.count(1):
            await self._callers.pause(chance.uniform(habits.pause_s / 5, habits.pause_s))
            await retell.until(lambda: retell.is_open, timeout_s=BACK_S)
            if time.monotonic() >= ends_at or self._callers.is_leaving:
                return
            words = chance.randint(max(1, habits.words // 3), habits.words)
            question = Question(self._number, number, words, chance.random() < habits.books)
            self._note("asked", response_id=retell.rules.latest + 1, text=question.text)
            response_id = await retell.request(question.text)
            if chance.random() < habits.barge_in:
                at_least = chance.randint(1, 6 * words)
                await self._patiently(retell.piece(response_id, at_least=at_least, timeout_s=PATIENCE_S))
            else:
                await self._patiently(retell.answer(response_id, timeout_s=PATIENCE_S))

    async def _patiently(self, heard: object) -> None:
        try:
            await heard  # type: ignore[misc]  # a coroutine of one kind or the other
        except TimeoutError:
            pass  # the caller asks something else, and the history shows it

    def _heard(self, text: str) -> None:
        frame = _frame.decode(text)
        if frame.response_type == "response":
            self._callers.rows.append(
                Row(
                    time.monotonic(),
                    "frame",
                    call=self._number,
                    response_id=frame.response_id,
                    text=frame.content,
                    complete=frame.content_complete,
                )
            )

    def _opened(self, headers: Mapping[str, str]) -> None:
        self._mended()
        names = {name.lower(): value for name, value in headers.items()}
        self._note("open", server=names.get(SERVER_HEADER, ""))

    def _broke(self) -> None:
        self._note("gone")
        if not self._is_broken:
            self._is_broken = True
            self._callers.broken += 1

    def _mended(self) -> None:
        if self._is_broken:
            self._is_broken = False
            self._callers.broken -= 1
