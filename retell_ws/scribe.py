"""The thread that writes facts down: it takes what the calls have put, masks and encodes it, writes it to the journal
in one transaction, hands the journal on to the bus, and sees to it that there is room.

What it holds is its own; others put into its queue, ring its bell, and read its figures.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

import msgspec

from .entries import AnyFact, Entry, Weight, weight_of
from .errors import JournalError, UsageError
from .journal import RELAY, Journal, Row, row_of
from .masked_facts import careful, masked_entry
from .masking import Mask
from .masking import mask as built_in
from .plural import many
from .ports import Bus
from .relay import Relay

__all__ = ["BEAT_S", "LAST_TRY_S", "Happened", "Kept", "Scribe"]

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.1
"""Seconds in which facts gather before they are written, unless one of them is never to be given up. A crash loses no
more; and each time costs half a millisecond beside the facts themselves, which the calls would notice: fifty times a
second cost twice the processor that ten cost."""

BATCH: Final = 128
"""Facts that are written at once; the lock on the file is held for some milliseconds."""

BREATH_S: Final = 0.0001
"""Seconds of work after which the calls' thread may go first, and as many that it is given: a call that wants the
interpreter at that moment waits no longer than this. To let go of it and take it again at once would not do: whoever
waits for it is slower to wake up."""

REST_S: Final = 0.005
"""Seconds between two pieces of work while much has piled up: the calls need the processor as well."""

RELAY_S: Final = 0.1
"""Seconds between two looks for what other processes wrote, and for what the bus acknowledged."""

HOUSEKEEPING_S: Final = 1.0
"""Seconds between two looks at how much room there is."""

RETRY_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds until a journal that could not be written is tried again."""

COMPLAIN_S: Final = 60.0
"""Seconds between two log lines about the same trouble."""

LAST_TRY_S: Final = 3.0
"""Seconds for which a journal that cannot be written is tried at the end."""

Happened: TypeAlias = tuple[str, int, int, float, AnyFact]
"""A fact as it was put: its call, epoch and number, when, and what. Whatever more it takes is the thread's to do."""


class Kept(msgspec.Struct, frozen=True):
    """An entry that somebody waits for."""

    entry: Entry
    written: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop


