"""Runs the agent's functions around the turns: at the start of a call, when its details are known, at its end.

A hook that raises or hangs costs nobody anything but its own effect: it is a fact, and a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from inspect import isawaitable
from typing import Final

from .agent import Agent, HookName
from .facts import Fact, HookFailed
from .handle import Call
from .talk import Spawn
from .tools import is_cancelled

__all__ = ["Hooks"]

logger = logging.getLogger(__name__)

HOOK_S: Final = 30.0
"""Seconds a hook may take."""


class Hooks:
    """The hooks of one call.

    Args:
        agent: Whose they are.
        call: What they are given.
        spawn: Starts tasks that end with the server.
        spawn_lasting: Starts tasks that the server's end waits for.
        record: Takes each fact.
    """

    def __init__(
        self, agent: Agent, call: Call, *, spawn: Spawn, spawn_lasting: Spawn, record: Callable[[Fact], None]
    ) -> None:
        self._hooks = agent.hooks
        self._call = call
        self._spawn = spawn
        self._spawn_lasting = spawn_lasting
        self._record = record
        self._told_details = False

    def start(self) -> None:
        """The first socket of the call was accepted."""
        self._run("on_start", self._spawn)

    def details(self, *, again: bool = False) -> None:
        """Retell told about the call; more than once when it redialled.

        Args:
            again: The hook has run on another server.
        """
        if not self._told_details:
            self._told_details = True
            if not again:
                self._run("on_details", self._spawn)

    def end(self) -> None:
        """The call is over."""
        self._run("on_end", self._spawn_lasting)

    def _run(self, name: HookName, spawn: Spawn) -> None:
        for hook in self._hooks.get(name, ()):
            spawn(self._one(name, hook))

    async def _one(self, name: HookName, hook: Callable[..., object]) -> None:
        try:
            async with asyncio.timeout(HOOK_S):
                result = hook(self._call)
                if isawaitable(result):
                    await result
        except (Exception, SystemExit, asyncio.CancelledError) as exc:
            if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                raise
            # Not the exception's text: it may quote what the caller said.
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            place = f"{frame.filename}:{frame.lineno}"
            extra = {"call_id": self._call.id}
            logger.error("the hook %s failed: %s at %s", name, type(exc).__name__, place, extra=extra)
            logger.debug("the hook %s failed", name, exc_info=exc, extra=extra)
            self._record(HookFailed(name))
