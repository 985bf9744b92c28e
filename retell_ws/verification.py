"""Asks Retell's REST API whether a call is one, beside its greeting: the socket itself proves nothing (protocol §1.8).

Talk does not wait for it, and goes on without it; side effects do, and are refused when it fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from .handle import Call
from .talk import Spawn
from .wire import CallInfo

__all__ = ["Verification", "Verify"]

logger = logging.getLogger(__name__)

Verify: TypeAlias = Callable[[str], Awaitable[CallInfo | None]]
"""Asks about a call id; None when there is no such call going on, or when nobody answers. Never raises."""

RESULT_S: Final = 10.0
"""Seconds a side effect waits for it."""


class Verification:
    """The verification of one call.

    Args:
        call: Told what the API knows of it.
        verify: Asks.
        spawn: Starts the task that asks.
    """

    def __init__(self, call: Call, verify: Verify, spawn: Spawn) -> None:
        self._call = call
        self._verify = verify
        self._spawn = spawn
        self._asking: asyncio.Task[bool] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._asking = self._spawn(self._ask())

    async def result(self) -> bool:
        """Wait for the answer. What has failed is asked once more for each side effect that needs it."""
        if self._asking is None or (self._asking.done() and not _is_true(self._asking)):
            self._asking = self._spawn(self._ask())
        await asyncio.wait((self._asking,), timeout=RESULT_S)
        return _is_true(self._asking)

    async def _ask(self) -> bool:
        details = await self._verify(self._call.id)
        if details is None or details.call_id != self._call.id:
            logger.warning("the call could not be verified: no side effects", extra={"call_id": self._call.id})
            return False
        self._call.know(details, verified=True)
        return True


def _is_true(task: asyncio.Task[bool]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None and task.result()
