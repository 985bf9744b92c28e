"""Runs errands: does what is to be done in calls, delivers webhooks, and tells the bus what came of each.

What is done in a call (`transfer`, `say`, `end`) is begun once, by whoever has noted that the rule was met. When that
process dies, another one finds the errand and only tells that it failed: nobody knows whether the caller has heard it.
A webhook is tried until it is delivered; between two tries it waits in the store, where any process finds it.

The two never wait for each other. Neither is bounded by the other's receivers, and of the receivers none takes all
there is: with `PER_RECEIVER` under way, its others wait in the store.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ..control import Order as Command
from ..control import Outcome, Refused, Why
from ..errands import Errand, Told, pause_s, told
from ..errors import SinkError
from ..ports import Source
from ..rules import Webhook, command_of
from ..watch_store import LEASE_S, WatchStore
from .delivery import Delivery

__all__ = ["Acting"]

logger = logging.getLogger(__name__)

LATE_S: Final = 60.0
"""Seconds after which nothing is done in a call any more: the talk has gone on, and it would come out of nowhere."""

AGAIN_S: Final = (1.0, 2.0, 4.0)
"""Seconds before the next try of what was certainly not done: the call was between two servers, or two sockets."""

MAX_ORDERS: Final = 200
"""Calls in which something is done at the same time."""

MAX_DELIVERIES: Final = 64
"""Webhooks that are under way at the same time."""

PER_RECEIVER: Final = 16
"""Of them, to the same host."""

BUSY_S: Final = 1.0
"""Seconds after which a webhook is looked at again that found its receiver busy."""

TELL_S: Final = (0.2, 1.0, 5.0)
"""Seconds before the bus is told again."""

LEAVE_S: Final = 5.0
"""Seconds that what is under way may take when the consumer stops."""

NOT_DONE: Final[frozenset[Why]] = frozenset({"moved", "unreachable"})

TOO_LATE: Final = Refused("impossible", "it is too late: the talk has gone on")

REFUSED: Final[frozenset[Why]] = frozenset({"impossible", "no_target", "unknown"})

Do = Callable[[str, Command], Awaitable[Outcome]]


class Acting:
    """Runs the errands of one process.

    Args:
        store: Keeps them.
        source: The bus.
        do: Does something to a live call, wherever it is.
        delivery: Sends webhooks.
        name: Who tells.
        clock: Gives seconds since 1970.
    """

    def __init__(
        self,
        store: WatchStore,
        source: Source,
        do: Do,
        delivery: Delivery,
        *,
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._source = source
        self._do = do
        self._delivery = delivery
        self._name = name
        self._clock = clock
        self._orders: set[asyncio.Task[None]] = set()
        self._deliveries: dict[asyncio.Task[None], Errand] = {}
        self._busy: Counter[str] = Counter()
        self._room = asyncio.Semaphore(MAX_ORDERS)

    def figures(self) -> dict[str, float]:
        """Count what is under way: `orders` and `webhooks`."""
        return {"orders": len(self._orders), "webhooks": len(self._deliveries)}

    async def start(self, errands: Sequence[Errand]) -> None:
        """Begin what was just noted of one rule in one call; waits only while too much is under way."""
        orders = [errand for errand in errands if not isinstance(errand.action, Webhook)]
        if orders:
            await self._room.acquire()
            task = asyncio.create_task(self._carry_out(orders))
            self._orders.add(task)
            task.add_done_callback(self._carried_out)
        for errand in errands:
            if isinstance(errand.action, Webhook):
                await self._send(errand)

    async def look(self) -> None:
        """Go on with what waits in the store: webhooks whose next try is due, and what others have left behind.

        Raises:
            SinkError: The store cannot be reached.
        """
        room = MAX_DELIVERIES - len(self._deliveries)
        if room <= 0:
            return
        for errand in await self._store.take(room):
            if isinstance(errand.action, Webhook):
                await self._send(errand)
            else:
                why = "whoever had it is gone, and nobody knows whether it was done"
                logger.warning("rule %r: %s", errand.rule, why, extra={"call_id": errand.call_id})
                await self._end(errand, "failed")

    async def aclose(self) -> None:
        """Let what is under way come to its end, for some seconds; webhooks that do not are left to others."""
        if tasks := {*self._orders, *self._deliveries}:
            _, late = await asyncio.wait(tasks, timeout=LEAVE_S)
            left = [self._deliveries[task] for task in late if task in self._deliveries]
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
            for errand in left:
                await self._put_back(errand, 0.0)

    # ------------------------------------------------------------------------ in calls

    def _carried_out(self, task: asyncio.Task[None]) -> None:
        self._orders.discard(task)
        self._room.release()

    async def _carry_out(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            try:
                outcome = await self._ordered(errand)
                if isinstance(outcome, Refused):
                    level = logging.INFO if outcome.kind == "unknown" else logging.WARNING
                    logger.log(level, "rule %r: %s", errand.rule, outcome.why, extra={"call_id": errand.call_id})
                    await self._end(errand, "refused" if outcome.kind in REFUSED else "failed")
                else:
                    await self._end(errand, "done")
            except Exception:  # a bug of ours, which must not cost the next one
                logger.exception("an errand failed", extra={"call_id": errand.call_id})

    async def _ordered(self, errand: Errand) -> Outcome:
        order = errand.action
        if isinstance(order, Webhook):
            raise AssertionError("a webhook is no order")
        outcome: Outcome = TOO_LATE
        for wait_s in (*AGAIN_S, None):
            # The second: somebody else tells that it failed, once the lease is over; then it must not be done any more.
            if self._clock() - errand.at > LATE_S or self._clock() - errand.made > LEASE_S / 2:
                break
            outcome = await self._do(errand.call_id, command_of(order))
            if not isinstance(outcome, Refused) or outcome.kind not in NOT_DONE or wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return outcome

    # ------------------------------------------------------------------------ webhooks

    async def _send(self, errand: Errand) -> None:
        receiver = _receiver(errand)
        if len(self._deliveries) >= MAX_DELIVERIES or self._busy[receiver] >= PER_RECEIVER:
            await self._put_back(errand, BUSY_S)
            return
        self._busy[receiver] += 1
        task = asyncio.create_task(self._deliver(errand))
        self._deliveries[task] = errand
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        receiver = _receiver(self._deliveries.pop(task))
        self._busy[receiver] -= 1
        if not self._busy[receiver]:
            del self._busy[receiver]

    async def _deliver(self, errand: Errand) -> None:
        try:
            tried = await self._delivery.deliver(errand)
            errand = msgspec.structs.replace(errand, tries=errand.tries + 1)
            now, wait_s = self._clock(), None
            if tried.verdict == "again":
                wait_s = pause_s(errand, tried.after_s, random.random(), now)
            if wait_s is not None:
                logger.info("rule %r: a webhook is tried again: %s", errand.rule, tried.why)
                await self._put_back(errand, wait_s)
            elif tried.verdict == "done":
                await self._end(errand, "done")
            else:
                why = f"webhook not delivered in {errand.tries} tries: {tried.why}"
                logger.warning("rule %r: %s", errand.rule, why, extra={"call_id": errand.call_id})
                await self._end(errand, "refused" if tried.verdict == "refused" else "failed", why)
        except Exception:  # a bug of ours; the errand is in the store, and comes again
            logger.exception("a webhook failed", extra={"call_id": errand.call_id})

    async def _put_back(self, errand: Errand, wait_s: float) -> None:
        try:
            await self._store.postpone(errand, wait_s)
        except SinkError as exc:  # it will be anybody's all the same, later
            logger.info("an errand cannot be put back: %s", exc)

    # ------------------------------------------------------------------------ what came of it

    async def _end(self, errand: Errand, outcome: Told, dead: str = "") -> None:
        """Tell the bus, put what could not be delivered with the dead letters, and forget the errand; in this order."""
        entry = told(errand, outcome, self._clock(), self._name)
        for wait_s in (*TELL_S, None):
            try:
                await self._source.put(entry)
                if dead:
                    await self._source.bury(entry, dead)
                break
            except Exception as exc:  # whatever the bus has, the errand was done
                if wait_s is None:
                    logger.error("nobody was told what came of an escalation: %s", type(exc).__name__)
                    break
            await asyncio.sleep(wait_s)
        try:
            await self._store.settle(errand)
        except SinkError as exc:
            logger.warning("an errand that was done cannot be forgotten: %s", exc)


def _receiver(errand: Errand) -> str:
    return urlsplit(errand.action.url).netloc if isinstance(errand.action, Webhook) else ""
