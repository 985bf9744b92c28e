"""A command that has started processes ends them when it is told to stop: by Ctrl-C, or by a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["interruptible"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
"""By which a service manager tells us, and a terminal that is closed. Otherwise they end us on the spot."""

T = TypeVar("T")


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Do something that starts processes, and let signals cancel it as Ctrl-C does: what was started ends first.

    Args:
        work: What is done; it ends what it has started when it is cancelled.

    Raises:
        KeyboardInterrupt: A signal came.
    """
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    if this is None:
        raise AssertionError("a coroutine runs in a task")
    for number in SIGNALS:
        loop.add_signal_handler(number, this.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
