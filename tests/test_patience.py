"""How long a turn may be silent: the deadlines, and when to look again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.patience import Patience
from retell_ws.settings import Settings

ASKED = 100.0
LIMITS: dict[str, Any] = {"holding_ms": 1000, "first_text_ms": 4000, "stall_ms": 2000, "turn_s": 10.0}


def patience(**changed: Any) -> Patience:
    return Patience(Settings(**{**LIMITS, **changed}), ASKED)


def test_a_silent_model_is_waited_for_then_excused_once_then_given_up() -> None:
    turn = patience()
    assert turn.next_look == ASKED + 1
    assert turn.verdict(ASKED + 0.5) == "wait"
    assert turn.next_look == ASKED + 1
    assert turn.verdict(ASKED + 1) == "hold"
    assert turn.next_look == ASKED + 3, "text may come now, and then the longest gap is the limit"
    assert turn.verdict(ASKED + 3) == "wait", "the holding phrase is said once"
    assert turn.next_look == ASKED + 4
    assert turn.verdict(ASKED + 4) == "no_text"


def test_text_in_time_makes_the_holding_phrase_needless() -> None:
    turn = patience()
    turn.progressed(ASKED + 0.5)
    assert turn.verdict(ASKED + 1) == "wait"
    assert turn.next_look == ASKED + 2.5


def test_text_after_the_holding_phrase_is_judged_by_its_gaps() -> None:
    turn = patience()
    assert turn.verdict(ASKED + 1) == "hold"
    turn.progressed(ASKED + 3)
    assert turn.verdict(ASKED + 4) == "wait"
    assert turn.next_look == ASKED + 5
    assert turn.verdict(ASKED + 5) == "stalled"


def test_each_text_starts_the_gap_anew() -> None:
    turn = patience()
    for second in range(1, 10):
        turn.progressed(ASKED + second)
        assert turn.verdict(ASKED + second) == "wait"
        assert turn.next_look == min(ASKED + second + 2, ASKED + 10)


def test_a_turn_that_goes_on_and_on_is_too_long() -> None:
    turn = patience()
    turn.progressed(ASKED + 9.5)
    assert turn.verdict(ASKED + 9.75) == "wait"
    assert turn.next_look == ASKED + 10
    assert turn.verdict(ASKED + 10) == "too_long"


def test_a_late_look_gives_up_without_a_holding_phrase() -> None:
    assert patience().verdict(ASKED + 4) == "no_text"
    assert patience().verdict(ASKED + 20) == "too_long"


def test_no_holding_phrase_when_giving_up_comes_first() -> None:
    turn = patience(first_text_ms=500)
    assert turn.next_look == ASKED + 0.5
    assert turn.verdict(ASKED + 0.5) == "no_text"


@pytest.mark.parametrize(("turn_s", "verdict"), [(0.5, "too_long"), (2.0, "hold")])
def test_a_short_turn_bounds_every_look(turn_s: float, verdict: str) -> None:
    turn = patience(turn_s=turn_s)
    assert turn.next_look == ASKED + min(turn_s, 1.0)
    assert turn.verdict(turn.next_look) == verdict
    if verdict == "hold":
        assert turn.next_look == ASKED + turn_s
        assert turn.verdict(turn.next_look) == "too_long"


limits = st.fixed_dictionaries(
    {
        "holding_ms": st.integers(100, 20_000),
        "first_text_ms": st.integers(100, 20_000),
        "stall_ms": st.integers(100, 20_000),
        "turn_s": st.floats(0.1, 30),
    }
)


@given(limits, st.lists(st.floats(0.001, 1), max_size=15))
def test_looking_when_told_ends_every_turn_and_never_spins(settings: dict[str, Any], texts: list[float]) -> None:
    turn = Patience(Settings(**settings), ASKED)
    now = text_at = ASKED
    first_text, end = ASKED + settings["first_text_ms"] / 1000, ASKED + settings["turn_s"]
    verdicts: list[str] = []
    looks = [turn.next_look]
    gaps = iter(texts)
    while not verdicts or verdicts[-1] in ("wait", "hold"):
        gap = next(gaps, None)
        if gap is not None and now + gap < turn.next_look:
            now = text_at = now + gap
            turn.progressed(now)
            continue
        now = turn.next_look
        verdicts.append(turn.verdict(now))
        looks.append(turn.next_look)
    last = {"no_text": first_text, "stalled": text_at + settings["stall_ms"] / 1000}.get(verdicts[-1], end)
    assert now == pytest.approx(min(last, end)), "no limit is noticed late"
    assert verdicts.count("hold") <= 1
    assert all(later > earlier for earlier, later in pairwise(looks[:-1])), "each look is later than the one before"


# ---------------------------------------------------------------------------- while tools run


def test_while_tools_run_the_caller_is_told_again_and_again_and_no_gap_ends_the_turn() -> None:
    turn = patience(turn_s=60)
    turn.progressed(ASKED + 0.5)
    turn.works(ASKED + 0.6)
    assert turn.next_look == ASKED + 1.5
    assert turn.verdict(ASKED + 1) == "wait" and turn.next_look == ASKED + 1.5
    assert turn.verdict(ASKED + 1.5) == "hold" and turn.next_look == ASKED + 3.5
    assert turn.verdict(ASKED + 3.5) == "hold" and turn.next_look == ASKED + 5.5
    assert turn.verdict(ASKED + 60) == "too_long"


def test_what_the_tool_itself_says_counts() -> None:
    turn = patience(turn_s=60)
    turn.works(ASKED)
    turn.spoke(ASKED + 0.8)
    assert turn.verdict(ASKED + 1) == "wait" and turn.next_look == ASKED + 1.8
    assert turn.verdict(ASKED + 1.8) == "hold"


def test_a_tool_after_a_long_silence_is_held_for_at_once() -> None:
    turn = patience(turn_s=60)
    turn.works(ASKED + 3)
    assert turn.next_look == ASKED + 3 and turn.verdict(ASKED + 3) == "hold"


def test_after_the_tools_the_first_word_is_awaited_anew() -> None:
    turn = patience(turn_s=60)
    turn.progressed(ASKED + 0.5)
    turn.works(ASKED + 0.6)
    turn.asked(ASKED + 5)
    assert turn.verdict(ASKED + 5) == "hold", "the caller has heard nothing for long"
    assert turn.verdict(ASKED + 8) == "wait"
    assert turn.verdict(ASKED + 9) == "no_text", "first_text_ms after it was asked"


def test_a_call_that_is_being_written_is_no_standstill_and_a_pause_in_it_is() -> None:
    turn = patience()
    turn.progressed(ASKED + 0.5)
    assert turn.writes(ASKED + 0.6)
    for tenth in range(7, 60):
        assert not turn.writes(ASKED + tenth / 10)
        assert turn.verdict(ASKED + tenth / 10) in ("wait", "hold")
    assert turn.verdict(ASKED + 7.5) == "hold"
    assert turn.next_look == pytest.approx(ASKED + 7.9)
    assert turn.verdict(ASKED + 7.85) == "wait"
    assert turn.verdict(ASKED + 7.9) == "stalled"


def test_who_waits_for_a_call_to_be_written_hears_that_it_is_worked_on() -> None:
    turn = patience()
    turn.progressed(ASKED + 0.5)
    turn.writes(ASKED + 0.6)
    assert turn.next_look == ASKED + 1.5
    turn.writes(ASKED + 1.4)
    assert turn.verdict(ASKED + 1.5) == "hold"


def test_what_follows_a_whole_call_is_waited_for_like_any_text() -> None:
    turn = patience()
    turn.writes(ASKED + 0.5)
    turn.called(ASKED + 3)
    assert turn.verdict(ASKED + 4) == "wait"
    assert turn.next_look == ASKED + 5
    assert turn.verdict(ASKED + 5) == "stalled"
