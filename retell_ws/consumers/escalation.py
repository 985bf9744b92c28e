"""Escalation: what the rules say is done while the call lasts.

The way of a fact: the call's watch is read (or known from the last batch), fed, and written down under the version
that was read, with the errands it has made; then they are begun, and the batch is committed. So a rule is noted as met
before anything is done for it, and a batch that comes again, to whichever process, finds nothing new. Of two processes
that have the same call for a moment, after a rebalance, one is told to read again.

Nothing here waits for a call or a receiver: the next batch is read meanwhile. With the store gone nothing is done, and
then it goes on where it was; what has become too old for the talk is refused.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from ..entries import Entry
from ..errands import Errand, errands_of
from ..errors import SinkError, WireError
from ..facts import CallEnded
from ..ports import Source
from ..watch import Escalation as Met
from ..watch import Rulebook, Watch
from ..watch_store import Known, WatchStore
from .acting import Acting, Do
from .delivery import Delivery

__all__ = ["Escalation"]

logger = logging.getLogger(__name__)

REMEMBERED: Final = 20_000
"""Calls whose state is kept here, so that it need not be read again: some hundred bytes each."""

AT_ONCE: Final = 50
"""Calls of a batch that are looked at together."""

DOUBTFUL: Final = 1000
"""Calls of which it is not known whether they were written: those of two batches. The batch comes again and settles it,
unless another process was given it; then what had to be done is in the store, where `Acting.look` finds it."""

CONFLICTS: Final = 10
"""Times a call is read again because somebody else has written it."""

LOOK_S: Final = 0.5
"""Seconds between two looks at what waits in the store."""


class _Saving:
    """What was written without anybody saying so."""

    __slots__ = ("known", "met")

    def __init__(self, known: Known, met: Sequence[Sequence[Errand]]) -> None:
        self.known = known
        self.met = met


class Escalation:
    """The consumer. Use it as an async context.

    Args:
        book: The rules.
        source: The bus, for what came of an escalation.
        store: What is known of calls.
        do: Does something to a live call, wherever it is.
        delivery: Sends webhooks.
        clock: Gives seconds since 1970.
    """

    name: str = "escalation"

    limit: int = 500
    """Entries of a batch."""

    gather_s: float = 0.02
    """Seconds a batch is gathered: somebody is on the line."""

    def __init__(
        self,
        book: Rulebook,
        source: Source,
        store: WatchStore,
        do: Do,
        delivery: Delivery,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._acting = Acting(store, source, do, delivery, name=self.name, clock=clock)
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._doubtful: OrderedDict[str, _Saving] = OrderedDict()
        self._looked_at = 0.0

    async def __aenter__(self) -> Self:
        await self._delivery.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._acting.aclose()
        finally:
            await self._delivery.__aexit__(kind, exc, trace)

    def figures(self) -> dict[str, float]:
        """Count what is under way: `orders`, `webhooks`, and `calls` remembered."""
        return {**self._acting.figures(), "calls": len(self._known)}

    async def handle(self, entries: Sequence[Entry]) -> None:
        """Take a batch; returns when what it has led to is written down, and begun.

        Raises:
            SinkError: The store cannot be reached.
        """
        calls: dict[str, list[Entry]] = {}
        for entry in entries:
            if self._book.concerns(entry):
                calls.setdefault(entry.call_id, []).append(entry)
        waiting = list(calls.items())
        while waiting:
            now, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            # One that fails must not stop another one between writing down and beginning.
            said = await asyncio.gather(*(self._see(call_id, facts) for call_id, facts in now), return_exceptions=True)
            for failure in said:
                if isinstance(failure, BaseException):
                    raise failure
        for entry in entries:
            if isinstance(entry.fact, CallEnded):
                self._known.pop(entry.call_id, None)  # it stays in the store, should more come

    async def idle(self) -> None:
        """Go on with webhooks that were put off, and with what dead processes have left.

        Raises:
            SinkError: The store cannot be reached.
        """
        if (now := asyncio.get_running_loop().time()) >= self._looked_at + LOOK_S:
            self._looked_at = now
            await self._acting.look()

    # ------------------------------------------------------------------------ one call

    async def _see(self, call_id: str, entries: Sequence[Entry]) -> None:
        for _ in range(CONFLICTS):
            if await self._tell(call_id, entries):
                return
        raise SinkError("a call is written by others again and again")

    async def _tell(self, call_id: str, entries: Iterable[Entry]) -> bool:
        """Tell a call's watch what has happened; False when somebody else did so meanwhile."""
        before = self._known.get(call_id)
        if before is None or call_id in self._doubtful:
            before = await self._read(call_id, before)
        watch = self._watch(before.state, call_id)
        met = [each for entry in entries for each in watch.feed(entry)]
        if watch.has_changed:
            made = [errands_of(each, self._clock()) for each in met]
            after = Known(secrets.token_bytes(8), watch.state())
            self._doubt(call_id, _Saving(after, made))
            errands = [errand for group in made for errand in group]
            if not await self._store.save(call_id, after, errands, over=before.version):
                return False  # and it is still in doubt, so it is read again
            self._doubtful.pop(call_id, None)
            self._remember(call_id, after)
            await self._begin(call_id, met, made)
        else:
            self._remember(call_id, before)
        return True

    async def _read(self, call_id: str, known: Known | None) -> Known:
        found = await self._store.load(call_id)
        doubtful = self._doubtful.pop(call_id, None)
        if found is None:
            # A store that has forgotten a call knows less than we do.
            return Known(b"", b"" if known is None else known.state)
        if doubtful is not None and doubtful.known.version == found.version:
            # It was written, though nobody said so.
            await self._begin(call_id, (), doubtful.met)
        return found

    def _watch(self, state: bytes, call_id: str) -> Watch:
        try:
            return Watch(self._book, state)
        except WireError:
            logger.error("what is known of a call cannot be read; it begins anew", extra={"call_id": call_id})
            return Watch(self._book)

    async def _begin(self, call_id: str, met: Sequence[Met], made: Sequence[Sequence[Errand]]) -> None:
        for each in met:
            logger.info("rule %r is met", each.rule.name, extra={"call_id": call_id})
        for group in made:
            await self._acting.start(group)

    def _doubt(self, call_id: str, saving: _Saving) -> None:
        self._doubtful[call_id] = saving
        self._doubtful.move_to_end(call_id)
        if len(self._doubtful) > DOUBTFUL:
            self._doubtful.popitem(last=False)

    def _remember(self, call_id: str, known: Known) -> None:
        self._known[call_id] = known
        self._known.move_to_end(call_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
