"""Callers who never let the agent finish: every request is superseded after a random time. It repairs nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from bench.harness import machine
from bench.harness.messages import Script, ping
from bench.harness.plans import Barging, BargingResult
from bench.harness.socket import CallSocket, Reply, dial

__all__ = ["run"]

LAST_TURN_S = 15.0
AT_ONCE = 25


class Tally:
    """What all calls of a plan saw."""

    def __init__(self, progress: Callable[[float], None], turns: int) -> None:
        self.superseded: dict[str, int] = {}
        self.after_newer_frame = self.after_pong = self.crossed = self.failed = 0
        self._progress = progress
        self._turns = turns

    def supersede(self, words: str, at_ns: int) -> None:
        """Note when the request with these words was superseded."""
        self.superseded[words] = at_ns
        if len(self.superseded) % 100 == 0:
            self._progress(len(self.superseded) / self._turns)


class BargingCall:
    """One call that interrupts itself `turns` times and hears the last answer out.

    Two proofs that the server had read a newer request: a frame of the newer id, and the pong to a ping that
    was sent behind it on the same socket. Frames of an older id after either are stale.
    """

    def __init__(self, name: str, turns: int, plan: Barging, tally: Tally, rng: random.Random) -> None:
        self.socket: CallSocket | None = None
        self.finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._turns = turns
        self._plan = plan
        self._tally = tally
        self._rng = rng
        self._script = Script(name, 0)
        self._id = 0
        self._framed_id = 0
        self._ponged_id = 0
        self._worded = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Ask for the first time, after a random time of its own."""
        self._after(self._ask)

    def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        if self.socket is not None:
            self.socket.hang_up()

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Take one message: which request does it prove read, and is it stale?"""
        if reply.response_type == "ping_pong":
            self._ponged_id = max(self._ponged_id, reply.timestamp)
        elif reply.response_type == "response" and reply.response_id:
            if reply.response_id >= self._id:
                self._framed_id = self._id
                self._worded = self._worded or reply.content.startswith("@")
                if reply.content_complete and self._id > self._turns:
                    self._tally.failed += not self._worded
                    self.finished.set()
            elif reply.response_id < self._framed_id:
                self._tally.after_newer_frame += 1
            elif reply.response_id < self._ponged_id:
                self._tally.after_pong += 1
            else:
                self._tally.crossed += 1
                self._framed_id = max(self._framed_id, reply.response_id)

    def lost(self, why: str) -> None:
        """A socket that goes before its last answer is a failure."""
        if not self.finished.is_set():
            self._tally.failed += 1
            self.finished.set()

    def _after(self, then: Callable[[], None]) -> None:
        least, most = self._plan.least_ms / 1000, self._plan.most_ms / 1000
        self._timer = self._loop.call_later(self._rng.uniform(least, most), then)

    def _ask(self) -> None:
        if self.socket is None or self.finished.is_set():
            return
        if self._id:
            self._tally.supersede(self._script.words(self._id), time.monotonic_ns())
        self._id += 1
        self._worded = False
        self.socket.send(self._script.required(self._id, self._id))
        # The pong's timestamp names the newest request that stood before the ping on this socket.
        self.socket.send(ping(self._id))
        if self._id <= self._turns:
            self._after(self._ask)
        else:
            self._timer = self._loop.call_later(LAST_TURN_S, self.lost, "no last answer")


async def run(plan: Barging, progress: Callable[[float], None]) -> BargingResult:
    """Carry out the plan.

    Args:
        plan: What to do.
        progress: Is told how far it is, from 0 to 1.
    """
    # Repeatable times, no secret.
    rng = random.Random(plan.seed)
    tally = Tally(progress, plan.turns)
    each, more = divmod(plan.turns, plan.calls)
    calls = [
        BargingCall(f"b{plan.batch}c{index:04}", each + (index < more), plan, tally, rng) for index in range(plan.calls)
    ]
    free = asyncio.Semaphore(AT_ONCE)

    async def opened(index: int, call: BargingCall) -> None:
        async with free:
            call.socket = await dial(plan.url, f"bench_barge_{plan.batch}_{index:04}", call)

    async with asyncio.TaskGroup() as tasks:
        for index, call in enumerate(calls):
            tasks.create_task(opened(index, call))
    before = machine.sample(plan.pids)
    for call in calls:
        call.begin()
    for call in calls:
        await call.finished.wait()
    after = machine.sample(plan.pids)
    for call in calls:
        call.close()
    return BargingResult(
        superseded=tally.superseded,
        after_newer_frame=tally.after_newer_frame,
        after_pong=tally.after_pong,
        crossed=tally.crossed,
        failed=tally.failed,
        cost=machine.cost(before, after),
    )
