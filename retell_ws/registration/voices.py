"""Which voice is meant, by Retell's id of it or by its name. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from ..errors import UsageError

__all__ = ["examples", "voice_id_of"]

SHOWN: Final = 5

SPEECH_TO_SPEECH: Final = "xai"
"""Its voices belong to a model that hears and speaks by itself: not for an LLM of one's own."""


def voice_id_of(wanted: str, voices: Sequence[Mapping[str, Any]]) -> str:
    """Find a voice.

    Args:
        wanted: Its id, or its name, in any case.
        voices: All of the account, as Retell's API lists them.

    Raises:
        UsageError: There is none like that, or several; the text names the closest.
    """
    ids = [str(voice.get("voice_id")) for voice in voices]
    if wanted in ids:
        return wanted
    by_word: dict[str, list[str]] = {}
    for voice, voice_id in zip(voices, ids, strict=True):
        for word in {voice_id.casefold(), str(voice.get("voice_name")).casefold()}:
            by_word.setdefault(word, []).append(voice_id)
    found = by_word.get(wanted.casefold(), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"--voice {wanted!r} may be {', '.join(found[:SHOWN])}: say which")
    close = get_close_matches(wanted.casefold(), list(by_word), n=SHOWN, cutoff=0.4)
    near = list(dict.fromkeys(voice_id for word in close for voice_id in by_word[word]))[:SHOWN]
    hint = f"the closest are {', '.join(near)}" if near else f"some are {examples(voices)}"
    raise UsageError(f"there is no voice {wanted!r}; {hint}")


def examples(voices: Sequence[Mapping[str, Any]]) -> str:
    """Name some voices that speak what an LLM of one's own writes."""
    fitting = [str(voice.get("voice_id")) for voice in voices if voice.get("provider") != SPEECH_TO_SPEECH]
    return ", ".join(fitting[:SHOWN])
