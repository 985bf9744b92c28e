"""Speech: where a sentence ends, and which pieces of text leave together, made fit for the ear. Pure.

Retell starts to speak at the first complete sentence (protocol §7), so until then every delta leaves as it comes.
After it a model is some ten times faster than the voice, so the voice has ever more to say, and what comes within a
short and growing time leaves as one piece: nobody can hear the difference, and an answer costs a third of the frames,
reads and wake-ups.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from .ear import Ear

__all__ = ["GATHER_S", "MAX_PIECE", "Pieces", "first_sentence_end", "split"]

GATHER_S = 0.08
"""Seconds for which pieces are gathered just after the first sentence; a fifth of what one spoken word takes."""

LONGEST_GATHER_S = 0.32
"""What that grows to, doubling each time: less than a word, when the voice is already several words behind."""

MAX_PIECE = 1300
"""Longest piece in characters: at most six bytes each in JSON, it keeps a frame within 8 KB (protocol §9.9)."""

# An end mark, perhaps a closing quote, then space. The marks of scripts without spaces end a sentence alone.
# A run of marks is tried from its beginning only, and never given back: a model that says nothing but dots is no stall.
_END = re.compile(r"""(?<![.!?…])[.!?…]++["'”’)\]]*+\s|[。！？]["'”’）」]*""")

# A full stop after these ends no sentence: titles, and the single letters of initials and "a.m.".
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:(?:Mr|Mrs|Ms|Dr|St|Prof|Sr|Jr|vs|approx)|(?:[A-Za-z]\.)*[A-Za-z])$")


def first_sentence_end(text: str) -> int | None:
    """Find where the first sentence of `text` ends.

    Returns:
        The index just past its end mark and space, or None while no sentence is complete.
    """
    for end in _END.finditer(text):
        before = text[: end.start()]
        if end[0][0] == "." and _ABBREVIATION.search(before[-12:]):
            continue
        if before.strip():
            return end.end()
    return None


def split(text: str) -> Iterator[str]:
    """Cut `text` into pieces of at most `MAX_PIECE` characters."""
    for start in range(0, len(text), MAX_PIECE):
        yield text[start : start + MAX_PIECE]


class Pieces:
    """Decides, for one answer, what leaves now and what is gathered.

    You must call `take` when the answer pauses, and `close` at its end.

    Args:
        ear: Makes the text fit for the voice. What is gathered goes through it in one go, which is cheaper.

    Attributes:
        is_spoken: The first sentence is complete: from here on pieces are gathered.
        gather_s: Seconds for which what comes next may be gathered.
        raw: What was given, as it was given, but for what is gathered at the moment.
    """

    __slots__ = ("_ear", "_held", "_opening", "gather_s", "is_spoken", "raw")

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._opening = ""
        self._held: list[str] = []
        self.is_spoken = False
        self.gather_s = 0.0
        self.raw: list[str] = []

    @property
    def removed(self) -> Collection[str]:
        """The kinds of what was not fit for the voice."""
        return self._ear.removed

    def next(self) -> Pieces:
        """Make pieces of the text that follows in the same answer. You must have closed these."""
        return Pieces(self._ear.next())

    def feed(self, text: str) -> str:
        """Take the next piece of the answer, as the model gave it.

        Returns:
            What should leave now; empty when it is gathered, or cannot be judged yet.
        """
        if self.is_spoken:
            self.gather(text)
            return ""
        self.raw.append(text)
        text = self._ear.feed(text)
        self._opening += text
        if text and first_sentence_end(self._opening) is not None:
            self.is_spoken = True
            self.gather_s = GATHER_S
        return text

    def gather(self, text: str) -> None:
        """Take the next piece once the first sentence was spoken."""
        self._held.append(text)

    def take(self) -> str:
        """Give up everything gathered."""
        if self.is_spoken:
            # Only a model that is well ahead of the voice may be looked at less often.
            is_ahead = len(self._held) > 1
            self.gather_s = min(2 * self.gather_s, LONGEST_GATHER_S) if is_ahead else GATHER_S
        if not self._held:
            return ""
        held = "".join(self._held)
        self._held.clear()
        self.raw.append(held)
        return self._ear.feed(held)

    def close(self) -> str:
        """Give up everything: nothing follows."""
        return self.take() + self._ear.close()
