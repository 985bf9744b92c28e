"""Text as it is said: one space between words, and a pause where the eye saw a line end. Pure.

Where something was dropped, what stood around it must not run together or leave a space too many. What was said cannot
be taken back, so what comes next is what gives way: a comma that would follow a space becomes ` - `, which Retell's
voice reads as a pause (protocol §3.3).
"""

from __future__ import annotations

import re

__all__ = ["COMMA", "STOP", "WEAK", "Spoken"]

COMMA = 1
"""A short pause: between the items of a list, the cells of a table."""

STOP = 2
"""A long one: between paragraphs, after a heading."""

WEAK = " \"'”’)»"
"""What may stand between a line's last word or mark and its end."""

_PAUSES = {COMMA: ", ", STOP: ". "}
_PUNCTUATION = ".,;:!?…-–—。，、；：！？।؟،؛۔"
_ENDING = ".!?…"
_OVER = ".!?…:。！？：।؟۔"  # no sentence goes on after these
_LEANING = " ,.;:!?…)"
_SPACES = re.compile(r"[ \t]{2,}|\t")


class Spoken:
    """What was said, and what must come between it and what is said next.

    Attributes:
        last: The last character said; empty before the first.
        mark: The last of them that is not `WEAK`.
        is_blank: Nothing but space was said in this line.
        is_row: This line is a row of a table: its spaces wait, because they may stand before the end of a cell.
    """

    __slots__ = ("_gap", "_is_cut", "_parts", "_pause", "is_blank", "is_row", "last", "mark")

    def __init__(self) -> None:
        self.last = ""
        self.mark = ""
        self.is_blank = True
        self.is_row = False
        self._parts: list[str] = []
        self._is_cut = False
        self._pause = 0
        # 1: a space is due unless a mark follows; 2: it is due.
        self._gap = 0

    @property
    def is_settled(self) -> bool:
        """What is said next goes out as it is, unless it begins with a space."""
        return not (self._is_cut or self._pause or self._gap or self.is_blank or self.is_row)

    def say(self, text: str) -> None:
        """Say text of one line, mended. Saying it in several pieces comes to the same."""
        text = _SPACES.sub(" ", text)
        if self._pause or (self._is_cut and self.last in " "):
            bare = text.lstrip(" ,;:")
            if text[: len(text) - len(bare)].strip():
                self.rest(COMMA)
            text = bare
        elif self.last == " ":
            text = text.lstrip(" ")
        waits = self.is_row and text.endswith(" ")
        if waits:
            text = text[:-1]
        if text:
            self._put(text)
        if waits:
            self._gap = 2

    def _put(self, text: str) -> None:
        first = text[0]
        before = ""
        if self._pause:
            if first not in _ENDING:
                before = "- " if self.last == " " else _PAUSES[self._pause]
        elif self._gap and self.last not in " " and first != " " and (self._gap == 2 or first not in _LEANING):
            before = " "
        self._is_cut = False
        self._pause = self._gap = 0
        if text != " ":
            self.is_blank = False
        self._parts.append(before + text)
        self.note(text)

    def note(self, text: str) -> None:
        """Note that `text` was said."""
        self.last = text[-1]
        core = text.rstrip(WEAK)
        if core:
            self.mark = core[-1]

    def goes_on(self, said: str) -> bool:
        """Take in what was said before, and tell whether it broke off inside a sentence, which then goes on here.

        Behind a whole sentence nothing is due: what comes next is said as if it were the first.
        """
        core = said.rstrip(WEAK)
        if not core or core[-1] in _OVER:
            return False
        self.note(said)
        self.is_blank = False
        return True

    def cut(self) -> None:
        """Note that something was dropped here."""
        self._is_cut = True
        self._gap = min(self._gap, 1)

    def part(self) -> None:
        """Keep apart what was said and what will be: a space is due unless there is one, or a mark follows."""
        self._gap = self._gap or 1

    def rest(self, pause: int) -> None:
        """Have a pause before what is said next: `COMMA` or `STOP`, or a mere space after a mark."""
        if not self.mark:
            self.cut()
        elif self.mark in _PUNCTUATION:
            self.say(" ")
            self.cut()
        else:
            self._pause = max(self._pause, pause)

    def end_line(self, pause: int) -> None:
        """End a line; a blank one, or a row of a table, with `STOP`."""
        if self.is_blank or self.is_row:
            pause = STOP
        self.is_row = False
        self.rest(pause)
        self.is_blank = True

    def take(self) -> str:
        """Give up what was said since the last time."""
        said = "".join(self._parts)
        self._parts.clear()
        return said
