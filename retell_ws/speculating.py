"""What a call begins before Retell asks, and what becomes of it: kept, dropped, or adopted. No I/O.

`speculation.py` judges the words; here generations are begun and given up for them. Nothing of one is heard before the
call adopts it.
"""

from __future__ import annotations

from .actions import Action, AwaitQuiet, CancelTurn, Record, StartTurn
from .answer import Answer, Generations
from .facts import SpeculationStarted
from .speculation import Allowance, Speculation, Why
from .transcript import Question

__all__ = ["Speculating"]


class Speculating:
    """The speculations of one call, of which there is one at a time.

    Args:
        allowance: Allows speculations; None when there are none.
        generations: Of the call.

    Attributes:
        allowance: The same.
        speculation: What is begun, or waited for.
    """

    __slots__ = ("_generations", "allowance", "speculation")

    def __init__(self, allowance: Allowance | None, generations: Generations) -> None:
        self.allowance = allowance
        self.speculation = Speculation()
        self._generations = generations

    def heard(
        self, question: Question, turntaking: str | None, answering: Question | None, now: float
    ) -> tuple[Action, ...]:
        """Take the newest words.

        Args:
            question: What Retell would ask if it asked now.
            turntaking: Who took the floor with it.
            answering: What the present answer is an answer to.
            now: The time in seconds.
        """
        match self.speculation.heard(question, turntaking, answering):
            case "drop" if self.speculation.answer is None:  # as for most updates
                return ()
            case "keep":
                return ()
            case "wait":
                return (*self.drop(), AwaitQuiet(self.speculation.quiet_s or 0.0))
            case "begin":
                return (*self.drop(), *self._begin(question, "sentence_end", now))
            case _:  # drop
                return self.drop()

    def quiet(self, now: float, *, may_begin: bool) -> tuple[Action, ...]:
        """Nothing more was said since `AwaitQuiet`.

        Args:
            now: The time in seconds.
            may_begin: The call stands so that a speculation may be begun.
        """
        question = self.speculation.stayed()
        return self._begin(question, "quiet", now) if may_begin and question is not None else ()

    def _begin(self, question: Question, why: Why, now: float) -> tuple[Action, ...]:
        speculation = self.speculation
        if self.allowance is None or not self.allowance.may_begin(sure=speculation.is_sure(question)):
            return ()
        answer = Answer(self._generations.next(), 0, question, now)
        speculation.begin(answer, now)
        return (Record(SpeculationStarted(why)), StartTurn(answer.generation, None, question))

    def drop(self) -> tuple[Action, ...]:
        """Give up what was begun, if anything was."""
        answer = self.speculation.answer
        if answer is None:
            return ()
        self.speculation.take()
        return (CancelTurn(answer.generation),)

    def may_adopt(self, question: Question) -> bool:
        """Tell whether what was begun answers what Retell asks. Asks the driver, too."""
        answer = self.speculation.answer
        return (
            answer is not None
            and self.allowance is not None
            and self.speculation.answers(question)
            and self.allowance.still_holds(answer.generation)
        )

    def adopt(self, response_id: int, question: Question, now: float) -> Answer:
        """Make what was begun the answer to a request."""
        answer = self.speculation.take()
        if answer is None:
            raise AssertionError("it was looked at before")
        answer.response_id, answer.question, answer.asked_at, answer.started = response_id, question, now, True
        return answer

    def close(self) -> tuple[Action, ...]:
        """The call is over, or goes on elsewhere."""
        self.allowance = None  # it leads back to the call
        return self.drop()
