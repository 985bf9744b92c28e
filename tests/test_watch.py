"""Which facts meet which rules; and that a fact that comes again changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.entries import AnyFact, Entry, UnknownFact
from retell_ws.errors import WireError
from retell_ws.facts import (
    CallEnded,
    CallStarted,
    Detached,
    Escalated,
    ToolFinished,
    TurnFailed,
    TurnFinished,
    TurnMeasured,
    TurnStarted,
    TurnSuperseded,
)
from retell_ws.rules import Rule
from retell_ws.speech_facts import CallerSaid, WebhookReceived
from retell_ws.watch import MAX_EPOCHS, Rulebook, Watch

BUDGET_S = 0.3


def rule(name: str = "one", **parts: Any) -> Rule:
    return msgspec.convert({"name": name, "then": [{"action": "say", "say": "Hello."}], **parts}, Rule)


class Tale:
    """One call, watched: its facts one after the other.

    Attributes:
        why: What each rule was met with.
    """

    def __init__(self, *rules: Rule, state: bytes = b"") -> None:
        self.watch = Watch(Rulebook(rules, BUDGET_S), state)
        self.why: dict[str, dict[str, float]] = {}
        self.words: list[str] = []
        self.seq = 0
        self.at = 100.0

    def happens(self, *facts: AnyFact | UnknownFact, after_s: float = 10.0) -> list[str]:
        """Give the rules these meet."""
        met = []
        for fact in facts:
            self.seq += 1
            self.at += after_s
            for each in self.watch.feed(entry(fact, self.seq, at=self.at)):
                assert (each.call_id, each.at) == ("call_1", self.at)
                self.why[each.rule.name] = each.why
                self.words.append(each.words)
                met.append(each.rule.name)
        return met


def entry(fact: AnyFact | UnknownFact, seq: int, *, epoch: int = 1, at: float = 100.0) -> Entry:
    return Entry(id=f"{epoch}-{seq}", call_id="call_1", epoch=epoch, seq=seq, at=at, server="a", fact=fact)


def said(text: str, response_id: int = 1) -> CallerSaid:
    return CallerSaid(response_id, "response", text)


def measured(first_sentence_s: float | None, outcome: Any = "finished", response_id: int = 1) -> TurnMeasured:
    return TurnMeasured(response_id, outcome, first_sentence_s=first_sentence_s)


DONE = TurnFinished(1, 10, 0.5)

PHRASES = {"phrases": ["speak to a human", "manager", "don't help"]}


# ---------------------------------------------------------------------------- phrases


@pytest.mark.parametrize(
    "text",
    [
        "manager",
        "Manager!",
        "I want a MANAGER, now.",
        "can I, er, speak to a human?",
        "Speak  to a\nhuman.",
        "You don’t help me.",
        "You don't help me.",
    ],
)
def test_a_phrase_is_found_among_other_words(text: str) -> None:
    tale = Tale(rule(when=PHRASES))
    assert tale.happens(said(text)) == ["one"]
    assert tale.why == {"one": {"phrases": 1}} and tale.words == [text]


@pytest.mark.parametrize("text", ["", "managers", "management", "speak to humans", "speak to an other human", "don't"])
def test_a_phrase_is_whole_words_in_a_row(text: str) -> None:
    assert Tale(rule(when=PHRASES)).happens(said(text), said("speak to"), said("a human", 2)) == []


def test_a_reminder_has_no_words() -> None:
    assert Tale(rule(when=PHRASES)).happens(CallerSaid(1, "reminder", "manager")) == []


def test_an_ignored_phrase_cancels_the_utterance_it_is_in_and_no_other_one() -> None:
    tale = Tale(rule(when=PHRASES, ignore=["don't want a manager", "I am the manager"]))
    assert tale.happens(said("I don’t want a manager!"), DONE, said("I am the manager here")) == []
    assert tale.happens(DONE, said("a manager, please")) == ["one"]


def test_a_rule_fires_once_in_a_call() -> None:
    tale = Tale(rule(when=PHRASES))
    assert tale.happens(said("manager"), DONE, said("manager"), DONE, said("manager")) == ["one"]


def test_words_that_retell_asks_for_again_are_one_utterance() -> None:
    tale = Tale(rule(when={**PHRASES, "times": 2}))
    assert tale.happens(said("manager"), said("Manager.", 2), said("manager now", 3)) == []
    assert tale.happens(said("manager now please", 4)) == []
    assert tale.happens(DONE, said("manager now please", 5)) == ["one"], "said again, after an answer"
    assert tale.why == {"one": {"phrases": 2}}


def test_an_answer_that_nobody_can_have_heard_does_not_part_them() -> None:
    tale = Tale(rule(when={**PHRASES, "times": 2}))
    assert tale.happens(said("manager"), DONE, said("manager", 2), DONE, said("manager", 3), after_s=0.3) == []
    assert tale.happens(DONE, said("manager", 4)) == ["one"]


def test_other_words_are_another_utterance() -> None:
    tale = Tale(rule(when={**PHRASES, "times": 3}))
    assert tale.happens(said("a manager"), said("the manager", 2), said("the", 3), said("manager", 4)) == ["one"]


def test_an_utterance_that_failed_to_be_answered_may_be_said_again() -> None:
    tale = Tale(rule(when={**PHRASES, "times": 2}))
    assert tale.happens(said("manager"), TurnFailed(1, "model", 1.0), said("manager", 2)) == ["one"]


# ---------------------------------------------------------------------------- counts


COUNTS: list[tuple[dict[str, Any], list[AnyFact], list[AnyFact], float]] = [
    (
        {"tools_failed": 3},
        [ToolFinished("a", outcome, 1.0) for outcome in ("done", "refused", "repeated", "withdrawn")],
        [ToolFinished("a", outcome, 1.0) for outcome in ("failed", "late", "unknown")],
        3,
    ),
    (
        {"reminders": 2},
        [TurnStarted(0, "greeting"), TurnStarted(1, "response")],
        [TurnStarted(2, "reminder"), TurnStarted(3, "reminder")],
        2,
    ),
    (
        {"over_budget": 3},
        [measured(0.3), measured(9.0, response_id=0), measured(None, "superseded"), measured(0.1, "failed")],
        [measured(0.31), measured(None), measured(None, "failed")],
        3,
    ),
    ({"turns_failed": 2}, [DONE], [TurnFailed(1, "model", 1.0), TurnFailed(2, "late", 1.0)], 2),
    ({"interruptions": 2}, [TurnSuperseded(1, None)], [TurnSuperseded(1, 2), TurnSuperseded(2, 3)], 2),
]


@pytest.mark.parametrize(("when", "others", "counted", "count"), COUNTS)
def test_what_counts_is_counted_over_the_call(
    when: dict[str, Any], others: list[AnyFact], counted: list[AnyFact], count: float
) -> None:
    tale = Tale(rule(when=when))
    *first, last = counted
    for fact in first:
        assert tale.happens(*others, fact, *others) == []
    assert tale.happens(last) == ["one"]
    assert tale.why == {"one": {next(iter(when)): count}} and tale.words == [""]


def test_in_a_row_a_turn_within_the_budget_begins_anew() -> None:
    tale = Tale(rule(when={"over_budget": 2, "in_a_row": True}))
    assert tale.happens(measured(1.0), measured(0.1), measured(1.0), measured(0.1)) == []
    assert tale.happens(measured(1.0), measured(None, "superseded"), measured(1.0)) == ["one"]


def test_the_duration_is_looked_at_when_something_happens() -> None:
    tale = Tale(rule(when={"duration_s": 25.0}))
    assert tale.happens(CallStarted(), Detached(), Detached()) == []
    assert tale.happens(CallEnded(1, 30.0)) == ["one"]
    assert tale.why == {"one": {"duration_s": 30.0}}


@pytest.mark.parametrize(
    "fact",
    [WebhookReceived("call_analyzed", {}), Escalated("one", "say", "done", 1.0), UnknownFact("new", {"fact": "new"})],
)
def test_what_is_told_of_a_call_from_elsewhere_is_nothing_that_happens_in_it(fact: AnyFact | UnknownFact) -> None:
    tale = Tale(rule(when={"duration_s": 25.0}))
    assert tale.happens(CallStarted(), fact, fact, fact) == []


def test_without_rules_about_time_most_facts_are_of_no_interest() -> None:
    book = Rulebook((rule(when={"reminders": 1}),), BUDGET_S)
    assert not book.concerns(entry(CallStarted(), 1)) and book.concerns(entry(DONE, 1))
    watch = Watch(book)
    assert watch.feed(entry(CallStarted(), 1)) == [] and not watch.has_changed


# ---------------------------------------------------------------------------- several


def test_all_conditions_must_hold_whenever_each_came_to() -> None:
    tale = Tale(rule(when={**PHRASES, "reminders": 1, "duration_s": 35.0}))
    assert tale.happens(said("manager"), TurnStarted(2, "reminder"), DONE) == []
    assert tale.happens(Detached(), Detached()) == ["one"]
    assert tale.why == {"one": {"phrases": 1, "reminders": 1, "duration_s": 40.0}}


@pytest.mark.parametrize("unless", [{"phrases": ["never mind"]}, {"tools_failed": 1, "turns_failed": 9}])
def test_one_condition_of_unless_holds_a_rule_back(unless: dict[str, Any]) -> None:
    tale = Tale(rule(when=PHRASES, unless=unless), rule("two", when=PHRASES))
    assert tale.happens(said("never mind"), ToolFinished("a", "failed", 1.0), said("manager")) == ["two"]


def test_unless_comes_too_late_for_a_rule_that_has_fired() -> None:
    tale = Tale(rule(when=PHRASES, unless={"phrases": ["never mind"], "duration_s": 100}))
    assert tale.happens(said("manager"), said("never mind")) == ["one"]


def test_several_rules_are_met_by_one_fact_in_the_order_of_the_file() -> None:
    assert Tale(rule("b", when=PHRASES), rule("a", when=PHRASES)).happens(said("manager")) == ["b", "a"]


# ---------------------------------------------------------------------------- again, and elsewhere


def test_a_fact_that_comes_again_changes_nothing() -> None:
    tale = Tale(rule(when={"reminders": 2}))
    reminder = entry(TurnStarted(1, "reminder"), 1)
    assert tale.watch.feed(reminder) == []
    state = tale.watch.state()
    again = Watch(Rulebook((rule(when={"reminders": 2}),), BUDGET_S), state)
    assert again.feed(reminder) == [] and not again.has_changed and again.state() == state


def test_facts_of_an_older_epoch_may_come_after_those_of_a_newer_one() -> None:
    tale = Tale(rule(when={"reminders": 3}))
    facts = [entry(TurnStarted(1, "reminder"), seq, epoch=epoch) for epoch, seq in ((2, 5), (1, 7), (1, 7), (2, 5))]
    assert [tale.watch.feed(each) for each in facts] == [[]] * 4
    assert len(tale.watch.feed(entry(TurnStarted(1, "reminder"), 8, epoch=1))) == 1


def test_epochs_beyond_memory_are_taken_for_seen() -> None:
    tale = Tale(rule(when={"reminders": 1000}))
    for epoch in range(10, 10 + MAX_EPOCHS + 1):
        tale.watch.feed(entry(TurnStarted(1, "reminder"), 1, epoch=epoch))
    state = tale.watch.state()
    for epoch in (1, 10):
        tale.watch.feed(entry(TurnStarted(1, "reminder"), 9, epoch=epoch))
    assert tale.watch.state() == state and len(state) < 1000


def test_what_is_no_state_is_refused() -> None:
    for data in (b"\xc1", b"\x01", b"{}", b"\x91\xa1x"):
        with pytest.raises(WireError):
            Watch(Rulebook((), BUDGET_S), data)


def test_a_state_of_another_version_is_read() -> None:
    assert Watch(Rulebook((), BUDGET_S), msgspec.msgpack.encode([1.0, 2.0, {7: 3}])).state()
    longer = [*msgspec.msgpack.decode(Watch(Rulebook((), BUDGET_S)).state()), "of a later version"]
    assert Watch(Rulebook((), BUDGET_S), msgspec.msgpack.encode(longer)).state()


def test_the_state_holds_nothing_of_what_was_said() -> None:
    tale = Tale(rule(when=PHRASES))
    tale.happens(said("my manager is called Zebulon"))
    assert b"Zebulon" not in tale.watch.state() and b"manager" not in tale.watch.state()


EVERY_RULE = (
    rule("asks", when=PHRASES, ignore=["no manager"]),
    rule("asks twice", when={**PHRASES, "times": 2}),
    rule("mixed", when={**PHRASES, "reminders": 2}, unless={"tools_failed": 2}),
    rule("slow", when={"over_budget": 2, "in_a_row": True}),
    rule("long", when={"duration_s": 20, "interruptions": 1}, unless={"duration_s": 60}),
    rule("broken", when={"tools_failed": 2, "turns_failed": 1}),
)

FACTS: st.SearchStrategy[Any] = st.sampled_from(
    [
        said("manager"),
        said("no manager"),
        said("hello"),
        TurnStarted(1, "reminder"),
        ToolFinished("a", "failed", 1.0),
        TurnFailed(1, "model", 1.0),
        TurnSuperseded(1, 2),
        measured(1.0),
        measured(0.1),
        DONE,
        Detached(),
        CallStarted(),
    ]
)


@given(data=st.data())
def test_however_a_stream_is_cut_and_repeated_the_same_rules_fire_once(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.tuples(FACTS, st.integers(1, 2), st.sampled_from([0.0, 0.5, 9.0])), max_size=25))
    stream: list[Entry] = []
    at, seqs = 1000.0, {1: 0, 2: 0}
    for fact, epoch, after_s in steps:
        at += after_s
        seqs[epoch] += 1
        stream.append(entry(fact, seqs[epoch], epoch=epoch, at=at))
    book = Rulebook(EVERY_RULE, BUDGET_S)
    expected = met(Watch(book), stream)
    assert len(set(expected)) == len(expected)

    fired: list[tuple[str, float]] = []
    state, position = b"", 0
    while position < len(stream):
        upto = data.draw(st.integers(position + 1, len(stream)))
        back = data.draw(st.integers(0, position))
        watch = Watch(book, state)
        fired += met(watch, stream[back:upto])
        if data.draw(st.booleans()) or upto == len(stream):
            if watch.has_changed:
                state = watch.state()
            position = upto
        else:  # it died before it had written anything down, and what it has found was not begun
            fired = fired[: len(fired) - len(met(Watch(book, state), stream[back:upto]))]
    assert fired == expected


def met(watch: Watch, entries: Sequence[Entry]) -> list[tuple[str, float]]:
    return [(each.rule.name, each.at) for entry in entries for each in watch.feed(entry)]
