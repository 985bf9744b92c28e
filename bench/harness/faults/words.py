"""Answers of which every word is unique and numbered, so that whatever is lost, repeated or mixed up shows. Pure.

The caller asks `c17 q3 n30`: call 17, its third question, thirty words wanted; `book` behind it wants the side effect.
The answer is `c17q3w1 c17q3w2 … c17q3w30.`, with a full stop after every sixth word. After the side effect a first word
says what the model was told of it: `c17q3done` or `c17q3unknown`.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["Question", "Said", "Word", "key_of", "outcome", "pieces", "question_in", "read", "word"]

SENTENCE = 6

_QUESTION = re.compile(r"\bc(\d+) q(\d+) n(\d+)( book)?")
_WORD = re.compile(r"c(\d+)q(\d+)(?:w(\d+)|(done|unknown))")


class Question(msgspec.Struct, frozen=True):
    """What a caller asks.

    Attributes:
        call: The call's number.
        number: The question's, from 1.
        words: How many are to come.
        books: The side effect is to run.
    """

    call: int
    number: int
    words: int
    books: bool = False

    @property
    def text(self) -> str:
        """As the caller says it."""
        return f"c{self.call} q{self.number} n{self.words}{' book' if self.books else ''}"


class Word(msgspec.Struct, frozen=True):
    """One word of an answer; an outcome has the place 0."""

    call: int
    question: int
    place: int
    outcome: str = ""


class Said(msgspec.Struct, frozen=True):
    """What was found in a text.

    Attributes:
        words: The numbered words, in order.
        glued: Words with no space between them and the next.
        other: What is no numbered word: a phrase of the server's own.
    """

    words: tuple[Word, ...]
    glued: int
    other: str


def word(question: Question, place: int) -> str:
    """Write one word, with the space or the full stop that follows it."""
    ends = place == question.words
    stop = "." if ends or place % SENTENCE == 0 else ""
    return f"c{question.call}q{question.number}w{place}{stop}{'' if ends else ' '}"


def pieces(question: Question, *, after: int = 0) -> list[str]:
    """Write the words of an answer, one a piece, that come after a place."""
    return [word(question, place) for place in range(after + 1, question.words + 1)]


def outcome(question: Question, *, done: bool) -> str:
    """Write the word that tells what came of the side effect."""
    return f"c{question.call}q{question.number}{'done' if done else 'unknown'} "


def key_of(question: Question) -> str:
    """Name the side effect of a question: nothing else may ask for the same."""
    return f"c{question.call}q{question.number}"


def question_in(text: str) -> Question | None:
    """Find the last question in what was said; None when there is none."""
    found = list(_QUESTION.finditer(text))
    if not found:
        return None
    call, number, words, books = found[-1].groups()
    return Question(int(call), int(number), int(words), books is not None)


def read(text: str) -> Said:
    """Find the words in a text."""
    found: list[Word] = []
    other: list[str] = []
    glued = end = 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        glued += bool(found) and not between[:1].isspace() and not between.startswith(". ")
        other.append(between.strip(" .\n"))
        call, question, place, what = match.groups()
        found.append(Word(int(call), int(question), int(place or 0), what or ""))
        end = match.end()
    other.append(text[end:].strip(" .\n"))
    return Said(tuple(found), glued, " ".join(part for part in other if part))
