"""What a transcript says, for those who must compare two of them. Pure functions over `wire.Utterance`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from .wire import Utterance

__all__ = ["Question", "agent_has_spoken", "normalised", "same_question"]

AGENT = "agent"

# Marks an ASR adds or moves between two versions of one sentence. Marks inside a word or number stay ("1.5", ".5",
# "don't"), and so do signs that carry meaning ("-5", "$50").
_MARKS = re.compile(r"""(?<!\w)(?:(?!\.\d)[.,!?;:…"'“”‘’()¿¡])+|[.,!?;:…"'“”‘’()]+(?!\w)|[。，！？、]""")


class Question(msgspec.Struct, frozen=True):
    """What Retell asks for with one `response_id`.

    Attributes:
        kind: `response` when the agent should answer, `reminder` when the caller fell silent (protocol §2.5).
        transcript: Everything said so far, oldest first.
    """

    kind: Literal["response", "reminder"]
    transcript: tuple[Utterance, ...]


def normalised(text: str) -> str:
    """Fold case, spacing and the punctuation that speech recognition moves about."""
    return " ".join(_MARKS.sub(" ", text.casefold()).split())


def same_question(one: Question, other: Question) -> bool:
    """Tell whether an answer to `one` is also an answer to `other`.

    The last utterance is compared normalised, because recognition polishes it between two requests; all earlier
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
        and normalised(_words(last[0])) == normalised(_words(last[1]))
        and all(a.role == b.role and _words(a).strip() == _words(b).strip() for a, b in heads)
    )


def agent_has_spoken(transcript: tuple[Utterance, ...]) -> bool:
    """Tell whether the caller has already heard the agent."""
    return any(utterance.role == AGENT and _words(utterance).strip() for utterance in transcript)


def _words(utterance: Utterance) -> str:
    return utterance.content or ""
