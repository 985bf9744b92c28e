"""Watches one call for what the rules are about, fact by fact. No I/O.

The same fact may come again, at any time later and to another process: what counts is told apart by `(epoch, seq)`,
within an epoch facts come in order, and what was counted is not counted again. All that is known of a call fits into
some hundred bytes (`state`), from which another process goes on; they hold nothing of what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeAlias, get_args

import msgspec

from .entries import Entry
from .errors import WireError
from .facts import (
    Escalated,
    Fact,
    ToolFinished,
    TurnFailed,
    TurnFinished,
    TurnMeasured,
    TurnStarted,
    TurnSuperseded,
)
from .rules import Conditions, Rule, plain
from .speech_facts import CallerSaid

__all__ = ["Counts", "Escalation", "Rulebook", "Watch"]

MAX_EPOCHS: Final = 32
"""Epochs of a call that are told apart: how often servers may take it from each other. What is older counts as seen."""

AGAIN_S: Final = 3.0
"""Seconds in which nobody has heard an answer and said the same again: Retell has asked again, in the same words."""

GREETING: Final = 0
"""The id of the greeting, for which nobody waits."""

FAILED: Final = frozenset({"failed", "late", "unknown"})
"""Outcomes of tools that count."""

COUNTED: Final = (CallerSaid, ToolFinished, TurnStarted, TurnMeasured, TurnFailed, TurnSuperseded, TurnFinished)


IN_CALLS: Final = tuple(kind for kind in get_args(Fact) if kind is not Escalated)
"""What happens while a call lasts. What is told of it from elsewhere may come hours later."""


Counts: TypeAlias = dict[str, int | float]
"""Conditions and how far each was met. An int stays one, however often it is written and read."""


class Escalation(msgspec.Struct, frozen=True):
    """A rule is met.

    Attributes:
        rule: It.
        call_id: In which call.
        at: When the fact happened that met it, in seconds since 1970.
        why: Each condition of the rule, and how far it was met.
        words: What the caller said with that fact, as the bus has it; often empty.
    """

    rule: Rule
    call_id: str
    at: float
    why: Counts
    words: str


class _Heard:
    """The phrases of some conditions, ready to be looked for."""

    __slots__ = ("ignored", "phrases")

    def __init__(self, conditions: Conditions | None, ignored: Sequence[str]) -> None:
        phrases = () if conditions is None else conditions.phrases or ()
        self.phrases = tuple(f" {plain(phrase)} " for phrase in phrases)
        self.ignored = tuple(f" {plain(phrase)} " for phrase in ignored)

    def is_in(self, text: str) -> bool:
        return any(phrase in text for phrase in self.phrases) and not any(phrase in text for phrase in self.ignored)


class Rulebook:
    """Rules, ready to be used.

    Args:
        rules: They.
        budget_s: What a first sentence is measured against, in seconds.

    Attributes:
        budget_s: The same.
        conditions: The rules, each with the names of what must hold, and of what holds it back.
    """

    def __init__(self, rules: Sequence[Rule], budget_s: float) -> None:
        self.budget_s = budget_s
        self.conditions = [
            (rule, rule.when.names(), () if rule.unless is None else rule.unless.names()) for rule in rules
        ]
        self._heard = [
            (f"{mark}{rule.name}", heard)
            for rule in rules
            for mark, heard in (("+", _Heard(rule.when, rule.ignore or ())), ("-", _Heard(rule.unless, ())))
            if heard.phrases
        ]
        used = [part for rule in rules for part in (rule.when, rule.unless) if part is not None]
        self._is_timed = any(part.duration_s is not None for part in used)

    def concerns(self, entry: Entry) -> bool:
        """Tell whether a fact may change something."""
        return isinstance(entry.fact, COUNTED) or (self._is_timed and isinstance(entry.fact, IN_CALLS))

    def heard(self, text: str) -> list[str]:
        """Give the keys of the phrases in a text: `+` or `-` for `when` or `unless`, and the rule's name."""
        padded = f" {text} "
        return [key for key, heard in self._heard if heard.is_in(padded)]


class _State(msgspec.Struct, array_like=True):
    """What is known of a call. Fields are only added, at the end, with defaults: other versions read it."""

    began: float = 0.0
    latest: float = 0.0
    seen: dict[int, int] = {}
    fired: set[str] = set()
    heard: dict[str, int] = {}
    heard_now: set[str] = set()
    spoken: int = 0
    mark: bytes = b""
    spoken_at: float = 0.0
    is_answered: bool = True
    tools_failed: int = 0
    reminders: int = 0
    over_budget: int = 0
    over_in_a_row: int = 0
    turns_failed: int = 0
    interruptions: int = 0


_decoder: Final = msgspec.msgpack.Decoder(_State)
_encoder: Final = msgspec.msgpack.Encoder()


