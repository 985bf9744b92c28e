"""How much may wait to be written to the journal, and what is given up when there is no room. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .entries import Weight

__all__ = ["ASKED_AGAIN", "ROOM", "has_room"]

ROOM: Final = 20_000
"""Facts that may wait whatever they are: half a minute of a thousand calls, some 20 MB."""

ASKED_AGAIN: Final = 256
"""Entries that may wait though nobody waits for them any more: webhooks, which Retell sends again. As they are in
memory each may take megabytes, and as many as come in some minutes would take all there is."""

_ROOM: Final[Mapping[Weight, int]] = {Weight.METRIC: ROOM, Weight.EVENT: 2 * ROOM, Weight.KEPT: 10 * ROOM}
"""By weight: while the disk is away, a fact of more weight still finds room where a lighter one does not.

What is never given up has an end as well, that only a disk that is away for hours will reach: past it we would rather
lose facts than the process.
"""


def has_room(weight: Weight, waiting: int) -> bool:
    """Tell whether a fact may wait where so many wait already."""
    return waiting < _ROOM[weight]
