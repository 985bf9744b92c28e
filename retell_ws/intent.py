"""What shall happen to the call once everything was spoken: the agent leaves, hands it on, or presses keys. Pure.

Retell calls these actions (protocol §3.3). They run when the text of their id was spoken to its end, and are thrown
away without a word when the caller speaks into it, though "right, thanks" was no reason to stay. So an intent to leave
the call is kept until it happens or lapses (`call.py`), and is given out again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeAlias

import msgspec

from .transcript import normalised

__all__ = [
    "ACKNOWLEDGEMENTS",
    "EndCall",
    "Intent",
    "MAX_ACKNOWLEDGEMENT_WORDS",
    "PressDigits",
    "TransferCall",
    "acknowledges",
    "leaves",
]


class EndCall(msgspec.Struct, frozen=True, tag="end_call"):
    """Hang up."""


class TransferCall(msgspec.Struct, frozen=True, tag="transfer_call"):
    """Hand the caller on, cold: the agent is out of the call then. Phone calls only.

    Attributes:
        number: Where to, in E.164.
        show_caller: The target sees the caller's number instead of ours.
    """

    number: str
    show_caller: bool = False


class PressDigits(msgspec.Struct, frozen=True, tag="press_digit"):
    """Send keys, for the machine at the other end; the call goes on."""

    digits: str


Intent: TypeAlias = EndCall | TransferCall | PressDigits


ACKNOWLEDGEMENTS: Final = frozenset(
    "ah all allright alright appreciate awesome bye cheers cool course day evening excellent exactly fine good goodbye "
    "great have hm i kay lovely mhm mm much nice of ok okay oh perfect please right see so sounds sure super thank "
    "thanks that that's then thx uh uh-huh very well wonderful yeah yep yes you you're welcome weekend night a "
    "afternoon kind".split()
)
"""Words that take nothing back. An utterance made of nothing else agrees with what was about to happen."""

MAX_ACKNOWLEDGEMENT_WORDS: Final = 8
"""A longer utterance is for the model to judge."""


def acknowledges(heard: str, words: Collection[str] = ACKNOWLEDGEMENTS) -> bool:
    """Tell whether the caller only agreed: then what was about to happen shall still happen.

    Args:
        heard: What the caller said last.
        words: The words that take nothing back, normalised.
    """
    said = normalised(heard.replace("’", "'")).split()
    return 0 < len(said) <= MAX_ACKNOWLEDGEMENT_WORDS and all(word in words for word in said)


def leaves(intent: Intent | None) -> bool:
    """Tell whether the agent is out of the call when it happened."""
    return isinstance(intent, EndCall | TransferCall)
