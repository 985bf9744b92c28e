"""The floor's caller: raw bytes to the relay and back at the pace of one call. It knows no protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from bench.harness import machine
from bench.harness.plans import Floor, PacedResult

__all__ = ["run"]


class Exchange(asyncio.Protocol):
    """One raw connection, one exchange at a time."""

    def __init__(self, reply_bytes: int) -> None:
        self._reply_bytes = reply_bytes
        self._held = b""
        self.transport: asyncio.WriteTransport | None = None
        self.answered: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the time of a whole reply."""
        now = time.monotonic_ns()
        self._held += data
        if len(self._held) >= self._reply_bytes and self.answered is not None:
            self.answered.set_result((now, self._held))
            self._held = b""


async def run(plan: Floor, progress: Callable[[float], None]) -> PacedResult:
    """Carry out the plan.

    Returns:
        For each exchange the time it took beyond the echo's own.
    """
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(lambda: Exchange(plan.reply_bytes), "127.0.0.1", plan.port)
    assert exchange.transport is not None
    request = b"x" * plan.request_bytes
    overhead: list[int] = []
    before = machine.sample(plan.pids)
    due = loop.time()
    for turn in range(plan.turns):
        due += plan.cycle_s
        exchange.answered = loop.create_future()
        sent = time.monotonic_ns()
        exchange.transport.write(request)
        read, reply = await exchange.answered
        received, _, wrote = reply.partition(b",")
        overhead.append(read - sent - (int(wrote) - int(received)))
        progress((turn + 1) / plan.turns)
        await asyncio.sleep(max(0.0, due - loop.time()))
    after = machine.sample(plan.pids)
    exchange.transport.abort()
    # The first exchange opens what the others find warm.
    return PacedResult(overhead_ns=overhead[1:], turns=len(overhead) - 1, cost=machine.cost(before, after))
