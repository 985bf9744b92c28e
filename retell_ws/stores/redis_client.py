"""How we speak to Redis: short waits, no retries, a bounded pool. The library's defaults freeze a call for seconds.

With the server gone, a call of the library's own default client takes 3.8 s to fail (ten retries with growing pauses);
its pool opens a connection for each command in flight, and raises at the hundredth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

__all__ = ["CONNECTIONS", "TIMEOUT_S", "Connecting", "client_of", "connecting"]

TIMEOUT_S: Final = 0.2
"""Seconds a command may take, or a connection, or the wait for a free one."""

CONNECTIONS: Final = 20
"""Connections of one process."""

HANDSHAKE_S: Final = 1.0
"""Seconds for each step of making a connection that lasts: a slow network is no reason to be without one."""

NO_URL: Final = "this is no URL of a Redis: redis://user:password@host:6379/0, rediss://…, unix://…"
"""Told of a URL that cannot be read. The library's own words may quote a part of the password."""

Connecting = Callable[[str | None, int], AbstractConnection]
"""Makes a connection, not yet connected, to a host and port, or to those of the URL."""


def client_of(url: str) -> Redis:
    """Make a client; it connects when it is first used.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://…` for TLS, `unix://…`.

    Raises:
        ValueError: It is no such URL.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ValueError(NO_URL) from None
    return Redis.from_pool(pool)


def connecting(url: str) -> Connecting:
    """Make what makes connections that last.

    Args:
        url: As of `client_of`.

    Raises:
        ValueError: It is no such URL.
    """
    try:
        parsed: dict[str, Any] = dict(parse_url(url))
        kind = parsed.pop("connection_class", Connection)
        given: dict[str, Any] = {
            "socket_timeout": HANDSHAKE_S,
            "socket_connect_timeout": HANDSHAKE_S,
            **parsed,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,  # RESP2: a reply for each command, and nothing else
            "decode_responses": False,
            "driver_info": None,  # to find out what to say there it reads files, each time
        }
        kind(**given)
    except (ValueError, TypeError, RedisError):
        raise ValueError(NO_URL) from None

    def make(host: str | None, port: int) -> AbstractConnection:
        if host is None:
            made: AbstractConnection = kind(**given)
            return made
        # Another node of a cluster: they have addresses, whatever the first one was reached by, and database 0.
        rest = {name: value for name, value in given.items() if name not in ("path", "db")}
        other: type[Connection] = kind if issubclass(kind, SSLConnection) else Connection
        return other(**{**rest, "host": host, "port": port})

    return make
