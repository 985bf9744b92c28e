"""What escalation knows of calls, in Redis: any process of the group can go on where another one was.

| key | holds |
|---|---|
| `<prefix>watch:{<call id>}` | a hash: `version`, `state`, and `e:<id>`, an errand, for each that is not settled |
| `<prefix>errands` | a sorted set: call and errand, by the millisecond from which it is anybody's |

A call and its errands change at one stroke, under the version that was read: of two processes that take a rule to be
met, one is told to read again. The sorted set may live on another server of a cluster, so it is written before; what it
names without there being such an errand is taken away. All times are Redis's own.

A user of an ACL needs `+evalsha +eval +script|load +hget +hmget +hset +hdel +hexists +expire +time +zadd +zrem
+zrangebyscore`, in a cluster `+cluster|slots +asking`, and `~<prefix>*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from ..errands import Errand, decode, encode
from ..errors import SinkError, WireError
from ..watch_store import LEASE_S, Known
from .limits import TTL_S
from .redis_nodes import Nodes, word_of
from .redis_pipe import Gone
from .redis_scripts import Script

__all__ = ["RedisWatchStore"]

LIMIT_S: Final = 1.0
"""Seconds for one reply."""

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

SAVE: Final = Script(
    f"""
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], {TTL_S})
return 1
"""
)
"""Change a call. ARGV: the version it must have; fields and values."""

ADD: Final = Script(
    f"""
{_NOW}
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), ARGV[i]) end
return 1
"""
)
"""Note errands. ARGV: milliseconds until they are anybody's; they."""

TAKE: Final = Script(
    f"""
{_NOW}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[2])
for _, each in ipairs(found) do redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), each) end
return found
"""
)
"""Take errands. ARGV: milliseconds for which they are taken; how many, at most."""

REPLACE: Final = Script(
    """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
)
"""Change a field that is there. ARGV: field, value."""


class RedisWatchStore:
    """Implements `watch_store.WatchStore`. Use it as an async context; entering never fails for want of a Redis.

    Args:
        url: As of `RedisCallStore`.
        prefix: What every key begins with.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, url: str, *, prefix: str = "retell_ws:") -> None:
        self._nodes = Nodes(url, what="escalation", scripts=(SAVE, ADD, TAKE, REPLACE))
        self._prefix = prefix
        self._errands = f"{prefix}errands".encode("utf-8", "surrogatepass")

    def __repr__(self) -> str:
        return f"RedisWatchStore(prefix={self._prefix!r})"  # not the URL: it may hold a password

    async def __aenter__(self) -> Self:
        await self._nodes.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nodes.aclose()

    async def load(self, call_id: str) -> Known | None:
        """Read what is known of a call; see `watch_store.WatchStore.load`."""
        version, state = await self._ask(self._key(call_id), "HMGET", "version", "state")
        return None if version is None or state is None else Known(version, state)

    async def save(self, call_id: str, known: Known, errands: Sequence[Errand], *, over: bytes) -> bool:
        """Write what is known of a call; see `watch_store.WatchStore.save`."""
        if errands:
            named = [_named(call_id, errand.id) for errand in errands]
            await self._run(ADD, self._errands, int(LEASE_S * 1000), *named)
        fields = [part for errand in errands for part in (f"e:{errand.id}", encode(errand))]
        said = await self._run(SAVE, self._key(call_id), over, "version", known.version, "state", known.state, *fields)
        return bool(said == 1)

    async def take(self, limit: int) -> Sequence[Errand]:
        """Take errands that are nobody's; see `watch_store.WatchStore.take`."""
        taken = []
        for name in await self._run(TAKE, self._errands, int(LEASE_S * 1000), limit):
            call_id, _, errand_id = name.decode("utf-8", "surrogatepass").rpartition(" ")
            data = await self._ask(self._key(call_id), "HGET", f"e:{errand_id}")
            try:
                if data is None:
                    raise WireError("there is no such errand")
                taken.append(decode(data))
            except WireError:
                await self._ask(self._errands, "ZREM", name)
        return taken

    async def postpone(self, errand: Errand, wait_s: float) -> None:
        """Write an errand down as it is now; see `watch_store.WatchStore.postpone`."""
        if await self._run(REPLACE, self._key(errand.call_id), f"e:{errand.id}", encode(errand)) == 1:
            await self._run(ADD, self._errands, int(wait_s * 1000), _named(errand.call_id, errand.id))

    async def settle(self, errand: Errand) -> None:
        """Forget an errand; see `watch_store.WatchStore.settle`."""
        await self._ask(self._key(errand.call_id), "HDEL", f"e:{errand.id}")
        await self._ask(self._errands, "ZREM", _named(errand.call_id, errand.id))

    def _key(self, call_id: str) -> bytes:
        return f"{self._prefix}watch:{{{call_id}}}".encode("utf-8", "surrogatepass")

    async def _ask(self, key: bytes, name: str, *arguments: Any) -> Any:
        slot = Nodes.slot_of(key)
        return self._right(slot, await self._nodes.ask(slot, (name, key, *arguments), LIMIT_S))

    async def _run(self, script: Script, key: bytes, *arguments: Any) -> Any:
        slot = Nodes.slot_of(key)
        return self._right(slot, await self._nodes.run(script, slot, key, arguments, LIMIT_S))

    def _right(self, slot: int, reply: Any) -> Any:
        if isinstance(reply, Gone):
            raise SinkError("Redis does not answer")
        if isinstance(reply, Exception):
            if (pipe := self._nodes.pipe(slot)) is not None:
                self._nodes.wrong(pipe, reply)
            raise SinkError(f"Redis does not do as it is told: {word_of(reply)}")
        return reply


def _named(call_id: str, errand_id: str) -> bytes:
    return f"{call_id} {errand_id}".encode("utf-8", "surrogatepass")
