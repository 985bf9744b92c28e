"""Lists calls, and asks for the figures of those that came without them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from .api import NotThere, RetellRest
from .recent import Row, lacks_latency, row_of

__all__ = ["listed"]

AT_ONCE: Final = 8
"""Calls asked for at once."""


async def listed(rest: RetellRest, filters: Mapping[str, Any], limit: int) -> list[Row]:
    """Give the latest calls, the latest first.

    Args:
        rest: Retell's API.
        filters: Which, as `recent.filters` writes them.
        limit: How many at most.

    Raises:
        RetellApiError: It did not do as it should.
    """
    calls = [call async for call in rest.calls(filters, limit)]
    free = asyncio.Semaphore(AT_ONCE)

    async def complete(call: dict[str, Any], call_id: str) -> None:
        # A call that was deleted since has no figures.
        async with free:
            with suppress(NotThere):
                call["latency"] = await rest.latency(call_id)

    try:
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                call_id = call.get("call_id")
                if isinstance(call_id, str) and call_id and lacks_latency(call):
                    tasks.create_task(complete(call, call_id))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [row_of(call) for call in calls]
