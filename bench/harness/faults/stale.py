"""Whether a server that had lost its calls could still write for them: asked of Redis itself, before and after.

Each call's hash names its owner and the epoch of its attach. A call that has moved must keep its new owner, and its
epoch must never go back, whatever the old owner does when it wakes up.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Self

import msgspec
from redis.asyncio import Redis

from bench.harness.faults.fleet import Fleet

__all__ = ["Owned", "StaleWrites", "wrongly_owned"]

_CALL = re.compile(r"call_(\d+)_")


class Owned(msgspec.Struct, frozen=True):
    """Who has a call, by the hash in Redis."""

    owner: str
    epoch: int


def wrongly_owned(
    old: str, before: dict[int, Owned], moved: dict[int, Owned], after: dict[int, Owned]
) -> dict[int, str]:
    """Find the calls that a server got hold of again, or wrote to, after it had lost them.

    Args:
        old: The owner that was stopped.
        before: Who had each call then.
        moved: Who had it just before that server went on.
        after: Who has it now.

    Returns:
        What is wrong, by call.
    """
    found = {}
    for call, then in moved.items():
        if call not in before or before[call].owner != old or then.owner == old or call not in after:
            continue
        if after[call].owner == old:
            found[call] = f"taken back from {then.owner}"
        elif after[call].epoch < then.epoch:
            found[call] = f"epoch {then.epoch} became {after[call].epoch}"
    return found


class StaleWrites:
    """Watches the calls of one server while it is stopped and goes on.

    Args:
        fleet: What runs.
        name: The server.
    """

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._fleet = fleet
        self._name = name
        self._redis = Redis(host="127.0.0.1", port=fleet.redis.port)
        self._before: dict[int, Owned] = {}
        self._moved: dict[int, Owned] = {}
        self._refused = 0.0
        self._owner = ""

    async def __aenter__(self) -> Self:
        self._before = await self._owned()
        # A server's name in Redis is its own affair; the calls that it serves tell it.
        serves = {row.call for row in self._fleet.callers.rows if row.event == "open" and row.server == self._name}
        names = Counter(owned.owner for call, owned in self._before.items() if call in serves)
        self._owner = names.most_common(1)[0][0] if names else ""
        self._refused = await self._writes("refused")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._redis.aclose()

    async def moved(self) -> None:
        """Note who has the calls just before the server goes on."""
        self._moved = await self._owned()

    async def counted(self) -> dict[str, float]:
        """Look again; whatever is wrong goes into the history.

        Returns:
            `moved` calls, `refused` writes of that server since it was stopped, and `stale_writes`.
        """
        wrong = wrongly_owned(self._owner, self._before, self._moved, await self._owned())
        for call, what in wrong.items():
            self._fleet.callers.note("stale_write", self._name, what, call=call)
        lost = [call for call, owned in self._before.items() if owned.owner == self._owner]
        return {
            "moved": float(sum(self._moved[call].owner != self._owner for call in lost if call in self._moved)),
            "refused": await self._writes("refused") - self._refused,
            "stale_writes": float(len(wrong)),
        }

    async def _writes(self, outcome: str) -> float:
        metrics = await self._fleet.servers[self._name].metrics()
        return metrics.get(f'retell_ws_store_writes_total{{outcome="{outcome}"}}', 0.0)

    async def _owned(self) -> dict[int, Owned]:
        found = {}
        async for key in self._redis.scan_iter(count=1000):
            match = _CALL.search(key.decode())
            if match is None or await self._redis.type(key) != b"hash":
                continue
            owner, epoch = await self._redis.hmget(key, "owner", "epoch")
            if isinstance(owner, bytes) and epoch is not None:
                found[int(match[1])] = Owned(owner.decode(), int(epoch))
        return found
