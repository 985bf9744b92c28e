"""Calls kept in this process: what `single` has. Gone with it, and nothing here ever waits."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from ..ports import Effect, Kept
from .limits import MAX_EFFECTS, TTL_S

__all__ = ["MemoryCallStore"]

MAX_CALLS: Final = 20_000
"""Calls kept; the one written to longest ago goes first."""

REFUSED: Final = Effect("refused")


class _Call:
    __slots__ = ("effects", "owner", "parts", "said", "state", "written_at")

    def __init__(self) -> None:
        self.effects: OrderedDict[str, Effect] = OrderedDict()
        self.state: bytes | None = None
        self.parts: dict[str, bytes] = {}
        self.said = ""
        self.owner: MemoryCallStore | None = None
        self.written_at = 0.0

    @property
    def is_empty(self) -> bool:
        return not (self.effects or self.parts or self.said or self.state is not None)


class MemoryCallStore:
    """Implements `ports.CallStore`.

    Args:
        clock: The time in seconds.
        name: That of the server whose store it is.
        beside: Another store, of another server in this process, whose calls are these too: for tests of what servers
            do to each other.
        is_shared: Let the calls write down where they stand; by default when there is a store `beside`.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        name: str = "",
        beside: MemoryCallStore | None = None,
        is_shared: bool = False,
    ) -> None:
        self._clock = clock
        self._name = name
        self._calls: OrderedDict[str, _Call] = OrderedDict() if beside is None else beside._calls
        self._is_shared = is_shared or beside is not None
        self._lost: dict[str, Callable[[], None]] = {}
        self._counted = {"written": 0.0, "refused": 0.0, "failed": 0.0, "degraded": 0.0}

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def name(self) -> str:
        """See `ports.CallStore.name`."""
        return self._name

    @property
    def is_shared(self) -> bool:
        """See `ports.CallStore.is_shared`."""
        return self._is_shared

    # ------------------------------------------------------------------------ where a call stands

    async def attach(self, call_id: str, lost: Callable[[], None]) -> Kept:
        """Take a call; see `ports.CallStore.attach`."""
        self._forget_old()
        call = self._calls.get(call_id)
        if call is None:
            call = self._calls[call_id] = _Call()
        before, call.owner, self._lost[call_id] = call.owner, self, lost
        self._touch(call_id, call)
        return Kept(
            has_moved=before is not None and before is not self,
            parts=dict(call.parts),
            said=call.said,
            effects=dict(call.effects),
        )

    def vouch(self, call_id: str) -> None:
        """Have nothing to do: a memory can always tell."""

    def write(self, call_id: str, parts: Mapping[str, bytes]) -> None:
        """Write down where a call stands; see `ports.CallStore.write`."""
        if (call := self._own(call_id)) is not None:
            call.parts.update(parts)
            call.said = ""

    def say(self, call_id: str, text: str) -> None:
        """Write down what is about to be said; see `ports.CallStore.say`."""
        if (call := self._own(call_id)) is not None:
            call.said += text

    def detach(self, call_id: str) -> None:
        """Let go of a call; see `ports.CallStore.detach`."""
        self._lost.pop(call_id, None)
        call = self._calls.get(call_id)
        if call is not None and call.owner is self and call.is_empty:
            del self._calls[call_id]  # it would take the place of one whose side effects must be known

    async def owner(self, call_id: str) -> str | None:
        """Look up which server has a call; see `ports.CallStore.owner`."""
        self._forget_old()
        call = self._calls.get(call_id)
        return None if call is None or call.owner is None else call.owner.name

    def figures(self) -> Mapping[str, float]:
        """Count; see `ports.CallStore.figures`."""
        return self._counted

    # ------------------------------------------------------------------------ side effects

    async def claim(self, call_id: str, key: str) -> Effect | None:
        """Write down that a side effect begins; see `ports.CallStore.claim`."""
        call = self._own(call_id)
        if call is None:
            return REFUSED
        effect = call.effects.get(key)
        if effect is None:
            call.effects[key] = Effect()
            if len(call.effects) > MAX_EFFECTS:
                call.effects.popitem(last=False)
        return effect

    async def settle(self, call_id: str, key: str, effect: Effect) -> None:
        """Write down what came of it; see `ports.CallStore.settle`."""
        if (call := self._own(call_id)) is not None:
            call.effects[key] = effect

    async def release(self, call_id: str, key: str) -> None:
        """Forget a claim; see `ports.CallStore.release`."""
        if (call := self._own(call_id)) is not None:
            call.effects.pop(key, None)

    async def forget(self, call_id: str, prefix: str) -> None:
        """Forget what was done under such keys; see `ports.CallStore.forget`."""
        if (call := self._own(call_id)) is not None:
            for key in [key for key, effect in call.effects.items() if key.startswith(prefix)]:
                if call.effects[key].outcome == "done":
                    del call.effects[key]

    # ------------------------------------------------------------------------ the agent's state

    async def load(self, call_id: str) -> bytes | None:
        """Read the agent's state; see `ports.CallStore.load`."""
        self._forget_old()
        call = self._calls.get(call_id)
        return None if call is None else call.state

    async def save(self, call_id: str, state: bytes) -> None:
        """Write the agent's state; see `ports.CallStore.save`."""
        if (call := self._own(call_id)) is not None:
            call.state = state

    # ------------------------------------------------------------------------

    def _own(self, call_id: str) -> _Call | None:
        """Give a call to write to; None when another store has it, of which this one's server is told."""
        self._forget_old()
        call = self._calls.setdefault(call_id, _Call())
        if call.owner in (self, None):
            self._counted["written"] += 1
            self._touch(call_id, call)
            return call
        self._counted["refused"] += 1
        if (lost := self._lost.pop(call_id, None)) is not None:
            asyncio.get_running_loop().call_soon(lost)  # not now: whoever writes is in the middle of something
        return None

    def _touch(self, call_id: str, call: _Call) -> None:
        call.written_at = self._clock()
        self._calls.move_to_end(call_id)
        if len(self._calls) > MAX_CALLS:
            self._calls.popitem(last=False)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._calls:
            oldest = next(iter(self._calls))
            if now - self._calls[oldest].written_at < TTL_S:
                break
            del self._calls[oldest]
