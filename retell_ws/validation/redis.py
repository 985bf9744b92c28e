"""Redis: whether it is there, what it is, how far away, and whether it lets us do what servers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..blueprints import speaking_redis
from ..errors import RetellWsError
from ..loopback import is_loopback
from .book import Book, Entry
from .setup import Setup

if TYPE_CHECKING:
    from ..stores.redis_probe import RedisProbe

__all__ = ["check", "sweep"]

LIMIT_S: Final = 10.0

OLDEST: Final = (7, 0)
"""The first version whose scripts, ACLs and clusters are what we rely on. Of Valkey any will do."""

NEAR_MS: Final = 5.0
"""A round trip up to which nobody hears of it: the first word of a call waits for one, a takeover for some."""

FAR_MS: Final = 50.0
"""Beyond which answers are not looked up any more, and each takeover is a silence."""

SKEW_S: Final = 2.0

SAFE: Final = frozenset({"noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"})
"""What may be done when memory is full: calls of now stay. (`volatile-…` takes the calls that are over first.)"""

REACH: Final = (
    "see --redis-url: host, port, user and password; `rediss://` where it wants TLS, `redis://` where it has none"
)


async def check(setup: Setup, book: Book) -> None:
    """Look Redis over."""
    settings = setup.settings
    if not settings.is_shared():
        said = "the blueprint `single` needs none" if settings.blueprint == "single" else "there is no redis_url"
        book.skips("reachable", said, "several servers, and calls that outlive one: --redis-url redis://host:6379")
        return
    with speaking_redis():
        from ..stores.redis_probe import RedisProbe
    is_there = False
    async with book.line("reachable", limit_s=LIMIT_S, advice=REACH) as line, _probing(RedisProbe, setup) as redis:
        is_there = _version(line, await redis.hello())
    if not is_there:
        return
    async with book.line("round trip", limit_s=LIMIT_S) as line, _probing(RedisProbe, setup) as redis:
        _distance(line, await redis.round_trips())
    async with book.line("clock", limit_s=LIMIT_S) as line, _probing(RedisProbe, setup) as redis:
        _clock(line, await redis.skew())
    async with book.line("rights", limit_s=LIMIT_S) as line, _probing(RedisProbe, setup) as redis:
        key, channel = f"{settings.redis_prefix}{{{setup.run}}}", f"{settings.redis_prefix}server:{setup.run}"
        refused = await redis.refused(key, channel)
        _rights(line, refused.rules, refused.writes, settings.redis_prefix)
    async with book.line("memory and disk", limit_s=LIMIT_S) as line, _probing(RedisProbe, setup) as redis:
        _kept(line, await redis.info())
    _transport(book, settings.redis_url)


async def sweep(setup: Setup) -> None:
    """Delete what spare servers have left there; what cannot be found goes by itself, two hours later."""
    try:
        with speaking_redis():
            from ..stores.redis_probe import RedisProbe
        async with _probing(RedisProbe, setup) as redis:
            await redis.sweep(setup.redis_prefix)
    except RetellWsError:
        pass  # the lines of `redis` say so


def _probing(probe: type[RedisProbe], setup: Setup) -> RedisProbe:
    with speaking_redis():
        return probe(setup.settings.redis_url)


def _version(line: Entry, hello: Mapping[str, str]) -> bool:
    from ..stores.redis_probe import version_of

    server, number = hello.get("server", "redis"), hello.get("version", "")
    what = f"{server} {number or 'of an unknown version'}"
    if hello.get("role", "master") not in ("master", "primary"):
        line.fails(
            f"{what}, a replica: it takes no writes", "say the address of the master, or of a proxy that knows it"
        )
        return False
    if server != "valkey" and version_of(number) < OLDEST:
        line.fails(f"{what} is too old", "run Redis 7.0 or newer, or Valkey")
        return False
    mode = hello.get("mode", "standalone")
    line.passes(what if mode == "standalone" else f"{what}, {mode}")
    return True


def _distance(line: Entry, took: Sequence[float]) -> None:
    middle, longest = 1000 * took[len(took) // 2], 1000 * took[-1]
    seen = f"p50 {middle:.2f} ms, longest {longest:.2f} ms, of {len(took)}"
    if middle > FAR_MS:
        line.fails(seen, "put Redis into the servers' own network: a takeover waits for some of these")
    elif middle > NEAR_MS:
        line.warns(seen, "nearer would be better: the first word of each call waits for one of these")
    else:
        line.passes(seen)


def _clock(line: Entry, skew_s: float) -> None:
    if abs(skew_s) > SKEW_S:
        line.warns(
            f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} ours",
            "have both machines ask a time server (chrony, systemd-timesyncd): webhooks are refused when clocks differ",
        )
    else:
        line.passes("the same as ours")


def _rights(line: Entry, missing: Sequence[str], writes: str, prefix: str) -> None:
    if writes:
        line.fails(
            f"it takes no writes now, and says {writes}",
            "make room: its memory (OOM) or its disk (MISCONF); or bring back its replicas (NOREPLICAS), or what its "
            "cluster has lost (CLUSTERDOWN)",
        )
    elif missing:
        rules = " ".join(
            {"~ of keys": f"~{prefix}*", "& of channels": f"&{prefix}server:*"}.get(one, one) for one in missing
        )
        line.fails(f"our user may not do all that servers do: {rules} is missing", f"ACL SETUSER … {rules}")
    else:
        line.passes("our user may do all that servers do: scripts, hashes, answers, channels")


def _kept(line: Entry, info: Mapping[str, str]) -> None:
    if not info:
        line.skips("could not be checked: our user may not ask INFO", "ACL SETUSER … +info, for this check alone")
        return
    policy, limit = info.get("maxmemory_policy", ""), info.get("maxmemory_human", "no limit")
    is_saved = info.get("aof_enabled") == "1"
    disk = "an append-only file" if is_saved else f"last save {info.get('rdb_last_bgsave_status', 'unknown')}"
    limited = f"up to {limit}" if info.get("maxmemory", "0") != "0" else "no limit of memory"
    seen = f"{policy or 'no policy told'}, {limited}; {disk}"
    if policy and policy not in SAFE:
        line.fails(
            f"{seen}: when memory is full, live calls are thrown out",
            "maxmemory-policy noeviction, or volatile-ttl where others share it",
        )
    elif info.get("rdb_last_bgsave_status") == "err":
        line.warns(f"{seen}: it cannot write its disk, and may refuse writes", "make room on its disk")
    else:
        line.passes(seen)


def _transport(book: Book, url: str) -> None:
    name, parts = "transport", urlsplit(url)
    if parts.scheme == "rediss":
        book.put(name, "pass", "TLS")
    elif parts.scheme == "unix" or is_loopback(parts.hostname or ""):
        book.put(name, "pass", "this machine's own")
    else:
        book.put(
            name,
            "warn",
            "plain TCP to another machine: whoever reads along has the calls, whoever writes can move them",
            "rediss://…, or a network that nobody else is in",
        )
