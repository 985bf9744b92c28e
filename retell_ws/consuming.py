"""What a server starts beside itself, in a process of its own, and anew when it dies: the consumers, or what hands the
journal on to Kafka.

A server needs none of them to answer calls: what cannot be consumed now lies in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Final, Self

from .consume import DRAIN_S, MARK, Name, consumers_of
from .restarts import Restarts
from .settings import Settings, environment_of

__all__ = ["Consuming"]

logger = logging.getLogger(__name__)

LEAVE_S: Final = DRAIN_S + 5.0
"""Seconds the process may take for what lies in the journal and for its own end."""

REFUSED: Final = "ended with status 2"
"""How a process ends that was asked for wrongly: again would be no better."""

GIVEN_UP_S: Final = 60.0
"""Seconds until another try when they have died too often: the calls go on, so there is time."""


class Consuming:
    """Keeps the process from `start` to the end of the block."""

    def __init__(self) -> None:
        self._names: tuple[Name, ...] = ()
        self._leaving = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def start(self, settings: Settings) -> None:
        """Start it with these settings, now that the server knows its ports; unless there is nothing to do for it."""
        if settings.kafka_bootstrap and settings.data_folder():
            self._names = ("relay",)
        if settings.starts_consumers():
            self._names += consumers_of(settings)
        if not self._names:
            return
        self._keeping = asyncio.create_task(self._keep(environment_of(settings)))

    @property
    def _what(self) -> str:
        return f"the process of {', '.join(self._names)}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._keeping is None:
            return
        self._let_go()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._keeping
        except TimeoutError:
            logger.warning("%s: does not end, and is killed; the rest lies in the journal", self._what)
        finally:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def _keep(self, variables: Mapping[str, str]) -> None:
        restarts = Restarts(1)
        while not self._leaving.is_set():
            began = monotonic()
            how = await self._life(variables)
            if self._leaving.is_set():
                return
            if how == REFUSED:  # it has said why
                logger.error("%s: cannot be run as it is set up; calls go on, and facts are kept", self._what)
                return
            now = monotonic()
            pause_s = restarts.died(0, now, lived_s=now - began)
            if pause_s is None:
                pause_s = GIVEN_UP_S
            logger.error("%s: %s; started again in %g s, and calls go on", self._what, how, pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._leaving.wait()

    async def _life(self, variables: Mapping[str, str]) -> str:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "retell_ws", "consume", *self._names),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server, which lets go of it last
                env={**os.environ, **variables, MARK: "1"},
            )
        except OSError as exc:  # no memory, no process left: perhaps in a moment
            return f"cannot be started: {exc.strerror or exc}"
        if self._leaving.is_set():
            self._let_go()
        status = await self._process.wait()
        self._process = None
        return f"ended with status {status}" if status >= 0 else f"killed by signal {-status}"
