"""Which phrase is said when it takes long: one that fits, in turn, and never the same one twice running."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.holding import Holding, Moment, moment_of
from retell_ws.lines import HOLDING, HOLDING_QUESTION, WORKING, Lines, phrases
from retell_ws.transcript import Question, Utterance

MOMENTS: tuple[Moment, ...] = ("question", "statement", "working")


def question(*said: tuple[str, str | None], kind: str = "response") -> Question:
    return Question("reminder" if kind == "reminder" else "response", tuple(Utterance(*one) for one in said))


# ---------------------------------------------------------------------------- which moment it is


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("Are you open on Monday?", "question"),
        ("Are you open on Monday? ", "question"),
        ("¿Abren el lunes?", "question"),
        ("月曜日は開いていますか？", "question"),
        ("هل أنتم مفتوحون؟", "question"),
        ("I would like to come on Monday.", "statement"),
        ("Is it? I see.", "statement"),
        ("", "statement"),
        (None, "statement"),
    ],
)
def test_a_caller_who_asked_gets_another_phrase_than_one_who_said_something(words: str | None, moment: str) -> None:
    assert moment_of(question(("agent", "Hello."), ("user", words)), holds=1, works=False) == moment


def test_while_a_tool_runs_nobody_finds_the_question_good() -> None:
    asked = question(("user", "Can you book Monday?"))
    assert moment_of(asked, holds=1, works=True) == "statement"


@pytest.mark.parametrize("works", [True, False])
def test_who_waits_on_is_told_that_it_goes_on(works: bool) -> None:
    assert moment_of(question(("user", "Monday?")), holds=2, works=works) == "working"


@pytest.mark.parametrize("said", [(), (("agent", "Are you still there?"),)])
def test_a_silent_caller_has_asked_nothing(said: tuple[tuple[str, str], ...]) -> None:
    assert moment_of(question(*said, kind="reminder"), holds=1, works=False) == "statement"


# ---------------------------------------------------------------------------- which phrase it is


def test_each_moment_goes_through_its_list_in_order() -> None:
    for moment, listed in (("question", HOLDING_QUESTION), ("statement", HOLDING), ("working", WORKING)):
        held = Holding(Lines(), "call_1")
        said = [held.pick(moment) for _ in range(2 * len(listed))]  # type: ignore[arg-type]  # mypy widens the tuple
        start = listed.index(said[0])
        assert said == 2 * [*listed[start:], *listed[:start]]


def test_two_calls_begin_with_different_phrases() -> None:
    assert {Holding(Lines(), f"call_{number}").pick("statement") for number in range(20)} == set(HOLDING)


def test_the_same_call_is_the_same_everywhere() -> None:
    one, other = Holding(Lines(), "call_1"), Holding(Lines(), "call_1")
    assert [one.pick(moment) for moment in MOMENTS * 5] == [other.pick(moment) for moment in MOMENTS * 5]


def test_a_plain_text_is_the_only_one() -> None:
    held = Holding(Lines(holding="Einen Moment, bitte."), "call_1")
    assert [held.pick(moment) for moment in ("statement", "question", "statement")] == ["Einen Moment, bitte."] * 3


def test_own_phrases_serve_questions_too_unless_those_have_their_own() -> None:
    german = ("Einen Moment, bitte.", "Gleich.")
    assert Holding(Lines(holding=german), "call_1").pick("question") in german
    both = Lines(holding=german, holding_question=("Gute Frage.",))
    assert Holding(both, "call_1").pick("question") == "Gute Frage."
    assert Holding(Lines(holding_question=("Good one.",)), "call_1").pick("question") == "Good one."


def test_within_a_turn_one_phrase_of_each_kind_takes_turns() -> None:
    held = Holding(Lines(holding="One moment.", working="Still on it."), "call_1")
    said = [held.pick("statement"), *(held.pick("working") for _ in range(4))]
    assert said == ["One moment.", "Still on it.", "One moment.", "Still on it.", "One moment."]


def test_one_phrase_for_everything_is_said_again() -> None:
    held = Holding(Lines(holding="Moment.", working="Moment."), "call_1")
    assert [held.pick("statement"), held.pick("working"), held.pick("working")] == ["Moment."] * 3


lists = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4).map(tuple)


@given(st.text(max_size=40), lists, lists, lists, st.lists(st.sampled_from(MOMENTS), max_size=40))
def test_never_the_same_twice_running_where_there_is_a_choice(
    call_id: str, holding: tuple[str, ...], asked: tuple[str, ...], working: tuple[str, ...], moments: list[Moment]
) -> None:
    lines = Lines(holding=holding, holding_question=asked, working=working)
    held = Holding(lines, call_id)
    said = [held.pick(moment) for moment in moments]
    own = {"question": asked, "statement": holding, "working": (*working, *holding)}
    for moment, phrase in zip(moments, said, strict=True):
        assert phrase in phrases(own[moment])
    for (_, before), (moment, after) in pairwise(zip(moments, said, strict=True)):
        assert before != after or set(own[moment]) == {after}
