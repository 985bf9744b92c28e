"""Whole conversations, ready to be played: who says what, how fast, where they break in. The same ones for one seed.

A conversation hangs on its seed and number only, never on what a server answers, so every configuration of a server is
asked the same questions, after the same pauses.
"""

from __future__ import annotations

import random
from typing import Final, Literal

import msgspec

from bench.harness.hearing import Heard, hear
from bench.harness.phrases import COMMON, LATER, LEADS, OPENINGS, SLOTS

__all__ = ["Conversation", "Turn", "conversation"]

COMMON_SHARE: Final = 0.4
"""Share of calls that open with one of the common questions, word for word."""

TURNS: Final = (4, 5)
WORDS_PER_MINUTE: Final = (160.0, 190.0)
TWO_SENTENCES: Final = 0.3
"""Share of utterances, but common openings, that are two sentences."""

ASKED_AGAIN: Final = 0.05
"""Share of turns in which Retell asks once more in the same words, unless the answer has begun by then."""

ASKED_AGAIN_S: Final = (0.1, 0.4)
BARGES_IN: Final = 0.1
"""Share of answers into which the caller speaks."""

BARGES_IN_AFTER_WORDS: Final = (3, 8)
REACTS_S: Final = (0.2, 0.6)
"""From the agent's last word to the caller's beginning."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of the caller, and what they do with the answer.

    Attributes:
        kind: `common` for one of the common openings, `opening` for another one, `later` for what follows.
        heard: The utterance.
        again_s: Seconds after the request at which it is made again in the same words; None for never.
        barges_in: So many of the agent's words are heard before the caller speaks again; None for all of them.
        reacts_s: From the agent's last word to the caller's next turn.
    """

    kind: Literal["common", "opening", "later"]
    heard: Heard
    again_s: float | None
    barges_in: int | None
    reacts_s: float


class Conversation(msgspec.Struct, frozen=True):
    """One call.

    Attributes:
        number: In the run.
        reacts_s: From the greeting's last word to the first turn.
        turns: In order.
    """

    number: int
    reacts_s: float
    turns: tuple[Turn, ...]


def conversation(seed: int, number: int) -> Conversation:
    """Make one.

    Args:
        seed: Of the run.
        number: Of the call in the run.
    """
    rng = random.Random(f"{seed}/{number}")
    pace = rng.uniform(*WORDS_PER_MINUTE)
    filling = {slot: rng.choice(words) for slot, words in SLOTS.items()}
    common = rng.random() < COMMON_SHARE
    later = rng.sample(LATER, k=rng.randint(*TURNS) - 1)
    turns = [_turn("common" if common else "opening", rng.choice(COMMON if common else OPENINGS), filling, pace, rng)]
    turns += [_turn("later", template, filling, pace, rng) for template in later]
    return Conversation(number, rng.uniform(*REACTS_S), tuple(turns))


def _turn(
    kind: Literal["common", "opening", "later"],
    template: str,
    filling: dict[str, str],
    pace: float,
    rng: random.Random,
) -> Turn:
    sentences = [template.format(**filling)]
    if kind != "common" and rng.random() < TWO_SENTENCES:
        sentences.insert(0, rng.choice(LEADS))
    return Turn(
        kind=kind,
        heard=hear(sentences, rng, words_per_minute=pace),
        again_s=rng.uniform(*ASKED_AGAIN_S) if rng.random() < ASKED_AGAIN else None,
        barges_in=rng.randint(*BARGES_IN_AFTER_WORDS) if rng.random() < BARGES_IN else None,
        reacts_s=rng.uniform(*REACTS_S),
    )
