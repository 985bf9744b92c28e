"""What a caller heard is held against what they should have heard, word by word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retell_ws.validation.hearing import compared
from retell_ws.validation.probe import QUESTION

WORDS = QUESTION.split()


def test_the_same_words_are_whole_however_they_are_spaced() -> None:
    assert compared("One  two\nthree.", "One two three.").is_whole


def test_a_word_that_is_repeated_is_told() -> None:
    heard = compared("one two three four", "one two two three four")
    assert heard.twice == ("two",) and not heard.missing and not heard.is_whole


def test_a_word_that_is_lost_is_told() -> None:
    heard = compared("one two three four", "one two four")
    assert heard.missing == ("three",) and not heard.twice and not heard.is_whole


def test_another_word_is_both() -> None:
    heard = compared("one two three", "one 2 three")
    assert heard.missing == ("two",) and heard.twice == ("2",)


@given(st.integers(0, len(WORDS)), st.integers(1, 5))
def test_whatever_is_said_again_after_a_crash_is_found(at: int, again: int) -> None:
    back = max(0, at - again)
    said = [*WORDS[:at], *WORDS[back:]]
    found = compared(QUESTION, " ".join(said))
    assert len(found.twice) == at - back
    assert not found.missing


@given(st.integers(0, len(WORDS) - 1), st.integers(1, 5))
def test_whatever_is_left_out_after_a_crash_is_found(at: int, lost: int) -> None:
    found = compared(QUESTION, " ".join([*WORDS[:at], *WORDS[at + lost :]]))
    assert list(found.missing) == WORDS[at : at + lost]
    assert not found.twice


def test_no_word_of_the_question_stands_in_it_twice() -> None:
    assert len(set(WORDS)) == len(WORDS) <= 20  # the scripted model says no more of it back
