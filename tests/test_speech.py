"""Where sentences end, and when a piece of an answer leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.ear import Ear
from retell_ws.speech import GATHER_S, LONGEST_GATHER_S, MAX_PIECE, Pieces, first_sentence_end, split
from retell_ws.wire import Response, encode


class Plain(Ear):
    """An ear that takes everything; what a real one does is tested with it."""

    def feed(self, text: str) -> str:
        return text

    def close(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("sentence", "rest"),
    [
        ("Sure. ", "Which day?"),
        ("Really? ", "Yes."),
        ("No!\n", "Never."),
        ("Well… ", "yes."),
        ("Well... ", "yes."),
        ("What?! ", "No."),
        ('She said "no." ', "Then she left."),
        ("She said “no.” ", "Then she left."),
        ("(We close at six.) ", "Bye."),
        ("You pay 1.50 a night. ", "Fine?"),
        ("It is $3.20. ", "Fine?"),
        ("Room 12. ", "Fine?"),
        ("Version 2.0.1 is out. ", "Fine?"),
        ("Dr. Lee is in. ", "Come."),
        ("Ask Mr. and Mrs. Lee. ", "Or me."),
        ("It opens at 8 a.m. on Monday. ", "Come."),
        ("J. R. Lee calls. ", "Soon."),
        ("Fruit, e.g. apples. ", "Or pears."),
        ("You vs. me. ", "Go."),
        ("That takes approx. ten minutes. ", "Fine?"),
        ("(St. Mary is near. ", "Go there.)"),
        ("Lost. ", "Mr. Lee is here."),
        ("你好。", "有房间吗？"),
        ("有房间吗？", "有。"),
        ("「はい。」", "どうぞ。"),
        ("是！", "好"),
        ("... Hello. ", "Bye."),
        (" . Hello. ", "Bye."),
        ("Hmm.\u00a0", "Bye."),
        ("One.\n\n", "Two."),
    ],
)
def test_a_sentence_ends_after_its_mark_and_the_space(sentence: str, rest: str) -> None:
    end = first_sentence_end(sentence + rest)
    assert end is not None
    assert (sentence + rest)[:end].rstrip() == sentence.rstrip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Sure",
        "Sure.",
        "Sure, which",
        "It is 3.",
        "It is 3.5 and",
        "Dr. ",
        "Dr. Lee",
        "at 8 a.m. ",
        "... ",
        "。",
        '"',
        "retell.example is down",
        'She said "no."',
    ],
)
def test_no_sentence_is_complete_without_a_mark_and_the_space_after_it(text: str) -> None:
    assert first_sentence_end(text) is None


def test_an_abbreviation_is_known_by_the_whole_word_only() -> None:
    assert first_sentence_end("It is first. Then") == len("It is first. ")
    assert first_sentence_end("He was lost in the most. Then") == len("He was lost in the most. ")


@given(st.text(max_size=40))
def test_a_sentence_once_complete_stays_where_it_is(text: str) -> None:
    end = first_sentence_end(text)
    if end is not None and text[end - 1].isspace():
        assert text[:end].strip()
        assert first_sentence_end(text + "more. ") == end


# ---------------------------------------------------------------------------- split


@given(st.text(max_size=30).map(lambda text: text * 300))
def test_splitting_loses_nothing_and_keeps_the_bound(text: str) -> None:
    pieces = list(split(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= MAX_PIECE for piece in pieces)


def test_a_short_text_is_one_piece_and_no_text_is_none() -> None:
    assert list(split("Sure.")) == ["Sure."]
    assert list(split("")) == []
    assert [len(piece) for piece in split("x" * (2 * MAX_PIECE + 1))] == [MAX_PIECE, MAX_PIECE, 1]


@pytest.mark.parametrize("letter", ["a", "é", "房", "😀", '"', "\n"])
def test_the_longest_piece_fits_a_frame_of_8_kb(letter: str) -> None:
    frame = encode(Response(response_id=2**31, content=letter * MAX_PIECE, content_complete=False))
    assert len(frame) <= 8 * 1024


# ---------------------------------------------------------------------------- pieces


def spoken() -> Pieces:
    """Pieces whose first sentence is out."""
    pieces = Pieces(Plain())
    assert pieces.feed("Sure. ") == "Sure. "
    assert pieces.is_spoken
    return pieces


def test_the_first_sentence_leaves_token_by_token() -> None:
    pieces = Pieces(Plain())
    for token in ("Which", " day", " suits", " Mr.", " Lee", "?"):
        assert pieces.feed(token) == token
        assert not pieces.is_spoken
        assert pieces.take() == ""


def test_the_token_that_completes_the_first_sentence_still_leaves_at_once() -> None:
    pieces = Pieces(Plain())
    assert pieces.feed("Sure") == "Sure"
    assert pieces.feed(". Which day") == ". Which day"
    assert pieces.is_spoken
    assert pieces.feed(" suits") == ""


def test_after_the_first_sentence_words_are_gathered_until_they_are_taken() -> None:
    pieces = spoken()
    assert [pieces.feed(token) for token in ("Which", " day", " suits", "? ", "Or")] == [""] * 5
    assert pieces.take() == "Which day suits? Or"
    assert pieces.is_spoken, "what comes next is gathered again"
    assert pieces.feed(" not") == ""
    assert pieces.take() == " not"


def test_nothing_gathered_is_nothing_taken() -> None:
    assert Pieces(Plain()).take() == ""
    pieces = spoken()
    assert pieces.take() == ""
    pieces.feed("Which")
    assert (pieces.take(), pieces.take()) == ("Which", "")


def test_until_the_first_sentence_is_complete_nothing_may_be_gathered() -> None:
    pieces = Pieces(Plain())
    pieces.feed("Which day")
    pieces.take()
    assert pieces.gather_s == 0


def test_the_time_to_gather_grows_while_the_model_is_ahead_of_the_voice() -> None:
    pieces = spoken()
    times = [pieces.gather_s]
    for _ in range(4):
        pieces.feed("and")
        pieces.feed(" more")
        pieces.take()
        times.append(pieces.gather_s)
    assert times == [GATHER_S, 2 * GATHER_S, 4 * GATHER_S, LONGEST_GATHER_S, LONGEST_GATHER_S]


@pytest.mark.parametrize("came", [(), ("one",)])
def test_a_model_that_falls_behind_is_looked_at_often_again(came: tuple[str, ...]) -> None:
    pieces = spoken()
    for text in ("and", " more"):
        pieces.feed(text)
    pieces.take()
    assert pieces.gather_s > GATHER_S
    for text in came:
        pieces.feed(text)
    pieces.take()
    assert pieces.gather_s == GATHER_S


def test_words_are_gathered_for_less_than_the_voice_has_to_say() -> None:
    # A quick voice says four words a second. When the longest time is reached, three rests have brought two pieces
    # each at least, beside the first sentence: more than a second of speech.
    assert 0 < GATHER_S < 0.25
    assert LONGEST_GATHER_S < 6 * 0.25


tokens = st.lists(
    st.sampled_from(["Sure", ".", ". ", " ", "Mr", "Lee", "3", ".5", "?", "\n", '"', "。", "房", "a.m", "..."])
    | st.text(min_size=1, max_size=4),
    max_size=12,
)


@given(tokens, st.lists(st.booleans(), min_size=12, max_size=12))
def test_everything_fed_leaves_once_and_in_order_whenever_it_is_taken(said: list[str], pauses: list[bool]) -> None:
    pieces = Pieces(Plain())
    out = ""
    for text, pause in zip(said, pauses, strict=False):
        out += pieces.feed(text)
        if pause:
            out += pieces.take()
    assert out + pieces.close() == "".join(said)
    assert pieces.take() == ""


@given(tokens)
def test_however_it_is_cut_the_first_sentence_is_never_held(said: list[str]) -> None:
    pieces = Pieces(Plain())
    before = ""
    for text in said:
        gathered = pieces.is_spoken
        assert pieces.feed(text) == ("" if gathered else text)
        before += text
        if not gathered:
            assert pieces.is_spoken is (first_sentence_end(before) is not None)


def test_what_is_gathered_is_made_fit_for_the_ear_too() -> None:
    pieces = Pieces(Ear("our website"))
    assert pieces.feed("**Sure!** ") == "Sure! "
    assert pieces.feed("See *htt") == pieces.feed("ps://a.b* now") == ""
    assert pieces.take() + pieces.close() == "See our website now"
    assert set(pieces.removed) == {"markup", "link"}


def test_pieces_follow_others_in_the_middle_of_a_sentence() -> None:
    pieces = Pieces(Ear("our website"))
    assert pieces.feed("Sure. Frei ist der") + pieces.close() == "Sure. Frei ist der"
    pieces = pieces.next()
    assert not pieces.is_spoken
    assert pieces.feed("1. Mai, see www.a.example ") + pieces.close() == "1. Mai, see our website "


def test_what_the_ear_holds_back_begins_no_gathering() -> None:
    pieces = Pieces(Ear())
    assert pieces.feed("[") == "" and not pieces.is_spoken
    assert pieces.close() == ""


@pytest.mark.timeout(20)  # linear in a second; were it quadratic, one answer of dots would stop every call
def test_a_model_that_says_nothing_but_dots_holds_up_nobody() -> None:
    pieces = Pieces(Plain())
    for _ in range(1500):
        pieces.feed("." * 16)
    assert not pieces.is_spoken
    pieces.feed(" ")
    assert not pieces.is_spoken, "dots alone are no sentence"
