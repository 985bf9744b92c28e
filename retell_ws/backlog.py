"""What waits to be written to the journal, and what is given up when there is no room. No I/O.

One thread puts and another takes, without a lock: whoever puts must not wait. Each step that both may do at once is a
single operation of a `deque`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from .entries import Weight

__all__ = ["KEPT_ROOM", "ROOM", "Backlog"]

ROOM: Final = 20_000
"""Facts that may wait: half a minute of a thousand calls, some 20 MB."""

KEPT_ROOM: Final = 10 * ROOM
"""Facts that may wait in all when what waits is never given up. Past it we would rather lose them than the process."""

_T = TypeVar("_T")


class Backlog(Generic[_T]):
    """Takes things by weight, and gives them in the order they came.

    When there is no room, the oldest thing of less weight makes some; when there is none, what comes is dropped. Things
    that are `KEPT` find room all the same, up to a bound that only a disk that is full for hours will reach.

    Args:
        room: How many may wait.
        kept_room: How many when only `KEPT` ones come.

    Attributes:
        dropped: How many were given up, by weight.
    """

    __slots__ = ("_kept_room", "_next", "_room", "_rows", "dropped")

    def __init__(self, room: int = ROOM, kept_room: int = KEPT_ROOM) -> None:
        self._room = room
        self._kept_room = kept_room
        self._rows: tuple[deque[tuple[int, _T]], ...] = tuple(deque() for _ in Weight)
        self._next = 0
        self.dropped = [0 for _ in Weight]

    def __len__(self) -> int:
        return sum(len(row) for row in self._rows)

    def put(self, weight: Weight, thing: _T) -> bool:
        """Take a thing. For one thread only.

        Returns:
            False when it was dropped.
        """
        metrics, events, kept = self._rows
        waiting = len(metrics) + len(events) + len(kept)
        if waiting >= self._room and not self._has_made_room(weight, waiting):
            self.dropped[weight] += 1
            return False
        self._rows[weight].append((self._next, thing))
        self._next += 1  # last: what `take` may not see yet has no lower number than what it sees
        return True

    def _has_made_room(self, weight: Weight, waiting: int) -> bool:
        for lighter in range(weight):
            try:
                self._rows[lighter].popleft()
            except IndexError:
                continue  # the other thread was quicker, or there is none
            self.dropped[lighter] += 1
            return True
        return weight == Weight.KEPT and waiting < self._kept_room

    def take(self, limit: int) -> list[_T]:
        """Give what has waited longest, in the order it came. For one thread only.

        Args:
            limit: At most so many.
        """
        return [thing for _, thing in self._oldest(limit, self._next)]

    def _oldest(self, limit: int, end: int) -> Iterator[tuple[int, _T]]:
        for _ in range(limit):
            first: deque[tuple[int, _T]] | None = None
            number = end
            for row in self._rows:
                try:
                    if row[0][0] < number:
                        first, number = row, row[0][0]
                except IndexError:
                    continue
            if first is None:
                return
            try:
                found = first.popleft()
            except IndexError:
                continue  # it made room just now
            if found[0] != number:
                first.appendleft(found)  # the same, and this is a later one
                continue
            yield found
