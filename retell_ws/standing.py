"""The intent to leave a call, from the moment a function of the agent's wants it until it happens or lapses. Pure.

Retell tells nobody that a transfer or a hang-up happened, or that it was thrown away because the caller spoke into it
(protocol §3.3). But the call ends when it happens; so each request that still comes says that it did not. Then the
caller's words decide. When they only agreed, or said nothing, the intent stands, and is given again. When they said
anything else the model is told, and when its answer does not ask for it again the intent has lapsed.

A tool may want to leave after the caller has spoken into its turn, because side effects run to their end. Then what was
said since that turn decides in the same way.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .intent import Intent, acknowledges, leaves
from .memo import StandingMemo
from .transcript import START, Place, Question, place_of, words_since

__all__ = ["GREETING", "MAX_TIMES", "Standing"]

GREETING: Final = 1
"""The generation of the begin message."""

MAX_TIMES: Final = 5
"""How often one intent is given. A transfer that fails as often will not come about by another try."""

MAX_PLACES: Final = 16
"""Places remembered: a tool that runs on belongs to one of the last generations."""


class Standing:
    """What the agent of one call means to do.

    Args:
        acknowledgements: The words with which the caller agrees.

    Attributes:
        wanted: Placed in the present answer, with its words: the answer's end gives it.
        intent: To leave, given or placed by a turn the caller spoke into; None when there is none, or it has lapsed.
        silences: Reminders since the caller spoke last.
    """

    __slots__ = ("_acknowledgements", "_places", "_since", "_times", "_told", "intent", "silences", "wanted")

    def __init__(self, acknowledgements: Collection[str]) -> None:
        self._acknowledgements = acknowledgements
        self.wanted: tuple[Intent, str] | None = None
        self.intent: Intent | None = None
        self.silences = 0
        self._times = 0
        self._since = GREETING  # the generation it is of: what the caller said since decides
        self._told: Intent | None = None  # what the present generation was told the caller spoke into
        self._places: dict[int, Place] = {GREETING: START}  # where the newest generations were asked

    def memo(self) -> StandingMemo:
        """Write it down."""
        places = tuple(self._places.items())
        return StandingMemo(self.wanted, self.intent, self.silences, self._times, self._since, places)

    def recall(self, memo: StandingMemo) -> None:
        """Take in a memo."""
        self.wanted, self.intent, self.silences = memo.wanted, memo.intent, memo.silences
        self._times, self._since, self._places = memo.times, memo.since, dict(memo.places)

    def asked(self, generation: int, question: Question) -> None:
        """A request came that gets a generation of its own."""
        self.silences = self.silences + 1 if question.kind == "reminder" else 0
        self._places[generation] = place_of(question)
        if len(self._places) > MAX_PLACES:
            del self._places[min(self._places)]

    def tell(self) -> Intent | None:
        """Give what the present generation is to be told that the caller spoke into."""
        self._told = self.intent
        return self._told

    def want(self, intent: Intent, words: str) -> bool:
        """Take what a tool of the present answer wants; False when the answer leaves already."""
        if self.wanted is not None and leaves(self.wanted[0]):
            return False
        self.wanted = (intent, words)
        return True

    def cut(self, generation: int) -> None:
        """The caller spoke into a generation before its end: what it wanted may still be wanted."""
        if self.wanted is not None and leaves(self.wanted[0]):
            self.keep(self.wanted[0], generation)
        self.wanted = None

    def keep(self, intent: Intent, generation: int) -> None:
        """A turn the caller has spoken into wants to leave."""
        self.intent, self._times, self._since = intent, 0, generation

    def insisted(self, question: Question | None) -> Intent | None:
        """Give what shall happen in spite of a question, because it is no more than agreement."""
        return self.intent if self._times < MAX_TIMES and self.agreed(question) else None

    def agreed(self, question: Question | None) -> bool:
        """Tell whether the caller took nothing back since the intent, or said nothing at all."""
        if question is None or self.intent is None:
            return False
        place = self._places.get(self._since)
        heard = "" if place is None else words_since(place, question)
        # A caller who has objected, and was not answered, falls silent too.
        return (question.kind == "reminder" and not heard) or acknowledges(heard, self._acknowledgements)

    def answered(self) -> None:
        """A generation came to its end. Of what it was told, it has asked for nothing again unless that is wanted."""
        if self._told is self.intent:
            self.intent = None

    def given(self, intent: Intent, generation: int) -> int:
        """An intent is given to Retell; gives how often by now."""
        if not leaves(intent):
            return 1
        self._times = self._times + 1 if intent == self.intent else 1
        self.intent, self._since = intent, generation
        return self._times
