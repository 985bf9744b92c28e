"""Figures of the first sentence: a turn without one counts as late, never as absent."""

from __future__ import annotations

import math

import pytest

from bench.harness.plans import SpokenTurn
from bench.harness.sentences import bands, best, best_of_patient, costs, share_within, silences, times
from retell_ws.testing.fake_anthropic_totals import Totals
from retell_ws.testing.first_tokens import FirstTokens


def turn(
    sentence_ms: float | None,
    *,
    delay_ms: float = 450,
    audible_ms: float | None = None,
    ended_ms: float = 2000,
    outage: bool = False,
    kind: str = "later",
) -> SpokenTurn:
    return SpokenTurn(
        number=0,
        kind=kind,
        delay_ms=delay_ms,
        outage=outage,
        outcome="answered" if sentence_ms is not None else "apology",
        first_ms=sentence_ms,
        audible_ms=sentence_ms if audible_ms is None else audible_ms,
        sentence_ms=sentence_ms,
        ended_ms=ended_ms,
    )


def test_a_turn_without_an_answer_counts_with_its_end_and_as_failed() -> None:
    found = times([turn(100), turn(200), turn(None, audible_ms=800, ended_ms=8000)])
    assert found["sentence_p50_ms"] == 200
    assert found["sentence_p99_ms"] == 8000
    assert found["audible_p99_ms"] == found["longest_silence_ms"] == 800
    assert found["failed"] == 1
    assert found["within_300"] == pytest.approx(2 / 3)


def test_only_turns_before_which_retell_waited_long_are_patient() -> None:
    found = times([turn(900, delay_ms=250), turn(100, delay_ms=400), turn(900, delay_ms=700)])
    assert found["patient_miss_300"] == 0.5


def test_common_openings_have_figures_of_their_own() -> None:
    found = times([turn(900), turn(10, kind="common"), turn(30, kind="common"), turn(20, kind="opening")])
    assert (found["common_p50_ms"], found["common_p99_ms"]) == (10, 30)
    assert math.isnan(times([turn(900)])["common_p50_ms"])


def test_bands_tell_their_share_and_an_empty_one_has_none() -> None:
    found = bands([turn(100, delay_ms=250), turn(900, delay_ms=299.9), turn(100, delay_ms=300)], 300)
    assert [(band.low_ms, band.turns) for band in found[:3]] == [(200, 2), (300, 1), (400, 0)]
    assert found[0].share == 0.5
    assert found[1].share == 1
    assert math.isnan(found[2].share)


def test_no_turns_give_no_share() -> None:
    assert math.isnan(share_within([], 300))


def test_costs_are_reckoned_per_turn_and_hedges_beside_what_is_past_its_opening() -> None:
    totals = Totals(
        requests=30, streamed=25, warm_ups=5, beyond_openings=20, twins=1,
        input_tokens=900, output_tokens=100, peer_closed=3, unheard_tokens=10,
    )  # fmt: skip
    found = costs(totals, 20)
    assert found["tokens_per_turn"] == 50
    assert found["requests_per_turn"] == 1.5
    assert found["hedged"] == 0.05
    assert found["unheard"] == 0.1


def test_silences_are_those_of_the_outage() -> None:
    found = silences([turn(9000), turn(500, outage=True), turn(None, audible_ms=1600, outage=True)], 1500)
    assert found["outage_turns"] == 2
    assert found["outage_longest_ms"] == 1600
    assert found["outage_over_limit"] == 0.5
    assert found["outage_answered"] == 0.5


def test_a_perfect_speculation_has_the_delay_and_the_budget_for_token_and_sentence() -> None:
    tokens = FirstTokens(slow=0, hangs=0)
    turns = [turn(100, delay_ms=400), turn(100, delay_ms=700)]
    (only,) = [band for band in best(turns, 300, tokens, 0.1) if band.low_ms == 400]
    assert only.share == pytest.approx(tokens.within(0.6))
    both = best_of_patient([turn(100, delay_ms=200), *turns], 300, tokens, 0.1)
    assert both == pytest.approx((tokens.within(0.6) + tokens.within(0.9)) / 2)
    assert math.isnan(best_of_patient([], 300, tokens, 0.1))
