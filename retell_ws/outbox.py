"""Facts from calls to the journal, and from there to a bus: what a turn does for that is one `put`, which never waits.

One thread of its own does all the rest (`scribe.py`). So a disk or a bus that is slow costs no call anything; when it
is slow for long, facts are given up by weight (`backlog.py`, `journal.py`) and counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .backlog import ASKED_AGAIN, ROOM, has_room
from .entries import AnyFact, Entry, Weight, weight_of
from .facts import CallEnded, CallStarted
from .masking import Mask
from .ports import Bus
from .scribe import LAST_TRY_S, Kept, Scribe
from .speech_facts import CallTranscript

__all__ = ["Outbox"]

logger = logging.getLogger(__name__)

KEEP_S: Final = 1.0
"""Seconds that `keep` waits. Retell waits ten for the answer to a webhook."""

AT_ONCE: Final[frozenset[type]] = frozenset((CallStarted, CallEnded, CallTranscript))
"""Facts that are written as soon as they come: some for each call, and without them a call would be missing."""

STUCK_S: Final = 15.0
"""Seconds after which a thread that has got no further hangs: in the agent's mask, or in a disk."""

LEAVE_S: Final = 5.0
"""Seconds beyond the others that the thread may take to end. A disk that hangs must not hold the exit."""


class Outbox:
    """Takes facts, and sees to it that they get to whoever reads them. An async context; see `ports.Facts`.

    Args:
        folder: Of the journal.
        server: This server's name, as its facts tell it.
        bus: Where the journal is handed on to; None when consumers read it themselves, or another process hands it on.
            It is closed at the end.
        is_relayed: It is handed on by somebody, so that entries stay until they have been.
        mask: Takes out of texts what must not leave the process; None for `masking.mask`.
        journal_bytes: What the journal may take.
        sync: Wait for the disk at each write.
        flush_s: Seconds that the bus has at the end for what it has not acknowledged. What is left is in the journal,
            and handed on by the next process.

    Raises:
        UsageError: On entering: there can be no journal in the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: str,
        bus: Bus | None = None,
        is_relayed: bool = False,
        mask: Mask | None = None,
        journal_bytes: int = 0,
        sync: bool = False,
        flush_s: float = 5.0,
    ) -> None:
        self._has_bus = bus is not None
        self._flush_s = flush_s
        self._scribe = Scribe(
            folder,
            server=server,
            bus=bus,
            is_relayed=is_relayed,
            mask=mask,
            journal_bytes=journal_bytes,
            sync=sync,
            flush_s=flush_s,
        )
        self._queue = self._scribe.queue
        self._refused = [0 for _ in Weight]
        self._asked = 0  # how often `keep` has put something into the queue
        self._ended: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        ended = self._ended
        self._thread = threading.Thread(
            target=self._scribe.run,
            args=(lambda exc: _tell(loop, started, exc), lambda exc: _tell(loop, ended, exc)),
            name="facts",
            daemon=True,
        )
        self._thread.start()
        try:
            await started
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._ended is None:
            raise AssertionError("left without entering")
        try:
            async with asyncio.timeout(self._flush_s + LAST_TRY_S + LEAVE_S):
                await self._ended
        except TimeoutError:
            logger.error("the journal of facts does not end: left behind, with %d facts", self.figures()["queued"])

    def _stop(self) -> None:
        self._scribe.stops = True
        self._scribe.bell.put(None)

    @property
    def boot(self) -> str:
        """What the ids of this process's facts end in; no other process's do."""
        return self._scribe.boot

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """See `ports.Facts.put`. For the loop's thread only."""
        # Each line here costs the calls: what it touches is seldom in the processor's cache.
        queue = self._queue
        if len(queue) < ROOM or self._has_room(weight_of(fact)):
            queue.append((call_id, epoch, seq, time.time(), fact))
            scribe = self._scribe
            if not scribe.has_rung:
                scribe.has_rung = True
                scribe.bell.put(None)
            if type(fact) in AT_ONCE:
                scribe.bell.put(None)  # a second time: it does not wait for others to come

    def _has_room(self, weight: Weight) -> bool:
        if has_room(weight, len(self._queue)):
            return True
        self._refused[weight] += 1
        return False

    async def keep(self, entry: Entry) -> bool:
        """See `ports.Facts.keep`. An entry whose id came within the last hour is there already."""
        if not self._has_room(Weight.KEPT):
            return False
        if self._asked - self._scribe.answered >= ASKED_AGAIN:
            self._refused[weight_of(entry.fact)] += 1
            return False
        self._asked += 1
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._queue.append(Kept(entry, written, loop))
        self._scribe.has_rung = True
        self._scribe.bell.put(None)
        self._scribe.bell.put(None)  # a second time: it does not wait for others to come
        try:
            async with asyncio.timeout(KEEP_S):
                return await written
        except TimeoutError:
            return False

    def figures(self) -> Mapping[str, float]:
        """Count what became of the facts.

        Returns:
            `recorded`, what was put; `written` to the journal; `dropped_metric`, `dropped_event` and `dropped_kept`,
            what was given up for want of room; `queued`, what is still to be written. Of the journal, as it was a
            second ago, with what other processes wrote: `waiting` entries, `waiting_bytes`, `oldest_s`, the age of the
            oldest one. `degraded`: 1 while the journal cannot be written, its thread hangs, or it takes more room than
            it may. With a bus `relayed`, what it acknowledged to this process, and `bus_failed` and `bus_degraded`.
        """
        scribe, queued = self._scribe, len(self._queue)
        recorded = scribe.taken + queued + sum(self._refused)
        counted: dict[str, float] = {"recorded": recorded, "written": scribe.written}
        for weight in Weight:
            counted[f"dropped_{weight.name.lower()}"] = self._refused[weight] + scribe.dropped[weight]
        counted |= {"queued": queued + scribe.held, "waiting": 0, "waiting_bytes": 0, **scribe.seen}
        counted["oldest_s"] = 0.0 if scribe.oldest is None else max(0.0, time.time() - scribe.oldest)
        is_stuck = queued > 0 and time.monotonic() - scribe.moved_at > STUCK_S
        counted["degraded"] = float(scribe.is_broken or scribe.is_over or is_stuck)
        if self._has_bus:
            counted = {"bus_failed": 0, "bus_degraded": 0, **counted, "relayed": scribe.relayed}
        return counted


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], exc: Exception | None) -> None:
    def tell() -> None:
        if not future.done():
            if exc is None:
                future.set_result(None)
            else:
                future.set_exception(exc)

    with suppress(RuntimeError):  # the loop is gone
        loop.call_soon_threadsafe(tell)
