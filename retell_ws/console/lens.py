"""What was said in a call, read, masked and cut to size for whoever looks on. No I/O; it runs in a thread.

Retell's transcript comes whole with every message, and a look comes once a second: what was masked before is not masked
again, because lines seldom change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Raw

from ..masked_facts import KEY_PRESSED
from ..masking import Mask
from ..transcript import AGENT, DTMF, Question, TranscriptItem, decode_transcript_items
from ..views import MAX_LINES, CallView, Glimpse, ShownLine, Speaking, TimedTurn

__all__ = ["MAX_SHOWN", "MAX_TEXT", "Lens"]

MAX_TEXT: Final = 2000
"""Characters of one line that are shown: two minutes of speech. A tool may give more."""

MAX_SHOWN: Final = 24_000
"""Characters of all lines together: half an hour of speech."""

MAX_NAME: Final = 100
"""Characters of the name of a role or a tool."""

MAX_READ: Final = 2 * MAX_TEXT
"""Characters of a text that are masked."""

EDGE: Final = 100
"""Characters that are not shown where a text was cut before it was masked: what is left of a number is none."""


class Lens:
    """The looks at one call.

    Args:
        server: The server that has it.
        mask: Takes out of a text what must not be shown. It never raises.
    """

    def __init__(self, server: str, mask: Mask) -> None:
        self._server = server
        self._mask = mask
        self._masked: dict[str, str] = {}  # of the last look
        self._read: tuple[Raw | None, tuple[ShownLine, ...]] = (None, ())

    def show(self, glimpse: Glimpse) -> CallView:
        """Make the view of a call. May be called from two threads at once."""
        lines = self._lines(glimpse)
        keys = "".join(line.text for line in lines if line.role == DTMF)
        known, masked = self._masked, dict[str, str]()

        def shown(text: str) -> str:
            if text not in masked:
                masked[text] = known.get(text) or self._beginning(text)
            return masked[text]

        has_long_keys = shown(keys) != keys[:MAX_TEXT]  # each is a line of its own, and together they are a number
        kept: list[ShownLine] = []
        room = MAX_SHOWN
        for line in reversed(lines[-MAX_LINES:]):
            text = KEY_PRESSED if has_long_keys and line.role == DTMF else shown(line.text)
            room -= len(text)
            if room < 0:
                break
            kept.append(ShownLine(line.role[:MAX_NAME], text, line.name[:MAX_NAME]))
        self._masked = masked
        return CallView(
            server=self._server,
            status=glimpse.status,
            lines=tuple(reversed(kept)),
            speaking=self._speaking(glimpse, lines),
            turns=tuple(TimedTurn.of(at, turn) for at, turn in glimpse.turns),
        )

    def _beginning(self, text: str) -> str:
        masked = self._mask(text[:MAX_READ])
        return (masked if len(text) <= MAX_READ else masked[:-EDGE])[:MAX_TEXT]

    def _end(self, text: str) -> str:
        masked = self._mask(text[-MAX_READ:])
        return (masked if len(text) <= MAX_READ else masked[EDGE:])[-MAX_TEXT:]

    def _lines(self, glimpse: Glimpse) -> tuple[ShownLine, ...]:
        if glimpse.heard is None:  # another server heard it
            said = () if glimpse.question is None else glimpse.question.transcript
            return tuple(ShownLine(utterance.role, utterance.content or "") for utterance in said)
        heard, lines = self._read
        if heard is not glimpse.heard:
            lines = tuple(_line(item) for item in decode_transcript_items(glimpse.heard)[0])
            self._read = glimpse.heard, lines
        return lines

    def _speaking(self, glimpse: Glimpse, lines: Sequence[ShownLine]) -> Speaking | None:
        """Give the answer under way; None when there is none, or the transcript has it already."""
        if not glimpse.sent or _answers(lines) > _agents(glimpse.question):
            return None
        return Speaking(glimpse.response_id, self._end(glimpse.sent))  # the last words are those being said


def _line(item: TranscriptItem) -> ShownLine:
    text = item.digit if item.role == DTMF else item.content or item.arguments
    return ShownLine(item.role, text or "", item.name or "")


def _answers(lines: Sequence[ShownLine]) -> int:
    return sum(line.role == AGENT for line in lines)


def _agents(question: Question | None) -> int:
    return 0 if question is None else sum(utterance.role == AGENT for utterance in question.transcript)
