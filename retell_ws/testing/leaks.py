"""What a call leaves behind when it is over: nothing, or the test fails."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["nothing_left"]

SETTLE_S: Final = 2.0
"""Seconds that what is ending may take to end."""


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail when the block leaves tasks, sockets or sessions of calls behind. A block that raises is not looked at.

    Raises:
        AssertionError: Something was left; the text says what, and where it waits or leads to.
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
        raise AssertionError(f"tasks left behind: {', '.join(sorted(map(_place, tasks)))}")
    deadline = loop.time() + SETTLE_S
    while left := await asyncio.to_thread(_sockets) - sockets_before:
        if loop.time() > deadline:
            raise AssertionError(f"sockets left behind: {', '.join(sorted(map(_ends, left)))}")
        await asyncio.sleep(0.01)  # the other side of the loopback closes in its own time
    gc.collect()
    if calls := _calls() - calls_before:
        raise AssertionError(f"calls that are over but still in memory: {calls}; something refers to them")


def _place(task: asyncio.Task[Any]) -> str:
    """Say what a task runs and where it waits: its coroutine, the one that this awaits, and so on."""
    places = []
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        places.append(f"{waiting.__qualname__} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})")
        waiting = waiting.cr_await
    return " > ".join(places) or repr(task)


def _ends(name: str) -> str:
    """Say whom a socket of this process connects."""
    for descriptor, found in _descriptors():
        if found == name:
            try:
                with socket.socket(fileno=os.dup(descriptor)) as copy:
                    return f"{_address(copy.getsockname())} to {_address(copy.getpeername())}"
            except OSError:
                break
    return name


def _address(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address or "a pair")


def _calls() -> int:
    """The calls in memory."""
    kinds = [type(thing) for thing in gc.get_objects()]
    return sum(kind.__module__ == "retell_ws.session" and kind.__name__ == "Session" for kind in kinds)


def _sockets() -> set[str]:
    """The open sockets of this process, by name; empty where the system does not tell."""
    return {name for _, name in _descriptors()}


def _descriptors() -> list[tuple[int, str]]:
    found = []
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return []
    for descriptor in descriptors:
        try:
            name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        except OSError:
            continue
        if name.startswith("socket:"):
            found.append((int(descriptor), name))
    return found
