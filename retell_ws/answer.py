"""One answer: a generation's text, the id it is bound to, and how much of it left. No I/O.

How much of the text was written under its id is a number (`sent`), so everything that continues an answer (the next
piece, a redial, a re-ask) is one operation: send what is beyond that number.
"""

from __future__ import annotations

from typing import Final

from .actions import Action, CancelTurn, Record, StartTurn
from .facts import TurnFailed, TurnFinished, TurnReasked, TurnStarted, TurnSuperseded
from .intent import EndCall, Intent, PressDigits, TransferCall
from .memo import AnswerMemo
from .speech import split
from .transcript import Question, same_question
from .wire import Response, encode

__all__ = ["BEGIN", "MAX_TEXT", "Answer", "Generations"]

MAX_TEXT: Final = 64 * 1024
"""Characters kept of one answer. An hour of speech has fewer; the bound is for a model gone wild."""

BEGIN: Final = 0
"""The `response_id` of the begin message (protocol §4.4)."""


class Generations:
    """Numbers the generations of one call, over all of its processes.

    Attributes:
        newest: The number given last.
    """

    __slots__ = ("newest",)

    def __init__(self, newest: int) -> None:
        self.newest = newest

    def next(self) -> int:
        """Give the next number."""
        self.newest += 1
        return self.newest


