"""Facts from calls to the journal, and from there to a bus: what a turn does for that is one `put`, which never waits.

One thread of its own does all the rest: it takes what has come in the last moment, masks and encodes it, writes it in
one transaction, and hands the journal on to the bus, when there is one (`relay.py`). So a disk or a bus that is slow
costs no call anything; when it is slow for long, facts are given up by weight (`backlog.py`, `journal.py`) and counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self, TypeAlias

import msgspec

from .backlog import ROOM, has_room
from .entries import AnyFact, Entry, Weight, weight_of
from .errors import JournalError, UsageError
from .journal import Journal, Row, row_of
from .masked_facts import careful, masked_entry
from .masking import Mask
from .masking import mask as built_in
from .ports import Bus
from .relay import Relay

__all__ = ["Outbox"]

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.02
"""Seconds in which facts gather before they are written: a crash loses no more, and a thousand calls write fifty times
a second, not a thousand times."""

BATCH: Final = 128
"""Facts that are written at once; the lock on the file is held for some milliseconds."""

BREATH_S: Final = 0.0005
"""Seconds of masking and encoding after which the calls' thread may go first."""

KEEP_S: Final = 1.0
"""Seconds that `keep` waits. Retell waits ten for the answer to a webhook."""

REST_S: Final = 0.005
"""Seconds between two pieces of work while much has piled up: the calls need the processor as well."""

RELAY_S: Final = 0.05
"""Seconds between two looks for what other processes wrote, and for what the bus acknowledged."""

HOUSEKEEPING_S: Final = 1.0
"""Seconds between two looks at how much room there is."""

RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds until a journal that could not be written is tried again."""

COMPLAIN_S: Final = 60.0
"""Seconds between two log lines about the same trouble."""

LAST_TRY_S: Final = 3.0
"""Seconds for which a journal that cannot be written is tried at the end."""

LEAVE_S: Final = 5.0
"""Seconds beyond the others that the thread may take to end. A disk that hangs must not hold the exit."""


_Happened: TypeAlias = tuple[str, int, int, float, AnyFact]
"""A fact as it was put: its call, epoch and number, when, and what. Whatever more it takes is the thread's to do."""


class _Kept(msgspec.Struct, frozen=True):
    """An entry that somebody waits for."""

    entry: Entry
    written: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop


