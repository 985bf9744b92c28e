"""How we speak to Redis: short waits, no retries, a bounded pool. The library's defaults freeze a call for seconds.

With the server gone, a call of the library's own default client takes 3.8 s to fail (ten retries with growing pauses);
its pool opens a connection for each command in flight, and raises at the hundredth.
"""

from __future__ import annotations

from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ["TIMEOUT_S", "client_of"]

TIMEOUT_S: Final = 0.2
"""Seconds a command may take, or a connection, or the wait for a free one."""

CONNECTIONS: Final = 20
"""Connections of one process."""


def client_of(url: str) -> Redis:
    """Make a client; it connects when it is first used.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://…` for TLS, `unix://…`.

    Raises:
        ValueError: It is no such URL.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
