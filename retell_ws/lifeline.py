"""Ends this process when whoever started it is gone, whichever way that went: one that is killed ends nobody itself.

Its input is a pipe to which nothing is ever written, and the kernel closes the other end with its owner, on Linux as on
macOS. A thread waits for that, and not the loop: an agent's file may hold that up, or it is not there yet. Then the
process does to itself what its starter would have done.

Workers and the consumers beside a server have lines of their own (`worker.py`, `consume.py`): with their end there is
something left to do.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

__all__ = ["LEAVE_S", "MARK", "follow"]

MARK: Final = "RETELL_LIFELINE"
"""The variable of the environment that says what our input is. No setting's name, nor nearly one."""

DRAIN_S: Final = 1.0
"""Seconds for calls to end by themselves: who called is gone, too."""

LEAVE_S: Final = 8.0
"""Seconds one may take to end when it is told to: its consumers, which it waits for, have five. Then it is killed."""

INPUT: Final = 0


def follow(environment: MutableMapping[str, str] = os.environ) -> bool:
    """End this process with the one who started it, if it was started so.

    Mark and input are taken away: whatever else reads it, or is started by us, finds it empty.

    Returns:
        Whether it was.
    """
    if not environment.pop(MARK, "") or not _is_pipe():
        return False
    line = os.dup(INPUT)  # which nobody inherits
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, INPUT)
    os.close(empty)
    threading.Thread(target=_wait, args=(line,), name="lifeline", daemon=True).start()
    return True


def _is_pipe() -> bool:
    """Tell a pipe or socket from a terminal or /dev/null, whose end means nothing."""
    try:
        mode = os.fstat(INPUT).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _wait(line: int) -> None:
    with suppress(OSError):  # of a socket, which may say so when the other end dies
        while os.read(line, 4096):
            pass
    for number, pause_s in (
        (signal.SIGTERM, DRAIN_S),
        (signal.SIGTERM, LEAVE_S - DRAIN_S),  # the second one: at once
        (signal.SIGKILL, 0.0),
    ):
        os.kill(os.getpid(), number)
        time.sleep(pause_s)
