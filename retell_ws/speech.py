"""Text for the ear: where a sentence ends, and when a piece of text should leave. Pure, the clock is an argument.

Retell starts to speak at the first complete sentence (protocol §7), so until then every delta leaves as it
comes. After it the voice is busy for seconds, and pieces are gathered to sentence ends or to a short time:
an answer costs about five frames instead of forty, and nobody can hear the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["GATHER_S", "MAX_PIECE", "Pieces", "first_sentence_end", "split"]

GATHER_S = 0.08
"""Longest time in seconds a piece is held after the first sentence; a fifth of what one spoken word takes."""

MAX_PIECE = 2000
"""Longest piece in characters: at most four bytes each, it keeps a frame within 8 KB (protocol §9.9)."""

# An end mark, perhaps a closing quote, then space. The marks of scripts without spaces end a sentence alone.
_END = re.compile(r"""[.!?…]+["'”’)\]]*\s|[。！？]["'”’）」]*""")

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
    """Decides, for one answer, what leaves now and what is held a moment.

    You must call `take` when `due` has come, and once more at the end of the answer.

    Attributes:
        due: The time at which what is held must leave; None while nothing is held.
    """

    __slots__ = ("_held", "_opening", "due")

    def __init__(self) -> None:
        self._opening: str | None = ""  # the text so far, until the first sentence is complete
        self._held: list[str] = []
        self.due: float | None = None

    def feed(self, text: str, now: float) -> str:
        """Take the next piece of the answer.

        Args:
            text: The piece, as the model gave it.
            now: The time in seconds, of any steady clock.

        Returns:
            What should leave now; empty when everything is held until `due`.
        """
        if self._opening is not None:
            self._opening += text
            if first_sentence_end(self._opening) is not None:
                self._opening = None
            return text
        self._held.append(text)
        if self.due is None:
            self.due = now + GATHER_S
        if now >= self.due or _END.search(text + " "):
            return self.take()
        return ""

    def take(self) -> str:
        """Give up everything held."""
        held = "".join(self._held)
        self._held.clear()
        self.due = None
        return held
