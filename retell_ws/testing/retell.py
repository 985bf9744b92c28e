"""FakeRetell: an asyncio driver that plays Retell for one call. The rules are in `acceptance`; this file never judges.

    async with FakeRetell("ws://127.0.0.1:8080/llm-websocket") as retell:
        print(await retell.greeting())
        answer = await retell.ask("I need an appointment.")
        print(answer.text, answer.first_sentence_s)
    print(retell.report.faults)

Two kinds of time. With `speed=None` (the default) whatever is accepted counts as spoken at once: what a test wants.
With a `speed` the agent speaks word by word at 160 words a minute times `speed`, every word is an `update_only`, and
a request made while it speaks is a barge-in. `caller_speed` is the same for the caller's own words.

Three tasks work for each call, all owned by its task group: a reader and a pinger for each socket, and one that
does what follows from speech (updates, actions, reminders). None waits for the server in a way that could hold up
another: a send that does not get through within `send_timeout_s` drops the line.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from ..errors import RetellWsError
from ..wire import ToolCallInvocation, ToolCallResult
from .acceptance import Acceptance, Exchange
from .dial import RETELLS_POLICY, DialPolicy, call_url
from .frames import Config, Finding
from .line import Line
from .lines import PING_S, PONG_LIMIT_S, CallEnded, Lines
from .news import News
from .report import Answer, CallReport, answer_of, report_of
from .voice import Voice

__all__ = ["CallEnded", "FakeRetell", "Superseded"]

MAX_RTTS = 10_000
"""Round trips kept: five hours of pings."""


class Superseded(RetellWsError):
    """The answer will not come because a newer one was asked for."""


class FakeRetell:
    """One call.

    Args:
        url: The configured URL; the call id is appended to its path.
        call_id: The call; a fresh one of Retell's shape by default.
        details: Fields of the call object for `call_details`, beside the call id; None never sends it.
        speed: Factor on the pace of the agent's speech; None speaks in no time.
        caller_speed: Factor on the pace of the caller's; None says everything in one message.
        dial_policy: How to dial.
        redial_policy: How to redial; as `dial_policy` when it is not given.
        ping_s: Seconds between pings, once `auto_reconnect` was asked for; None sends none.
        pong_limit_s: Seconds without a pong before the line is given up.
        redials: Whether to redial by itself when a line dies. A `drop()` is never redialled by itself.
        reminder_trigger_ms: The agent's setting, until `update_agent` changes it.
        reminder_max_count: Likewise; 0 sends no reminders.
        send_timeout_s: Seconds for one send before the line is dropped.
        acts: Whether hang-ups, transfers and keys are carried out. Without, the last word counts as being spoken still,
            so there is all the time to speak into it.
        on_word: Called with each word as the agent speaks it.
        on_interrupt: Called with the `agent_interrupt` (§3.4) of which a piece was accepted, the same object for each.
            What was spoken before is cut off by then, and with `speed=None` what the piece asks for is done.
        on_frame: Called with every text frame as it came.
        on_open: Called with the headers of each handshake that was accepted: which server a balancer chose may stand
            there.
        on_broken: Called when a line ends and the call has not: before the redial, if there is one.

    Attributes:
        call_id: The call.
        rules: The acceptance rule's state.
        conversation: The transcript.
        connected_s: Seconds the first dial took.
    """

    def __init__(
        self,
        url: str,
        *,
        call_id: str | None = None,
        details: dict[str, Any] | None = None,
        speed: float | None = None,
        caller_speed: float | None = None,
        dial_policy: DialPolicy = RETELLS_POLICY,
        redial_policy: DialPolicy | None = None,
        ping_s: float | None = PING_S,
        pong_limit_s: float = PONG_LIMIT_S,
        redials: bool = True,
        reminder_trigger_ms: float = 10_000,
        reminder_max_count: int = 1,
        send_timeout_s: float = 5.0,
        acts: bool = True,
        on_word: Callable[[str], None] | None = None,
        on_interrupt: Callable[[Exchange], None] | None = None,
        on_frame: Callable[[str], None] | None = None,
        on_open: Callable[[Mapping[str, str]], None] | None = None,
        on_broken: Callable[[], None] | None = None,
    ) -> None:
        self.call_id = call_id or f"call_{secrets.token_hex(14)[:27]}"
        self.url = call_url(url, self.call_id)
        self.rules = Acceptance(reminder_trigger_ms=reminder_trigger_ms, reminder_max_count=reminder_max_count)
        self.connected_s = 0.0
        self._details = details
        self._on_interrupt = on_interrupt
        self._on_frame = on_frame
        self._news = News()
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._lines = Lines(
            self.url,
            self.rules,
            policy=dial_policy,
            redial_policy=redial_policy or dial_policy,
            ping_s=ping_s,
            pong_limit_s=pong_limit_s,
            redials=redials,
            send_timeout_s=send_timeout_s,
            start=self._start,
            hear=self._hear,
            changed=self._news.tell,
            opened=lambda line: None if on_open is None else on_open(line.headers),
            broke=lambda _: None if on_broken is None else on_broken(),
        )
        self._voice = Voice(
            self.rules,
            self._lines,
            self._news,
            speed=speed,
            caller_speed=caller_speed,
            acts=acts,
            on_word=on_word,
        )
        self.conversation = self._voice.conversation
        self._frames = self._dropped = self._old_frames = 0
        self._rtts: deque[float] = deque(maxlen=MAX_RTTS)
        self._answered: deque[int] = deque(maxlen=1_000)

    # ------------------------------------------------------------------ the call's beginning and end

    async def __aenter__(self) -> Self:
        """Dial, as §1.4 says.

        Raises:
            DialError: The server could not be reached.
        """
        started = time.perf_counter()
        line = await self._lines.dial()
        self.connected_s = time.perf_counter() - started
        await self._tasks.__aenter__()
        self._lines.take(line)
        self._start(self._voice.live(self.silence))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Hang up, unless the call has ended, and wait for every task."""
        try:
            await self.hang_up()
        finally:
            self._lines.abort()
            for task in self._running:
                task.cancel()
            # A group wraps what its body raised; the test's own assertion is better seen bare. Only a cancel must
            # pass through it, because the group may have asked for it.
            if kind is asyncio.CancelledError:
                await self._tasks.__aexit__(kind, exc, tb)
            else:
                await self._tasks.__aexit__(None, None, None)

    async def hang_up(self) -> None:
        """End the call as a caller does: `user_hangup`, and a close with 1000."""
        self._lines.end("user_hangup")
        await self._lines.close()

    @property
    def disconnection_reason(self) -> str | None:
        """Retell's word for how the call ended (§6.8); None while it lasts."""
        return self._lines.reason

    @property
    def close_code(self) -> int | None:
        """The close code of the newest line; None until it is gone."""
        line = self._lines.newest
        return line.code if line.gone.is_set() else None

    @property
    def peer(self) -> tuple[str, int]:
        """The server's address."""
        return self._lines.newest.peer

    @property
    def is_open(self) -> bool:
        """Whether the call lasts and a line is up."""
        return self._lines.is_open

    async def ended(self, *, timeout_s: float = 10.0) -> str:
        """Wait for the end of the call and return its disconnection reason.

        Raises:
            TimeoutError: It has not ended.
        """
        await self._news.until(lambda: self._lines.reason is not None, timeout_s)
        return self._lines.reason or ""

    @property
    def report(self) -> CallReport:
        """What the call has shown so far."""
        return report_of(
            self.rules,
            call_id=self.call_id,
            frames=self._frames,
            dropped=self._dropped,
            rtt_s=tuple(self._rtts),
            old_socket_frames=self._old_frames,
            digits=self._voice.digits,
            disconnection_reason=self._lines.reason,
        )

    # ------------------------------------------------------------------ what a caller does

    async def greeting(self, *, timeout_s: float = 10.0) -> str:
        """Wait for the begin message and return its text; empty when the caller is to speak first (§4.4)."""
        return (await self.answer(0, timeout_s=timeout_s)).text

    async def ask(self, text: str, *, timeout_s: float = 30.0) -> Answer:
        """Say something and wait for the whole answer. Raises as `answer` does."""
        return await self.answer(await self.request(text), timeout_s=timeout_s)

    async def request(
        self,
        text: str | None = None,
        *,
        grow: bool = False,
        transcript: list[Any] | None = None,
        extra: dict[str, Any] | None = None,
        reminder: bool = False,
    ) -> int:
        """Send a request and return its id, without waiting. While the agent speaks this is a barge-in.

        Args:
            text: What the caller says; None asks again in the same words (§4.2).
            grow: The text replaces what the caller said last, as speech recognition does.
            transcript: Sent instead of the call's own transcript.
            extra: Further fields of the message; they win over the usual ones.
            reminder: Send `reminder_required` instead of `response_required`.

        Raises:
            CallEnded: There is no call.
        """
        if text is not None:
            await self._voice.caller_says(text, grow=grow)
        self._voice.cut()
        response_id = self.rules.latest + 1
        message: dict[str, Any] = {
            "interaction_type": "reminder_required" if reminder else "response_required",
            "response_id": response_id,
            **self._voice.transcripts(transcript),
            **(extra or {}),
        }
        self.rules.asked(response_id, time.perf_counter())
        await self._lines.send(message)
        return response_id

    async def say(self, text: str, *, grow: bool = False) -> None:
        """Let the caller say something, of which Retell only tells: it has not asked for an answer yet (§2.3).

        `request()` asks for one, in these words.

        Args:
            text: The words so far.
            grow: They replace what the caller said last, as speech recognition does.

        Raises:
            CallEnded: There is no call.
        """
        await self._voice.caller_says(text, grow=grow)

    async def press(self, digits: str) -> None:
        """Press keys of the telephone (§2.8): they stand in the next messages, if the server asked for such items."""
        for digit in digits:
            self.conversation.beside("dtmf", digit=digit)
        await self.update()

    async def silence(self) -> int:
        """Send a reminder now, as after `reminder_trigger_ms` of silence, and return its id (§2.5)."""
        return await self.request(reminder=True)

    async def speculate(self, text: str, *, ids: int = 3, gap_s: float = 0.15) -> int:
        """Ask several times while the caller goes on speaking (§4.2), and return the last id.

        Args:
            text: The whole sentence; the first ids get only its beginning.
            ids: How many requests.
            gap_s: Seconds between two; §10 gives 0.15 to 0.6.
        """
        words = text.split()
        for n in range(1, ids + 1):
            part = " ".join(words[: max(1, len(words) * n // ids)])
            await self.request(text if n == ids else part, grow=n > 1)
            if n < ids:
                await asyncio.sleep(gap_s)
        return self.rules.latest

    async def update(
        self, *, turntaking: str | None = None, transcript: list[Any] | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Send an `update_only` (§2.3)."""
        await self._voice.update(turntaking=turntaking, transcript=transcript, extra=extra)

    async def answer(self, response_id: int, *, timeout_s: float = 30.0) -> Answer:
        """Wait for the completion of one id.

        Raises:
            TimeoutError: It was not completed in time.
            Superseded: A newer id was asked for before the completion.
            CallEnded: The call ended before.
        """
        exchange = self.rules.exchanges[response_id]
        await self._news.until(
            lambda: exchange.is_complete or self._lines.reason is not None or self.rules.latest > response_id, timeout_s
        )
        if exchange.is_complete:
            return answer_of(exchange)
        if self._lines.reason is not None:
            raise CallEnded(self._lines.reason)
        raise Superseded(f"id {response_id} was superseded by {self.rules.latest}")

    async def spoken(self, response_id: int, *, timeout_s: float = 600.0) -> None:
        """Wait until one id was spoken to its end, or cut off.

        Raises:
            TimeoutError: The agent is still speaking.
        """
        exchange = self.rules.exchanges[response_id]
        await self._news.until(
            lambda: self._lines.reason is not None or self.rules.latest > response_id or self._voice.is_over(exchange),
            timeout_s,
        )

    async def piece(self, response_id: int, *, at_least: int = 1, timeout_s: float = 30.0) -> str:
        """Wait for the first text of one id and return what has come so far, all of it if it was completed before.

        Args:
            response_id: The id.
            at_least: Characters to wait for.
            timeout_s: Seconds to wait.

        Raises:
            TimeoutError: Not so much came in time.
            CallEnded: The call ended before.
        """
        exchange = self.rules.exchanges[response_id]
        await self._news.until(
            lambda: exchange.is_complete or exchange.length >= at_least or self._lines.reason is not None, timeout_s
        )
        if self._lines.reason is not None and not exchange.text:
            raise CallEnded(self._lines.reason)
        return exchange.text

    async def until(self, holds: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        """Wait until something holds of what was heard; it is looked at after each frame.

        Raises:
            TimeoutError: It did not come to hold.
            CallEnded: The call ended before.
        """
        await self._news.until(lambda: holds() or self._lines.reason is not None, timeout_s)
        if not holds():
            raise CallEnded(self._lines.reason or "")

    async def quiet(self, quiet_s: float) -> None:
        """Wait until no frame came for `quiet_s` seconds, or the line is gone."""
        seen = -1

        def heard() -> bool:
            return self._frames + self._old_frames != seen or not self.is_open

        while self.is_open:
            seen = self._frames + self._old_frames
            try:
                await self._news.until(heard, quiet_s)
            except TimeoutError:
                return

    async def ping(self, timestamp: int | None = None, *, timeout_s: float = PONG_LIMIT_S) -> float:
        """Send one ping and return the seconds until its echo.

        Args:
            timestamp: What to send; the clock in milliseconds by default.
            timeout_s: Seconds to wait.

        Raises:
            TimeoutError: No echo of exactly this timestamp came.
        """
        sent = time.perf_counter()
        timestamp = await self._lines.ping(timestamp)
        await self._news.until(lambda: timestamp in self._answered or not self.is_open, timeout_s)
        if timestamp not in self._answered:
            raise CallEnded(self._lines.reason or "the line is down")
        return time.perf_counter() - sent

    async def send_raw(self, data: str | bytes) -> None:
        """Send one frame as it is: `str` as text, `bytes` as binary."""
        await self._lines.send_raw(data)

    # ------------------------------------------------------------------ lines

    async def drop(self) -> None:
        """Cut the line without a close frame, as a broken network does, and do not redial."""
        await self._lines.drop()

    async def redial(self) -> None:
        """Open a new line for the same call. One that is still up is kept open but no longer counts.

        Raises:
            DialError: The server could not be reached.
        """
        await self._lines.redial()

    # ------------------------------------------------------------------ what comes in

    def _hear(self, line: Line, data: str | bytes) -> None:
        if line is not self._lines.current:
            self._old_frames += 1
            return
        self._frames += 1
        now = time.perf_counter()
        if self._on_frame is not None and isinstance(data, str):
            self._on_frame(data)
        heard = self.rules.receive(data, now)
        if heard.dropped is not None:
            self._dropped += 1
            if heard.dropped is Finding.BINARY:
                line.close_soon(1007)
        elif heard.rtt_s is not None:
            self._lines.ponged(line)
            self._rtts.append(heard.rtt_s)
            self._answered.append(heard.message.timestamp)  # type: ignore[union-attr]  # only a Pong has rtt_s
        elif heard.speech is not None:
            self._voice.say(heard.speech)
            if self._on_interrupt is not None and heard.speech is self.rules.interrupt:
                self._on_interrupt(heard.speech)
        elif isinstance(heard.message, ToolCallInvocation | ToolCallResult):
            fields = msgspec.to_builtins(heard.message)
            self.conversation.beside(fields.pop("response_type"), **fields)
        elif isinstance(heard.message, Config):
            if heard.message.config.auto_reconnect:
                line.keepalive.set()
            if heard.message.config.call_details and self._details is not None:
                self._start(self._send_details(line))
        self._news.tell()

    async def _send_details(self, line: Line) -> None:
        call = {"call_id": self.call_id, **(self._details or {})}
        await self._lines.send({"interaction_type": "call_details", "call": call}, line)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
