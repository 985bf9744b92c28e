"""Sends the spans of calls to a collector, by OTLP over HTTP, as the `OTEL_*` variables of the environment say.

A turn pays for one `put`. A thread of its own makes spans of what was put, twice a second, and gives them to
OpenTelemetry's SDK (`otlp.py`), which sends them in another one: half a millisecond of processor for a turn. With no
collector there, what waits has a bound, and what comes then is given up and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from .entries import AnyFact
from .otlp import Otlp
from .traces import TRACED, Traced, Tracer

__all__ = ["Tracing"]

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.5
"""Seconds for which facts are gathered."""

BREATH_S: Final = 0.0001
"""Seconds of work after which the calls' thread may go first, and as many that it is given; see `scribe.py`."""

ROOM: Final = 20_000
"""Facts that may wait for the thread: of thousands of turns, in half a second."""

FLUSH_S: Final = 5.0
"""Seconds that the collector has at the end for what is not sent yet."""

LEAVE_S: Final = 1.0
"""Seconds that the threads have then."""


class Tracing:
    """Takes facts, and sends spans. An async context; see `ports.Traces`.

    Args:
        tracer: Makes spans of facts.
        server: This server's name.

    Raises:
        SettingsError: On entering: the environment wants what cannot be had.
    """

    def __init__(self, tracer: Tracer, *, server: str) -> None:
        self._tracer = tracer
        self._server = server
        self._queue: deque[tuple[str, int, int, int, Traced]] = deque()
        self._dropped = 0
        self._breathed = 0.0
        self._leaves = threading.Event()
        self._ended = asyncio.Event()
        self._otlp: Otlp | None = None

    async def __aenter__(self) -> Self:
        self._otlp = await asyncio.to_thread(Otlp, self._server)  # it reads certificates
        arguments = (self._otlp, asyncio.get_running_loop())
        threading.Thread(target=self._run, args=arguments, name="traces", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._otlp is None:
            raise AssertionError("left without entering")
        self._leaves.set()
        if not await self._ends(FLUSH_S):
            logger.warning("the last spans cannot be sent, and are given up")
            self._otlp.give_up()
            await self._ends(LEAVE_S)

    async def _ends(self, limit_s: float) -> bool:
        """Wait for the thread, and for no other: those of the pool may all be with the agent's functions."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._ended.wait()
        return self._ended.is_set()

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """See `ports.Traces.put`. For the loop's thread only."""
        if type(fact) not in TRACED:
            return
        if len(self._queue) >= ROOM:
            self._dropped += 1
        else:
            self._queue.append((call_id, epoch, seq, time.time_ns(), fact))  # type: ignore[arg-type]

    def figures(self) -> Mapping[str, float]:
        """Count what became of the spans.

        Returns:
            `sent`; `failed`, what the collector did not take; `dropped`, what was given up for want of room.
        """
        otlp = self._otlp
        if otlp is None:
            return {"sent": 0, "failed": 0, "dropped": self._dropped}
        return {"sent": otlp.sent, "failed": otlp.failed, "dropped": self._dropped + otlp.dropped}

    def _run(self, otlp: Otlp, loop: asyncio.AbstractEventLoop) -> None:
        while not self._leaves.wait(BEAT_S):
            self._pass_on(otlp)
        self._pass_on(otlp)
        otlp.end()
        with suppress(RuntimeError):  # nobody has waited so long
            loop.call_soon_threadsafe(self._ended.set)

    def _pass_on(self, otlp: Otlp) -> None:
        while self._queue:
            try:
                for span in self._tracer.spans(*self._queue.popleft()):
                    otlp.take(span)
                    self._breathe()
            except Exception:  # a bug of ours must not end the thread, and with it all traces
                logger.exception("a fact cannot be traced")

    def _breathe(self) -> None:
        if time.perf_counter() - self._breathed > BREATH_S and not self._leaves.is_set():
            time.sleep(BREATH_S)
            self._breathed = time.perf_counter()
