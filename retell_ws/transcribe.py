"""What was said in a call, for whoever reads it later. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from .facts import CallEnded
from .speech_facts import CallTranscript, Line
from .transcript import AGENT, DTMF, Question, TranscriptItem, Utterance, Word, decode_transcript_items, decode_words
from .wire import CallInfo

__all__ = ["callers_words", "transcribed"]


def callers_words(transcript: Sequence[Utterance]) -> str:
    """Give what the caller's side has said since the agent spoke last."""
    words: list[str] = []
    for utterance in reversed(transcript):
        if utterance.role == AGENT:
            break
        words.append((utterance.content or "").strip())
    return " ".join(word for word in reversed(words) if word)


def transcribed(
    heard: Raw | None, question: Question | None, details: CallInfo | None, ended: CallEnded, *, agent_left: bool
) -> CallTranscript:
    """Write down a call that is over.

    Args:
        heard: The last transcript Retell sent here; None when it sent none.
        question: What was asked last, when another server heard it.
        details: What Retell told of the call.
        ended: How long it took.
        agent_left: The agent hung up, or handed the call on.
    """
    if heard is not None:
        lines = tuple(_line(item) for item in decode_transcript_items(heard)[0])
    else:
        said = () if question is None else question.transcript
        lines = tuple(Line(utterance.role, utterance.content or "") for utterance in said)
    known = details or CallInfo(call_id="")
    return CallTranscript(
        lines,
        ended.duration_s,
        ended.turns,
        agent_left=agent_left,
        call_type=known.call_type or "",
        direction=known.direction or "",
        agent_id=known.agent_id or "",
        from_number=known.from_number or "",
        to_number=known.to_number or "",
    )


def _line(item: TranscriptItem) -> Line:
    words: Sequence[Word] = decode_words(item.words)
    return Line(
        item.role,
        (item.digit if item.role == DTMF else item.content or item.arguments) or "",
        name=item.name or "",
        start_s=item.time_sec if not words else words[0].start,
        end_s=None if not words else words[-1].end,
    )
