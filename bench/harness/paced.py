"""Paced callers: each asks every few seconds, listens to the end and pings. It judges nothing, it takes times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bench.harness import machine
from bench.harness.messages import Script, ping
from bench.harness.plans import Paced, PacedResult
from bench.harness.socket import CallSocket, Reply, dial

__all__ = ["run"]

FAILED_AFTER_S = 15.0
"""A turn that is silent for so long has failed; Retell's callers hang up sooner."""

AT_ONCE = 50
"""So many calls dial at the same time; a thousand callers do not ring in the same millisecond."""


class Tally:
    """What all calls of a plan saw in the window."""

    def __init__(self) -> None:
        self.begins_ns = self.ends_ns = 0
        self.overhead_ns: list[int] = []
        self.inward_ns: list[int] = []
        self.outward_ns: list[int] = []
        self.tail_ns: list[int] = []
        self.frames: list[int] = []
        self.pongs_ns: list[int] = []
        self.turns = self.failed = self.late = 0
        self.running = 0
        self.quiet = asyncio.Event()

    def counts(self, at_ns: int) -> bool:
        """Tell whether something sent then belongs to the window."""
        return self.begins_ns <= at_ns < self.ends_ns


class PacedCall:
    """One call: at most one turn at a time, its next request never before the last has ended."""

    def __init__(self, name: str, plan: Paced, tally: Tally) -> None:
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: CallSocket | None = None
        self._loop = asyncio.get_running_loop()
        self._plan = plan
        self._tally = tally
        self._script = Script(name, plan.transcript_bytes)
        self._stopping = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._id = 0
        self._open = False
        self._due = 0.0
        self._asked_ns = 0
        self._wrote_ns = 0
        self._frames = 0
        self._pinged_ns = 0

    def begin(self, after_s: float) -> None:
        """Ask for the first time after so many seconds, and ping from then on."""
        self._due = self._loop.time() + after_s
        self._timers["ask"] = self._loop.call_at(self._due, self._ask)
        self._timers["ping"] = self._loop.call_at(self._due + self._plan.ping_s / 3, self._ping)

    def stop(self) -> None:
        """Ask no more; a turn that runs may end."""
        self._stopping = True

    def close(self) -> None:
        """Hang up."""
        for timer in self._timers.values():
            timer.cancel()
        if self.socket is not None:
            self.socket.hang_up()

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Take one message of the server's."""
        if reply.response_type == "response":
            if reply.response_id == self._id and self._open:
                if reply.content:
                    self._frames += 1
                    if self._frames == 1:
                        self._first(reply.content, now_ns)
                if reply.content_complete:
                    self._end(now_ns)
            elif reply.response_id == 0 and reply.content_complete and not self.greeted.done():
                self.greeted.set_result(None)
        elif reply.response_type == "ping_pong" and reply.timestamp == self._pinged_ns:
            if self._tally.counts(self._pinged_ns):
                self._tally.pongs_ns.append(now_ns - self._pinged_ns)
            self._pinged_ns = 0

    def lost(self, why: str) -> None:
        """The socket is gone: so is the turn."""
        if not self.greeted.done() and self.socket is not None:
            self.greeted.set_exception(ConnectionError(why))
        if self._open:
            self._fail()
        self._stopping = True

    def _ask(self) -> None:
        if self._stopping or self.socket is None:
            return
        if self._open:
            self._tally.late += self._tally.counts(self._asked_ns)
            self._due = 0.0
            return
        self._id += 1
        self._open = True
        self._frames = self._wrote_ns = 0
        self._tally.running += 1
        self._tally.quiet.clear()
        message = self._script.required(self._id, self._id)
        self._due = self._loop.time() + self._plan.cycle_s
        at = self._timers
        at["ask"] = self._loop.call_at(self._due, self._ask)
        at["fail"] = self._loop.call_later(FAILED_AFTER_S, self._fail)
        # Two updates while the agent speaks, the others while the caller does.
        for part in range(self._plan.updates):
            when = self._plan.cycle_s * (part + 0.5) / self._plan.updates
            at[f"update {part}"] = self._loop.call_later(when, self._update, self._id, part)
        self._asked_ns = time.monotonic_ns()
        self._tally.turns += self._tally.counts(self._asked_ns)
        self.socket.send(message)

    def _update(self, turn: int, part: int) -> None:
        if self.socket is not None and not self._stopping:
            self.socket.send(self._script.update(turn, part))

    def _ping(self) -> None:
        if self.socket is None or self._stopping:
            return
        self._timers["ping"] = self._loop.call_later(self._plan.ping_s, self._ping)
        self._pinged_ns = time.monotonic_ns()
        self.socket.send(ping(self._pinged_ns))

    def _first(self, content: str, now_ns: int) -> None:
        # `@{when the model had the request},{when it wrote this} `: both on this machine's clock.
        stamp, _, _ = content.partition(" ")
        received, comma, wrote = stamp[1:].partition(",")
        if not (stamp.startswith("@") and comma):
            return  # words of the server's own, an apology: counted as failed at the end
        received_ns, self._wrote_ns = int(received), int(wrote)
        if self._tally.counts(self._asked_ns):
            self._tally.overhead_ns.append(now_ns - self._asked_ns - (self._wrote_ns - received_ns))
            self._tally.inward_ns.append(received_ns - self._asked_ns)
            self._tally.outward_ns.append(now_ns - self._wrote_ns)

    def _end(self, now_ns: int) -> None:
        if not self._wrote_ns:
            self._fail()
            return
        if self._tally.counts(self._asked_ns):
            last_due_ns = self._wrote_ns + int((self._plan.deltas - 1) * self._plan.spacing_ms * 1e6)
            self._tally.tail_ns.append(now_ns - last_due_ns)
            self._tally.frames.append(self._frames)
        self._close_turn()

    def _fail(self) -> None:
        self._tally.failed += self._tally.counts(self._asked_ns)
        self._close_turn()

    def _close_turn(self) -> None:
        self._open = False
        self._timers.pop("fail").cancel()
        self._tally.running -= 1
        if not self._tally.running:
            self._tally.quiet.set()
        if not self._due and not self._stopping:
            self._timers["ask"] = self._loop.call_later(0, self._ask)


