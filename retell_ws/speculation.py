"""Speculation: asking the model before Retell does, when the caller's words look finished. Pure.

Between the caller's last word and Retell's request lie some 200 to 800 ms, in which Retell makes sure that nothing
follows. The words are known before, from `update_only` (protocol §2.3). So the model is asked at once, and when the
request comes in the same words, its answer is under way or even there. When it comes in other words, or when the
caller goes on, the tokens are lost: that is why at most two speculations are begun between two requests.

Nobody hears anything of a speculation that is not adopted, and it does nothing: its text is held, and its tools wait
until it is adopted (`turn.py`).
"""

from __future__ import annotations

import re
from typing import Final, Literal, Protocol, TypeAlias

from .answer import Answer
from .transcript import AGENT, DTMF, Question, normalised, same_question

__all__ = ["MAX_BEGUN", "QUIET_S", "UNMARKED_QUIET_S", "Allowance", "Move", "Speculation", "Why"]

MAX_BEGUN: Final = 2
"""Speculations between two requests."""

QUIET_S: Final = 0.7
"""Seconds for which words without an end mark must stay the same, while nobody knows whether speech recognition writes
marks in this call. Where it does, the mark comes within a quarter of a second, and more quiet tells nothing."""

UNMARKED_QUIET_S: Final = 0.45
"""The same where it writes none. Words come every third of a second, give or take a tenth: less would be a speculation
on every other word."""

Why: TypeAlias = Literal["sentence_end", "quiet"]

Move: TypeAlias = Literal["keep", "drop", "begin", "wait"]
"""What new words mean: keep what was begun, drop it, begin anew at once, or when these words have stayed the same."""

# The end of what was said so far, as speech recognition marks it; an ellipsis marks the opposite.
_END = re.compile(r"""(?<!\.)[.!?]["'”’)]?$|[。！？]$""")

_ASKS = ("?", "？", "؟")

# Nobody ends with these. Recognition puts its mark after them all the same when a word is slow to come, and the next
# word takes it away. In other languages there are just a few more speculations in vain.
_OPEN = frozenset(
    "a an the my your our their its and or but because if than of to at from for with into i we i'm i'd i've".split()
)


class Allowance(Protocol):
    """What the driver knows and the machine does not."""

    def may_begin(self, *, sure: bool) -> bool:
        """Tell whether a speculation may be begun: nothing runs that its prompt should know of, and it may cost.

        Args:
            sure: It is likely to be adopted.
        """
        ...

    def still_holds(self, generation: int) -> bool:
        """Tell whether the model would be asked the same now as when this generation was begun."""
        ...


class Speculation:
    """What one call speculates on.

    Attributes:
        answer: What was begun and may be adopted; its `response_id` means nothing yet.
        begun_at: When, in seconds.
        is_finished: Its text is complete.
        is_failed: It came to nothing, and stays only to not be begun again.
        quiet_s: Seconds for which the words that are waited for must stay the same.
    """

    __slots__ = ("_begun", "_floor", "_waiting", "answer", "begun_at", "is_failed", "is_finished", "quiet_s")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.begun_at = 0.0
        self.is_finished = False
        self.is_failed = False
        self.quiet_s: float | None = None
        self._begun = 0
        self._waiting: Question | None = None
        self._floor = ""

    def heard(self, question: Question, turntaking: str | None, answering: Question | None) -> Move:
        """Judge an update.

        Args:
            question: What Retell would ask if it asked now.
            turntaking: Who took the floor with it.
            answering: What the present answer is an answer to.
        """
        self._floor = turntaking or self._floor
        self._waiting = None
        begun = None if self.answer is None else self.answer.question
        if not self._may_be_asked(question) or (answering is not None and same_question(answering, question)):
            return "drop"
        if begun is not None and same_question(begun, question):
            return "keep"
        if self._begun >= MAX_BEGUN:
            return "drop"
        words = (question.transcript[-1].content or "").rstrip()
        if _END.search(words) and not _is_open(words):
            return "begin"
        self.quiet_s = _quiet_s(question)
        if self.quiet_s is None:
            return "drop"
        self._waiting = question
        return "wait"

    def _may_be_asked(self, question: Question) -> bool:
        if not question.transcript:
            return False
        last = question.transcript[-1]
        if last.role in (AGENT, DTMF) or not normalised(last.content or ""):
            return False
        # While the agent has the floor, what the caller says is a sound of listening that nobody will answer.
        return self._floor != "agent_turn"

    def stayed(self) -> Question | None:
        """Give the words that have stayed the same for `quiet_s`."""
        question, self._waiting = self._waiting, None
        return question

    def is_sure(self, question: Question) -> bool:
        """Tell whether these words are likely to be asked: who asks something waits for an answer, and who went on
        after a first sentence seldom goes on after a second."""
        return self._begun > 0 or (question.transcript[-1].content or "").rstrip().endswith(_ASKS)

    def begin(self, answer: Answer, now: float) -> None:
        """A generation is asked."""
        self.answer, self.begun_at = answer, now
        self.is_finished = self.is_failed = False
        self._begun += 1

    def say(self, generation: int, text: str) -> None:
        """Keep the next piece of its text, if this is the generation that was begun."""
        if self.answer is not None and self.answer.generation == generation:
            self.answer.add(text)

    def finish(self, generation: int, text: str) -> None:
        """Its text is complete with this piece."""
        if self.answer is not None and self.answer.generation == generation:
            self.answer.add(text)
            self.is_finished = True

    def fail(self, generation: int) -> None:
        """It came to nothing."""
        if self.answer is not None and self.answer.generation == generation:
            self.is_failed = True

    def take(self) -> Answer | None:
        """Give up what was begun: it is adopted, or dropped."""
        answer, self.answer = self.answer, None
        return answer

    def answers(self, question: Question) -> bool:
        """Tell whether it can be adopted for what Retell asks."""
        answer = self.answer
        return (
            answer is not None
            and answer.question is not None
            and not self.is_failed
            and same_question(answer.question, question)
        )

    def asked(self) -> None:
        """Retell asked: what comes now is a new turn of the talk."""
        self._begun = 0
        self._waiting = None


def _is_open(words: str) -> bool:
    last = normalised(words).rpartition(" ")[2]
    return last in _OPEN and not words.endswith("?")


def _quiet_s(question: Question) -> float | None:
    """Tell how long words must stay the same to look finished without a mark; None when a mark will come."""
    earlier = [said.content or "" for said in question.transcript[:-1] if said.role not in (AGENT, DTMF)]
    if not earlier:
        return QUIET_S
    return None if any(_END.search(words.rstrip()) for words in earlier) else UNMARKED_QUIET_S
