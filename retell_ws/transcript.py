"""What was said in a call: reading a raw transcript, and telling whether two of them ask the same. No I/O.

Section marks (§) are those of `wire.py`.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Raw

from .wire import NO_ITEMS, UNREADABLE, ReminderRequired, ResponseRequired, UpdateOnly

__all__ = [
    "AGENT",
    "DTMF",
    "INJECTED",
    "Place",
    "Question",
    "SMS",
    "START",
    "TranscriptItem",
    "Utterance",
    "Word",
    "agent_has_spoken",
    "decode_transcript",
    "decode_transcript_items",
    "decode_words",
    "decode_woven",
    "normalised",
    "place_of",
    "question_in",
    "same_question",
    "without_fillers",
    "words_since",
]

AGENT = "agent"
DTMF = "dtmf"
INJECTED = "injected"
SMS = "sms"

# Marks an ASR adds or moves between two versions of one sentence. Marks inside a word or number stay ("1.5", ".5",
# "don't"), and so do signs that carry meaning ("-5", "$50").
_MARKS = re.compile(r"""(?<!\w)(?:(?!\.\d)[.,!?;:…"'“”‘’()¿¡])+|[.,!?;:…"'“”‘’()]+(?!\w)|[。，！？、]""")


# Sounds of thinking, which speech recognition writes down or leaves out as it likes. "Hmm" is not among them: it may be
# all that somebody answers. Nor is what may be a word: "er" is "he" in German, and a part of a hospital in English.
_FILLERS = frozenset({"umm", "uhm", "uh", "uhh", "erm", "äh", "ähm", "euh"})

# "Um" is "one" in Portuguese and "at" in German, but hardly where somebody begins with it and halts.
_LEADING_UM = re.compile(r"\s*um(?:,|…|\.{3})\s*(?=\w)", re.IGNORECASE)


class Utterance(msgspec.Struct, frozen=True, gc=False):
    """What one party said in one go, as far as it was really heard (§2.6): as much as an answer needs.

    A call keeps its last transcript, so nothing here may hold on to the message it came in; `TranscriptItem` has
    all the fields.

    Attributes:
        role: `agent`, `user`, or another party; everything but `agent` counts as the caller's side.
    """

    role: str
    content: str | None = ""


class Word(msgspec.Struct, frozen=True, gc=False):
    """One spoken word with its audio times in seconds from the start of the call, approximate (§2.6)."""

    word: str | None = None
    start: float | None = None
    end: float | None = None


class TranscriptItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a transcript, whole: an utterance (§2.6) or, by its `role`, something beside it (§2.7).

    An utterance has its `words` (a list of `Word`, still raw) and perhaps `metadata`, which is undocumented on this
    socket and may name the `response_id` spoken. Of the others, the fields that are set depend on the role:
    `tool_call_invocation` (`tool_call_id`, `name`, `arguments`), `tool_call_result` (`tool_call_id`, `content`,
    `successful`), `dtmf` (`digit`), `injected` and `sms` (`content`, `time_sec`, and `multimedia` for the latter).
    Items of unknown roles are to be skipped.
    """

    role: str
    content: str | None = None
    words: Raw = NO_ITEMS
    metadata: dict[str, Any] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    thought_signature: str | None = None
    successful: bool | None = None
    digit: str | None = None
    time_sec: float | None = None
    multimedia: list[dict[str, Any]] | None = None


class Question(msgspec.Struct, frozen=True):
    """What Retell asks for with one `response_id`.

    Attributes:
        kind: `response` when the agent should answer, `reminder` when the caller fell silent (protocol §2.5).
        transcript: Everything said so far, oldest first.
    """

    kind: Literal["response", "reminder"]
    transcript: tuple[Utterance, ...]


_utterances = msgspec.json.Decoder(list[Utterance])
_utterance = msgspec.json.Decoder(Utterance)
_items = msgspec.json.Decoder(list[TranscriptItem])
_item = msgspec.json.Decoder(TranscriptItem)
_raws = msgspec.json.Decoder(list[Raw] | None)
_words_of = msgspec.json.Decoder(list[Word])
_word = msgspec.json.Decoder(Word)


def decode_transcript(raw: Raw) -> tuple[tuple[Utterance, ...], bool]:
    """Read a raw `transcript`.

    One odd utterance must not cost the caller an answer, so what cannot be read is left out.

    Returns:
        The utterances, oldest first, and whether every one of them could be read.
    """
    return _decode_each(raw, _utterances, _utterance)


def decode_transcript_items(raw: Raw) -> tuple[tuple[TranscriptItem, ...], bool]:
    """Read a raw transcript of either kind with all its fields, with the tolerance of `decode_transcript` (§2.7)."""
    return _decode_each(raw, _items, _item)


def decode_words(raw: Raw) -> tuple[Word, ...]:
    """Read the words of a `TranscriptItem` with their times, as far as they can be read."""
    return _decode_each(raw, _words_of, _word)[0]


def decode_woven(raw: Raw) -> tuple[tuple[Utterance, ...], bool]:
    """Read a `transcript_with_tool_calls` as utterances: what was said, and what came in between (§2.7).

    Keys pressed in a row are one utterance of the role `dtmf`. Tool calls are left out: the server knows its own
    (`exchange.py`), and those Retell adds are of things that are over.
    """
    items, whole = decode_transcript_items(raw)
    read: list[Utterance] = []
    for item in items:
        match item.role:
            case "dtmf":
                digit = item.digit or ""
                if read and read[-1].role == DTMF:
                    digit = (read.pop().content or "") + digit
                read.append(Utterance(DTMF, digit))
            case "tool_call_invocation" | "tool_call_result" | "node_transition":
                continue
            case role:
                read.append(Utterance(role, item.content))
    return tuple(read), whole


def question_in(message: ResponseRequired | ReminderRequired | UpdateOnly, *, keypad: bool) -> tuple[Question, bool]:
    """Read what a message asks, or would ask if it asked now.

    Args:
        message: The message.
        keypad: Keys and notes belong to it, where Retell sends any (§2.8).

    Returns:
        The question, and whether all of it could be read.
    """
    transcript, whole = decode_transcript(message.transcript)
    if keypad:
        woven, woven_whole = decode_woven(message.transcript_with_tool_calls)
        if woven:
            transcript, whole = woven, woven_whole
    return Question("reminder" if isinstance(message, ReminderRequired) else "response", transcript), whole


_Each = TypeVar("_Each")


def _decode_each(
    raw: Raw, whole: msgspec.json.Decoder[list[_Each]], one: msgspec.json.Decoder[_Each]
) -> tuple[tuple[_Each, ...], bool]:
    try:
        return tuple(whole.decode(raw)), True
    except UNREADABLE:
        pass
    try:
        parts = _raws.decode(raw)
    except UNREADABLE:
        return (), False
    if parts is None:  # `null` is an absent transcript
        return (), True
    read = []
    for part in parts:
        try:
            read.append(one.decode(part))
        except UNREADABLE:
            continue
    return tuple(read), False


def normalised(text: str) -> str:
    """Fold case, spacing and the punctuation that speech recognition moves about."""
    return " ".join(_MARKS.sub(" ", text.casefold()).split())


def without_fillers(text: str) -> str:
    """Normalise a text, and leave out sounds of thinking, unless it is nothing else."""
    if (um := _LEADING_UM.match(text)) is not None:
        text = text[um.end() :]
    words = normalised(text)
    if _FILLERS.isdisjoint(parts := words.split()):
        return words
    return " ".join(part for part in parts if part not in _FILLERS) or words


def same_question(one: Question, other: Question) -> bool:
    """Tell whether an answer to `one` is also an answer to `other`.

    The last utterance is compared normalised and without fillers, because recognition polishes it between two
    requests; all earlier
    ones must be the same but for the spaces at their ends. The rule is strict on purpose: a needless "no" costs
    one generation, a wrong "yes" would answer something that was not asked.
    """
    if one.kind != other.kind or len(one.transcript) != len(other.transcript):
        return False
    if not one.transcript:
        return True
    *heads, last = zip(one.transcript, other.transcript, strict=True)
    return (
        last[0].role == last[1].role
        and without_fillers(_words(last[0])) == without_fillers(_words(last[1]))
        and all(a.role == b.role and _words(a).strip() == _words(b).strip() for a, b in heads)
    )


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a conversation stood at a question: little enough to be kept for many of them.

    Attributes:
        heard: Utterances there were.
        last: The last of them.
    """

    heard: int
    last: str


START: Final = Place(0, "")
"""Before the first word."""


def place_of(question: Question) -> Place:
    """Take down where a question stands."""
    transcript = question.transcript
    return Place(len(transcript), _words(transcript[-1])) if transcript else START


def words_since(place: Place, question: Question) -> str:
    """Give what the caller's side said between a place and a later question.

    An utterance that went on counts with what was added; one that was recognised anew, and reads otherwise, whole.
    """
    before, after = place.heard, question.transcript
    words: list[str] = []
    if 0 < before <= len(after) and after[before - 1].role != AGENT:
        words.append(normalised(_words(after[before - 1])).removeprefix(normalised(place.last)))
    words += [_words(utterance) for utterance in after[before:] if utterance.role != AGENT]
    return " ".join(words).strip()


def agent_has_spoken(transcript: tuple[Utterance, ...]) -> bool:
    """Tell whether the caller has already heard the agent."""
    return any(utterance.role == AGENT and _words(utterance).strip() for utterance in transcript)


def _words(utterance: Utterance) -> str:
    return utterance.content or ""