class Outbox:
    """Takes facts, and sees to it that they get to whoever reads them. An async context; see `ports.Facts`.

    Args:
        folder: Of the journal.
        server: This server's name, as its facts tell it.
        bus: Where the journal is handed on to; None when consumers read it themselves. It is closed at the end.
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
        mask: Mask | None = None,
        journal_bytes: int = 0,
        sync: bool = False,
        flush_s: float = 5.0,
    ) -> None:
        self._folder = folder
        self._server = server
        self._bus = bus
        self._careful = built_in if mask is None else careful(mask, self._mask_failed)
        self._journal_bytes = journal_bytes
        self._sync = sync
        self._flush_s = flush_s
        self._boot = secrets.token_hex(4)
        self._queue: deque[_Happened | _Kept] = deque()  # bounded by `has_room`
        self._refused = [0 for _ in Weight]
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._stops = False
        self._ended: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None
        # From here on what the thread has to itself; others only read it.
        self._rows: list[Row] = []  # encoded, and not written yet
        self._waiting_for: list[_Kept] = []
        self._taken = self._written = 0
        self._relayed = 0
        self._dropped = [0 for _ in Weight]
        self._seen: dict[str, float] = {}
        self._oldest: float | None = None
        self._is_broken = self._is_over = False
        self._complained: dict[str, float] = {}
        self._breathed = 0.0

    # ------------------------------------------------------------------------ on the loop

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        ended = self._ended
        self._thread = threading.Thread(
            target=self._run,
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
            logger.error("the journal of facts does not end: left behind")

    def _stop(self) -> None:
        self._stops = True
        self._bell.put(None)

    @property
    def boot(self) -> str:
        """What the ids of this process's facts end in; no other process's do."""
        return self._boot

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """See `ports.Facts.put`. For the loop's thread only."""
        # Each line here costs the calls: what it touches is seldom in the processor's cache.
        queue = self._queue
        if len(queue) < ROOM or self._has_room(weight_of(fact)):
            queue.append((call_id, epoch, seq, time.time(), fact))
            if not self._rung:
                self._rung = True
                self._bell.put(None)

    def _has_room(self, weight: Weight) -> bool:
        if has_room(weight, len(self._queue)):
            return True
        self._refused[weight] += 1
        return False

    async def keep(self, entry: Entry) -> bool:
        """See `ports.Facts.keep`. An entry whose id came within the last hour is there already."""
        if not self._has_room(Weight.KEPT):
            return False
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._queue.append(_Kept(entry, written, loop))
        self._rung = True
        self._bell.put(None)  # and once more when it has rung: what it waits for does not gather
        self._bell.put(None)
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
            oldest one. `degraded`: 1 while the journal cannot be written, or takes more room than it may. With a bus
            `relayed`, what it acknowledged to this process, and `bus_failed` and `bus_degraded`.
        """
        queued = len(self._queue)
        counted: dict[str, float] = {"recorded": self._taken + queued + sum(self._refused), "written": self._written}
        for weight in Weight:
            counted[f"dropped_{weight.name.lower()}"] = self._refused[weight] + self._dropped[weight]
        counted |= {"queued": queued + len(self._rows), "waiting": 0, "waiting_bytes": 0, **self._seen}
        counted["oldest_s"] = 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)
        counted["degraded"] = float(self._is_broken or self._is_over)
        if self._bus is not None:
            counted = {"bus_failed": 0, "bus_degraded": 0, **counted, "relayed": self._relayed}
        return counted

    # ------------------------------------------------------------------------ in the thread

    def _run(self, started: Callable[[Exception | None], None], ended: Callable[[Exception | None], None]) -> None:
        relay: Relay | None = None
        try:
            journal = Journal(self._folder, limit_bytes=self._journal_bytes, sync=self._sync)
            try:
                if self._bus is not None:
                    relay = Relay(journal, self._bus, self._folder / "relay.lock")
                started(None)
                self._work(journal, relay)
                self._finish(journal, relay)
            finally:
                journal.close()
        except (JournalError, UsageError) as exc:
            started(UsageError(str(exc)))  # it is the start: what comes later does not get here
        except Exception as exc:
            self._is_broken = True
            started(exc)
            logger.exception("the journal of facts has failed: facts are lost from here on")
        finally:
            if self._bus is not None and relay is None:
                self._bus.close(0.0)
            ended(None)

    def _work(self, journal: Journal, relay: Relay | None) -> None:
        failures = 0
        kept_house = 0.0
        more = untidy = False
        while not self._stops:
            if failures:
                self._gather(RETRY_S[min(failures, len(RETRY_S)) - 1])
            elif more:
                self._rest()
            else:
                self._gather(HOUSEKEEPING_S if relay is None or not relay.is_ours else RELAY_S)
            try:
                more = self._write(journal)
                if relay is not None:
                    more |= relay.step()
                    relay.note()
                    self._relayed = relay.relayed
                is_due = (now := time.monotonic()) - kept_house >= HOUSEKEEPING_S
                if is_due:
                    kept_house = now
                    journal.look_again()
                if is_due or untidy:  # a chunk at a time: what is new does not wait for it
                    untidy = journal.tidy(relayed=relay is not None)
                    more |= untidy
                    if is_due or not untidy:
                        self._look(journal, relay)
                if failures:
                    logger.warning("the journal of facts is written again")
                failures, self._is_broken = 0, False
            except (JournalError, UsageError) as exc:
                failures += 1
                self._is_broken = True
                more = False
                self._complain("refused", "facts wait in memory: %s", exc)
                with suppress(JournalError, UsageError):
                    journal.look_again()

    def _gather(self, limit_s: float) -> None:
        """Wait for a fact, and then a beat for others; not for those that somebody waits for."""
        with suppress(Empty):
            self._bell.get(timeout=limit_s)
            if not self._stops:
                self._bell.get(timeout=BEAT_S)
            while True:
                self._bell.get_nowait()

    def _rest(self) -> None:
        with suppress(Empty):
            self._bell.get(timeout=REST_S)  # what rings is written next

    def _write(self, journal: Journal) -> bool:
        """Write what has come.

        Returns:
            There is more.
        """
        if not self._rows:
            self._rung = False  # before the look: what comes from here on rings again
            self._encode_some()
        if self._rows:
            journal.append(self._rows)
            self._written += len(self._rows)
            self._rows = []
            self._settle()
            for weight, dropped in journal.make_room().items():
                self._dropped[weight] += dropped
        return len(self._queue) > 0

    def _encode_some(self) -> None:
        queue = self._queue
        while queue and len(self._rows) < BATCH:
            item = queue.popleft()
            entry = item.entry if isinstance(item, _Kept) else self._entry(*item)
            try:
                self._rows.append(row_of(masked_entry(entry, self._mask), once=isinstance(item, _Kept)))
                if isinstance(item, _Kept):
                    self._waiting_for.append(item)
            except Exception as exc:  # half a character in somebody's words, say: it must not stop the others
                self._dropped[weight_of(entry.fact)] += 1
                self._complain("unfit", "a fact cannot be written down: %s", type(exc).__name__)
            self._taken += 1
            self._breathe()

    def _entry(self, call_id: str, epoch: int, seq: int, at: float, fact: AnyFact) -> Entry:
        return Entry(
            id=f"{call_id}/{epoch}/{seq}/{self._boot}",
            call_id=call_id,
            epoch=epoch,
            seq=seq,
            at=at,
            server=self._server,
            fact=fact,
        )

    def _settle(self) -> None:
        for kept in self._waiting_for:
            with suppress(RuntimeError):  # the loop is gone
                kept.loop.call_soon_threadsafe(_resolve, kept.written)
        self._waiting_for = []

    def _mask(self, text: str) -> str:
        given = self._careful(text)
        self._breathe()
        return given

    def _mask_failed(self, exc: Exception) -> None:
        if "mask" not in self._complained:
            self._complained["mask"] = time.monotonic()
            logger.error("the agent's mask fails: texts are left out of facts (%s)", type(exc).__name__)

    def _breathe(self) -> None:
        """Let the calls' thread go first, when we have had the interpreter for a while."""
        if time.perf_counter() - self._breathed > BREATH_S:
            time.sleep(0)
            self._breathed = time.perf_counter()

    def _look(self, journal: Journal, relay: Relay | None) -> None:
        over = journal.is_over()
        if over and not self._is_over:
            logger.error("the journal of facts takes more than journal_mb, and holds only what is never given up")
        self._is_over = over
        rows, self._oldest = journal.waiting()
        seen: dict[str, float] = {"waiting": rows, "waiting_bytes": journal.used_bytes()}
        if self._bus is not None:
            figures = self._bus.figures()
            refused = relay is not None and relay.is_refused
            seen |= {"bus_failed": figures["failed"], "bus_degraded": float(refused or figures["degraded"] > 0)}
        self._seen = seen

    def _finish(self, journal: Journal, relay: Relay | None) -> None:
        """Write down all that was put, then let the bus have its time."""
        end = time.monotonic() + LAST_TRY_S
        while self._rows or self._queue:
            try:
                self._write(journal)
            except (JournalError, UsageError) as exc:
                if time.monotonic() > end:
                    lost = len(self._rows) + len(self._queue)
                    logger.error("%d facts are lost: %s", lost, exc)
                    break
                time.sleep(RETRY_S[0])
        if relay is not None:
            try:
                relay.finish(self._flush_s)
            except (JournalError, UsageError) as exc:
                logger.warning("facts will be handed on twice: %s", exc)
            self._relayed = relay.relayed

    def _complain(self, about: str, text: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._complained.get(about, -COMPLAIN_S) >= COMPLAIN_S:
            self._complained[about] = now
            logger.error(text, *arguments)


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], exc: Exception | None) -> None:
    def tell() -> None:
        if not future.done():
            if exc is None:
                future.set_result(None)
            else:
                future.set_exception(exc)

    with suppress(RuntimeError):  # the loop is gone
        loop.call_soon_threadsafe(tell)


def _resolve(written: asyncio.Future[bool]) -> None:
    if not written.done():
        written.set_result(True)
