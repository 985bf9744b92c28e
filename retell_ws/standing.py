"""The intent to leave a call, from the moment a function of the agent's wants it until it happens or lapses. Pure.

Retell tells nobody that a transfer or a hang-up happened, or that it was thrown away because the caller spoke into it
(protocol §3.3). But the call ends when it happens; so each request that still comes says that it did not. Then the
caller's words decide. When they only agreed, or said nothing, the intent stands, and is given again. When they said
anything else the model is told, and when its answer does not ask for it again the intent has lapsed.

A tool may want to leave after the caller has spoken into its turn, because side effects run to their end. Then what was
said since that turn decides in the same way.
"""

from __future__ import annotations

from typing import Final

from .actions import Record
from .agent import Agent
from .facts import IntentGiven
from .intent import EndCall, Intent, acknowledges, leaves
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
        agent: Who answers: the words with which its callers agree, its fixed lines, its reminders.

    Attributes:
        wanted: Placed in the present answer, with its words: the answer's end gives it.
        intent: To leave, given or placed by a turn the caller spoke into; None when there is none, or it has lapsed.
        silences: Reminders since the caller spoke last.
    """

    __slots__ = ("_agent", "_places", "_since", "_times", "_told", "intent", "silences", "wanted")

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
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

    @property
    def decides(self) -> bool:
        """The agent means to do something to the call; the next request decides about it."""
        return self.intent is not None or self.wanted is not None

    @property
    def gives_up(self) -> bool:
        """Reminder after reminder brought nothing, and the agent hangs up then (§2.5)."""
        reminders = self._agent.reminders
        return reminders is not None and reminders.hang_up and self.silences > reminders.times

    def placed(self, said: str) -> tuple[Intent | None, str]:
        """Give what the present answer's end gives, and the words before it.

        Args:
            said: What the answer has said.
        """
        if self.wanted is None:
            return None, ""
        intent, words = self.wanted
        return intent, words or self.words_for(intent, said)

    def words_for(self, intent: Intent | None, said: str = "") -> str:
        """Give what is said before an intent that brings no words, when the answer said nothing either."""
        if said or not leaves(intent):
            return ""
        return self._agent.lines.goodbye if isinstance(intent, EndCall) else self._agent.lines.transfer

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
        return (question.kind == "reminder" and not heard) or acknowledges(heard, self._agent.acknowledgements)

    def answered(self) -> None:
        """A generation came to its end. Of what it was told, it has asked for nothing again unless that is wanted."""
        if self._told is self.intent:
            self.intent = None

    def given(self, intent: Intent | None, generation: int) -> tuple[Record, ...]:
        """An intent, if there is one, is given to Retell; gives what is to be known of it."""
        if intent is None:
            return ()
        times = 1
        if leaves(intent):
            times = self._times = self._times + 1 if intent == self.intent else 1
            self.intent, self._since = intent, generation
        kind = str(intent.__struct_config__.tag)
        return (Record(IntentGiven(kind, times)),)  # type: ignore[arg-type]
