"""Answers kept in this process: what `single` has. Gone with it, and nothing here ever waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..answers import Answer

__all__ = ["MemoryAnswerStore"]

MAX_ANSWERS: Final = 10_000
"""Answers kept; the one not asked for longest goes first."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all of them together, `OVERHEAD` included."""

OVERHEAD: Final = 600
"""Bytes of an answer beside its text, about: its key and fields, and its place here."""


class MemoryAnswerStore:
    """Implements `ports.AnswerStore`.

    Args:
        clock: The time in seconds.
        max_answers: Answers kept.
        max_bytes: Bytes of all of them together.
    """

    def __init__(
        self, clock: Callable[[], float], *, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._clock = clock
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[Answer, float, int]] = OrderedDict()  # with its end and its bytes
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def missed(self) -> int:
        """None: there are no other servers."""
        return 0

    async def get(self, key: str) -> Answer | None:
        """Look an answer up; see `ports.AnswerStore.get`."""
        found = self._kept.get(key)
        if found is None:
            return None
        answer, until, _ = found
        if self._clock() >= until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return answer

    async def put(self, key: str, answer: Answer, *, ttl_s: float) -> None:
        """Keep an answer; see `ports.AnswerStore.put`."""
        if key in self._kept:
            self._drop(key)
        size = OVERHEAD + len(answer.text.encode("utf-8", "surrogatepass"))
        self._kept[key] = (answer, self._clock() + ttl_s, size)
        self._bytes += size
        while self._kept and (len(self._kept) > self._max_answers or self._bytes > self._max_bytes):
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._bytes -= self._kept.pop(key)[2]
