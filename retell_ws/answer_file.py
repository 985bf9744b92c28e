"""Files of openings to ask ahead, and of answers that were: reading and writing their text. No I/O.

An opening is what the caller says at the beginning of a call, one utterance after another; the agent answers each. A
file of them is text: one utterance a line, or a JSON list of several; empty lines and `#` comments are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from .answers import VERSION
from .errors import UsageError

__all__ = ["AnswerFile", "KeptAnswer", "Opening", "read", "steps", "write"]

MAX_OPENINGS: Final = 2000
"""Of one file: each is a request to the model, and again whenever its answer grows old."""

Opening: TypeAlias = tuple[str, ...]
"""What the caller says, first to last."""


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer found ahead.

    Attributes:
        heard: What the caller said, what the agent answered, and so on; the caller speaks last.
        text: The answer to it, as the model gave it.
        scope: The agent's, `answers.scope_of`.
        model: Who was asked, client and model.
        created_at: When, in seconds since the epoch.
    """

    heard: Annotated[tuple[str, ...], Meta(min_length=1)]
    text: str
    scope: str
    model: str
    created_at: float


class AnswerFile(msgspec.Struct, frozen=True, kw_only=True):
    """What `answers warm --out` writes.

    Attributes:
        version: `answers.VERSION` of who wrote it.
        answers: The answers, earlier ones of a call before later ones.
    """

    version: int
    answers: tuple[KeptAnswer, ...]


def read(text: str, name: str) -> tuple[Opening, ...] | AnswerFile:
    """Read a file of either kind.

    Args:
        text: Of the file.
        name: As errors call it.

    Raises:
        UsageError: It is neither, or of another version.
    """
    if text.lstrip().startswith("{"):
        try:
            found = msgspec.json.decode(text, type=AnswerFile)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise UsageError(f"{name} holds no answers of `answers warm --out`: {exc}") from None
        if found.version != VERSION:
            raise UsageError(f"{name} was written by another version; `answers warm` writes it anew")
        return found
    openings: dict[Opening, None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if (line := line.strip()) and not line.startswith("#"):
            openings[_opening(line, f"{name}, line {number}")] = None
    if not openings:
        raise UsageError(f"{name} holds no openings: one utterance of the caller's a line")
    if len(openings) > MAX_OPENINGS:
        raise UsageError(f"{name} holds {len(openings)} openings, and {MAX_OPENINGS} are enough")
    return tuple(openings)


def _opening(line: str, place: str) -> Opening:
    if not line.startswith("["):
        return (line,)
    try:
        said = msgspec.json.decode(line, type=tuple[str, ...])
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise UsageError(f"{place}: a list of what the caller says, in JSON: {exc}") from None
    if not said or not all(words.strip() for words in said):
        raise UsageError(f"{place}: an utterance without words")
    return said


def steps(openings: Iterable[Opening]) -> list[list[Opening]]:
    """List what has to be asked, by depth: each opening, and its beginnings before it."""
    levels: list[dict[Opening, None]] = []
    for opening in openings:
        for depth in range(len(opening)):
            if depth == len(levels):
                levels.append({})
            levels[depth][opening[: depth + 1]] = None
    return [list(level) for level in levels]


def write(answers: Sequence[KeptAnswer]) -> bytes:
    """Write a file of answers, for a person to look over."""
    return msgspec.json.format(msgspec.json.encode(AnswerFile(version=VERSION, answers=tuple(answers))), indent=2)
