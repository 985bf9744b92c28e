"""What speech recognition makes of a caller's sentences, word by word, and when Retell asks. Chance, but no clock.

Every number a real recogniser would have is a named constant here, chosen by us and not measured anywhere: how late
words come, how often the newest one is wrong at first, when the end mark appears. What comes out is a list of events
on the caller's own time; whoever plays it needs no chance of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

__all__ = ["Event", "Heard", "hear"]

RECOGNISED_AFTER_S: Final = (0.08, 0.2)
"""From the end of a word to the partial that shows it."""

PACE_JITTER: Final = (0.8, 1.25)
"""Factor on the length of each word."""

MISHEARD: Final = 0.12
"""Share of words that are shown wrong first and put right by the next partial."""

MISHEARD_LAST: Final = 0.06
"""Share of utterances whose very last word is put right by the final pass only."""

FALSE_END: Final = 0.02
"""Share of partials in mid-sentence that show an end mark, which is gone with the next word. With it a third of what is
begun on an end mark is in vain; the one published figure for that is 18 %, of another system."""

FILLER: Final = 0.04
"""Share of words after which "uh" or "um" is shown, which is gone with the next word."""

MARKED_AT_ONCE: Final = 0.65
"""Share of sentences whose end mark comes with the last word; otherwise the final pass brings it."""

FINAL_PASS_S: Final = (0.1, 0.25)
"""From the partial of the last word to the final pass."""

SENTENCE_PAUSE_S: Final = (0.2, 0.5)

END_OF_TURN_S: Final = (0.2, 0.8)
"""The end-of-turn delay: from the partial of the last word to Retell's request."""

EARLY: Final = 0.1
"""Share of utterances of `EARLY_WORDS` and more in which Retell asks in the middle, and again at the end."""

EARLY_WORDS: Final = 8
EARLY_PAUSE_S: Final = (0.5, 0.8)
EARLY_ASK_S: Final = (0.22, 0.4)
"""From the partial before the pause to the early request."""


class Event(msgspec.Struct, frozen=True):
    """One message of Retell's while the caller speaks.

    Attributes:
        at_s: Seconds from when the caller begins.
        text: The caller's words as recognised by then.
        asks: It is a `response_required`, not an `update_only`.
    """

    at_s: float
    text: str
    asks: bool = False


class Heard(msgspec.Struct, frozen=True):
    """One utterance as Retell tells of it.

    Attributes:
        events: In order of time; the last one asks, in the caller's final words.
        delay_s: The end-of-turn delay.
    """

    events: tuple[Event, ...]
    delay_s: float

    @property
    def words(self) -> str:
        """The caller's final words."""
        return self.events[-1].text


class _Word(msgspec.Struct, frozen=True):
    text: str
    mark: str  # of the sentence it ends, else empty
    is_last: bool


def hear(sentences: Sequence[str], rng: random.Random, *, words_per_minute: float) -> Heard:
    """Let these sentences be spoken and recognised.

    Args:
        sentences: What is said in one go; each ends in its mark.
        rng: Decides on everything.
        words_per_minute: Of the speaker.
    """
    words = list(_words_of(sentences))
    pauses_at = -1
    if len(words) >= EARLY_WORDS and rng.random() < EARLY:
        inner = [at for at, word in enumerate(words[:-2]) if at >= 3 and not word.mark]
        pauses_at = rng.choice(inner)
    events: list[Event] = []
    settled, clock, shown_s = "", 0.0, 0.0
    for at, word in enumerate(words):
        clock += 60 / words_per_minute * rng.uniform(*PACE_JITTER)
        shown_s = max(shown_s + 0.01, clock + rng.uniform(*RECOGNISED_AFTER_S))
        right = settled + word.text
        if word.mark:
            wrong = word.is_last and rng.random() < MISHEARD_LAST
            marked = rng.random() < MARKED_AT_ONCE
            text = settled + (_misheard(word.text) if wrong else word.text) + (word.mark if marked else "")
        else:
            wrong = rng.random() < MISHEARD
            text = settled + (_misheard(word.text) if wrong else word.text)
            text += "." if rng.random() < FALSE_END else ""
        events.append(Event(shown_s, text))
        settled = right + word.mark + " "
        if word.is_last:
            break
        if word.mark:
            final_s = shown_s + rng.uniform(*FINAL_PASS_S)
            if text != right + word.mark:
                events.append(Event(final_s, right + word.mark))
            clock += rng.uniform(*SENTENCE_PAUSE_S)
            shown_s = final_s
        elif at == pauses_at:
            events.append(Event(shown_s + rng.uniform(*EARLY_ASK_S), text, asks=True))
            clock += rng.uniform(*EARLY_PAUSE_S)
            shown_s = events[-1].at_s
        elif rng.random() < FILLER:
            clock += 0.25
            shown_s += 0.2
            events.append(Event(shown_s, f"{right} {rng.choice(('uh', 'um'))}"))
    final = settled.rstrip()
    delay_s = rng.uniform(*END_OF_TURN_S)
    if events[-1].text != final:
        # The final pass is over when Retell decides that the turn is.
        events.append(Event(shown_s + min(rng.uniform(*FINAL_PASS_S), delay_s - 0.01), final))
    events.append(Event(shown_s + delay_s, final, asks=True))
    return Heard(tuple(events), delay_s)


def _words_of(sentences: Sequence[str]) -> Iterator[_Word]:
    for number, sentence in enumerate(sentences, 1):
        words = sentence[:-1].split()
        for at, word in enumerate(words, 1):
            ends = at == len(words)
            yield _Word(word, sentence[-1] if ends else "", ends and number == len(sentences))


def _misheard(word: str) -> str:
    """Another word of much the same sound."""
    bare = word.rstrip(",")
    return bare[:-1] if len(bare) > 3 else bare + "s"
