"""When two transcripts ask the same thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.transcript import Question, Utterance, agent_has_spoken, normalised, same_question


def asked(*said: tuple[str, str | None], kind: str = "response") -> Question:
    transcript = tuple(Utterance(role=role, content=content) for role, content in said)
    return Question("reminder" if kind == "reminder" else "response", transcript)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I need help", "I need help."),
        ("i need help", "I need HELP"),
        ("I need  help ", " I need help"),
        ("Well, I need help", "Well I need help!"),
        ("I need… help", "I need help"),
        ("¿Hay habitación?", "hay habitación"),
        ('He said "two"', "He said two"),
        ("(unintelligible audio)", "unintelligible audio"),
        ("Straße", "STRASSE"),
        ("你好。", "你好"),
        ("so: Monday", "so Monday"),
        ("", "..."),
    ],
)
def test_case_spacing_and_moving_marks_make_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I need help", "I need no help"),
        ("room 1.5", "room 15"),
        ("1,5", "15"),
        ("1,5", "1 5"),
        ("a dose of .5", "a dose of 5"),
        ("minus -5", "minus 5"),
        ("$50", "50"),
        ("50%", "50"),
        ("we're", "were"),
        ("at 5:30", "at 530"),
        ("a-b", "a b"),
        ("to day", "today"),
    ],
)
def test_marks_that_carry_meaning_make_a_difference(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(st.sampled_from("aB5 .,!?'\"-$。\n"), max_size=20))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(max_size=30))
def test_a_normalised_text_has_no_outer_and_no_double_spaces(text: str) -> None:
    assert normalised(text).split() == normalised(text).split(" ") or normalised(text) == ""


GREETED = ("agent", "Lakeside Inn. ")


def test_a_polished_last_utterance_is_the_same_question() -> None:
    assert same_question(asked(GREETED, ("user", "a room please")), asked(GREETED, ("user", "A room, please.")))


def test_a_grown_last_utterance_is_another_question() -> None:
    assert not same_question(asked(GREETED, ("user", "a room")), asked(GREETED, ("user", "a room for two")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("are you open", "Um, are you open?"),
        ("are you open", " um… are you open"),
        ("are you open", "Um... are you, uh, open?"),
        ("das Zimmer", "Äh, das Zimmer, ähm"),
        ("une chambre", "Euh, une chambre."),
    ],
)
def test_sounds_of_thinking_make_no_other_question(one: str, other: str) -> None:
    assert same_question(asked(GREETED, ("user", one)), asked(GREETED, ("user", other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Should I go to the", "Should I go to the ER?"),
        ("Wo wohnt", "Wo wohnt er?"),
        ("Quero mais.", "Quero mais um."),
        ("Quero mais, por favor", "Quero mais um, por favor"),
        ("Zehn Uhr?", "Um zehn Uhr?"),
        ("Was?", "Um was?"),
        ("", "Um."),
        ("...", "Um, "),
        ("Yes", "Hmm, yes"),
    ],
)
def test_a_word_in_any_language_is_no_sound_of_thinking(one: str, other: str) -> None:
    assert not same_question(asked(GREETED, ("user", one)), asked(GREETED, ("user", other)))


def test_an_utterance_more_is_another_question() -> None:
    one = asked(GREETED, ("user", "a room"))
    assert not same_question(one, asked(GREETED, ("user", "a room"), ("user", "please")))
    assert not same_question(asked(GREETED, ("user", "a room"), ("user", "please")), one)


def test_a_reminder_is_no_repeat_of_a_response() -> None:
    said = (("user", "Let me see"), ("agent", "Sure. "))
    assert not same_question(asked(*said), asked(*said, kind="reminder"))
    assert same_question(asked(*said, kind="reminder"), asked(*said, kind="reminder"))


def test_another_speaker_makes_another_question() -> None:
    assert not same_question(asked(GREETED, ("user", "yes")), asked(GREETED, ("agent", "yes")))
    assert not same_question(asked(("user", "yes"), ("user", "no")), asked(("agent", "yes"), ("user", "no")))


def test_earlier_utterances_must_agree_but_for_the_spaces_at_their_ends() -> None:
    last = ("user", "yes")
    assert same_question(asked(("agent", "Two nights? "), last), asked(("agent", " Two nights?"), last))
    assert not same_question(asked(("agent", "Two nights?"), last), asked(("agent", "Two nights"), last))
    assert not same_question(asked(("agent", "Two nights?"), last), asked(("agent", "two nights?"), last))


def test_a_reply_cut_short_is_another_question() -> None:
    last = ("user", "yes")
    assert not same_question(asked(("agent", "We have two "), last), asked(("agent", "We have two rooms. "), last))


def test_two_empty_transcripts_are_the_same_question() -> None:
    assert same_question(asked(), asked())
    assert not same_question(asked(), asked(kind="reminder"))
    assert not same_question(asked(), asked(("user", "")))


def test_an_utterance_without_content_equals_an_empty_one() -> None:
    assert same_question(asked(("agent", None), ("user", None)), asked(("agent", ""), ("user", "")))


transcripts = st.lists(
    st.tuples(st.sampled_from(["agent", "user"]), st.none() | st.sampled_from(["", "yes", "Yes.", "no ", "no"])),
    max_size=3,
)
questions = st.builds(
    lambda said, kind: asked(*said, kind=kind), transcripts, st.sampled_from(["response", "reminder"])
)


@given(questions, questions)
def test_sameness_is_symmetric_and_every_question_equals_itself(one: Question, other: Question) -> None:
    assert same_question(one, one)
    assert same_question(one, other) == same_question(other, one)


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        ([], False),
        ([("user", "Hello?")], False),
        ([("agent", ""), ("agent", " "), ("agent", None), ("user", "Hello?")], False),
        ([("user", "Hello?"), ("agent", "Hi. "), ("user", "A room")], True),
        ([("transfer_target", "Night manager")], False),
    ],
)
def test_the_agent_has_spoken_once_words_of_its_were_heard(said: list[tuple[str, str | None]], spoken: bool) -> None:
    assert agent_has_spoken(asked(*said).transcript) is spoken
