"""Hands the journal on to another bus: all that is in it, in its order, by one process at a time.

Of the processes that share a journal one has the lock of the relay; the kernel gives it to another one when that
process is gone. What the bus has taken it sends until that is acknowledged. Up to where there is no gap, that is noted
in the journal, now and then; the next process hands on the rest, so a fact may come twice, with the same id.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from .errors import BusError, JournalError
from .journal import RELAY, Journal
from .ports import Bus, Written

__all__ = ["Flight", "Relay"]

logger = logging.getLogger(__name__)

IN_FLIGHT: Final = 5000
"""Entries that may be with the bus and not acknowledged: what the memory of its client is bounded by."""

AT_ONCE: Final = 200
"""Entries that are read for it at once."""

MOUTHFUL: Final = 4
"""Entries that are given to it at once, between which the calls may go first."""

NOTE_S: Final = 0.25
"""Seconds between two notes of what was acknowledged."""

LOCK_S: Final = 1.0
"""Seconds between two looks at whether the process that relays is gone."""

FULL_S: Final = 0.2
"""Seconds until a bus that had no room is tried again."""

PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a bus that refused is given more."""

COMPLAIN_S: Final = 60.0
"""Seconds between two log lines about the same trouble."""

POLL_S: Final = 0.05


class Flight:
    """What is with the bus, and up to where all of it was acknowledged. No I/O."""

    __slots__ = ("_acknowledged", "_sent")

    def __init__(self) -> None:
        self._sent: deque[int] = deque()
        self._acknowledged: set[int] = set()

    def __len__(self) -> int:
        return len(self._sent)

    def send(self, positions: Iterable[int]) -> None:
        """Note what was sent, in order."""
        self._sent.extend(positions)

    def acknowledge(self, positions: Iterable[int]) -> int | None:
        """Note what was acknowledged, in any order.

        Returns:
            The position up to which everything is; None when it is where it was.
        """
        self._acknowledged.update(positions)
        end = None
        while self._sent and self._sent[0] in self._acknowledged:
            end = self._sent.popleft()
            self._acknowledged.discard(end)
        return end


class Relay:
    """Hands a journal on to a bus. It belongs to the journal's thread, and never raises `BusError`.

    Args:
        journal: The journal.
        bus: Where to; closed by `finish`.
        lock: The file whose lock the one process has that relays.
        clock: Gives seconds.
        breathe: Called between two pieces of work.

    Attributes:
        relayed: Entries that the bus has acknowledged, to this process.
    """

    def __init__(
        self,
        journal: Journal,
        bus: Bus,
        lock: Path,
        clock: Callable[[], float] = monotonic,
        *,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._bus = bus
        self._clock = clock
        self._breathe = breathe
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._lock_name = lock.name
        self._is_ours = self._has_told = False
        self._looked = -LOCK_S
        self._flight = Flight()
        self._read = 0  # up to where entries were sent
        self._acknowledged = self._noted = 0
        self._noted_at = 0.0
        self._paused_until = -1.0
        self._refusals = 0
        self._complained = -COMPLAIN_S
        self.relayed = 0

    @property
    def is_ours(self) -> bool:
        """This process is the one that relays."""
        return self._is_ours

    @property
    def is_busy(self) -> bool:
        """The bus has something that it has not acknowledged."""
        return len(self._flight) > 0

    @property
    def is_refused(self) -> bool:
        """The bus refuses us, and is tried again later."""
        return self._refusals > 0

    def step(self) -> bool:
        """Take what was acknowledged, and send more. Waits for nothing but the disk.

        Returns:
            There may be more to send at once.

        Raises:
            JournalError: The journal could not be read or written now.
        """
        now = self._clock()
        if not self._has_lock(now):
            return False
        try:
            self._take(self._bus.acknowledged(0.0))
            return now >= self._paused_until and self._send(now)
        except JournalError:
            raise
        except Exception as exc:  # a `BusError`, or a bug of the bus's, which must not end the journal's thread
            self._refused(now, exc)
        return False

    def note(self, *, at_once: bool = False) -> None:
        """Write down what was acknowledged, unless that was done a moment ago.

        Raises:
            JournalError: It could not be written down now.
        """
        now = self._clock()
        if self._acknowledged > self._noted and (at_once or now - self._noted_at >= NOTE_S):
            self._journal.move(RELAY, self._acknowledged)
            self._noted, self._noted_at = self._acknowledged, now

    def finish(self, limit_s: float) -> None:
        """Hand on what there is, for so many seconds at most, and close the bus. The lock is let go of.

        Raises:
            JournalError: What was acknowledged could not be written down: it will come again.
        """
        end = self._clock() + limit_s
        try:
            while (left := end - self._clock()) > 0 and not self.is_refused:
                if self.step():
                    continue
                if not self.is_busy and not self._has_rest():
                    break
                self._pause(min(POLL_S, left))
        finally:
            try:
                self._take(self._bus.close(max(0.0, end - self._clock())))
                self.note(at_once=True)
            finally:
                os.close(self._lock)

    def _has_rest(self) -> bool:
        # Without the lock as well: whoever has it may be ending, too.
        behind = self._read if self._is_ours else self._journal.register(RELAY)
        return bool(self._journal.read(behind, 1))

    def _pause(self, seconds: float) -> None:
        try:
            self._take(self._bus.acknowledged(seconds))
        except Exception as exc:  # as in `step`
            self._refused(self._clock(), exc)

    def _has_lock(self, now: float) -> bool:
        if self._is_ours:
            return True
        if now - self._looked < LOCK_S:
            return False
        self._looked = now
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:  # a file system without locks, or the kernel has none left: it may have later
            if not self._has_told:
                self._has_told = True
                why = exc.strerror or type(exc).__name__
                logger.error("facts wait in the journal: %s cannot be locked: %s", self._lock_name, why)
            return False
        self._read = self._acknowledged = self._noted = self._journal.register(RELAY)
        self._is_ours = True
        return True

    def _take(self, positions: Sequence[int]) -> None:
        if positions:
            self._refusals = 0
            end = self._flight.acknowledge(positions)
            self.relayed += len(positions)
            if end is not None:
                self._acknowledged = max(self._acknowledged, end)

    def _send(self, now: float) -> bool:
        room = IN_FLIGHT - len(self._flight)
        if room <= 0:
            return False
        entries: list[Written] = self._journal.read(self._read, min(room, AT_ONCE))
        if not entries:
            return False
        taken = 0
        while taken < len(entries):
            mouthful = entries[taken : taken + MOUTHFUL]
            some = self._bus.send(mouthful)
            taken += some
            if some < len(mouthful):
                break
            self._breathe()
        self._flight.send(entry.position for entry in entries[:taken])
        if taken:
            self._read = entries[taken - 1].position
        if taken < len(entries):
            self._paused_until = now + FULL_S
            return False
        return len(entries) < room

    def _refused(self, now: float, exc: Exception) -> None:
        # It goes on trying what it has; it is given more once that may be of use.
        self._paused_until = now + PAUSES_S[min(self._refusals, len(PAUSES_S) - 1)]
        self._refusals += 1
        if now - self._complained >= COMPLAIN_S:
            self._complained = now
            # The words of a `BusError` are ours; those of others may quote what was sent.
            told = str(exc) if isinstance(exc, BusError) else type(exc).__name__
            logger.error("facts wait in the journal: %s refuses them: %s", self._bus.name, told)
