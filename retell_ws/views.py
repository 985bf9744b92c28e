"""What the console shows of calls and servers, as it goes to a browser and from server to server. No I/O.

Everything here is bounded: a view is asked for once a second, by every browser that looks on.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
from msgspec import Raw

from .control import Status
from .facts import Fact, TurnMeasured
from .speech_facts import SpeechFact
from .transcript import Question

__all__ = [
    "MAX_LINES",
    "MAX_LIVE",
    "MAX_TURNS",
    "CallView",
    "FirstSentences",
    "Glimpse",
    "ServerView",
    "ShownLine",
    "Speaking",
    "TimedTurn",
    "Turns",
]

MAX_LINES: Final = 60
"""Lines of a call that are shown, the last ones: about a quarter of an hour."""

MAX_TURNS: Final = 30
"""Turns of a call that are shown, the last ones."""

MAX_LIVE: Final = 100
"""Calls of a server that are shown, the newest ones: with the longest ids there are, they take 20 KB."""


class FirstSentences(msgspec.Struct, frozen=True):
    """How long callers have waited for the first sentence, since the server has started.

    Attributes:
        bounds_ms: Upper bounds of the classes, the budget among them.
        counts: Turns in each class; one more than there are bounds, for those beyond the last.
        within: Turns within the budget.
        over: Turns over it, or failed before there was a sentence.
        p50_ms: Percentiles of the latest thousand; None without any.
    """

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]
    within: int = 0
    over: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """How one server is doing.

    Attributes:
        name: Unlike any other's.
        version: Of this package.
        blueprint: The setting.
        model: The model client's name.
        started_at: In seconds since 1970.
        draining: It takes no new calls.
        calls: Calls with a socket.
        max_calls: Calls there may be.
        budget_ms: What the first sentence is measured against.
        speculates: Its agent's model is asked before Retell asks.
        live: The newest calls, newest first.
        first_sentences: What callers have waited.
    """

    name: str
    version: str
    blueprint: str
    model: str
    started_at: float
    draining: bool
    calls: int
    max_calls: int
    budget_ms: int
    speculates: bool
    live: tuple[Status, ...]
    first_sentences: FirstSentences


class ShownLine(msgspec.Struct, frozen=True):
    """One line of a transcript, masked.

    Attributes:
        role: `agent`, `user`, or what else Retell names.
        text: What was said, pressed, or given by a tool.
        name: The tool's.
    """

    role: str
    text: str = ""
    name: str = ""


class Speaking(msgspec.Struct, frozen=True):
    """Words that were sent, and that Retell has not told as spoken.

    Attributes:
        response_id: The id they answer.
        text: They, masked.
    """

    response_id: int
    text: str


class TimedTurn(TurnMeasured, frozen=True, kw_only=True, tag=False):
    """A measured turn, and when it was.

    Attributes:
        at: When Retell asked, in seconds since 1970.
    """

    at: float

    @classmethod
    def of(cls, at: float, turn: TurnMeasured) -> TimedTurn:
        """Put the two together."""
        return cls(at=at, **msgspec.structs.asdict(turn))


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as a person may look on.

    Attributes:
        server: The server that has it.
        status: Where it stands.
        lines: The last of its transcript, oldest first.
        speaking: What the agent says at the moment; None when nothing is under way, or Retell has told it already.
        turns: The last of its turns, oldest first.
    """

    server: str
    status: Status
    lines: tuple[ShownLine, ...]
    speaking: Speaking | None
    turns: tuple[TimedTurn, ...]


class Glimpse(msgspec.Struct, frozen=True, gc=False):
    """One call as its session knows it at one moment: nothing is read yet, nothing masked. It stays in the process.

    Attributes:
        status: Where it stands.
        heard: The newest transcript Retell sent here; None before the first one.
        question: What was asked last.
        response_id: The id that is answered, or was last.
        sent: The words sent under it.
        turns: The last turns: when Retell asked, in seconds since 1970, and what was measured.
    """

    status: Status
    heard: Raw | None
    question: Question | None
    response_id: int
    sent: str
    turns: tuple[tuple[float, TurnMeasured], ...]


class Turns:
    """The last turns of one call."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: deque[tuple[float, TurnMeasured]] = deque(maxlen=MAX_TURNS)

    def note(self, fact: Fact | SpeechFact, at: float) -> None:
        """Keep a fact if it tells of a turn.

        Args:
            fact: What has happened.
            at: Now, in seconds since 1970: a turn is measured when it has ended.
        """
        if type(fact) is TurnMeasured:
            self._last.append((at - (fact.done_s or 0.0), fact))

    def last(self) -> tuple[tuple[float, TurnMeasured], ...]:
        """Give them, oldest first, each with the time at which Retell asked."""
        return tuple(self._last)
