"""From turns to figures: how soon the first sentence came, in what share of turns in time, what it cost. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.harness.figures import percentile
from bench.harness.plans import SpokenTurn
from retell_ws.testing.fake_anthropic_totals import Totals
from retell_ws.testing.first_tokens import FirstTokens

__all__ = [
    "BANDS_MS",
    "BUDGETS_MS",
    "IN_TIME",
    "Band",
    "bands",
    "best",
    "best_of_patient",
    "costs",
    "sentence_ms",
    "share_within",
    "silences",
    "times",
]

BUDGETS_MS: Final = (300, 500, 800)
"""The first sentence's budgets of the blueprints `events`, `distributed` and `single`."""

IN_TIME: Final = 0.8
"""The share of turns that has to keep a budget."""

PATIENT_MS: Final = 400
"""From this end-of-turn delay on the budget of 300 ms is promised."""

BANDS_MS: Final = tuple((low, low + 100) for low in range(200, 800, 100))
"""End-of-turn delays are told apart by these."""


class Band(msgspec.Struct, frozen=True):
    """Turns of one band of end-of-turn delays.

    Attributes:
        low_ms: From this delay.
        high_ms: To this one.
        turns: How many.
        share: Which share of them had their first sentence in time; NaN when there are none.
    """

    low_ms: int
    high_ms: int
    turns: int
    share: float


def sentence_ms(turn: SpokenTurn) -> float:
    """Tell how long the caller waited for the first sentence of an answer.

    A turn that got none counts with the time of its end, or of the caller's patience: leaving it out would make a
    server that fails look quick.
    """
    return turn.ended_ms if turn.sentence_ms is None else turn.sentence_ms


def silence_ms(turn: SpokenTurn) -> float:
    """Tell how long nothing at all was to be heard."""
    return turn.ended_ms if turn.audible_ms is None else turn.audible_ms


def share_within(turns: Sequence[SpokenTurn], budget_ms: float) -> float:
    """Tell which share of turns had their first sentence within a budget; NaN when there are no turns."""
    in_time = [turn for turn in turns if turn.sentence_ms is not None and turn.sentence_ms <= budget_ms]
    return len(in_time) / len(turns) if turns else math.nan


def bands(turns: Sequence[SpokenTurn], budget_ms: float) -> list[Band]:
    """Tell the share within a budget for each band of end-of-turn delays."""
    found = []
    for low, high in BANDS_MS:
        inside = [turn for turn in turns if low <= turn.delay_ms < high]
        found.append(Band(low, high, len(inside), share_within(inside, budget_ms)))
    return found


def best(turns: Sequence[SpokenTurn], budget_ms: float, tokens: FirstTokens, sentence_s: float) -> list[Band]:
    """Reckon what a perfect speculation would reach: begun at the last recognised word, never in vain.

    Args:
        turns: Those whose delays count.
        budget_ms: In time.
        tokens: When first tokens come.
        sentence_s: From the first token to the end of the first sentence.
    """
    found = []
    for low, high in BANDS_MS:
        inside = [turn for turn in turns if low <= turn.delay_ms < high]
        found.append(Band(low, high, len(inside), _reached(inside, budget_ms, tokens, sentence_s)))
    return found


def best_of_patient(turns: Sequence[SpokenTurn], budget_ms: float, tokens: FirstTokens, sentence_s: float) -> float:
    """Reckon the same over all turns before which Retell waits 400 ms or more."""
    return _reached([turn for turn in turns if turn.delay_ms >= PATIENT_MS], budget_ms, tokens, sentence_s)


def _reached(turns: Sequence[SpokenTurn], budget_ms: float, tokens: FirstTokens, sentence_s: float) -> float:
    shares = [tokens.within((turn.delay_ms + budget_ms) / 1000 - sentence_s) for turn in turns]
    return sum(shares) / len(shares) if shares else math.nan


def times(turns: Sequence[SpokenTurn]) -> dict[str, float]:
    """Reckon the times of one round, in milliseconds, and shares from 0 to 1."""
    sentences = [sentence_ms(turn) for turn in turns]
    quiet = [silence_ms(turn) for turn in turns]
    patient = [turn for turn in turns if turn.delay_ms >= PATIENT_MS]
    common = [sentence_ms(turn) for turn in turns if turn.kind == "common"]
    return {
        "turns": len(turns),
        "sentence_p50_ms": percentile(sentences, 50),
        "sentence_p95_ms": percentile(sentences, 95),
        "sentence_p99_ms": percentile(sentences, 99),
        "common_p50_ms": percentile(common, 50),
        "common_p99_ms": percentile(common, 99),
        "word_p50_ms": percentile([turn.ended_ms if turn.first_ms is None else turn.first_ms for turn in turns], 50),
        "audible_p50_ms": percentile(quiet, 50),
        "audible_p99_ms": percentile(quiet, 99),
        "longest_silence_ms": max(quiet, default=math.nan),
        **{f"within_{budget}": share_within(turns, budget) for budget in BUDGETS_MS},
        **{f"within_300_after_{band.low_ms}": band.share for band in bands(turns, 300)},
        "patient_miss_300": 1 - share_within(patient, 300),
        "failed": sum(turn.outcome != "answered" for turn in turns),
    }


def costs(totals: Totals, turns: int) -> dict[str, float]:
    """Reckon what the model was asked for.

    Args:
        totals: The fake model's.
        turns: How many were answered with it.
    """
    each = max(1, turns)
    written = totals.output_tokens
    return {
        "tokens_per_turn": (totals.input_tokens + totals.output_tokens) / each,
        "requests_per_turn": totals.requests / each,
        "warm_ups_per_turn": totals.warm_ups / each,
        "hedged": totals.twins / totals.beyond_openings if totals.beyond_openings else math.nan,
        "unheard": totals.unheard_tokens / written if written else 0.0,
        "hung": totals.hung,
    }


def silences(turns: Sequence[SpokenTurn], limit_ms: float) -> dict[str, float]:
    """Reckon the silences of turns in an outage.

    Args:
        turns: Of the outage, or with others, which are left out.
        limit_ms: The longest silence that is allowed.
    """
    inside = [silence_ms(turn) for turn in turns if turn.outage]
    return {
        "outage_turns": len(inside),
        "outage_p50_ms": percentile(inside, 50),
        "outage_longest_ms": max(inside, default=math.nan),
        "outage_over_limit": sum(silence > limit_ms for silence in inside) / len(inside) if inside else math.nan,
        "outage_answered": sum(turn.outage and turn.sentence_ms is not None for turn in turns) / max(1, len(inside)),
    }