class Watch:
    """Watches one call.

    Args:
        book: The rules.
        state: What another one has left; empty for a call that nobody has watched.

    Raises:
        WireError: That is no such state.

    Attributes:
        has_changed: The state is another one than that.
    """

    def __init__(self, book: Rulebook, state: bytes = b"") -> None:
        self._book = book
        try:
            self._state = _decoder.decode(state) if state else _State()
        except msgspec.MsgspecError:
            raise WireError("no state of a watched call") from None
        self.has_changed = False

    def state(self) -> bytes:
        """Write down what is known."""
        return _encoder.encode(self._state)

    def feed(self, entry: Entry) -> list[Escalation]:
        """Take a fact of the call, and give the rules that it meets."""
        state = self._state
        if not self._book.concerns(entry) or (isinstance(entry.fact, COUNTED) and not self._is_new(entry)):
            return []
        if not state.began or entry.at < state.began:
            state.began, self.has_changed = entry.at, True
        state.latest = max(state.latest, entry.at)
        self._count(entry)
        met = []
        for rule, when, unless in self._book.conditions:
            if rule.name in state.fired or (why := self._met(rule, when, unless)) is None:
                continue
            state.fired.add(rule.name)
            self.has_changed = True
            words = entry.fact.text if isinstance(entry.fact, CallerSaid) else ""
            met.append(Escalation(rule, entry.call_id, entry.at, why, words))
        return met

    def _is_new(self, entry: Entry) -> bool:
        seen = self._state.seen
        if entry.seq <= seen.get(entry.epoch, 0):
            return False
        if entry.epoch not in seen and len(seen) >= MAX_EPOCHS:
            if entry.epoch < (oldest := min(seen)):
                return False
            del seen[oldest]
        seen[entry.epoch] = entry.seq
        self.has_changed = True
        return True

    def _count(self, entry: Entry) -> None:
        state = self._state
        match entry.fact:
            case CallerSaid(kind="response", text=text):
                self._hear(plain(text), entry.at)
            case ToolFinished(outcome=outcome):
                state.tools_failed += outcome in FAILED
            case TurnStarted(kind="reminder"):
                state.reminders += 1
            case TurnMeasured() as turn if (is_over := self._is_over(turn)) is not None:
                state.over_budget += is_over
                state.over_in_a_row = state.over_in_a_row + 1 if is_over else 0
            case TurnFailed():
                state.turns_failed += 1
                state.is_answered = True
            case TurnFinished():
                state.is_answered = True
            case TurnSuperseded(by=by) if by is not None:
                state.interruptions += 1

    def _is_over(self, turn: TurnMeasured) -> bool | None:
        """Judge a turn by the budget; None for the greeting, and for one that was cut off before anybody could tell."""
        if turn.response_id == GREETING:
            return None
        if turn.first_sentence_s is not None:
            return turn.first_sentence_s > self._book.budget_s
        return None if turn.outcome == "superseded" else True

    def _hear(self, text: str, at: float) -> None:
        """Look for the phrases. Retell asks again in the same words, or in more of them: that is one utterance.

        After an answer the same words are said again, unless there was no time to hear it.
        """
        state = self._state
        words = text.split()
        is_same = len(words) >= state.spoken and _mark(words[: state.spoken]) == state.mark
        if not is_same or (state.is_answered and at - state.spoken_at > AGAIN_S):
            state.heard_now = set()
        state.spoken, state.mark, state.spoken_at, state.is_answered = len(words), _mark(words), at, False
        for key in self._book.heard(text):
            if key not in state.heard_now:
                state.heard_now.add(key)
                state.heard[key] = state.heard.get(key, 0) + 1

    def _met(self, rule: Rule, when: Sequence[str], unless: Sequence[str]) -> Counts | None:
        """Give how far each condition of a rule is met, when all are, and nothing holds it back."""
        why: Counts = {}
        for name in when:
            why[name] = count = self._counted(rule.when, name, f"+{rule.name}")
            if not _holds(rule.when, name, count):
                return None
        if rule.unless is not None:
            for name in unless:
                if _holds(rule.unless, name, self._counted(rule.unless, name, f"-{rule.name}")):
                    return None
        return why

    def _counted(self, conditions: Conditions, name: str, key: str) -> int | float:
        state = self._state
        match name:
            case "phrases":
                return state.heard.get(key, 0)
            case "over_budget":
                return state.over_in_a_row if conditions.in_a_row else state.over_budget
            case "duration_s":
                return round(state.latest - state.began, 3)
            case _:
                return int(getattr(state, name))


def _holds(conditions: Conditions, name: str, count: float) -> bool:
    wanted = conditions.times if name == "phrases" else getattr(conditions, name)
    return bool(count >= wanted)


def _mark(words: Sequence[str]) -> bytes:
    """Tell words apart from others without keeping them."""
    return blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
