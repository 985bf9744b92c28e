"""When a worker that died is started again, and when that is given up. Pure: time is given.

| a worker died | | then |
|---|---|---|
| for the first time, or after `HEALTHY_S` of life | | started again after `FIRST_PAUSE_S` |
| once more, sooner than that | | after twice its last pause, `LONGEST_PAUSE_S` at most |
| and so many have died within `WINDOW_S`, this one included | `AT_LEAST`, or all of them and one more | given up |

All of them dying at once is one event, which a start may heal: the machine was short of memory, say. What kills them
again and again is in the agent or the settings, and whoever started us should know.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Restarts"]

FIRST_PAUSE_S: Final = 0.1
"""Seconds before the first start: a crash costs its calls a redial as it is."""

LONGEST_PAUSE_S: Final = 5.0
"""The longest pause, in seconds: a port or a disk that is back is found soon."""

HEALTHY_S: Final = 30.0
"""Seconds of life after which a worker's earlier deaths count no more."""

WINDOW_S: Final = 30.0
"""Seconds that are looked at."""

AT_LEAST: Final = 5
"""Deaths within them that are too many, where workers are few."""


class Restarts:
    """What is known of the deaths of some workers.

    Args:
        workers: How many there are.
    """

    __slots__ = ("_deaths", "_limit", "_pauses")

    def __init__(self, workers: int) -> None:
        self._limit = max(AT_LEAST, workers + 1)
        self._deaths: deque[float] = deque(maxlen=self._limit)
        self._pauses: dict[int, float] = {}

    def died(self, worker: int, now: float, *, lived_s: float) -> float | None:
        """Take note of a death.

        Args:
            worker: Which one it was.
            now: The time in seconds, which never goes back.
            lived_s: For how long it could take calls.

        Returns:
            Seconds to wait before it is started again; None when that is given up.
        """
        self._deaths.append(now)
        if len(self._deaths) == self._limit and now - self._deaths[0] < WINDOW_S:
            return None
        before = 0.0 if lived_s >= HEALTHY_S else self._pauses.get(worker, 0.0)
        pause = self._pauses[worker] = min(2 * before, LONGEST_PAUSE_S) or FIRST_PAUSE_S
        return pause
