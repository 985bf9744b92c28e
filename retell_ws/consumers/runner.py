"""Drives a consumer: read, handle, commit; and what becomes of entries that cannot be handled.

What was handled is committed after it, so it is handled at least once. An entry that came within the last
`REMEMBERED` ones is left out when it comes again; beyond that, and after a crash, the consumer knows it by its id.

| what `handle` raises | then the batch is tried |
|---|---|
| `SinkError`, `OSError` | nothing of it is at fault: again, after a pause that grows, for as long as it takes |
| anything else | again, `TRIES` times; then its entries one by one, and those that still fail are buried |
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self

from ..entries import Entry
from ..errors import SinkError
from ..ports import Source

__all__ = ["Consumer", "Runner"]

logger = logging.getLogger(__name__)

REMEMBERED: Final = 100_000
"""Ids of entries that were handled: some minutes of a busy bus."""

TRIES: Final = 4
"""How often a batch is tried before its entries are looked at one by one, and each of them then."""

FIRST_PAUSE_S: Final = 0.1
"""Seconds before the second try; each next pause is twice as long."""

LONGEST_PAUSE_S: Final = 15.0
"""The longest pause, in seconds."""

WAIT_S: Final = 1.0
"""Seconds a read waits for entries: how soon an idle consumer notices that it shall stop."""

COMPLAIN_S: Final = 60.0
"""Seconds between two lines of the log about the same trouble."""


class Consumer(Protocol):
    """What is done with the entries.

    Attributes:
        name: As `retell_ws consume` takes it.
        limit: Entries it wants at once, at most.
        gather_s: Seconds to gather as many; 0 to have each at once.
    """

    name: str
    limit: int
    gather_s: float

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Do it; return once it is safe, because the entries are committed then.

        Raises:
            SinkError: It cannot be done at the moment, whatever the entries.
        """
        ...

    async def idle(self) -> None:
        """Do what is due by time. Called between batches, and once a second while none comes."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Runner:
    """Drives one consumer.

    Args:
        source: What it reads; entered already.
        consumer: It; entered already.

    Attributes:
        handled: Entries handled.
        repeated: Entries that came again, and were left out.
        buried: Entries that went to the dead letters.
    """

    def __init__(self, source: Source, consumer: Consumer) -> None:
        self.handled = self.repeated = self.buried = 0
        self._source = source
        self._consumer = consumer
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._complained_at = -COMPLAIN_S

    async def run(self, stop: asyncio.Event, *, drain_s: float = 0.0) -> None:
        """Consume until told to stop.

        Args:
            stop: Told so. What is being handled is handled to its end and committed; what fails then is left for the
                next start.
            drain_s: Seconds after it in which what still lies there is read.

        Raises:
            BusError: The bus refuses us for good.
        """
        found: int | None = 0
        while not stop.is_set():
            found = await self._step(stop, WAIT_S)
        if found is None:
            return  # the source has given it, and the next commit, of whatever, would be past it
        until = monotonic() + drain_s
        while (left_s := until - monotonic()) > 0 and await self._step(stop, min(left_s, 0.2)):
            pass

    async def _step(self, stop: asyncio.Event, wait_s: float) -> int | None:
        """Handle a batch; say how many entries it had, or None when told to stop before it could be."""
        entries = await self._gathered(stop, wait_s)
        fresh = self._fresh(entries)
        if fresh and not await self._handled(fresh, stop):
            return None
        self._remember(fresh)
        # Also when nothing came: one that fell into a rebalance is left to the next, which may be hours away.
        await self._source.commit()
        await self._idle()
        return len(entries)

    async def _gathered(self, stop: asyncio.Event, wait_s: float) -> list[Entry]:
        consumer = self._consumer
        entries = list(await self._source.read(consumer.limit, wait_s))
        until = monotonic() + consumer.gather_s
        while entries and len(entries) < consumer.limit and not stop.is_set():
            if (left_s := until - monotonic()) <= 0:
                break
            entries += await self._source.read(consumer.limit - len(entries), min(left_s, WAIT_S))
        return entries

    def _fresh(self, entries: Sequence[Entry]) -> list[Entry]:
        """Leave out what was handled before, and what stands twice in the batch."""
        fresh: dict[str, Entry] = {}
        for entry in entries:
            if entry.id not in self._seen:
                fresh.setdefault(entry.id, entry)
        self.repeated += len(entries) - len(fresh)
        return list(fresh.values())

    def _remember(self, entries: Sequence[Entry]) -> None:
        self._seen.update(dict.fromkeys(entry.id for entry in entries))
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    # ------------------------------------------------------------------------ what fails

    async def _handled(self, entries: Sequence[Entry], stop: asyncio.Event) -> bool:
        """Handle a batch in the end; False when told to stop before it could be."""
        failure = await self._tried(entries, stop)
        if failure is None:
            self.handled += len(entries)
            return True
        if stop.is_set():
            return False
        for entry in entries:
            failure = await self._tried((entry,), stop)
            if failure is not None and stop.is_set():
                return False
            if failure is None:
                self.handled += 1
                continue
            self.buried += 1
            logger.error(
                "%s: a %s is put with the dead letters: %s",
                self._consumer.name,
                entry.kind,
                type(failure).__name__,
                extra={"call_id": entry.call_id},
            )
            await self._source.bury(entry, f"{self._consumer.name}: {type(failure).__name__}")
        return True

    async def _tried(self, entries: Sequence[Entry], stop: asyncio.Event) -> Exception | None:
        """Try until it works, or is no use."""
        pause_s, tries = FIRST_PAUSE_S, 0
        while True:
            try:
                await self._consumer.handle(entries)
            except (SinkError, OSError) as exc:
                failure: Exception = exc
            except Exception as exc:
                failure, tries = exc, tries + 1
            else:
                return None
            self._complain(failure)
            if stop.is_set() or tries >= TRIES:
                return failure
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s * random.uniform(0.75, 1.25)):
                    await stop.wait()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _idle(self) -> None:
        try:
            await self._consumer.idle()
        except Exception as exc:  # it is tried again in a moment
            self._complain(exc)

    def _complain(self, failure: Exception) -> None:
        if monotonic() - self._complained_at < COMPLAIN_S:
            return
        self._complained_at = monotonic()
        if isinstance(failure, SinkError | OSError):
            # A path or a host may stand in it; speech cannot.
            logger.warning("%s cannot go on: %s; it is tried again and again", self._consumer.name, failure)
        else:
            # Where, and not what: the words of an exception may quote an entry.
            place = failure.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = "" if place is None else f" in {place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
            logger.error("%s failed: %s%s", self._consumer.name, type(failure).__name__, where)
