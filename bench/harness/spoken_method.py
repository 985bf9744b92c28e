"""How the spoken calls were measured and what came of it, in words for the report. It computes no figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.harness import conversations as talk
from bench.harness import hearing
from bench.harness.phrases import COMMON
from bench.harness.report import number
from bench.harness.sentences import IN_TIME, Band
from bench.harness.spoken_call import AGENT_SPEED, WORDS_AN_UPDATE
from bench.harness.spoken_round import LONGEST_SILENCE_MS, SPACING_MS
from retell_ws.testing.first_tokens import FirstTokens

__all__ = ["how", "in_bands", "in_outage"]


def how(tokens: FirstTokens) -> str:
    """Tell how it was measured.

    Args:
        tokens: The fake model's distribution.
    """
    paces = f"{talk.WORDS_PER_MINUTE[0]:g} to {talk.WORDS_PER_MINUTE[1]:g}"
    low, high = (f"{1000 * delay_s:.0f}" for delay_s in hearing.END_OF_TURN_S)
    sentences = [
        "Spoken calls on one machine, loopback; the server alone on one core, callers and fake model on the other.",
        f"First tokens: log-normal, with {_percent(tokens.slow)} of a slow mode (evenly {tokens.slow_from_s:g} to "
        f"{tokens.slow_to_s:g} s) and {_percent(tokens.hangs)} that never come, p50 {tokens.p50_s:g} s and p95 "
        f"{tokens.p95_s:g} s of all together; then {SPACING_MS:g} ms a word, six to ten words in the first sentence.",
        f"Callers: {paces} words a minute, {talk.TURNS[0]} or {talk.TURNS[1]} turns a call;",
        f"{_percent(talk.COMMON_SHARE)} of calls open with one of {len(COMMON)} common questions, which the answer "
        "cache was told in advance;",
        f"every recognised word is an update; {_percent(hearing.MISHEARD)} of words are wrong at first, in "
        f"{_percent(hearing.MISHEARD_LAST)} of utterances the last one until the very end;",
        f"{_percent(hearing.FALSE_END)} of partials end in a mark that goes away, {_percent(hearing.FILLER)} of words "
        f"are followed by a filler that does; {_percent(hearing.MARKED_AT_ONCE)} of sentences get their mark with the "
        f"last word, the others up to {1000 * hearing.FINAL_PASS_S[1]:.0f} ms later;",
        f"{_percent(talk.TWO_SENTENCES)} of utterances are two sentences with a pause between.",
        f"Retell asks {low} to {high} ms after the last word was recognised (the end-of-turn delay); in "
        f"{_percent(hearing.EARLY)} of longer turns too early and then again, in {_percent(talk.ASKED_AGAIN)} again in "
        "the same words, for which time runs from the first request.",
        f"Into {_percent(talk.BARGES_IN)} of answers the caller speaks. The agent is heard at {AGENT_SPEED:g} times a "
        f"voice's pace, one update per {WORDS_AN_UPDATE} words.",
        "Own: the first sentence of the model's own words, or the cache's; a turn that gets none counts with its end. "
        "Spoken: the first sentence of anything, a holding phrase or an apology too. Hedged: requests in the words of "
        "one that was still running, without conversations at their opening, which calls share. Failed: turns that "
        "ended in an apology or a closing phrase.",
    ]
    return " ".join(sentences)


def in_bands(found: Sequence[Band], best: Sequence[Band], at_best: float, budget_ms: int) -> str:
    """Tell the share in time of each band of end-of-turn delays, and which bands miss.

    Args:
        found: What was measured.
        best: What would be at best.
        at_best: The same over all delays of 400 ms and more.
        budget_ms: In time.
    """
    told = ", ".join(f"{band.low_ms}–{band.high_ms} ms: {_percent(band.share)}" for band in found if band.turns)
    missed = [f"{band.low_ms}–{band.high_ms}" for band in found if band.turns and band.share < IN_TIME]
    kept = f"not kept by {_percent(IN_TIME)} of turns in the bands {', '.join(missed)} ms"
    return (
        f"All on, first sentence within {budget_ms} ms by end-of-turn delay: {told}. The budget is "
        + (kept if missed else f"kept by {_percent(IN_TIME)} of turns in every band")
        + ". A speculation that is always begun at the last recognised word, in the right words, and adopted, could "
        f"keep it in {_percent(at_best)} of turns with delays of 400 ms and more ("
        + ", ".join(f"{band.low_ms}–{band.high_ms}: {_percent(band.share)}" for band in best if band.turns)
        + "), by the stated first tokens; openings from the cache come on top."
    )


def in_outage(row: Mapping[str, Any]) -> str:
    """Tell what callers heard while the model refused everything."""
    return (
        f"In an outage, all on and every request refused with 529, {row['outage_turns']} turns were asked: the longest "
        f"silence was {number(row['outage_longest_ms'])} ms, {_percent(row['outage_over_limit'])} were silent for more "
        f"than {LONGEST_SILENCE_MS:.0f} ms, {_percent(row['outage_answered'])} got an answer all the same."
    )


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"
