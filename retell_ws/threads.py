"""The threads in which plain tools run: theirs alone, so that one that hangs holds up no part of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

__all__ = ["THREADS", "in_thread"]

THREADS: Final = 128
"""Plain tools that run at once, over all calls. A thread is begun when none is idle, and one that hangs is lost."""

_pool: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="tool")

_Result = TypeVar("_Result")


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """Run a plain function in a thread, with the context of the task that asks.

    Args:
        work: What may block. It goes on when the task that waits is cancelled: a thread cannot be stopped.

    Raises:
        RuntimeError: It raised `StopIteration`, which no future can hold: whoever waits would do so for ever.
    """
    run = copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_pool, run, _contained, work)


def _contained(work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except StopIteration as exc:  # of a `next` without a default, say; the place is that of the tool's line
        raise RuntimeError("StopIteration").with_traceback(exc.__traceback__) from None
