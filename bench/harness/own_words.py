"""Which part of an answer is the model's: the server's fixed lines are taken off. Pure.

A holding phrase fills the silence but answers nothing, so the first sentence of an answer is that of the model's own
words, or of what a cache has kept of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from retell_ws.lines import Lines
from retell_ws.speech import first_sentence_end

__all__ = ["Listening", "Outcome"]

Outcome = Literal["answered", "broken", "apology", "empty", "silent"]
"""`broken`: begun, and closed with a phrase; `apology`: fixed lines and nothing else; `empty`: completed without a
word; `silent`: not completed in time."""


def _texts(lines: Lines) -> Iterable[str]:
    for value in msgspec.structs.astuple(lines):
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from value


_LINES: Final = Lines()
# Longest first: one may begin as another does. The word for a link is part of a sentence, not one.
FIXED: Final = tuple(sorted((text for text in _texts(_LINES) if text != _LINES.link), key=len, reverse=True))


def own_words(content: str) -> str:
    """Give what is left of an answer behind the fixed lines it begins with.

    What may still become a fixed line is not the model's yet.
    """
    rest = content.lstrip()
    while rest:
        line = next((line for line in FIXED if rest.startswith(line)), "")
        if not line:
            break
        rest = rest[len(line) :].lstrip()
    return "" if any(line.startswith(rest) for line in FIXED) else rest


class Listening:
    """Follows one answer as its pieces come in, and notes when what could be heard.

    Attributes:
        content: All of it so far.
        complete: Whether it has ended.
        first_ns: When its first word came.
        audible_ns: When its first sentence, a fixed line or not, was complete: Retell begins to speak.
        sentence_ns: When the first sentence of the model's own words was complete.
    """

    __slots__ = ("audible_ns", "complete", "content", "first_ns", "sentence_ns")

    def __init__(self) -> None:
        self.content = ""
        self.complete = False
        self.first_ns = self.audible_ns = self.sentence_ns = 0

    def hear(self, content: str, complete: bool, now_ns: int) -> None:
        """Take a piece."""
        self.content += content
        self.complete = complete
        if self.sentence_ns or not (text := self.content.strip()):
            return
        self.first_ns = self.first_ns or now_ns
        if not self.audible_ns and (complete or first_sentence_end(self.content) is not None):
            self.audible_ns = now_ns
        own = own_words(self.content if not complete else text + " ")
        if own and (complete or first_sentence_end(own) is not None):
            self.sentence_ns = now_ns

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if not self.complete:
            return "silent"
        if not self.content.strip():
            return "empty"
        if not self.sentence_ns:
            return "apology"
        return "broken" if _LINES.closing in self.content else "answered"
