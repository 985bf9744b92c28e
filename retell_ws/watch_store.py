"""The contract of where it is kept what escalation knows of calls, and what is still to be done for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from .errands import Errand

__all__ = ["LEASE_S", "Known", "WatchStore"]

LEASE_S: Final = 30.0
"""Seconds for which an errand belongs to whoever has made or taken it; then it is anybody's."""


class Known(msgspec.Struct, frozen=True):
    """What is known of a call.

    Attributes:
        version: Other bytes each time it is written.
        state: Of `watch.Watch.state`.
    """

    version: bytes
    state: bytes


class WatchStore(Protocol):
    """Shared by all processes that escalate, and survives them. Calls are kept for `limits.TTL_S` after the last write.

    All methods raise `SinkError` when it cannot be reached: nobody knows then whether something was written.
    """

    async def load(self, call_id: str) -> Known | None:
        """Read what is known of a call; None for nothing."""
        ...

    async def save(self, call_id: str, known: Known, errands: Sequence[Errand], *, over: bytes) -> bool:
        """Write what is known of a call, and what is to be done, both or neither. The errands are the caller's.

        Args:
            call_id: The call.
            known: What is known.
            errands: What is to be done.
            over: The version that is replaced; empty for none.

        Returns:
            False when there is another version: nothing was written, and it has to be read again.
        """
        ...

    async def take(self, limit: int) -> Sequence[Errand]:
        """Take errands that are nobody's now, and make them the caller's for `LEASE_S`."""
        ...

    async def postpone(self, errand: Errand, wait_s: float) -> None:
        """Write an errand down as it is now, to be taken by anybody after so many seconds."""
        ...

    async def settle(self, errand: Errand) -> None:
        """Forget an errand: nothing more is to be done."""
        ...
