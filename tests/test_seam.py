"""Where a broken answer goes on: no word twice, whatever the model makes of what it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.seam import Seam


def joined(said: str, *pieces: str) -> str:
    seam = Seam(said)
    return said + "".join(map(seam.join, pieces))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("We are open from", "We are open"),
        ("We are open from ", "We are open from"),
        ("We are open.", "We are open."),
        ("We", ""),
        ("We ", "We"),
        ("営業時間は九時から", "営業時間は九時から"),
        ("เปิดเก้าโมง", "เปิดเก้าโมง"),
    ],
)
def test_the_model_is_told_whole_words_only(said: str, told: str) -> None:
    assert Seam(said).told == told


@pytest.mark.parametrize(
    ("said", "pieces", "all_of_it"),
    [
        ("We are open from", ["from", " nine."], "We are open from nine."),
        ("We are open from", [" fr", "om nine", "."], "We are open from nine."),
        ("I made an appoint", ["appoint", "ment", " for you."], "I made an appointment for you."),
        ("We are open from", ["We are", " open from nine."], "We are open from nine."),
        ("We are open from ", ["nine."], "We are open from nine."),
        ("We are open from ", [" nine."], "We are open from  nine.".replace("  ", " ")),
        ("We are open.", ["Come in."], "We are open. Come in."),
        ("We are open.", ["We are open. Come in."], "We are open. Come in."),
        ("We are open from", ["until nine."], "We are open from until nine."),
        ("We", ["We are open."], "We are open."),
        ("No ", ["N", "o", "t", " today."], "No Not today."),
        ("No ", ["No", " luck."], "No luck."),
        ("No ", ["No"], "No "),
        ("We are open.", [], "We are open."),
        ("We are open from", ["fr"], "We are open from"),
        ("We are open.", ["We are"], "We are open."),
        ("営業時間は九時から", ["五時まで", "です。"], "営業時間は九時から五時までです。"),
        ("営業時間は九時から", ["営業時間は九時から", "五時まで。"], "営業時間は九時から五時まで。"),
        ("はい。", ["九時です。"], "はい。九時です。"),
    ],
)
def test_what_was_said_is_not_said_again(said: str, pieces: list[str], all_of_it: str) -> None:
    assert joined(said, *pieces) == all_of_it


def test_a_word_that_only_begins_like_the_last_one_waits_no_longer_than_it_must() -> None:
    seam = Seam("We are open from")
    assert seam.join("f") == "" and seam.is_open
    assert seam.join("ive to nine") == " five to nine" and not seam.is_open
    assert seam.join(" daily.") == " daily."


# "No no": a model that says a word twice looks like one that begins anew.
WORDS = st.lists(
    st.sampled_from(["We", "open", "from", "nine,", "ten.", "a", "at"]), min_size=2, max_size=8, unique=True
)


@given(WORDS, st.data())
def test_an_obedient_model_gives_the_answer_whole(words: list[str], data: st.DataObject) -> None:
    whole = " ".join(words)
    cut = data.draw(st.integers(1, len(whole) - 1))
    seam = Seam(whole[:cut])
    rest = whole[len(seam.told) :]
    size = data.draw(st.integers(1, 5))
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    said = whole[:cut] + "".join(map(seam.join, pieces))
    if not seam.is_open:
        assert said == whole
    else:  # all there was reads like the beginning of what was said: "at a" after "at"
        assert said == whole[:cut] and said.startswith(rest.strip())
