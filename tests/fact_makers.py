"""Entries and rows for tests, a bus that does as it is told, and a process that writes facts until it is killed.

`python -m tests.fact_makers FOLDER` puts and keeps facts, and says on stdout what it may be held to: `kept ID` when an
entry would survive it, and `put SEQ` once more than a beat has gone by since a fact was put.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from retell_ws.entries import AnyFact, Entry
from retell_ws.errors import BusError
from retell_ws.facts import Detached, Interrupted
from retell_ws.journal import Row, row_of
from retell_ws.outbox import Outbox
from retell_ws.ports import Bus, Written
from retell_ws.scribe import BEAT_S

__all__ = ["Pigeon", "entry", "row", "rows"]


def entry(number: int = 1, fact: AnyFact | None = None, call_id: str = "call_1") -> Entry:
    """Make one of a call's entries."""
    return Entry(
        id=f"{call_id}/{number}",
        call_id=call_id,
        epoch=1,
        seq=number,
        at=1_790_000_000.0 + number,
        server="here",
        fact=fact or Detached(),
    )


def row(number: int = 1, fact: AnyFact | None = None, call_id: str = "call_1", *, once: bool = False) -> Row:
    """Make the row of one."""
    return row_of(entry(number, fact, call_id), once=once)


def rows(count: int, fact: AnyFact | None = None) -> list[Row]:
    """Make as many."""
    return [row(number, fact) for number in range(count)]


class Pigeon(Bus):
    """A bus that keeps what it is sent, and acknowledges when it is told to.

    Attributes:
        got: All that it was sent, oldest first.
        room: How many it takes before they are acknowledged.
        answers: It acknowledges by itself.
        refuses: Its words when it is asked for anything; empty when it does what it should.
    """

    def __init__(self, *, answers: bool = True, room: int = 1_000_000) -> None:
        self.got: list[Written] = []
        self.answers = answers
        self.room = room
        self.refuses = ""
        self.closed = False
        self._open: list[int] = []
        self._news: list[int] = []

    @property
    def name(self) -> str:
        return "pigeon"

    @property
    def ids(self) -> list[str]:
        """What it was sent."""
        return [written.id for written in self.got]

    def send(self, entries: Sequence[Written]) -> int:
        self._check()
        taken = entries[: max(0, self.room - len(self._open))]
        self.got += taken
        (self._news if self.answers else self._open).extend(one.position for one in taken)
        return len(taken)

    def acknowledge(self, *positions: int) -> None:
        """Have entries acknowledged; all that are open when none is named."""
        self._news += positions or self._open
        self._open = [one for one in self._open if positions and one not in positions]

    def acknowledged(self, wait_s: float) -> Sequence[int]:
        self._check()
        if not self._news and wait_s:
            time.sleep(min(wait_s, 0.005))
        news, self._news = self._news, []
        return news

    def figures(self) -> Mapping[str, float]:
        return {"sent": len(self.got), "acknowledged": 0, "failed": 0, "degraded": 0}

    def close(self, wait_s: float) -> Sequence[int]:
        self.closed = True
        news, self._news = self._news, []
        return news

    def _check(self) -> None:
        if self.refuses:
            raise BusError(self.refuses)


async def _write(folder: Path) -> None:
    """Put a fact a millisecond, and keep one now and then."""
    put: list[tuple[float, int]] = []
    async with Outbox(folder, server="writer") as outbox:
        for number in range(1_000_000):
            outbox.put("call_1", 1, number, Interrupted())
            put.append((time.monotonic(), number))
            if number % 10 == 0:
                kept = entry(number, call_id="kept")
                if await outbox.keep(kept):
                    sys.stdout.write(f"kept {kept.id}\n")
            # Long after its beat: the machine may be busy.
            while put and time.monotonic() - put[0][0] > 6 * BEAT_S:
                sys.stdout.write(f"put {put.pop(0)[1]}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1])))
