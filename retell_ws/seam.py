"""Where an answer that broke off goes on: the words of another generation, joined to those that were said. Pure.

The model is told all but the last word that was said, because nobody can tell whether that one was whole: "appoint" may
be the beginning of "appointment". So its text should begin with it, and what was said of it already is taken off. A
model that begins its answer anew, from the first word, is understood too.

Where words are written without spaces the last one cannot be told from the sentence, so the model is told all of it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Seam"]

_UNSPACED: Final = re.compile(
    # Thai and Lao, Burmese, Khmer; marks, kana and ideographs of Chinese and Japanese; the same in full width.
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]\Z"
)


class Seam:
    """The seam of one answer.

    Args:
        said: What was said of it before; not empty.

    Attributes:
        told: What the model is to be told of it; empty when that is nothing.
        is_open: It has not been joined yet.
    """

    __slots__ = ("_came", "_ends_a_word", "_known", "_said", "_space", "is_open", "told")

    def __init__(self, said: str) -> None:
        words = said.rstrip()
        cut = 0 if len(words) < len(said) else len(words) - len(words.split()[-1])
        is_unspaced = _UNSPACED.search(words) is not None
        is_whole = len(words) < len(said) or is_unspaced or not words[-1].isalnum()
        self._ends_a_word = is_whole and not is_unspaced and words[-1].isalnum()
        self._said = said
        self._space = "" if said[-1].isspace() or is_unspaced else " "
        self.told = words if is_whole else words[:cut].rstrip()
        last = words[len(self.told) :].strip()
        self._known = sorted({text for text in (words.strip(), last) if text}, key=len, reverse=True)
        self._came = ""
        self.is_open = True

    def join(self, text: str) -> str:
        """Take the next piece of the new generation.

        Returns:
            What is new in it; empty while that cannot be told. A text that ends then had nothing new.
        """
        if not self.is_open:
            return text
        self._came += text
        came = self._came.lstrip()
        # "No" may be what was said, or the beginning of "Not".
        short = len(came) - self._ends_a_word
        if any(len(known) > short and known.startswith(came) for known in self._known):
            return ""
        return self._joined(came)

    def _joined(self, came: str) -> str:
        self.is_open = False
        for known in self._known:
            rest = came[len(known) :]
            if came.startswith(known) and not (self._ends_a_word and rest[:1].isalnum()):
                return rest.lstrip() if self._said[-1].isspace() else rest
        return f"{self._space}{came}"
