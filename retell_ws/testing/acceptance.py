"""Retell's side of one call as a state machine: which frames count, which are dropped, and why. No I/O, no clock.

The rule (protocol §4.1): text counts for the newest `response_id` that was asked for, until that id is
completed; everything else is dropped without a word. This file follows the rule and keeps a note of what was
dropped, so that a silent loss becomes a finding.

**Stale or crossed.** A frame of id 6 that arrives after 7 was asked for may have left the server before 7 came
in; then nobody did wrong. It is *stale* only when the server had provably read request 7 before sending it.
Two things prove that, because one socket keeps its order both ways: an earlier frame of id 7, or the echo of a
ping that was sent after request 7 on the same socket. A request that was on its way when its socket broke may never
have been read by anybody.

The caller of this class must tell it everything that leaves (`asked`, `pinged`, `connected`) *before* the bytes
do, and hand over every frame of the newest socket in order.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from ..wire import AgentInterrupt, Metadata, Pong, Response, ToolCallInvocation, ToolCallResult, UpdateAgent
from .frames import Config, Finding, Frame, Options, ServerMessage, Unreadable, read_frame

__all__ = ["Acceptance", "Action", "Exchange", "Heard", "Note", "ToolSeen", "ends_a_sentence"]

MAX_NOTES = 1_000
"""Notes kept in words; the counters go on beyond."""

MAX_PINGS = 256
"""Unanswered pings remembered: 512 s of them at Retell's pace, far beyond its own limit of 5 s (§1.5)."""

MAX_EXCHANGES = 10_000
"""Ids remembered: a call of two hours asks less than once a second."""

MAX_TEXT = 200_000
"""Characters of one id: three hours of speech, longer than a call can last (§1.1)."""

_SENTENCE = re.compile(r"(?:[!?…。！？]|(?<!\d)\.)[\"'”’)\]]*(?:\s|$)")


def ends_a_sentence(text: str) -> bool:
    """Say whether `text` holds a complete sentence, which is what Retell waits for before it speaks (§7).

    How Retell finds the end of a sentence is not documented. Here a full stop counts unless a digit stands before it
    (`3.` may become `3.5`); an abbreviation such as `Dr.` is taken for an end.
    """
    return _SENTENCE.search(text) is not None


@dataclass(frozen=True, slots=True)
class Action:
    """What Retell does once everything was spoken (§3.3).

    Attributes:
        kind: `end_call`, `transfer_number` or `digit_to_press`, in this order of precedence.
        value: The number or the digits; empty for `end_call`.
    """

    kind: str
    value: str = ""


@dataclass(slots=True)
class ToolSeen:
    """A tool the server told of (§3.5).

    Attributes:
        name: Its name.
        arguments: A JSON object, as text.
        result: What came of it; None while it runs.
        successful: Whether it worked; None when that was not said.
    """

    name: str
    arguments: str
    result: str | None = None
    successful: bool | None = None


@dataclass(slots=True)
class Exchange:
    """One id, what was asked and what came for it. Times are the caller's clock, in seconds.

    Attributes:
        response_id: The id; 0 is the begin message.
        asked_at: When the request left (for id 0: when the first socket was open).
        pieces: The accepted pieces of text, in order, empty ones included.
        first_frame_at: When the first accepted frame came.
        first_sentence_at: When the first complete sentence, or the completion, was there.
        completed_at: When `content_complete: true` was accepted.
        completions: Frames with `content_complete: true`, dropped ones included.
        cancelled: An `agent_interrupt` came while it was open.
    """

    response_id: int
    asked_at: float
    pieces: list[str] = field(default_factory=list)
    first_frame_at: float | None = None
    first_sentence_at: float | None = None
    completed_at: float | None = None
    completed_on: int = 0
    completions: int = 0
    cancelled: bool = False
    end_call: bool = False
    transfer_number: str | None = None
    digit_to_press: str | None = None
    length: int = 0

    @property
    def text(self) -> str:
        """Everything accepted, joined as Retell joins it: raw."""
        return "".join(self.pieces)

    @property
    def is_complete(self) -> bool:
        """Whether the completion was accepted."""
        return self.completed_at is not None

    @property
    def action(self) -> Action | None:
        """The one action of this id (§3.3: at most one, by precedence)."""
        if self.end_call:
            return Action("end_call")
        if self.transfer_number:
            return Action("transfer_number", self.transfer_number)
        if self.digit_to_press:
            return Action("digit_to_press", self.digit_to_press)
        return None


