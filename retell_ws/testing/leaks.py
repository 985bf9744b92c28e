"""What a call leaves behind when it is over: nothing, or the test fails."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

__all__ = ["nothing_left"]

SETTLE_S: Final = 2.0
"""Seconds that what is ending may take to end."""


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail when the block leaves tasks, sockets or sessions of calls behind.

    Raises:
        AssertionError: Something was left; the text says what.
    """
    loop = asyncio.get_running_loop()
    tasks_before = asyncio.all_tasks(loop)
    gc.collect()
    sockets_before, calls_before = await asyncio.to_thread(_sockets), _calls()
    yield
    tasks = {task for task in asyncio.all_tasks(loop) - tasks_before if task is not asyncio.current_task()}
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=SETTLE_S)
    if tasks:
        raise AssertionError(f"tasks left behind: {', '.join(sorted(repr(task.get_coro()) for task in tasks))}")
    deadline = loop.time() + SETTLE_S
    while left := await asyncio.to_thread(_sockets) - sockets_before:
        if loop.time() > deadline:
            raise AssertionError(f"{len(left)} sockets left behind")
        await asyncio.sleep(0.01)  # the other side of the loopback closes in its own time
    gc.collect()
    if calls := _calls() - calls_before:
        raise AssertionError(f"{calls} ended calls are still in memory")


def _calls() -> int:
    """The calls in memory."""
    return sum(type(thing).__module__ == "retell_ws.session" for thing in gc.get_objects())


def _sockets() -> set[str]:
    """The open sockets of this process, by name; empty where the system does not tell."""
    found = set()
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return set()
    for descriptor in descriptors:
        try:
            name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        except OSError:
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found
