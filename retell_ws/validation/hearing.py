"""What a caller heard, held against what they should have heard, word by word. No I/O."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import NamedTuple

__all__ = ["Heard", "compared"]


class Heard(NamedTuple):
    """In what they differ.

    Attributes:
        missing: Words that were not heard.
        twice: Words that were heard and should not have been: again, or at all.
    """

    missing: tuple[str, ...]
    twice: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether each word was heard, once and in order."""
        return not self.missing and not self.twice


def compared(should: str, heard: str) -> Heard:
    """Compare two texts by their words.

    Args:
        should: What was to be said.
        heard: What was.
    """
    wanted, found = should.split(), heard.split()
    missing: list[str] = []
    twice: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, wanted, found, autojunk=False).get_opcodes():
        if kind != "equal":
            missing += wanted[a:b]
            twice += found[c:d]
    return Heard(tuple(missing), tuple(twice))
