"""Calls kept in this process: what `single` has. Gone with it, and nothing here ever waits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..ports import Effect

__all__ = ["MemoryCallStore"]

TTL_S: Final = 7800.0
"""Seconds a call is kept after its last write: the longest call, and ten minutes (protocol §1.1)."""

MAX_CALLS: Final = 20_000
"""Calls kept; the one written to longest ago goes first."""

MAX_EFFECTS: Final = 1000
"""Side effects kept of one call: more than one a turn for two hours."""


class _Kept:
    __slots__ = ("effects", "state", "written_at")

    def __init__(self) -> None:
        self.effects: OrderedDict[str, Effect] = OrderedDict()
        self.state: bytes | None = None
        self.written_at = 0.0


class MemoryCallStore:
    """Implements `ports.CallStore`.

    Args:
        clock: The time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: OrderedDict[str, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    async def claim(self, call_id: str, key: str) -> Effect | None:
        """Write down that a side effect begins; see `ports.CallStore.claim`."""
        kept = self._written(call_id)
        effect = kept.effects.get(key)
        if effect is None:
            kept.effects[key] = Effect()
            if len(kept.effects) > MAX_EFFECTS:
                kept.effects.popitem(last=False)
        return effect

    async def settle(self, call_id: str, key: str, effect: Effect) -> None:
        """Write down what came of it; see `ports.CallStore.settle`."""
        self._written(call_id).effects[key] = effect

    async def release(self, call_id: str, key: str) -> None:
        """Forget a claim; see `ports.CallStore.release`."""
        self._written(call_id).effects.pop(key, None)

    async def forget(self, call_id: str, prefix: str) -> None:
        """Forget what was done under such keys; see `ports.CallStore.forget`."""
        effects = self._written(call_id).effects
        for key in [key for key, effect in effects.items() if key.startswith(prefix) and effect.outcome == "done"]:
            del effects[key]

    async def load(self, call_id: str) -> bytes | None:
        """Read the agent's state; see `ports.CallStore.load`."""
        self._forget_old()
        kept = self._calls.get(call_id)
        return None if kept is None else kept.state

    async def save(self, call_id: str, state: bytes) -> None:
        """Write the agent's state; see `ports.CallStore.save`."""
        self._written(call_id).state = state

    def _written(self, call_id: str) -> _Kept:
        self._forget_old()
        kept = self._calls.setdefault(call_id, _Kept())
        kept.written_at = self._clock()
        self._calls.move_to_end(call_id)
        if len(self._calls) > MAX_CALLS:
            self._calls.popitem(last=False)
        return kept

    def _forget_old(self) -> None:
        now = self._clock()
        while self._calls:
            oldest = next(iter(self._calls))
            if now - self._calls[oldest].written_at < TTL_S:
                break
            del self._calls[oldest]
