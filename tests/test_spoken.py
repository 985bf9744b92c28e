"""Spaces and pauses between what is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.spoken import COMMA, STOP, Spoken


def after(text: str) -> Spoken:
    """What it is after a text was said in a line."""
    spoken = Spoken()
    spoken.say(text)
    assert spoken.take() == text
    return spoken


def test_what_was_taken_is_not_given_again() -> None:
    spoken = after("Sure")
    assert spoken.take() == ""
    spoken.say(" yes")
    assert spoken.take() == " yes"


@pytest.mark.parametrize(
    ("said", "pause", "following", "out"),
    [
        ("one", COMMA, "two", ", two"),
        ("one", STOP, "Two", ". Two"),
        ("one", STOP, "  Two", ". Two"),
        ("one ", COMMA, "two", "- two"),
        ("one.", STOP, "Two", " Two"),
        ('one."', STOP, "Two", " Two"),
        ("one. ", STOP, "Two", "Two"),
        ("one", COMMA, "...", "..."),
        ("one", STOP, ", two", ". two"),
    ],
)
def test_a_pause_is_what_the_last_mark_lacks(said: str, pause: int, following: str, out: str) -> None:
    spoken = after(said)
    spoken.rest(pause)
    assert not spoken.is_settled
    spoken.say(following)
    assert spoken.take() == out
    assert spoken.is_settled


def test_the_longer_of_two_pauses_is_made() -> None:
    spoken = after("one")
    spoken.rest(COMMA)
    spoken.rest(STOP)
    spoken.rest(COMMA)
    spoken.say("Two")
    assert spoken.take() == ". Two"


def test_nothing_is_said_before_the_first_word() -> None:
    spoken = Spoken()
    spoken.rest(STOP)
    spoken.part()
    spoken.say(" one")
    assert spoken.take() == "one"


def test_a_blank_line_is_a_long_pause() -> None:
    spoken = after("one")
    spoken.end_line(COMMA)
    spoken.end_line(COMMA)
    spoken.say("Two")
    assert spoken.take() == ". Two"


@pytest.mark.parametrize(("following", "out"), [("two", " two"), (" two", " two"), (".", "."), (", two", ", two")])
def test_words_are_parted_where_something_was_between_them(following: str, out: str) -> None:
    spoken = after("one")
    spoken.cut()
    spoken.part()
    spoken.say(following)
    assert spoken.take() == out


@given(st.lists(st.sampled_from(["one", " ", ",", ".", "\t", '"', " - ", "two "]), max_size=8), st.booleans())
def test_text_may_be_said_in_pieces(pieces: list[str], is_row: bool) -> None:
    apart, joined = after("a"), after("a")
    for spoken in (apart, joined):
        spoken.is_row = is_row
        spoken.cut()
        spoken.part()
    for piece in pieces:
        apart.say(piece)
    joined.say("".join(pieces))
    assert apart.take() == joined.take()
    assert (apart.last, apart.mark) == (joined.last, joined.mark)
