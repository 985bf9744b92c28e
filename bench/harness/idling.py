"""Callers who are greeted and then say nothing; Retell's pings go on. It only reads the server's memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.harness import machine
from bench.harness.messages import ping
from bench.harness.plans import Idle, IdleResult
from bench.harness.socket import CallSocket, Reply, dial

__all__ = ["run"]

AT_ONCE = 25
GREETING_S = 15.0
PING_S = 2.0


class IdleCall:
    """One silent call."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()
        self.socket: CallSocket | None = None
        self._pings = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Ping from now on."""
        if self.socket is not None:
            self._pings += 1
            self.socket.send(ping(self._pings))
            self._timer = asyncio.get_running_loop().call_later(PING_S, self.begin)

    def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        if self.socket is not None:
            self.socket.hang_up()

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Wait for the end of the greeting."""
        if reply.response_type == "response" and reply.content_complete:
            self.greeted.set()

    def lost(self, why: str) -> None:
        """The socket is gone."""
        self.socket = None


async def run(plan: Idle, progress: Callable[[float], None]) -> IdleResult:
    """Carry out the plan: open a few calls, read memory, open all, hold them, read memory."""
    calls: list[IdleCall] = []
    free = asyncio.Semaphore(AT_ONCE)

    async def opened(name: str) -> None:
        async with free:
            call = IdleCall()
            calls.append(call)
            call.socket = await dial(plan.url, name, call)
            async with asyncio.timeout(GREETING_S):
                await call.greeted.wait()
            call.begin()
            progress(len(calls) / plan.calls)

    async def open_until(count: int) -> tuple[int, machine.Cost]:
        async with asyncio.TaskGroup() as tasks:
            for index in range(len(calls), count):
                tasks.create_task(opened(f"bench_idle_{index:05}"))
        before = machine.sample(plan.pids)
        await asyncio.sleep(plan.hold_s)
        after = machine.sample(plan.pids)
        return machine.rss_bytes(plan.pids["server"]), machine.cost(before, after)

    few_rss, _ = await open_until(plan.few)
    calls_rss, held = await open_until(plan.calls)
    alive = sum(call.socket is not None for call in calls)
    for call in calls:
        call.close()
    if alive != plan.calls:
        raise ConnectionError(f"only {alive} of {plan.calls} idle calls stayed open")
    return IdleResult(
        few=plan.few,
        few_rss_bytes=few_rss,
        calls=plan.calls,
        calls_rss_bytes=calls_rss,
        held=held,
    )
