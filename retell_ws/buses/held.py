"""The entries a bus has taken and that nobody has acknowledged yet, in order. No I/O.

They are kept here, beside the client's own queue, so that all of them can be sent once more from the first on when the
client has failed with one: were only that one sent again, it would come after what its call had told later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..ports import Written

__all__ = ["Held"]


class Held:
    """Entries under way.

    Args:
        max_count: How many it may hold.
        max_bytes: Bytes of them together; one entry alone may have more.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: dict[int, Written] = {}
        self._unsent: deque[Written] = deque()
        self._suspects: set[int] = set()
        self._oversize: set[int] = set()
        self._acknowledged: list[int] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_suspects(self) -> bool:
        """An entry was refused for its size, together with others: each must be sent alone to find out which one."""
        return bool(self._suspects)

    def take(self, entry: Written) -> bool:
        """Take an entry, to be sent after all the others.

        One that is here already is under way: it is not taken twice.

        Returns:
            False when there is no room for it.
        """
        if entry.position in self._entries:
            return True
        size = len(entry.data)
        if self._entries and (len(self._entries) >= self._max_count or self._bytes + size > self._max_bytes):
            return False
        self._bytes += size
        self._entries[entry.position] = entry
        self._unsent.append(entry)
        return True

    def next(self) -> Written | None:
        """Give the first entry that is to be sent; it stays so until `sent`."""
        return self._unsent[0] if self._unsent else None

    def sent(self) -> None:
        """Note that the first of those to be sent was."""
        self._unsent.popleft()

    def again(self) -> None:
        """Have all be sent once more, from the first that was not acknowledged on."""
        self._unsent = deque(self._entries.values())

    def acknowledge(self, position: int) -> bool:
        """Let go of an entry that has arrived.

        Returns:
            False when it had been acknowledged before.
        """
        entry = self._entries.pop(position, None)
        if entry is None:
            return False
        self._bytes -= len(entry.data)
        self._suspects.discard(position)
        self._oversize.discard(position)
        self._acknowledged.append(position)
        return True

    def too_large(self, position: int, *, alone: bool) -> None:
        """Note that an entry was refused for its size.

        Args:
            position: Of the entry.
            alone: It was sent alone; otherwise one of those it was sent with may be the one.
        """
        if position not in self._entries:
            return
        if alone:
            self._suspects.discard(position)
            self._oversize.add(position)
        elif position not in self._oversize:
            self._suspects.add(position)

    def is_too_large(self, position: int) -> bool:
        """Tell whether an entry is known to be too large."""
        return position in self._oversize

    def acknowledged(self) -> Sequence[int]:
        """Give the positions that were acknowledged since the last time."""
        found, self._acknowledged = self._acknowledged, []
        return found