class Scribe:
    """Writes down what is put into its queue, until it is told to stop.

    Args:
        folder: Of the journal.
        server: This server's name.
        bus: Where the journal is handed on to; None when somebody else does that, or nobody. It is closed at the end.
        is_relayed: Somebody does.
        mask: The agent's own; None for the built-in.
        journal_bytes: What the journal may take.
        sync: Wait for the disk at each write.
        flush_s: Seconds the bus has at the end.

    Attributes:
        queue: What is to be written.
        bell: Rings when there is something.
        has_rung: It has, and need not again.
        stops: Whatever is in the queue by now is the last.
        boot: What the ids of this process's facts end in.
        taken: Facts that were taken out of the queue.
        answered: Those among them that somebody waits, or has waited for.
        written: Those that are in the journal.
        relayed: Entries that the bus has acknowledged to this process.
        dropped: What was given up, by weight.
        seen: Figures of the journal and the bus, as they were a second ago.
        oldest: When the oldest entry happened, in seconds since 1970; None when there is none.
        moved_at: When it last got on with something, by `time.monotonic`.
        is_broken: The journal cannot be written.
        is_over: It takes more room than it may.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: str,
        bus: Bus | None,
        is_relayed: bool,
        mask: Mask | None,
        journal_bytes: int,
        sync: bool,
        flush_s: float,
    ) -> None:
        self._folder = folder
        self._server = server
        self._bus = bus
        self._is_relayed = is_relayed or bus is not None
        self._careful = built_in if mask is None else careful(mask, self._mask_failed)
        self._journal_bytes = journal_bytes
        self._sync = sync
        self._flush_s = flush_s
        self._rows: list[Row] = []  # encoded, and not written yet
        self._waiting_for: list[Kept] = []
        self._complained: dict[str, float] = {}
        self._breathed = self._kept_house = 0.0
        self._untidy = False
        self.queue: deque[Happened | Kept] = deque()  # bounded by who puts
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.has_rung = self.stops = False
        self.boot = secrets.token_hex(4)
        self.taken = self.answered = self.written = self.relayed = 0
        self.dropped = [0 for _ in Weight]
        self.seen: dict[str, float] = {}
        self.oldest: float | None = None
        self.moved_at = time.monotonic()
        self.is_broken = self.is_over = False

    def run(self, started: Callable[[Exception | None], None], ended: Callable[[Exception | None], None]) -> None:
        """Do all of it, in the thread that calls.

        Args:
            started: Told once there is a journal, or why there is none.
            ended: Told when all that was put is written, and the bus has had its time.
        """
        relay: Relay | None = None
        try:
            journal = Journal(self._folder, limit_bytes=self._journal_bytes, sync=self._sync)
            try:
                if self._is_relayed:
                    journal.register(RELAY)
                if self._bus is not None:
                    relay = Relay(journal, self._bus, self._folder / "relay.lock", breathe=self._breathe)
                started(None)
                self._work(journal, relay)
                self._finish(journal, relay)
            finally:
                journal.close()
        except (JournalError, UsageError) as exc:
            started(UsageError(str(exc)))  # it is the start: what comes later does not get here
        except Exception as exc:
            self.is_broken = True
            started(exc)
            logger.exception("the journal of facts has failed: facts are lost from here on")
        finally:
            if self._bus is not None and relay is None:
                self._bus.close(0.0)
            ended(None)

    @property
    def held(self) -> int:
        """Count what was taken out of the queue and is not written yet."""
        return len(self._rows)

    def _work(self, journal: Journal, relay: Relay | None) -> None:
        failures = 0
        retry_at = 0.0
        more = False
        while not self.stops:
            self.moved_at = time.monotonic()
            if more:
                self._rest()
            else:
                limit_s = HOUSEKEEPING_S if relay is None or not relay.is_ours else RELAY_S
                self._gather(min(limit_s, max(0.0, retry_at - time.monotonic())) if failures else limit_s)
            more = False
            try:
                if not failures or time.monotonic() >= retry_at:
                    more = self._write(journal)
                    if failures:
                        logger.warning("the journal of facts is written again")
                    failures, self.is_broken = 0, False
            except (JournalError, UsageError) as exc:
                retry_at = time.monotonic() + RETRY_S[min(failures, len(RETRY_S) - 1)]
                failures += 1
                self.is_broken = True
                self._complain("refused", "facts wait in memory: %s", exc)
                with suppress(JournalError, UsageError):
                    journal.look_again()
            try:
                # Whether it could be written or not: what leaves the journal makes room on a disk that is full.
                more |= self._hand_on(journal, relay)
            except (JournalError, UsageError) as exc:
                self._complain("unkept", "facts stay in the journal for now: %s", exc)

    def _hand_on(self, journal: Journal, relay: Relay | None) -> bool:
        """Let the bus have what is there, and remove what everybody has, a chunk of it.

        Returns:
            There may be more.
        """
        more = False
        if relay is not None:
            more = relay.step()
            self.relayed = relay.relayed
            relay.note()
        is_due = (now := time.monotonic()) - self._kept_house >= HOUSEKEEPING_S
        if is_due:
            self._kept_house = now
            journal.look_again()
        if is_due or self._untidy:  # a chunk at a time: what is new does not wait for it
            self._untidy = False
            self._untidy = journal.tidy(relayed=self._is_relayed)
            more |= self._untidy
            if is_due or not self._untidy:
                self._look(journal, relay)
        return more

    def _gather(self, limit_s: float) -> None:
        """Wait for a fact, and then a beat for others; not for those that somebody waits for."""
        with suppress(Empty):
            self.bell.get(timeout=limit_s)
            if not self.stops:
                self.bell.get(timeout=BEAT_S)
            while True:
                self.bell.get_nowait()

    def _rest(self) -> None:
        with suppress(Empty):
            self.bell.get(timeout=REST_S)  # what rings is written next

    def _write(self, journal: Journal) -> bool:
        """Write what has come.

        Returns:
            There is more.
        """
        if not self._rows:
            self.has_rung = False  # before the look: what comes from here on rings again
            self._encode_some()
        if self._rows:
            journal.append(self._rows)
            self.written += len(self._rows)
            self._rows = []
            self._settle()
            for weight, dropped in journal.make_room().items():
                self.dropped[weight] += dropped
        return len(self.queue) > 0

    def _encode_some(self) -> None:
        queue = self.queue
        while queue and len(self._rows) < BATCH:
            item = queue.popleft()
            entry = item.entry if isinstance(item, Kept) else self._entry(*item)
            try:
                self._rows.append(row_of(masked_entry(entry, self._mask), once=isinstance(item, Kept)))
                if isinstance(item, Kept):
                    self._waiting_for.append(item)
            except Exception as exc:  # half a character in somebody's words, say: it must not stop the others
                self.dropped[weight_of(entry.fact)] += 1
                self._complain("unfit", "a fact cannot be written down: %s", type(exc).__name__)
            self.taken += 1
            self.answered += isinstance(item, Kept)
            self.moved_at = time.monotonic()
            self._breathe()

    def _entry(self, call_id: str, epoch: int, seq: int, at: float, fact: AnyFact) -> Entry:
        return Entry(
            id=f"{call_id}/{epoch}/{seq}/{self.boot}",
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
            time.sleep(BREATH_S)
            self._breathed = time.perf_counter()

    def _look(self, journal: Journal, relay: Relay | None) -> None:
        over = journal.is_over()
        if over and not self.is_over:
            logger.error("the journal of facts takes more than journal_mb, and holds only what is never given up")
        self.is_over = over
        rows, self.oldest = journal.waiting()
        seen: dict[str, float] = {"waiting": rows, "waiting_bytes": journal.used_bytes()}
        if self._bus is not None:
            figures = self._bus.figures()
            refused = relay is not None and relay.is_refused
            seen |= {"bus_failed": figures["failed"], "bus_degraded": float(refused or figures["degraded"] > 0)}
        self.seen = seen

    def _finish(self, journal: Journal, relay: Relay | None) -> None:
        """Write down all that was put, then let the bus have its time."""
        end = time.monotonic() + LAST_TRY_S
        while self._rows or self.queue:
            try:
                self._write(journal)
            except (JournalError, UsageError) as exc:
                if time.monotonic() > end:
                    lost = many(len(self._rows) + len(self.queue), "fact is", "facts are")
                    logger.error("%s lost: %s", lost, exc)
                    break
                time.sleep(RETRY_S[0])
        if relay is not None:
            try:
                relay.finish(self._flush_s)
            except (JournalError, UsageError) as exc:
                logger.warning("facts will be handed on twice: %s", exc)
            self.relayed = relay.relayed

    def _complain(self, about: str, text: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._complained.get(about, -COMPLAIN_S) >= COMPLAIN_S:
            self._complained[about] = now
            logger.error(text, *arguments)


def _resolve(written: asyncio.Future[bool]) -> None:
    if not written.done():
        written.set_result(True)
