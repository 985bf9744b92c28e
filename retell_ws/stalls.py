"""Notices when the event loop stands still, for how long, and where.

While one function does not give way, no call is answered and nothing says why: the loop cannot, it is not running. So
a timer on the loop measures how late it comes, and a thread beside the loop looks where it stands while it does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import PurePath
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["LoopWatch", "Reports", "late_by", "where"]

logger = logging.getLogger(__name__)

EVERY_S: Final = 0.25
"""How often the timer comes. A standstill seems shorter by up to that, for it may begin just after a visit. Coming more
often would tell more of short ones, and at every 50 ms it took 0.3 % of a core, as much as a call does."""

LONG_S: Final = 0.25
"""A standstill that people are told of: by then it is heard."""

REPORT_S: Final = 10.0
"""The log gets one report in this time, with the number of those left out."""

LOOK_S: Final = 0.2
"""How often the thread looks. With `SUSPECT_S` it has seen most standstills by the time that one is a long one, and
every one that lasts half a second."""

SUSPECT_S: Final = 0.35
"""The age of the timer's last visit at which the thread takes down where the loop stands."""

HUNG_S: Final = 5.0
"""The age at which the thread itself says so: the loop may never come back to do it."""

DEPTH: Final = 5
"""Functions named of a place, from the innermost one out."""


def late_by(due: float, now: float) -> float:
    """Tell how late a visit is; one before its time, by the grain of the clock, is not late."""
    return max(0.0, now - due)


class Reports:
    """Decides which long standstills are told. Pure: time is given."""

    def __init__(self) -> None:
        self._next = 0.0
        self._left_out = 0

    def of(self, late_s: float, now: float) -> int | None:
        """Judge a visit: None when nothing is to be said, else how many standstills were left out before this one."""
        if late_s < LONG_S:
            return None
        if now < self._next:
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        self._next = now + REPORT_S
        return left_out


def where(frame: FrameType | None) -> str:
    """Say where a thread stands: file, line and function, from the innermost out. No values: they may be speech."""
    places: list[str] = []
    while frame is not None and len(places) < DEPTH:
        path = PurePath(frame.f_code.co_filename)
        if path.parent.name != "asyncio":
            places.append(f"{'/'.join(path.parts[-2:])}:{frame.f_lineno}:{frame.f_code.co_qualname}")
        elif places:
            break  # the loop itself, which called all this
        frame = frame.f_back
    return " < ".join(places) or "an unknown place"


class LoopWatch:
    """Watches the running loop for as long as the block lasts.

    Args:
        late: Told at each visit of the timer by how many seconds it was late.
    """

    def __init__(self, late: Callable[[float], None]) -> None:
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._of = threading.get_ident()
        self._reports = Reports()
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._visit = 0.0
        self._seen = (0.0, "")  # the visit after which the loop stood still, and where it stood
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="loop watch", daemon=True)

    def __enter__(self) -> Self:
        self._visit = time.monotonic()
        self._wait(self._visit)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()  # the thread ends at once; to wait for it would be a standstill

    # ------------------------------------------------------------------------ on the loop

    def _wait(self, now: float) -> None:
        self._due = now + EVERY_S
        self._timer = self._loop.call_later(EVERY_S, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        late_s = late_by(self._due, now)
        before, self._visit = self._visit, now
        self._late(late_s)
        left_out = self._reports.of(late_s, now)
        if left_out is not None:
            visit, place = self._seen
            logger.warning(
                "the event loop stood still for %d ms, at %s%s",
                late_s * 1000,
                place if visit == before else "an unknown place",
                f" ({left_out} more since the last report)" if left_out else "",
            )
        self._wait(now)

    # ------------------------------------------------------------------------ in the thread

    def _look(self) -> None:
        told = 0.0
        while not self._over.wait(LOOK_S):
            visit = self._visit
            age = time.monotonic() - visit
            if age < SUSPECT_S:
                continue
            if self._seen[0] != visit:
                place = where(sys._current_frames().get(self._of))
                if self._visit == visit:  # it still stands where it was seen
                    self._seen = (visit, place)
            elif age >= HUNG_S and told != visit:
                told = visit
                logger.error("the event loop has stood still for %d s, at %s", age, self._seen[1])
