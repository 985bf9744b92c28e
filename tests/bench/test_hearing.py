"""What recognition makes of an utterance: it ends in the words that are asked about, whatever happened on the way."""

from __future__ import annotations

import random

import pytest

from bench.harness.hearing import (
    EARLY,
    EARLY_WORDS,
    END_OF_TURN_S,
    FALSE_END,
    MARKED_AT_ONCE,
    MISHEARD_LAST,
    Heard,
    hear,
)

LONG = ("I have been there before.", "Could you tell me whether Doctor Lee is in on Monday?")


def utterances(count: int = 1500) -> list[Heard]:
    return [hear(LONG, random.Random(seed), words_per_minute=170) for seed in range(count)]


@pytest.fixture(scope="module")
def heard() -> list[Heard]:
    return utterances()


def test_what_is_asked_about_is_what_was_said_and_the_last_partial_says_the_same(heard: list[Heard]) -> None:
    for one in heard:
        assert one.words == " ".join(LONG)
        assert one.events[-1].asks
        assert one.events[-2].text == one.words
        assert not one.events[-2].asks


def test_events_come_in_the_order_of_time_and_the_pace_is_a_speaker_s(heard: list[Heard]) -> None:
    for one in heard:
        times = [event.at_s for event in one.events]
        assert times == sorted(times)
    words = len(" ".join(LONG).split())
    pauses_s = 0.35 + 0.14
    mean_s = sum(one.events[-1].at_s - one.delay_s for one in heard) / len(heard)
    assert words / (mean_s - pauses_s) * 60 == pytest.approx(170, rel=0.06)


def test_the_end_of_turn_delay_runs_from_the_last_word_and_covers_its_range(heard: list[Heard]) -> None:
    low, high = END_OF_TURN_S
    assert all(low <= one.delay_s <= high for one in heard)
    assert min(one.delay_s for one in heard) < low + 0.02
    assert max(one.delay_s for one in heard) > high - 0.02
    for one in heard:
        last_word_s = one.events[-1].at_s - one.delay_s
        shown = [event for event in one.events if event.at_s <= last_word_s + 1e-9]
        assert shown[-1].text.count(" ") == one.words.count(" ")
        assert shown[-2].text.count(" ") < one.words.count(" ") or shown[-2].text.endswith((" uh", " um"))


def test_words_are_shown_wrong_marks_come_and_go_and_fillers_too(heard: list[Heard]) -> None:
    full = " ".join(LONG)
    partials = [event.text for one in heard for event in one.events if not event.asks]
    assert any(not full.startswith(text) and not text.endswith((".", " uh", " um")) for text in partials)
    assert any(text.endswith(" um") for text in partials)
    inner = [text for text in partials if text.count(" ") not in (4, full.count(" "))]
    assert sum(text.endswith(".") for text in inner) / len(inner) == pytest.approx(FALSE_END, abs=0.02)


def test_the_last_mark_comes_with_the_last_word_in_the_stated_share(heard: list[Heard]) -> None:
    # No second partial of the last word: it was right and marked at once.
    ready = [one for one in heard if one.events[-2].at_s <= one.events[-1].at_s - one.delay_s + 1e-9]
    assert len(ready) / len(heard) == pytest.approx(MARKED_AT_ONCE * (1 - MISHEARD_LAST), abs=0.04)


def test_retell_asks_early_in_the_stated_share_about_what_was_heard_by_then(heard: list[Heard]) -> None:
    early = [one for one in heard if sum(event.asks for event in one.events) == 2]
    assert len(early) / len(heard) == pytest.approx(EARLY, abs=0.03)
    for one in early:
        at = next(at for at, event in enumerate(one.events) if event.asks)
        assert one.events[at].text == one.events[at - 1].text
        assert len(one.events[at].text) < len(one.words)


def test_short_utterances_are_never_asked_about_early() -> None:
    short = "One two three four five six seven."
    assert len(short.split()) < EARLY_WORDS
    for seed in range(300):
        assert sum(event.asks for event in hear([short], random.Random(seed), words_per_minute=170).events) == 1


def test_the_same_seed_hears_the_same(heard: list[Heard]) -> None:
    assert utterances(20) == heard[:20]