@dataclass(frozen=True, slots=True)
class Note:
    """One finding.

    Attributes:
        finding: What it is.
        detail: What was seen, in words.
        response_id: The id of the frame, when it had one.
    """

    finding: Finding
    detail: str
    response_id: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one frame.

    Attributes:
        message: The message, or None when the frame was none.
        speech: The exchange its text was accepted for; None when there was no text or it was dropped.
        rtt_s: For the echo of a ping: seconds since that ping.
        dropped: Why Retell ignores it, or None.
    """

    message: ServerMessage | None = None
    speech: Exchange | None = None
    rtt_s: float | None = None
    dropped: Finding | None = None


class Acceptance:
    """One call at Retell's end, over all of its sockets.

    Attributes:
        latest: The newest id asked for.
        socket: How many sockets were opened so far.
        options: What the `config` of the newest socket asked for.
        exchanges: By id, the begin message included.
        interrupt: The newest `agent_interrupt`, or None.
        reminder_trigger_ms: Silence before a reminder, as `update_agent` left it (§3.6).
        reminder_max_count: How many reminders, likewise.
        counts: How often each finding was made.
        notes: The first `MAX_NOTES` of them.
        tools: The tools the server told of, by the id of the call, in the order of their beginnings.
        metadata: What the server sent for the browser, the latest last.
    """

    def __init__(self, *, reminder_trigger_ms: float = 10_000, reminder_max_count: int = 1) -> None:
        self.latest = 0
        self.socket = 0
        self.options = Options()
        self.exchanges: dict[int, Exchange] = {0: Exchange(0, 0.0)}
        self.interrupt: Exchange | None = None
        self.reminder_trigger_ms = reminder_trigger_ms
        self.reminder_max_count = reminder_max_count
        self.counts: Counter[Finding] = Counter()
        self.notes: list[Note] = []
        self.tools: dict[str, ToolSeen] = {}
        self.metadata: deque[dict[str, Any]] = deque(maxlen=MAX_NOTES)
        self._read = 0  # the highest id the server has provably read
        self._pings: dict[int, tuple[float, int]] = {}
        self._asked_here = 0  # the newest id that was asked for on the newest socket
        self._frames = 0  # on the newest socket

    @property
    def current(self) -> Exchange:
        """The exchange of the newest id."""
        return self.exchanges[self.latest]

    @property
    def is_open(self) -> bool:
        """Whether an answer is still due: no reminder and no new request comes unless the caller speaks (§4.1)."""
        return not (self.current.is_complete or self.current.cancelled)

    def connected(self, now: float) -> None:
        """Note that a new socket is open; it is the one that counts from here."""
        self.socket += 1
        self.options = Options()
        self._pings.clear()
        self._asked_here = 0
        self._frames = 0
        if self.socket == 1:
            self.exchanges[0].asked_at = now

    def asked(self, response_id: int, now: float) -> Exchange:
        """Note that a request for `response_id` leaves. An id asked for a second time keeps its state.

        Raises:
            ValueError: The id is lower than the latest; Retell never goes back (§2.4).
        """
        if response_id < self.latest:
            raise ValueError(f"id {response_id} is below {self.latest}")
        self._asked_here = response_id
        if response_id > self.latest:
            self.latest = response_id
            self.exchanges[response_id] = Exchange(response_id, now)
            if len(self.exchanges) > MAX_EXCHANGES:
                del self.exchanges[min(self.exchanges)]
        return self.exchanges[response_id]

    def pinged(self, timestamp: int, now: float) -> None:
        """Note that a ping leaves."""
        self._pings[timestamp] = (now, self._asked_here)
        if len(self._pings) > MAX_PINGS:
            del self._pings[next(iter(self._pings))]

    def receive(self, data: str | bytes, now: float) -> Heard:
        """Take one frame of the newest socket.

        Args:
            data: `str` of a text frame, `bytes` of a binary one.
            now: The clock, in seconds.

        Returns:
            What became of it. A binary frame is `dropped` as `BINARY`: close with 1007, the call is over.
        """
        self._frames += 1
        frame = read_frame(data)
        if isinstance(frame, Unreadable):
            return self._drop(frame.finding, frame.detail)
        if not frame.named:
            self._note(Finding.NO_RESPONSE_TYPE, "a frame without response_type", None)
        return self._take(frame, now)

    def _take(self, frame: Frame, now: float) -> Heard:
        match frame.message:
            case Response() as message:
                return self._response(message, now)
            case AgentInterrupt() as message:
                return self._interrupt(message, now)
            case Pong(timestamp) as message:
                return self._pong(message, timestamp, now)
            case Config(options) as message:
                if self._frames > 1:
                    self._note(Finding.LATE_CONFIG, f"config came as frame {self._frames}", None)
                self.options = options
            case UpdateAgent(changes) as message:
                # §3.6: what it does with values out of range is not documented; clamped here.
                if changes.reminder_trigger_ms is not None:
                    self.reminder_trigger_ms = max(changes.reminder_trigger_ms, 1)
                if changes.reminder_max_count is not None:
                    self.reminder_max_count = max(changes.reminder_max_count, 0)
            case ToolCallInvocation() as message:
                self._tool(message)
            case ToolCallResult() as message:
                self._tool_ended(message)
            case Metadata(data) as message:
                self.metadata.append(data)
        return Heard(message)

    def _tool(self, message: ToolCallInvocation) -> None:
        if message.tool_call_id in self.tools:
            self._note(Finding.TOOL_TWICE, f"a second invocation of {message.name} with one id", None)
        self.tools[message.tool_call_id] = ToolSeen(message.name, message.arguments)
        if len(self.tools) > MAX_EXCHANGES:
            del self.tools[next(iter(self.tools))]

    def _tool_ended(self, message: ToolCallResult) -> None:
        tool = self.tools.get(message.tool_call_id)
        if tool is None:
            if self.socket > 1:
                return  # the invocation may have been on its way when an older socket broke
            self._note(Finding.STRAY_RESULT, "a tool_call_result without its invocation", None)
        elif tool.result is not None:
            self._note(Finding.STRAY_RESULT, f"a second tool_call_result of {tool.name}", None)
        else:
            tool.result, tool.successful = message.content, message.successful

    def _response(self, message: Response, now: float) -> Heard:
        response_id = message.response_id
        exchange = self.exchanges.get(response_id)
        if exchange is None:
            was_asked = 0 <= response_id < self.latest  # and forgotten since
            finding = Finding.STALE if was_asked else Finding.NEVER_ASKED
            return self._drop(finding, f"id {response_id} while {self.latest} is the latest", message)
        exchange.completions += message.content_complete
        if exchange.is_complete and self.socket > exchange.completed_on:
            if not message.content and message.content_complete:
                return self._drop(Finding.CLOSED_AGAIN, f"id {response_id} completed again", message)
            if response_id == 0:
                return self._drop(Finding.GREETED_AGAIN, f"begin message again: {_some(message.content)}", message)
        if response_id < self.latest:
            finding = Finding.STALE if response_id < self._read else Finding.CROSSED
            return self._drop(finding, f"id {response_id} after {self.latest} was asked for", message)
        self._read = max(self._read, response_id)
        if exchange.is_complete:
            finding = Finding.AFTER_END_CALL if exchange.end_call else Finding.AFTER_COMPLETION
            return self._drop(finding, f"id {response_id}: {_some(message.content)}", message)
        if exchange.cancelled:
            return self._drop(Finding.CANCELLED, f"id {response_id} after agent_interrupt", message)
        return self._accept(exchange, message, now)

    def _interrupt(self, message: AgentInterrupt, now: float) -> Heard:
        if self.current.is_complete and self.current.end_call:
            return self._drop(Finding.AFTER_END_CALL, f"agent_interrupt: {_some(message.content)}", message)
        if not self.current.is_complete:
            self.current.cancelled = True
        interrupt = self.interrupt
        if interrupt is None or message.interrupt_id > interrupt.response_id:
            self.interrupt = interrupt = Exchange(message.interrupt_id, now)
        elif message.interrupt_id < interrupt.response_id or interrupt.is_complete:
            return self._drop(Finding.OLD_INTERRUPT, f"interrupt {message.interrupt_id} is over", message)
        interrupt.completions += message.content_complete
        return self._accept(interrupt, message, now)

    def _accept(self, exchange: Exchange, message: Response | AgentInterrupt, now: float) -> Heard:
        exchange.length += len(message.content)
        if exchange.length > MAX_TEXT:
            return self._drop(Finding.TOO_LONG, f"id {exchange.response_id}: over {MAX_TEXT} characters", message)
        exchange.pieces.append(message.content)
        if exchange.first_frame_at is None:
            exchange.first_frame_at = now
        exchange.end_call |= message.end_call
        exchange.transfer_number = message.transfer_number or exchange.transfer_number
        exchange.digit_to_press = message.digit_to_press or exchange.digit_to_press
        if message.content_complete:
            exchange.completed_at, exchange.completed_on = now, self.socket
        if exchange.first_sentence_at is None and (exchange.is_complete or ends_a_sentence(exchange.text)):
            exchange.first_sentence_at = now
        return Heard(message, speech=exchange)

    def _pong(self, message: Pong, timestamp: int, now: float) -> Heard:
        sent = self._pings.pop(timestamp, None)
        if sent is None:
            return self._drop(Finding.STRAY_PONG, f"ping_pong with timestamp {timestamp}", message)
        sent_at, asked = sent
        self._read = max(self._read, asked)
        return Heard(message, rtt_s=now - sent_at)

    def _drop(self, finding: Finding, detail: str, message: ServerMessage | None = None) -> Heard:
        self._note(finding, detail, message.response_id if isinstance(message, Response) else None)
        return Heard(message, dropped=finding)

    def _note(self, finding: Finding, detail: str, response_id: int | None) -> None:
        self.counts[finding] += 1
        if len(self.notes) < MAX_NOTES:
            self.notes.append(Note(finding, detail, response_id))


def _some(text: str) -> str:
    """The beginning of a text, quoted."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
