"""What a store gives whoever takes a call, without the one number that is another one each time."""

from __future__ import annotations

from collections.abc import Awaitable

from msgspec.structs import replace

from retell_ws.ports import Kept

__all__ = ["taken"]


async def taken(attached: Awaitable[Kept]) -> Kept:
    """Give what is known of a call that was taken, but for the epoch."""
    return replace(await attached, epoch=0)