class Answer:
    """What is said to one question.

    Args:
        generation: The number of the generation that finds the words.
        response_id: The id it is bound to at first.
        question: What was asked; None for the greeting.
        now: When it was asked, in seconds.

    Attributes:
        text: All of it so far.
        sent: Characters of it that were written under the present id.
        started: A generation was started for it.
        done: No more text will come.
        failed: It is no answer to its question: another request in the same words gets a new one.
        intent: What shall happen once it was spoken.
        completed_on: Number of the socket its completion was written to; 0 for none.
    """

    __slots__ = (
        "_before_socket",
        "asked_at",
        "completed_on",
        "done",
        "failed",
        "generation",
        "intent",
        "intent_at",
        "question",
        "response_id",
        "sent",
        "started",
        "text",
    )

    def __init__(self, generation: int, response_id: int, question: Question | None, now: float) -> None:
        self.generation = generation
        self.response_id = response_id
        self.question = question
        self.asked_at = now
        self.text = ""
        self.sent = 0
        self.started = False
        self.done = False
        self.failed = False
        self.intent: Intent | None = None
        self.intent_at = 0  # from this character on the frames carry the intent
        self.completed_on = 0
        self._before_socket = (0, 0)  # `sent` and `completed_on`, when the newest socket came

    @classmethod
    def recalled(cls, memo: AnswerMemo, question: Question | None, said: str, now: float) -> Answer:
        """Read an answer from its memo.

        Args:
            memo: The memo.
            question: What was asked.
            said: What was sent since the memo was written.
            now: When it counts as asked, in seconds.
        """
        answer = cls(memo.generation, memo.response_id, question, now)
        answer.text, answer.sent = memo.text, memo.sent
        if said and not memo.done:
            answer.text = answer.text[: answer.sent] + said
            answer.sent = len(answer.text)
        answer.started, answer.done, answer.failed = memo.started, memo.done, memo.failed
        answer.intent, answer.intent_at, answer.completed_on = memo.intent, memo.intent_at, memo.completed_on
        return answer

    def memo(self) -> AnswerMemo:
        """Write it down. Text that is held for a socket is not: whoever goes on finds words of its own."""
        return AnswerMemo(
            self.generation,
            self.response_id,
            self.text if self.done else self.text[: self.sent],
            self.sent,
            self.started,
            self.done,
            self.failed,
            self.intent,
            self.intent_at,
            self.completed_on,
        )

    @property
    def says_something(self) -> bool:
        """There are words, or something will happen."""
        return bool(self.text) or self.intent is not None

    @property
    def is_under_way(self) -> bool:
        """A generation finds the words."""
        return self.started and not self.done

    @property
    def said(self) -> str:
        """The words that were written under the present id."""
        return self.text[: self.sent]

    @property
    def has_words_here(self) -> bool:
        """Words of it were written to the newest socket, or the next frames have some."""
        return self.sent > self._before_socket[0] or self.sent < len(self.text)

    def said_since(self, sent: int) -> str:
        """Give what was written after so many characters."""
        return self.text[sent : self.sent]

    def wants(self, generation: int) -> bool:
        """Tell whether words of this generation are still wanted."""
        return self.generation == generation and self.started and not self.done

    def bound_to(self, generation: int) -> tuple[int, float] | None:
        """Give the id this generation answers or has answered, and when it was asked; None when a newer one does."""
        return (self.response_id, self.asked_at) if self.generation == generation else None

    def stands(self, generation: int) -> bool:
        """Tell whether a tool may still begin for this generation: nobody has spoken since, and it did not fail.

        It may have come to its end: it then promised what the tool is about to do.
        """
        return self.generation == generation and self.started and not self.failed

    def needs_space(self, generation: int) -> bool:
        """Tell whether what comes next would run into the last word: Retell joins pieces raw (§3.3)."""
        return self.wants(generation) and bool(self.text) and not self.text[-1].isspace()

    def answers(self, question: Question) -> bool:
        """Tell whether it answers this question, too."""
        return (
            self.question is not None
            and not self.failed
            and (not self.done or self.says_something)
            and same_question(self.question, question)
        )

    # ------------------------------------------------------------------------ what becomes of it

    def start(self, interrupted: Intent | None) -> tuple[Action, ...]:
        """Have a generation find the words.

        Args:
            interrupted: What was about to happen to the call when the caller spoke into it.
        """
        self.started = True
        kind = "greeting" if self.question is None else self.question.kind
        return (
            Record(TurnStarted(self.response_id, kind)),
            StartTurn(self.generation, self.response_id, self.question, interrupted),
        )

    def go_on(self, interrupted: Intent | None, now: float) -> StartTurn:
        """Have another generation find the rest of the words, because the first went with its process."""
        self.asked_at = now
        return StartTurn(self.generation, self.response_id, self.question, interrupted, self.text, True)

    def reask(self, response_id: int, now: float) -> Record:
        """Bind it to a newer id, which was asked in the same words: nothing was said under that yet."""
        reasked = Record(TurnReasked(response_id, self.response_id))
        self.response_id, self.asked_at = response_id, now
        self.sent = self.completed_on = 0
        return reasked

    def supersede(self, by: int | None) -> tuple[Action, ...]:
        """Cut its generation loose.

        Args:
            by: The newer id; None for an interruption.
        """
        self.done = True
        superseded = Record(TurnSuperseded(self.response_id, by=by))
        return (CancelTurn(self.generation), superseded) if self.started else (superseded,)

    def finished(self, now: float) -> Record:
        """Give what is to be known of an answer that came to its end."""
        return Record(TurnFinished(self.response_id, len(self.text), now - self.asked_at))

    def broke_off(self, why: str, now: float) -> Record:
        """Give what is to be known of one that did not."""
        return Record(TurnFailed(self.response_id, why, now - self.asked_at))

    # ------------------------------------------------------------------------ its text

    def attached(self, *, unheard: bool) -> None:
        """A new socket came.

        Args:
            unheard: The one before never gave a sign of life: what it was told was told to nobody.
        """
        if unheard:
            self.sent, self.completed_on = self._before_socket
        self._before_socket = (self.sent, self.completed_on)

    def add(self, text: str) -> None:
        """Append a piece, up to `MAX_TEXT`."""
        self.text += text[: MAX_TEXT - len(self.text)]

    def join(self, *texts: str) -> None:
        """Append whole sentences."""
        for text in texts:
            self.add(_after(self.text, text))

    def close(self, text: str, intent: Intent | None) -> None:
        """Append the last piece, and say what follows it.

        The words of an intent cannot be interrupted, and each of their frames carries it: a turn of the talk between
        the words and a bare last frame would wipe it out (§3.3).
        """
        if intent is not None:
            self.intent, self.intent_at = intent, len(self.text)
            text = _after(self.text, text)
        self.add(text)
        self.done = True

    def write(self, text: str) -> bytes | None:
        """Append a piece, and write everything beyond what was sent as one frame; None past `MAX_TEXT`."""
        self.text += text[: MAX_TEXT - len(self.text)]
        content, self.sent = self.text[self.sent :], len(self.text)
        if not content:
            return None
        return encode(Response(response_id=self.response_id, content=content, content_complete=False))

    def frames(self, socket: int) -> list[bytes]:
        """Write the text beyond what was sent, and the completion when the answer is done.

        Args:
            socket: The number of the socket they go to.
        """
        frames = []
        if self.done:
            self.completed_on = socket
        start = self.sent
        if self.intent is not None and start < self.intent_at:
            frames += [self._frame(piece) for piece in split(self.text[start : self.intent_at])]
            start = self.intent_at
        pieces = list(split(self.text[start:]))
        if self.done and not pieces:
            pieces = [""]
        self.sent = len(self.text)
        for number, piece in enumerate(pieces, start=1):
            frames.append(self._frame(piece, self.intent, complete=self.done and number == len(pieces)))
        return frames

    def completion(self, socket: int) -> bytes:
        """Write the completion once more, without words.

        Args:
            socket: The number of the socket it goes to.
        """
        self.completed_on = socket
        return self._frame("", self.intent, complete=True)

    def _frame(self, content: str, intent: Intent | None = None, *, complete: bool = False) -> bytes:
        protected = intent is not None and bool(content)
        response = Response(
            response_id=self.response_id,
            content=content,
            content_complete=complete,
            no_interruption_allowed=protected,
            end_call=isinstance(intent, EndCall),
            transfer_number=intent.number if isinstance(intent, TransferCall) else None,
            show_transferee_as_caller=isinstance(intent, TransferCall) and intent.show_caller,
            digit_to_press=intent.digits if isinstance(intent, PressDigits) else None,
        )
        return encode(response)


def _after(said: str, text: str) -> str:
    """Put a text behind what was said: Retell joins pieces raw, so a space stands where two sentences meet (§3.3)."""
    return f" {text}" if said and text and not said[-1].isspace() else text
