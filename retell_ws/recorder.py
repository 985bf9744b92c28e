"""What becomes of the facts of a server's calls: they go to the bus, to the traces, into the figures and into the log.

What people say goes to the bus alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from .entries import AnyFact
from .facts import BadMessage, CallEnded, CallMoved, CallStarted, Fact, OverBudget, Resumed, TurnFailed
from .measures import Measures
from .ports import Facts, Traces
from .speech_facts import SPEECH

__all__ = ["Recorder"]

logger = logging.getLogger(__name__)

WARNED: Final = 10
"""Messages nobody can read that are worth a warning: a peer may send thousands."""


class Recorder:
    """Takes each fact of one server.

    Args:
        facts: Takes all of them, for the bus; None when nobody wants them.
        traces: Takes what spans are made from; None when nobody traces.
        measures: Counts and times.
    """

    def __init__(self, facts: Facts | None, traces: Traces | None, measures: Measures) -> None:
        self._facts = facts
        self._traces = traces
        self._measures = measures
        self._counted: Counter[str] = Counter()

    def record(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """Take a fact. A plain function, which never waits.

        Args:
            call_id: The call's.
            epoch: Of this server's hold of it.
            seq: The fact's number in the epoch.
            fact: It.
        """
        if self._facts is not None:
            self._facts.put(call_id, epoch, seq, fact)
        if isinstance(fact, SPEECH):
            return  # what people say is neither logged nor counted
        if self._traces is not None:
            self._traces.put(call_id, epoch, seq, fact)
        kind = str(fact.__struct_config__.tag)
        self._counted[kind] += 1
        self._measures.record(fact)
        level = self._level(kind, fact)
        if logger.isEnabledFor(level):
            logger.log(level, "%s", kind, extra={"call_id": call_id, "fact": msgspec.to_builtins(fact)})

    def counted(self) -> Mapping[str, int]:
        """Count the facts of each kind, but for speech."""
        return self._counted

    def _level(self, kind: str, fact: Fact) -> int:
        match fact:
            case CallStarted() | Resumed() | CallMoved() | CallEnded():
                return logging.INFO
            case TurnFailed() | OverBudget():
                return logging.WARNING
            case BadMessage():
                return logging.WARNING if self._counted[kind] <= WARNED else logging.DEBUG
            case _:
                return logging.DEBUG
