"""How long a fake of its own process lives: until it is told to stop, or whoever started it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["told_to_stop"]


@contextmanager
def told_to_stop() -> Iterator[asyncio.Event]:
    """Give an event that is set at SIGTERM or SIGINT, and when stdin closes where that is a pipe or socket."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
            stack.callback(loop.remove_signal_handler, number)
        if sys.stdin is not None and _is_pipe(sys.stdin.fileno()):
            loop.add_reader(sys.stdin.fileno(), _read, sys.stdin.fileno(), stop)
            stack.callback(loop.remove_reader, sys.stdin.fileno())
        yield stop


def _is_pipe(descriptor: int) -> bool:
    """Tell a pipe or socket, whose end means that our starter is gone, from a terminal or /dev/null."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read(descriptor: int, stop: asyncio.Event) -> None:
    if not os.read(descriptor, 4096):
        stop.set()
