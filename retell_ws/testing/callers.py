"""Synthetic callers: they dial, ask, time what comes and hang up. They judge nothing (`verdict.py` does)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..errors import WireError
from ..speech import first_sentence_end
from ..wire import Pong, Response, decode_outbound
from .dial import DialError, DialPolicy, call_url, dial

__all__ = ["Plan", "Tally", "run_calls"]

GREETING_S = 10.0
"""Longest wait for the begin message; without one Retell's agent may not speak (protocol §4.4)."""

ONE_DIAL = DialPolicy(attempts=1)

PING_S = 2.0
"""Retell's own period (protocol §1.5)."""

LINES = (
    "Hello, I have a question about your opening hours.",
    "And are you open on Saturdays as well?",
    "Good. I would like to come by some time next week.",
    "Tuesday is difficult for me. What about Thursday?",
    "In the afternoon would be best, please.",
    "Could you repeat that?",
    "That sounds fine. Do I need to bring anything?",
    "Is there a place to park nearby?",
)
"""What callers say, one line a turn, over and over."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the callers do.

    Attributes:
        url: The server's URL without the call id; a query stays at the end.
        calls: How many at once.
        turns: Turns of each.
        pause_s: Seconds from the end of an answer to the next request; starts are spread over it as well.
        turn_s: A turn without completion after so long has failed.
    """

    url: str
    calls: int
    turns: int
    pause_s: float
    turn_s: float


class Tally:
    """What the callers heard; times in seconds.

    Attributes:
        first_frame_s: Request sent → first frame with text, each turn.
        first_sentence_s: Request sent → first complete sentence, or the completed text: where Retell starts
            to speak (protocol §7).
        pong_s: Ping sent → pong read.
        failures: How many turns failed, by reason.
        unreached: Why calls were not connected, one text each.
    """

    def __init__(self) -> None:
        self.first_frame_s: list[float] = []
        self.first_sentence_s: list[float] = []
        self.pong_s: list[float] = []
        self.failures: Counter[str] = Counter()
        self.unreached: list[str] = []


class _Answer:
    """What was heard of one `response_id`."""

    def __init__(self, response_id: int) -> None:
        self.response_id = response_id
        self.asked = time.monotonic()
        self.text = ""
        self.first_frame: float | None = None
        self.first_sentence: float | None = None
        self.completed: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def hear(self, piece: Response) -> None:
        if self.completed.done():
            return
        now = time.monotonic() - self.asked
        self.text += piece.content
        if piece.content and self.first_frame is None:
            self.first_frame = now
        if self.first_sentence is None and self.text.strip():
            if piece.content_complete or first_sentence_end(self.text) is not None:
                self.first_sentence = now
        if piece.content_complete:
            self.completed.set_result(piece)


class _Caller:
    """One call."""

    def __init__(self, ws: ClientConnection, plan: Plan, tally: Tally, number: int) -> None:
        self._ws = ws
        self._plan = plan
        self._tally = tally
        self._number = number
        self._answer = _Answer(0)
        self._transcript: list[dict[str, object]] = []
        self._pings: dict[int, float] = {}

    async def read(self) -> None:
        """Hear until the socket closes; a close ends the answer that is open."""
        why = "the server closed the socket"
        try:
            async for data in self._ws:
                if isinstance(data, str):
                    self._hear(data.encode())
                else:
                    why = "the server sent a binary frame (protocol §1.6: that ends the call)"
                    break
        except ConnectionClosed as exc:
            why = f"the server closed the socket: {exc}"
        if not self._answer.completed.done():
            self._answer.completed.set_exception(ConnectionError(why))

    async def ping(self) -> None:
        """Ping as Retell does, until the socket closes."""
        while True:
            # A pong that never comes must not be kept for the rest of a long call.
            if len(self._pings) > 10:
                self._pings.pop(next(iter(self._pings)))
            stamp = time.time_ns() // 1_000_000
            self._pings[stamp] = time.monotonic()
            try:
                await self._send({"interaction_type": "ping_pong", "timestamp": stamp})
            except ConnectionClosed:
                return
            await asyncio.sleep(PING_S)

    async def talk(self, progress: Callable[[], None]) -> None:
        """Hear the greeting, then ask turn by turn.

        Raises:
            ConnectionError: The server is gone, or it never greeted.
        """
        try:
            async with asyncio.timeout(GREETING_S):
                await self._answer.completed
        except TimeoutError:
            raise ConnectionError(f"no begin message (id 0) within {GREETING_S:.0f} s") from None
        self._heard_out()
        for turn in range(1, self._plan.turns + 1):
            await asyncio.sleep(self._plan.pause_s)
            last = await self._ask(turn)
            progress()
            if last is not None and last.end_call:
                for _ in range(turn, self._plan.turns):
                    progress()
                return

    async def _ask(self, turn: int) -> Response | None:
        line = LINES[(turn - 1 + self._number) % len(LINES)]
        self._transcript.append({"role": "user", "content": line, "words": []})
        await self._send({"interaction_type": "update_only", "transcript": self._transcript, "turntaking": "user_turn"})
        self._answer = answer = _Answer(turn)
        await self._send({"interaction_type": "response_required", "response_id": turn, "transcript": self._transcript})
        try:
            async with asyncio.timeout(self._plan.turn_s):
                last = await answer.completed
        except TimeoutError:
            self._tally.failures["not completed in time"] += 1
            return None
        finally:
            self._heard_out()
        if answer.first_frame is None or answer.first_sentence is None:
            self._tally.failures["completed without a word"] += 1
            return last
        self._tally.first_frame_s.append(answer.first_frame)
        self._tally.first_sentence_s.append(answer.first_sentence)
        return last

    def _heard_out(self) -> None:
        if self._answer.text:
            self._transcript.append({"role": "agent", "content": self._answer.text, "words": []})

    def _hear(self, data: bytes) -> None:
        try:
            message = decode_outbound(data)
        except WireError:
            return  # as Retell does, without a word; a turn that needed it fails by itself
        match message:
            case Response() if message.response_id == self._answer.response_id:
                self._answer.hear(message)
            case Pong():
                sent = self._pings.pop(message.timestamp, None)
                if sent is not None:
                    self._tally.pong_s.append(time.monotonic() - sent)

    async def _send(self, message: dict[str, object]) -> None:
        await self._ws.send(msgspec.json.encode(message), text=True)


async def run_calls(plan: Plan, progress: Callable[[], None]) -> Tally:
    """Let every caller dial, talk and hang up.

    Args:
        plan: What they do.
        progress: Is called after every turn, failed ones included.

    Returns:
        What they heard.
    """
    tally = Tally()
    run = f"{time.time_ns() // 1_000_000:x}"
    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.calls):
            url = call_url(plan.url, f"bench_{run}_{number}")
            tasks.create_task(_call(url, plan, tally, number, progress))
    return tally


async def _call(url: str, plan: Plan, tally: Tally, number: int, progress: Callable[[], None]) -> None:
    await asyncio.sleep(plan.pause_s * number / plan.calls)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress()

    try:
        async with await dial(url, policy=ONE_DIAL) as ws:
            caller = _Caller(ws, plan, tally, number)
            async with asyncio.TaskGroup() as tasks:
                own = [tasks.create_task(caller.read()), tasks.create_task(caller.ping())]
                try:
                    await caller.talk(count)
                except (ConnectionError, ConnectionClosed) as exc:
                    tally.failures[str(exc)] += plan.turns - done
                finally:
                    for task in own:
                        task.cancel()
    except DialError as exc:
        tally.unreached.append(str(exc))
        tally.failures["not connected"] += plan.turns
    while done < plan.turns:
        count()
