"""What is said when the silence gets long: a phrase that fits, and never the same one twice running. No I/O.

When it is said is `patience.py`'s affair, and a model that speaks in time has none said at all.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from zlib import crc32

from .lines import HOLDING, HOLDING_QUESTION, Lines, phrases
from .transcript import AGENT, Question

__all__ = ["Holding", "Moment", "moment_of"]

Moment: TypeAlias = Literal["question", "statement", "working"]
"""After the caller asked something, or said something; or when they have been told to wait before, in this turn."""

# Retell's transcripts are punctuated in every language. Words that open a question are not looked for: each language
# has its own, and a neutral phrase after a question that was taken for a statement is no mistake.
_QUESTION_MARKS = ("?", "？", "؟", "⁇", "⁈")


def moment_of(question: Question, *, holds: int, works: bool) -> Moment:
    """Tell which phrase fits.

    Args:
        question: What is being answered.
        holds: Holding phrases said in this turn, with the one that is asked for.
        works: Tools run. Then the caller's words were understood, perhaps commented on: no time for "Good question".
    """
    if holds > 1:
        return "working"
    last = question.transcript[-1] if question.transcript else None
    asked = last is not None and last.role != AGENT and (last.content or "").rstrip().endswith(_QUESTION_MARKS)
    return "question" if asked and not works else "statement"


class Holding:
    """The holding phrases of one call. Each moment has its list, and goes through it in order.

    Args:
        lines: The agent's.
        call_id: Decides where each list begins, so that someone who calls again hears another phrase first.
    """

    __slots__ = ("_call_id", "_last", "_lines", "_next")

    def __init__(self, lines: Lines, call_id: str) -> None:
        self._lines = lines
        self._call_id = call_id
        self._last = ""
        self._next: dict[Moment, int] = {}

    def pick(self, moment: Moment) -> str:
        """Give the phrase to say now."""
        here = self._list(moment)
        start = self._next.get(moment, crc32(self._call_id.encode()))
        for step in range(len(here)):
            if (phrase := here[(start + step) % len(here)]) != self._last:
                self._next[moment] = (start + step + 1) % len(here)
                return self._say(phrase)
        # There is one phrase, and it was the last one said. Between two turns it is the author's choice; within one
        # the caller would hear it twice in a row, and what is said at first serves again.
        others = self._list("statement") if moment == "working" else ()
        return self._say(next((phrase for phrase in others if phrase != self._last), here[0]))

    def _say(self, phrase: str) -> str:
        self._last = phrase
        return phrase

    def _list(self, moment: Moment) -> tuple[str, ...]:
        lines = self._lines
        match moment:
            case "working":
                return phrases(lines.working)
            case "question" if lines.holding == HOLDING or lines.holding_question != HOLDING_QUESTION:
                return phrases(lines.holding_question)
            case _:  # also for questions, when only `holding` was set: perhaps in another language than our own
                return phrases(lines.holding)
