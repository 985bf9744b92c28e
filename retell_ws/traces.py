"""Which spans the facts of calls complete: what has to be remembered for that until they do. No I/O.

The span of the whole call is told by the server that sees its end. A server that is killed tells nothing of the turn it
was in; the other turns of its calls are children of a span that another server tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias, get_args

import msgspec

from .facts import (
    CallEnded,
    CallMoved,
    Detached,
    Reattached,
    ToolFinished,
    TurnFailed,
    TurnMeasured,
    TurnReasked,
    TurnStarted,
)
from .spans import Place, Span, call_span, call_span_of, tool_span, turn_spans

__all__ = ["TRACED", "Traced", "Tracer"]

Traced: TypeAlias = (
    CallEnded | CallMoved | Detached | Reattached | ToolFinished | TurnFailed | TurnMeasured | TurnReasked | TurnStarted
)
"""The facts that spans are made from."""

TRACED: Final[frozenset[type]] = frozenset(get_args(Traced))

TURNS: Final = 16
"""Turns of a call that are remembered: a tool may end when newer ones have begun."""

ENDED: Final = 256
"""Calls that are remembered after their end: it may cut a turn off, whose record comes after it."""

TICK_NS: Final = 2_000_000
"""By so much a tool may seem to have begun before the turn it is of: its time is the loop's, in whole milliseconds."""

CALLS: Final = 20_000
"""Calls that are remembered at all, if ends should be missing."""


class _Turn(msgspec.Struct):
    number: int  # of the fact it began with
    response_id: int
    kind: str
    at_ns: int
    why: str = ""


class _Call(msgspec.Struct):
    turns: deque[_Turn]
    left_ns: int | None = None

    def turn(self, response_id: int, at_ns: int) -> _Turn:
        """Find a turn. The fact of its begin may be missing."""
        for turn in reversed(self.turns):
            if turn.response_id == response_id:
                return turn
        self.turns.append(_Turn(-1 - response_id, response_id, "response", at_ns))
        return self.turns[-1]

    def turn_at(self, at_ns: int) -> _Turn | None:
        """Find the turn that was under way at a time."""
        return next((turn for turn in reversed(self.turns) if turn.at_ns <= at_ns + TICK_NS), None)


class Tracer:
    """Makes spans of the facts of all calls of one server. Not thread-safe.

    Args:
        model: The model that is asked, unless another one answers in its place.
        provider: Who runs it, in the words of the conventions.
        server: The host and port where; None in this process.
    """

    def __init__(self, model: str, provider: str, server: tuple[str, int] | None = None) -> None:
        self._model = model
        self._provider = provider
        self._server = server
        self._calls: dict[tuple[str, int], _Call] = {}
        self._ended: deque[tuple[str, int]] = deque()

    def __len__(self) -> int:
        return len(self._calls)

    def spans(self, call_id: str, epoch: int, seq: int, at_ns: int, fact: Traced) -> Iterator[Span]:
        """Give the spans that a fact completes.

        Args:
            call_id: The call.
            epoch: Of this server's hold of it.
            seq: The number of the fact within the epoch.
            at_ns: When it happened, in nanoseconds since 1970.
            fact: What.
        """
        call = self._call(call_id, epoch)
        match fact:
            case TurnStarted():
                call.turns.append(_Turn(seq, fact.response_id, fact.kind, at_ns))
            case TurnReasked():
                call.turn(fact.replaces, at_ns).response_id = fact.response_id
            case TurnFailed():
                call.turn(fact.response_id, at_ns).why = fact.why
            case TurnMeasured():
                turn = call.turn(fact.response_id, at_ns)
                place = Place(call_id, epoch, turn.number)
                yield from turn_spans(
                    place,
                    at_ns,
                    fact,
                    kind=turn.kind,
                    why=turn.why,
                    model=self._model,
                    provider=self._provider,
                    server=self._server,
                )
            case ToolFinished():
                under = call.turn_at(at_ns - round(fact.duration_s * 1e9))
                parent = call_span_of(call_id) if under is None else Place(call_id, epoch, under.number).id("turn")
                yield tool_span(Place(call_id, epoch, seq), parent, at_ns, fact)
            case Detached():
                call.left_ns = at_ns
            case Reattached():
                call.left_ns = None
            case CallMoved():
                self._forget_later(call_id, epoch)
            case CallEnded():
                self._forget_later(call_id, epoch)
                yield call_span(call_id, call.left_ns or at_ns, fact)

    def _call(self, call_id: str, epoch: int) -> _Call:
        call = self._calls.get((call_id, epoch))
        if call is None:
            call = self._calls[call_id, epoch] = _Call(deque(maxlen=TURNS))
            if len(self._calls) > CALLS:
                del self._calls[next(iter(self._calls))]
        return call

    def _forget_later(self, call_id: str, epoch: int) -> None:
        self._ended.append((call_id, epoch))
        if len(self._ended) > ENDED:
            self._calls.pop(self._ended.popleft(), None)
