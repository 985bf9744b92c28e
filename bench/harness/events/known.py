"""What the load generator knows to have happened in its calls, from its own history alone. Pure.

A server that is struck dead may take its last words with it: what it had not yet written down nobody can ask for. So
whatever happened within `SURE_S` before a kill is left out, and a call whose line broke is asked for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from bench.harness.faults.checks import Heard, heard_in
from bench.harness.faults.history import Row
from bench.harness.faults.words import Question

__all__ = ["GRACE_S", "SURE_S", "Known", "Totals", "known_in", "totals"]

SURE_S: Final = 1.0
"""Seconds after which a fact must be in the journal: ten times what it gathers facts for."""

GRACE_S: Final = 2.0
"""Seconds that the servers wait for a redial before they say that a call has ended: who is struck dead meanwhile does
not say it."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        number: In the run.
        asked: What was asked, by response id.
        answered: Ids whose end was heard, for certain.
        superseded: Ids after which another one was asked before their end was heard.
        whole: No line of its broke: all of it can be asked for.
        ended: The caller hung up, and the server has told so for certain.
    """

    number: int
    asked: Mapping[int, Question]
    answered: frozenset[int]
    superseded: frozenset[int]
    whole: bool
    ended: bool

    @property
    def last(self) -> Question | None:
        """What was asked last."""
        return self.asked[max(self.asked)] if self.asked else None


class Totals(msgspec.Struct, frozen=True):
    """What all calls come to, for whoever adds up facts.

    Attributes:
        calls: That came about.
        ended: That ended.
        turns: Questions asked.
        answered: Questions whose answer was heard to its end.
        superseded: Questions that were spoken into.
        tools: Side effects that ran.
    """

    calls: int
    ended: int
    turns: int
    answered: int
    superseded: int
    tools: int


def known_in(rows: Iterable[Row]) -> dict[int, Known]:
    """Tell what is known of each call that was accepted.

    Args:
        rows: The history, in any order.
    """
    rows = list(rows)
    kills = [row.t for row in rows if row.event == "fault" and row.text == "kill"]
    return {number: _known(heard, kills) for number, heard in heard_in(rows).items() if heard.opened}


def _known(heard: Heard, kills: list[float]) -> Known:
    def is_sure(at: float | None, after_s: float = SURE_S) -> bool:
        return at is not None and not any(at <= kill < at + after_s for kill in kills)

    asked = {one.response_id: one for one in heard.asked.values() if one.question is not None}
    return Known(
        number=heard.number,
        asked={one.response_id: one.question for one in asked.values() if one.question is not None},
        answered=frozenset(number for number, one in asked.items() if is_sure(one.completed_at)),
        superseded=frozenset(
            number for number, one in asked.items() if one.completed_at is None and one.superseded_at is not None
        ),
        whole=not heard.gone,
        ended=heard.reason == "user_hangup" and is_sure(heard.hung_up_at, GRACE_S + SURE_S),
    )


def totals(known: Mapping[int, Known], rows: Iterable[Row]) -> Totals:
    """Add up what all calls come to."""
    calls = list(known.values())
    return Totals(
        calls=len(calls),
        ended=sum(call.ended for call in calls),
        turns=sum(len(call.asked) for call in calls),
        answered=sum(len(call.answered) for call in calls),
        superseded=sum(len(call.superseded) for call in calls),
        tools=sum(row.event == "ran" for row in rows),
    )
