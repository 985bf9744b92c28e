"""What an agent lets be answered from the cache. No I/O."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Cache"]


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of it; `answers.py` says what is never kept, whatever stands here.

    Attributes:
        ttl_s: Seconds an answer is given to other callers.
        utterances: How many things the caller may have said, the question counted: only openings are alike.
        characters: Of the longest of them; who says more is telling something of their own.
        tenant: Keeps two customers apart whose agents are the same to the letter.
    """

    ttl_s: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    utterances: Annotated[int, Meta(ge=1, le=10)] = 2
    characters: Annotated[int, Meta(ge=1, le=1000)] = 160
    tenant: str = ""
