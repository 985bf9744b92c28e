"""Conversations: the same for one seed, in the stated shares, and common openings word for word."""

from __future__ import annotations

import re

import pytest

from bench.harness.conversations import ASKED_AGAIN, BARGES_IN, COMMON_SHARE, TURNS, Conversation, conversation
from bench.harness.own_words import FIXED
from bench.harness.phrases import ANSWERS, COMMON, LATER, LEADS, OPENINGS
from retell_ws.speech import first_sentence_end


@pytest.fixture(scope="module")
def calls() -> list[Conversation]:
    return [conversation(1, number) for number in range(1200)]


def test_a_seed_and_a_number_give_one_conversation(calls: list[Conversation]) -> None:
    assert [conversation(1, number) for number in range(20)] == calls[:20]
    assert conversation(2, 0) != calls[0]
    assert conversation(1, 1).turns != calls[0].turns


def test_the_stated_share_opens_with_a_common_question_and_asks_nothing_common_later(
    calls: list[Conversation],
) -> None:
    common = [call for call in calls if call.turns[0].kind == "common"]
    assert len(common) / len(calls) == pytest.approx(COMMON_SHARE, abs=0.05)
    assert {call.turns[0].heard.words for call in common} == set(COMMON)
    assert not {turn.heard.words for call in calls for turn in call.turns[1:]} & set(COMMON)
    assert all(TURNS[0] <= len(call.turns) <= TURNS[1] for call in calls)


def test_barge_ins_and_repeated_requests_have_their_shares(calls: list[Conversation]) -> None:
    turns = [turn for call in calls for turn in call.turns]
    assert sum(turn.barges_in is not None for turn in turns) / len(turns) == pytest.approx(BARGES_IN, abs=0.02)
    assert sum(turn.again_s is not None for turn in turns) / len(turns) == pytest.approx(ASKED_AGAIN, abs=0.02)


def test_hardly_two_calls_go_the_same_way_after_the_opening(calls: list[Conversation]) -> None:
    openings = [(call.turns[0].heard.words, call.turns[1].heard.words) for call in calls]
    assert len(set(openings)) > 0.9 * len(openings)


def test_phrases_end_in_a_mark_and_common_ones_hold_no_digits() -> None:
    for phrase in (*COMMON, *OPENINGS, *LATER, *LEADS):
        assert phrase[-1] in ".?"
        assert not re.search(r"[.?!] ", phrase)
    assert len(OPENINGS) >= 30
    assert len(COMMON) == 8
    assert not re.search(r"\d", "".join(COMMON))


def test_answers_begin_with_a_sentence_of_six_to_ten_words_and_with_no_fixed_line() -> None:
    for text in ANSWERS:
        end = first_sentence_end(text)
        assert end is not None
        assert 6 <= len(text[:end].split()) <= 10
        assert 2 <= len(re.findall(r"[.?!](?: |$)", text)) <= 3
        assert not text.startswith(FIXED)
