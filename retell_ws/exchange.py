"""What tools did in a call, for the prompts after it: Retell's transcript holds what was said and nothing else. Pure.

Each exchange (the model's calls, and what came of them) keeps its place in the conversation: after the utterance that
led to it. When the caller has gone on speaking, so that this utterance is a longer one by now, it stands before it:
what was done was done before those words. So the conversation the model sees changes at its end only, as far as what
was said itself did.

A result that comes after a prompt was told "still running" does not change that prompt's past. It is told once more,
as news, where the next prompt ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from .transcript import Place, Question, place_of, without_fillers

__all__ = ["Exchange", "Exchanges", "ExchangesMemo", "News", "Use"]

LOST: Final = "(It broke off, and nobody knows whether it was done. Do not say that it was; offer to have it checked.)"
"""What the model is told of a side effect whose server went away."""

MAX_EXCHANGES: Final = 60
"""Exchanges kept of one call; the oldest go first, when a summary has told of them (`summary.py`)."""


class Use(msgspec.Struct, eq=False):
    """One tool call.

    Attributes:
        id: The model's id of it.
        name: The tool's.
        input: Its arguments, a JSON object.
        result: What the model is told of it; None while it runs.
        is_error: The result says why it did not work.
        told: A prompt was told that it is running.
        lasts: It runs to its end, whatever becomes of its turn.
        ended: It did so after a prompt was told that it is running: the result came as news.
    """

    id: str
    name: str
    input: msgspec.Raw
    result: str | None = None
    is_error: bool = False
    told: bool = False
    lasts: bool = False
    ended: bool = False


class _Placed(msgspec.Struct):
    place: Place

    def position(self, question: Question) -> int:
        """How many of `question`'s utterances stand before it."""
        heard, transcript = self.place.heard, question.transcript
        if not 0 < heard <= len(transcript):
            return len(transcript) if heard else 0
        now = transcript[heard - 1].content or ""
        return heard if without_fillers(now) == without_fillers(self.place.last) else heard - 1


class Exchange(_Placed, eq=False, tag="exchange"):
    """The tool calls of one message of the model's.

    Attributes:
        generation: The one that called.
        said: What it said before, in that message.
    """

    generation: int
    said: str
    uses: list[Use]

    def known(self, generation: int) -> list[Use]:
        """Those that the prompt of a generation is told of: an older one's look-ups ended with it."""
        if self.generation == generation:
            return self.uses
        return [use for use in self.uses if use.result is not None or use.lasts]


class News(_Placed, eq=False, tag="news"):
    """Something to tell the model, in words."""

    text: str


class ExchangesMemo(msgspec.Struct, frozen=True):
    """What another process must know of them.

    Attributes:
        placed: Those that have a place.
        news: Those that get one with the next question.
    """

    placed: tuple[Exchange | News, ...] = ()
    news: tuple[str, ...] = ()


class Exchanges:
    """The exchanges of one call, oldest first."""

    __slots__ = ("_news", "_placed")

    def __init__(self) -> None:
        self._placed: list[Exchange | News] = []
        self._news: list[str] = []

    def memo(self) -> ExchangesMemo:
        """Write them down."""
        return ExchangesMemo(tuple(self._placed), tuple(self._news))

    def recall(self, memo: ExchangesMemo, ended: Callable[[Use], str | None]) -> None:
        """Take in what another process has done.

        Args:
            memo: What it knew.
            ended: Says what came of a side effect that was running; None when it is not known, nor will be.
        """
        self._news += memo.news
        for placed in memo.placed:
            if isinstance(placed, Exchange):
                # A look-up that was running ended with its process, and is made anew when the model wants it.
                placed.uses = [use for use in placed.uses if use.result is not None or use.told or use.lasts]
                if not placed.uses:
                    continue
            self._add(placed)
        for placed in self._placed:
            for use in placed.uses if isinstance(placed, Exchange) else ():
                use.input = msgspec.Raw(bytes(use.input))  # or it would hold on to the whole memo
                if use.result is None and use.lasts and not use.ended:
                    result = ended(use)
                    self.settle(use, LOST if result is None else result, is_error=result is None)

    def untold(self, said: str, generation: int) -> str:
        """Give what a broken answer said after the tools it called: what came before stands with them."""
        for placed in self._placed:
            if isinstance(placed, Exchange) and placed.generation == generation:
                said = said.removeprefix(placed.said).lstrip()
        return said

    def begin(self, question: Question, generation: int) -> Exchange:
        """The model calls tools; what it said before is filled in when its message has ended."""
        exchange = Exchange(place_of(question), generation, "", [])
        self._add(exchange)
        return exchange

    def discard_empty(self, exchange: Exchange) -> None:
        """Forget an exchange of which nothing was begun."""
        if not exchange.uses and exchange in self._placed:
            self._placed.remove(exchange)

    def settle(self, use: Use, result: str, *, is_error: bool) -> None:
        """A tool ended."""
        if use.told:
            use.ended = True
            outcome = "It did not work" if is_error else "The result"
            self._news.append(f"({use.name}, which you started earlier, has ended. {outcome}: {result})")
        else:
            use.result, use.is_error = result, is_error

    def before(self, question: Question, generation: int) -> tuple[tuple[int, Exchange | News], ...]:
        """What belongs into the prompt of a generation's question, each with the number of utterances before it."""
        for text in self._news:
            self._add(News(place_of(question), text))
        self._news.clear()
        for placed in self._placed:
            if isinstance(placed, Exchange):
                for use in placed.known(generation):
                    use.told |= use.result is None
        return tuple([(placed.position(question), placed) for placed in self._placed])

    def done(self, question: Question) -> tuple[tuple[int, Use], ...]:
        """What tools have done, each with the number of `question`'s utterances before it."""
        return tuple(
            [
                (placed.position(question), use)
                for placed in self._placed
                if isinstance(placed, Exchange)
                for use in placed.uses
                if use.result is not None
            ]
        )

    def _add(self, placed: Exchange | News) -> None:
        self._placed.append(placed)
        del self._placed[:-MAX_EXCHANGES]
