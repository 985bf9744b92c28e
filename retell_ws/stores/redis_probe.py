"""Looks a Redis over, for whoever wants to know whether it will do: what it is, how far away, and what it lets us do.

One connection, which waits for one reply after the other: nothing here is in the way of a call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ..errors import RetellWsError
from .redis_client import connecting
from .redis_reasons import reason
from .redis_scripts import ATTACH

__all__ = ["ProbeError", "RedisProbe", "Refused", "version_of"]

PINGS: Final = 50

PAGE: Final = 500
"""Keys that are looked at, and deleted, at once."""


class ProbeError(RetellWsError):
    """It cannot be reached, or it does not let us in. The text quotes nothing of the URL."""


class Refused(NamedTuple):
    """What it did not let us do.

    Attributes:
        rules: Of an ACL, that are missing: `+hset`, `~ of keys`, `& of channels`.
        writes: Its word for why it writes nothing for anybody, as `OOM`; empty when it does.
    """

    rules: list[str]
    writes: str


def version_of(text: str) -> tuple[int, ...]:
    """Read a version: `7.2.4` is (7, 2, 4); of what has no numbers, nothing."""
    return tuple(map(int, re.findall(r"\d+", text)))


class RedisProbe:
    """One connection to a Redis while the block lasts.

    Args:
        url: As of `redis_client.client_of`.
        host: Of another server of its cluster; None for the one that the URL names.
        port: Of that other server.

    Raises:
        ValueError: It is no such URL.
        ProbeError: On entering: it cannot be reached.
    """

    def __init__(self, url: str, *, host: str | None = None, port: int = 0) -> None:
        self._url = url
        self._connection = connecting(url)(host, port)

    async def __aenter__(self) -> Self:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as exc:
            await self._connection.disconnect()
            raise ProbeError(f"it cannot be reached: {reason(exc)}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.disconnect()

    async def hello(self) -> Mapping[str, str]:
        """Ask what it is, which any user may: `server`, `version`, `mode` and `role`; empty when it does not say."""
        try:
            reply = await self._ask("HELLO")
        except ResponseError:  # older than 6, or a proxy that does not know it
            return {}
        if not isinstance(reply, list):
            return {}
        pairs = zip(reply[::2], reply[1::2], strict=False)
        return {_text(name): _text(value) for name, value in pairs if isinstance(value, bytes)}

    async def info(self) -> Mapping[str, str]:
        """Ask how it is set up; empty when our user may not."""
        try:
            reply = await self._ask("INFO")
        except ResponseError:
            return {}
        lines = (line.partition(":") for line in _text(reply).splitlines() if not line.startswith("#"))
        return {name: value for name, colon, value in lines if colon}

    async def round_trips(self) -> list[float]:
        """Measure how far away it is: seconds of some round trips, the shortest first.

        Raises:
            ProbeError: It does not say, or our user may not ask.
        """
        took = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await self._told("PING")
            took.append(time.perf_counter() - began)
        return sorted(took)

    async def skew(self) -> float:
        """Compare clocks: by how many seconds its own is ahead of ours.

        Raises:
            ProbeError: It does not say, or our user may not ask.
        """
        began = time.time()
        seconds, micros = await self._told("TIME")
        return int(seconds) + int(micros) / 1e6 - (began + time.time()) / 2

    async def refused(self, key: str, channel: str) -> Refused:
        """Do once what servers do all the time.

        Args:
            key: One that is ours; it is deleted.
            channel: One that is ours.
        """
        commands: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("+script|load", ("SCRIPT", "LOAD", ATTACH.text)),
            ("+evalsha", ("EVALSHA", ATTACH.sha, 1, key, "validate")),
            ("+eval", ("EVAL", "return 1", 1, key)),
            ("+hset", ("HSET", key, "a", "1")),
            ("+hget", ("HGET", key, "a")),
            ("+hgetall", ("HGETALL", key)),
            ("+hsetnx", ("HSETNX", key, "a", "1")),
            ("+hdel", ("HDEL", key, "a")),
            ("+expire", ("EXPIRE", key, 60)),
            ("+time", ("TIME",)),
            ("+del", ("DEL", key)),
            ("+set", ("SET", key, "1", "EX", 60)),
            ("+get", ("GET", key)),
            ("+getrange", ("GETRANGE", key, 0, 1)),
            ("+del", ("DEL", key)),
            ("+publish", ("PUBLISH", channel, "")),
            ("+ping", ("PING",)),
            ("+subscribe", ("SUBSCRIBE", channel)),  # last: afterwards the connection is for nothing else
        )
        missing: dict[str, None] = {}
        writes = ""
        for rule, command in commands:
            try:
                await self._ask(*command)
            except NoPermissionError as exc:
                missing[_rule(str(exc)) or rule] = None
            except ResponseError as exc:  # otherwise a cluster has it elsewhere: it was allowed all the same
                writes = writes or _refusing(exc)
        return Refused(list(missing), writes)

    async def sweep(self, prefix: str) -> int | None:
        """Delete all keys that begin with a prefix, in a cluster on every primary that can be reached.

        Returns:
            How many there were; None when our user may not look for them.
        """
        primaries = await self._primaries()
        if not primaries:
            return await self._sweep(prefix)
        gone: list[int | None] = []
        for host, port in primaries:
            with suppress(ProbeError):  # what it has goes by itself
                async with RedisProbe(self._url, host=host, port=port) as primary:
                    gone.append(await primary._sweep(prefix))
        found = [number for number in gone if number is not None]
        return sum(found) if found else None

    async def _primaries(self) -> list[tuple[str, int]]:
        """Ask where a cluster's primaries are; there are none when it is no cluster, or our user may not ask."""
        if (await self.hello()).get("mode") != "cluster":
            return []
        try:
            ranges = await self._ask("CLUSTER", "SLOTS")
        except ResponseError:
            return []
        own = str(getattr(self._connection, "host", "127.0.0.1"))  # some do not know their own name
        found = ((_text(primary[0] or b""), int(primary[1])) for _, _, primary, *_ in ranges)
        return list(dict.fromkeys((own if host in ("", "?") else host, port) for host, port in found))

    async def _sweep(self, prefix: str) -> int | None:
        gone, cursor = 0, b"0"
        while True:
            try:
                cursor, keys = await self._ask("SCAN", cursor, "MATCH", f"{_literally(prefix)}*", "COUNT", PAGE)
            except ResponseError:
                return None
            for key in keys:
                with suppress(ResponseError):  # it has just moved to another one
                    gone += await self._ask("DEL", key)
            if cursor == b"0":
                return gone

    async def _told(self, command: str) -> Any:
        """Ask for what any server of ours asks for."""
        try:
            return await self._ask(command)
        except NoPermissionError:
            raise ProbeError(f"our user may not ask {command}: ACL SETUSER … +{command.lower()}") from None
        except ResponseError as exc:
            raise ProbeError(f"it refuses {command}, and says {str(exc).partition(' ')[0]}") from None

    async def _ask(self, *command: Any) -> Any:
        try:
            await self._connection.send_command(*command)
            reply = await self._connection.read_response(disconnect_on_error=True)
        except ResponseError:
            raise
        except (RedisError, OSError, TimeoutError) as exc:
            raise ProbeError(f"{command[0]} got no reply: {reason(exc)}") from None
        return reply


def _rule(said: str) -> str:
    """Tell which rule is missing where it is none of a command; who we are is quoted there, too."""
    if "permissions to access" not in said:
        return ""
    return "& of channels" if "channel" in said else "~ of keys"


def _refusing(exc: ResponseError) -> str:
    """Give the word with which a server refuses all writes; empty for any other error."""
    match exc:
        case OutOfMemoryError():
            return "OOM"
        case ReadOnlyError():
            return "READONLY"
        case ClusterDownError():
            return "CLUSTERDOWN"
    word = str(exc).partition(" ")[0]
    return word if word in ("MISCONF", "NOREPLICAS") else ""


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _literally(prefix: str) -> str:
    """Take their meaning from the characters that a pattern gives one."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix)