async def run(plan: Paced, progress: Callable[[float], None]) -> PacedResult:
    """Carry out the plan.

    Args:
        plan: What to do.
        progress: Is told how far it is, from 0 to 1.

    Returns:
        What the calls saw.
    """
    tally = Tally()
    calls, unopened = await _open(plan, tally)
    for index, call in enumerate(calls):
        call.begin(plan.cycle_s * index / len(calls))
    total_s = plan.cycle_s + plan.warm_s + plan.window_s
    await _pass(plan.cycle_s + plan.warm_s, progress, 0.0, total_s)
    before = machine.sample(plan.pids)
    tally.begins_ns = before.at_ns
    tally.ends_ns = before.at_ns + int(plan.window_s * 1e9)
    await _pass(plan.window_s, progress, plan.cycle_s + plan.warm_s, total_s)
    after = machine.sample(plan.pids)
    rss = machine.rss_bytes(plan.pids["server"])
    for call in calls:
        call.stop()
    if tally.running:
        await tally.quiet.wait()
    for call in calls:
        call.close()
    return PacedResult(
        overhead_ns=tally.overhead_ns,
        inward_ns=tally.inward_ns,
        outward_ns=tally.outward_ns,
        tail_ns=tally.tail_ns,
        frames=tally.frames,
        pongs_ns=tally.pongs_ns,
        turns=tally.turns,
        failed=tally.failed,
        late=tally.late,
        unopened=unopened,
        rss_bytes=rss,
        cost=machine.cost(before, after),
    )


async def _open(plan: Paced, tally: Tally) -> tuple[list[PacedCall], int]:
    calls: list[PacedCall] = []
    free = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        call = PacedCall(name, plan, tally)
        async with free:
            try:
                call.socket = await dial(plan.url, name, call)
                async with asyncio.timeout(FAILED_AFTER_S):
                    await call.greeted
            except OSError:
                call.greeted.cancel()
                return
        calls.append(call)

    async with asyncio.TaskGroup() as tasks:
        for index in range(plan.calls):
            tasks.create_task(one(f"bench_{index:05}"))
    if not calls:
        raise ConnectionError("no call was greeted")
    return calls, plan.calls - len(calls)


async def _pass(seconds: float, progress: Callable[[float], None], from_s: float, total_s: float) -> None:
    """Let the load run, telling how far it is."""
    loop = asyncio.get_running_loop()
    begins = loop.time()
    while (left := begins + seconds - loop.time()) > 0:
        await asyncio.sleep(min(left, 0.5))
        progress((from_s + min(seconds, loop.time() - begins)) / total_s)
