"""What is done to a fleet while people call. Each scenario does one thing; it judges nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import msgspec

from bench.harness.faults.fleet import Fleet
from bench.harness.faults.stale import StaleWrites
from retell_ws.testing import BlackHole, Latency

__all__ = ["SCENARIOS", "Progress", "Scenario", "Windows", "rest"]


class Windows(msgspec.Struct):
    """When it was quiet and when it was not, by the clock of the history.

    Attributes:
        quiet: Windows without the fault, begin and end.
        fault: Windows with it.
        figures: Whatever else a scenario has counted.
    """

    quiet: list[tuple[float, float]] = []
    fault: list[tuple[float, float]] = []
    figures: dict[str, float] = {}


class Scenario(msgspec.Struct, frozen=True):
    """One scenario.

    Attributes:
        name: As `--scenarios` takes it.
        label: What it does, in a few words.
        play: Does it.
        faulty: There is a faulty line between each server and Redis.
    """

    name: str
    label: str
    play: Callable[[Fleet, Windows, Callable[[float], None]], Awaitable[None]]
    faulty: bool = False


Progress = Callable[[float], None]


async def rest(seconds: float, progress: Progress, begin: float = 0.0, end: float = 0.0) -> tuple[float, float]:
    """Let time pass, and tell how far it is; gives the window."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        progress(begin + (end - begin) * passed / seconds)
        await asyncio.sleep(min(0.25, seconds - passed))
    return began, time.monotonic()


async def _kill(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    sizes, names = fleet.sizes, list(fleet.servers)
    windows.quiet.append(await rest(sizes.before_s, progress))
    began = due = time.monotonic()
    while (passed := time.monotonic() - began) < sizes.seconds:
        progress(passed / sizes.seconds)
        await fleet.kill(fleet.chance.choice(names))
        windows.figures["kills"] = windows.figures.get("kills", 0) + 1
        due += sizes.every_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    windows.fault.append((began, time.monotonic()))
    await rest(sizes.after_s, progress, 1, 1)


async def _roll(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress))
    began = time.monotonic()
    for number, name in enumerate(fleet.servers):
        progress(number / len(fleet.servers))
        await fleet.restart(name)
        await rest(min(2.0, sizes.after_s), progress, number / len(fleet.servers), (number + 1) / len(fleet.servers))
    windows.fault.append((began, time.monotonic()))
    windows.figures["roll_s"] = time.monotonic() - began
    await rest(sizes.after_s, progress, 1, 1)


async def _redis_gone(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    """One outage, with quiet on both sides, so that a neighbour's noise falls on both."""
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress, 0, 0.1))
    await fleet.redis.kill()
    fleet.callers.note("fault", "redis", "gone")
    windows.fault.append(await rest(sizes.seconds, progress, 0.1, 0.8))
    await fleet.redis.start()
    fleet.callers.note("fault", "redis", "back, empty")
    await rest(sizes.after_s, progress, 0.8, 0.9)
    windows.quiet.append(await rest(sizes.before_s, progress, 0.9, 1))


async def _stale(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress))
    name = fleet.chance.choice(list(fleet.servers))
    async with StaleWrites(fleet, name) as stale:
        fleet.freeze(name)
        windows.fault.append(await rest(sizes.seconds, progress, 0, 1))
        await stale.moved()
        fleet.thaw(name)
        await rest(sizes.after_s, progress, 1, 1)
        windows.figures |= await stale.counted()


async def _cut(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress))
    name = fleet.chance.choice(list(fleet.servers))
    with fleet.lines[name].having(BlackHole()):
        fleet.callers.note("fault", name, "redis cut")
        windows.fault.append(await rest(sizes.seconds, progress, 0, 1))
    fleet.callers.note("fault", name, "redis back")
    await rest(sizes.after_s, progress, 1, 1)


async def _slow(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress))
    with ExitStack() as stack:
        for line in fleet.lines.values():
            stack.enter_context(line.having(Latency(0.3), way="down"))
        fleet.callers.note("fault", "redis", "slow")
        windows.fault.append(await rest(sizes.seconds, progress, 0, 1))
    fleet.callers.note("fault", "redis", "fast")
    await rest(sizes.after_s, progress, 1, 1)


async def _empty(fleet: Fleet, windows: Windows, progress: Progress) -> None:
    """Redis comes back empty; a while later, when every call has written itself down anew, a server is killed."""
    sizes = fleet.sizes
    windows.quiet.append(await rest(sizes.before_s, progress))
    began = time.monotonic()
    await fleet.redis.kill()
    fleet.callers.note("fault", "redis", "gone")
    await fleet.redis.start()
    fleet.callers.note("fault", "redis", "back, empty")
    await rest(min(sizes.every_s, sizes.seconds), progress, 0, 0.5)
    await fleet.kill(fleet.chance.choice(list(fleet.servers)))
    windows.fault.append((began, time.monotonic()))
    await rest(sizes.after_s, progress, 0.5, 1)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("kill", "a server killed again and again", _kill),
        Scenario("roll", "all servers restarted, one after the other", _roll),
        Scenario("redis-gone", "Redis gone, then back and empty", _redis_gone),
        Scenario("stale", "a server stopped, and let go on later", _stale),
        Scenario("cut", "a server cut off from Redis", _cut, faulty=True),
        Scenario("slow", "Redis 300 ms away", _slow, faulty=True),
        Scenario("empty", "Redis back empty, then a server killed", _empty),
    )
}
"""Every scenario by name."""
