"""The checker of facts: what a good run tells passes, however often it is delivered, and each check can fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.events.checks import CHECKS, Arrived, Verdict, judge_facts, number_of, once, told_in
from bench.harness.events.known import GRACE_S, SURE_S, Known, known_in, totals
from bench.harness.faults.history import Event, Row
from bench.harness.faults.words import Question
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import (
    CallEnded,
    CallStarted,
    Escalated,
    Reattached,
    Resumed,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnFinished,
    TurnStarted,
    TurnSuperseded,
)
from retell_ws.speech_facts import CallerSaid, CallTranscript, Line

STARTED, SAID, TOLD, ENDED, TRANSCRIPT, GAPLESS, ORDER, NOBODY, JOURNALLED = CHECKS

Facts = list[AnyFact]


def known(number: int = 7, **fields: Any) -> dict[int, Known]:
    """Give one call of two questions; the first was heard to its end, the second was spoken into by nobody."""
    asked = {1: Question(number, 1, 6), 2: Question(number, 2, 12, True)}
    usual = {"asked": asked, "answered": frozenset({1, 2}), "superseded": frozenset(), "whole": True, "ended": True}
    return {number: Known(number=number, **{**usual, **fields})}


def facts(number: int = 7) -> Facts:
    """Tell what happened in it."""
    first, second = Question(number, 1, 6), Question(number, 2, 12, True)
    return [
        CallStarted(),
        TurnStarted(1, "response"),
        CallerSaid(1, "response", first.text),
        TurnFinished(1, 40, 0.5),
        TurnStarted(2, "response"),
        CallerSaid(2, "response", f"Well. {second.text}"),
        ToolStarted("book"),
        ToolFinished("book", "done", 0.4),
        TurnFinished(2, 80, 0.9),
        CallEnded(2, 9.0),
        CallTranscript((Line("agent", "Hello."), Line("user", first.text), Line("user", second.text)), 9.0, 2),
    ]


def entries(told: Facts, number: int = 7, epoch: int = 100) -> list[Entry]:
    return [
        Entry(
            id=f"{number}/{epoch}/{seq}",
            call_id=f"call_{number:06d}_abc",
            epoch=epoch,
            seq=seq,
            at=1000.0 + seq,
            server="s1",
            fact=fact,
        )
        for seq, fact in enumerate(told, 1)
    ]


def arrived(entries: list[Entry], *, partition: int = 0, begin: int = 0) -> list[Arrived]:
    return [Arrived("facts", partition, begin + place, entry) for place, entry in enumerate(entries)]


def violated(verdict: Verdict) -> set[str]:
    return {check for check, count in verdict.by_check.items() if count}


def test_all_that_happened_told_once_passes() -> None:
    verdict = judge_facts(known(), arrived(entries(facts())), journalled=["7/100/3"])
    assert verdict.violations == ()
    assert verdict.counts == {
        "records": 11,
        "facts": 11,
        "duplicates": 0,
        "calls": 1,
        "turns": 2,
        "finished": 2,
        "superseded": 0,
        "failed": 0,
        "crossed": 0,
        "tools": 1,
        "transcripts": 1,
    }


@given(st.data())
def test_what_is_delivered_again_counts_once(data: st.DataObject) -> None:
    told = entries(facts())
    # Redelivery goes back to some place and comes from there in order, as often as it likes.
    delivered: list[Entry] = list(told)
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(told) - 1))
        delivered += told[at:]
    verdict = judge_facts(known(), arrived(delivered))
    assert verdict.violations == ()
    assert verdict.counts["duplicates"] == len(delivered) - len(told)


@given(st.integers(0, 10))
def test_a_fact_that_is_lost_is_seen_whichever_it_is(place: int) -> None:
    told = entries(facts())
    del told[place]
    # The last one leaves no gap; it is missed by name.
    assert (GAPLESS if place < 10 else TRANSCRIPT) in violated(judge_facts(known(), arrived(told)))


def _without(kind: type) -> Callable[[Facts], Facts]:
    return lambda told: [fact for fact in told if not isinstance(fact, kind)]


def _twice(kind: type) -> Callable[[Facts], Facts]:
    return lambda told: [one for fact in told for one in ((fact, fact) if isinstance(fact, kind) else (fact,))]


def _instead(old: type, new: AnyFact) -> Callable[[Facts], Facts]:
    return lambda told: [new if isinstance(fact, old) else fact for fact in told]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (STARTED, _without(CallStarted)),
        (STARTED, _twice(CallStarted)),
        (SAID, _without(CallerSaid)),
        (SAID, _twice(CallerSaid)),
        (SAID, _instead(CallerSaid, CallerSaid(1, "response", "something else"))),
        (TOLD, _without(TurnFinished)),
        (TOLD, _twice(TurnFinished)),
        (TOLD, _instead(TurnFinished, TurnSuperseded(1, 2))),
        (ENDED, _without(CallEnded)),
        (ENDED, _twice(CallEnded)),
        (TRANSCRIPT, _without(CallTranscript)),
        (TRANSCRIPT, _twice(CallTranscript)),
        (TRANSCRIPT, _instead(CallTranscript, CallTranscript((Line("user", Question(7, 1, 6).text),), 9.0, 2))),
    ],
)
def test_each_kind_is_asked_for_once(check: str, change: Callable[[Facts], Facts]) -> None:
    # Numbered anew, so that only the kind itself is missed, and not its number.
    assert violated(judge_facts(known(), arrived(entries(change(facts()))))) == {check}


def test_nothing_at_all_misses_all_of_a_call() -> None:
    assert violated(judge_facts(known(), [])) == {STARTED, SAID, TOLD, ENDED, TRANSCRIPT}


def test_a_failed_turn_is_told_and_counted() -> None:
    told = [TurnFailed(1, "timeout", 1.0) if fact == TurnFinished(1, 40, 0.5) else fact for fact in facts()]
    verdict = judge_facts(known(), arrived(entries(told)))
    assert verdict.violations == ()
    assert (verdict.counts["failed"], verdict.counts["finished"]) == (1, 1)


def test_who_was_spoken_into_may_have_finished_at_the_same_moment() -> None:
    call = known(answered=frozenset({2}), superseded=frozenset({1}))
    verdict = judge_facts(call, arrived(entries(facts())))
    assert verdict.violations == ()
    assert verdict.counts["crossed"] == 1
    cut = [TurnSuperseded(1, 2) if fact == TurnFinished(1, 40, 0.5) else fact for fact in facts()]
    verdict = judge_facts(call, arrived(entries(cut)))
    assert verdict.violations == ()
    assert (verdict.counts["crossed"], verdict.counts["superseded"]) == (0, 1)


def test_facts_out_of_order_are_seen_but_not_across_calls() -> None:
    told = entries(facts())
    told[3], told[4] = told[4], told[3]
    assert violated(judge_facts(known(), arrived(told))) == {ORDER}
    mixed = [*entries(facts()), *entries(facts(8), 8)]
    chance = random.Random(1)
    lines = {7: iter(entries(facts())), 8: iter(entries(facts(8), 8))}
    order = [7] * 11 + [8] * 11
    chance.shuffle(order)
    mixed = [next(lines[number]) for number in order]
    assert judge_facts(known() | known(8), arrived(mixed)).violations == ()


def test_a_call_on_two_partitions_has_no_order() -> None:
    told = entries(facts())
    split = [*arrived(told[:5]), *arrived(told[5:], partition=1)]
    assert violated(judge_facts(known(), split)) == {ORDER}


def test_topics_are_ordered_each_for_itself() -> None:
    told = arrived(entries(facts()))
    apart = [*told[:-1], msgspec.structs.replace(told[-1], topic="transcripts", offset=0)]
    assert judge_facts(known(), apart).violations == ()


def test_facts_of_a_call_nobody_made_are_seen() -> None:
    assert violated(judge_facts({}, arrived(entries(facts())))) == {NOBODY}
    assert judge_facts({}, arrived(entries(facts())), apart=range(7, 8)).violations == ()


def test_calls_that_are_none_of_the_benches_are_left_alone() -> None:
    other = [msgspec.structs.replace(entry, call_id="someone") for entry in entries(facts())]
    assert number_of("someone") == -1
    assert judge_facts({}, arrived(other)).violations == ()


def test_what_stood_in_a_journal_must_arrive() -> None:
    verdict = judge_facts(known(), arrived(entries(facts())), journalled=["7/100/3", "7/100/12"])
    assert [violation.detail for violation in verdict.violations] == ["7/100/12 does not arrive"]
    assert violated(verdict) == {JOURNALLED}


def test_facts_from_outside_have_no_place_in_the_order() -> None:
    told = entries(facts())
    told.append(msgspec.structs.replace(told[0], id="x", epoch=0, seq=0, fact=Escalated("human", "say", "done", 0.1)))
    assert judge_facts(known(), arrived(told)).violations == ()


def test_a_call_that_was_cut_by_a_kill_is_asked_for_what_is_certain() -> None:
    first, second = entries(facts()[:5]), entries([Resumed(True), Reattached(False), *facts()[8:]], epoch=200)
    cut = known(whole=False)
    assert judge_facts(cut, arrived([*first, *second])).violations == ()
    # The kill took the beginning along: then it must have been resumed.
    assert judge_facts(known(whole=False, answered=frozenset({2})), arrived(second)).violations == ()
    assert violated(judge_facts(cut, arrived(second))) == {TOLD}
    assert violated(judge_facts(cut, arrived(first))) == {TOLD, ENDED, TRANSCRIPT}
    missing = [entry for entry in second if entry.seq != 2]
    assert violated(judge_facts(cut, arrived([*first, *missing]))) == {GAPLESS}


def test_the_first_of_the_same_id_stays() -> None:
    told = entries(facts())[:3]
    assert [record.offset for record in once(arrived([*told, *told]))] == [0, 1, 2]
    assert told_in(told)[7].said == {1: ["c7 q1 n6"]}


# ---------------------------------------------------------------------------- what callers know


def history(*rows: tuple[float, Event, dict[str, Any]]) -> list[Row]:
    return [Row(t, event, **{"call": 7, **fields}) for t, event, fields in rows]


CALL = history(
    (0.0, "began", {}),
    (0.1, "open", {"server": "s1"}),
    (0.2, "frame", {"response_id": 0, "text": "Hello.", "complete": True}),
    (1.0, "asked", {"response_id": 1, "text": "c7 q1 n6"}),
    (1.5, "frame", {"response_id": 1, "text": "c7q1w1", "complete": True}),
    (2.0, "asked", {"response_id": 2, "text": "c7 q2 n6 book"}),
    (2.2, "frame", {"response_id": 2, "text": "c7q2w1 "}),
    (2.5, "asked", {"response_id": 3, "text": "c7 q3 n6"}),
    (9.0, "hung_up", {}),
    (9.1, "ended", {"text": "user_hangup"}),
)


def test_callers_know_what_they_asked_and_heard() -> None:
    (call,) = known_in(CALL).values()
    assert call.asked == {1: Question(7, 1, 6), 2: Question(7, 2, 6, True), 3: Question(7, 3, 6)}
    assert (call.answered, call.superseded) == (frozenset({1}), frozenset({2}))
    assert (call.whole, call.ended, call.last) == (True, True, Question(7, 3, 6))
    ran = Row(2.4, "ran", 7, text="c7q2")
    added = totals(known_in(CALL), [*CALL, ran])
    assert (added.calls, added.ended, added.turns, added.answered, added.superseded, added.tools) == (1, 1, 3, 1, 1, 1)


def test_what_happened_just_before_a_kill_is_not_certain() -> None:
    def struck(at: float) -> Known:
        return known_in([*CALL, Row(at, "fault", server="s1", text="kill")])[7]

    assert struck(1.5 + SURE_S / 2).answered == frozenset()
    assert struck(1.5 + SURE_S).answered == frozenset({1})
    assert struck(1.4).answered == frozenset({1})
    assert not struck(9.0 + GRACE_S + SURE_S / 2).ended
    assert struck(9.0 + GRACE_S + SURE_S).ended


def test_a_call_whose_line_broke_is_not_whole_and_one_that_never_came_about_is_not_known() -> None:
    assert not known_in([*CALL, Row(3.0, "gone", 7)])[7].whole
    assert known_in(history((0.0, "began", {}), (0.1, "ended", {"text": "error"}))) == {}
    assert known_in([Row(0.0, "open", 8, server="s1")])[8].last is None
