"""Connections to the model's host, kept for the next turn. Runs no task: all happens in the caller's, or at a callback.

A connection is worth two round trips and a TLS handshake, which a caller would hear as silence on every turn, so an
idle one is kept five minutes, far longer than common clients do (five seconds, which is shorter than a turn). The
last one used is the first one taken: it is the likeliest to be alive, and the others can grow old and go.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
from aiohappyeyeballs import AddrInfoType, start_connection

from ..errors import ModelUnavailable
from .http1 import Connection, Response
from .target import Target, header_fields

__all__ = ["ConnectionPool", "PoolStatistics", "shared_ssl_context"]

KEEPALIVE_S: Final = 300.0
"""Longest idle time of a connection. Proxies in front of APIs commonly allow 350 s and more."""

MAX_CONNECTIONS: Final = 2000
"""More than one process can serve calls; a bound against a leak, not a limit to run into."""

ATTEMPT_DELAY_S: Final = 0.25
"""Seconds an address has to itself before the next one is tried as well (RFC 8305 §5)."""

REQUEST_TIMEOUT: Final = 408

CLOSE_S: Final = 1.0
"""How long `aclose` waits for aborted connections to report that they are gone, which takes one turn of the loop."""


class PoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool has done and holds.

    Attributes:
        open: Connections that exist, idle ones included.
        idle: Connections ready for a request.
        opened: Connections opened since the start.
        reused: Requests sent on a connection that had served before, or was opened ahead.
        retried: Requests sent twice because such a connection turned out dead.
    """

    open: int
    idle: int
    opened: int
    reused: int
    retried: int


@functools.cache
def shared_ssl_context() -> ssl.SSLContext:
    """The system's trust, loaded once a process: it takes 20 ms, which no call should wait for."""
    return ssl.create_default_context()


class ConnectionPool:
    """Posts bodies to one URL.

    Args:
        url: `http` or `https`.
        headers: Sent with every request, beside `host` and `content-length`.
        connect_timeout_s: Longest time for name, TCP and TLS together, in seconds.
        read_timeout_s: Longest silence of the host while an answer is due or coming, in seconds.
        keepalive_s: Longest idle time of a connection, in seconds.
        max_connections: Most connections at one time.
        ssl_context: Whom to trust instead of the system's authorities.

    Raises:
        SettingsError: The URL or a header cannot be used. The text holds no header's value.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        connect_timeout_s: float = 1.0,
        read_timeout_s: float = 10.0,
        keepalive_s: float = KEEPALIVE_S,
        max_connections: int = MAX_CONNECTIONS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        target = self._target = Target.of(url)
        self._ssl = (ssl_context or shared_ssl_context()) if target.tls else None
        self._head = f"POST {target.path} HTTP/1.1\r\nhost: {target.authority}\r\n{header_fields(headers)}".encode()
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._keepalive_s = keepalive_s
        self._max_connections = max_connections
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}  # in order of their last use, with the loop's time of it
        self._opening = self._opened = self._reused = self._retried = 0
        self._closed: asyncio.Event | None = None  # exists once closed; set when the last connection is gone

    async def post(self, body: bytes) -> Response:
        """Send a request and wait for the head of its answer.

        An idle connection may have been closed by the host an instant ago. When it turns out so, before a byte of
        the answer, the request goes out once more on a new connection (RFC 9110 §9.2.2 leaves that to the user of
        a method that is not idempotent; a generation that nobody reads does no harm but to the bill).

        Args:
            body: The request's body, JSON.

        Returns:
            The response; the caller owes it `close` or `finish`.

        Raises:
            ModelUnavailable: No answer began.
        """
        request = b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body)
        idle = self._pop_idle()
        if idle is not None:
            self._reused += 1
            response = idle.send(request)
            try:
                await response.head()
            except ModelUnavailable:
                if not response.stale or self._closed is not None:
                    raise
            else:
                if response.status != REQUEST_TIMEOUT:
                    return response
                response.close()  # a proxy's farewell to an idle connection crossed our request (RFC 9110 §15.5.9)
            self._retried += 1
        response = (await self._connect()).send(request)
        await response.head()
        return response

    async def warm(self, count: int = 1) -> None:
        """Open connections until `count` of them are idle; of callers at the same time each opens its own.

        Raises:
            ModelUnavailable: One cannot be opened.
        """
        self._drop_old()
        while len(self._idle) < count:
            self._keep(await self._connect())

    async def aclose(self) -> None:
        """Abort every connection and wait until they are gone. Answers still coming end in `ModelBroken`."""
        if self._closed is None:
            self._closed = asyncio.Event()
        for connection in tuple(self._open):
            connection.break_off("the model's client was closed")
        if self._open:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._closed.wait()
            except TimeoutError:
                pass  # the loop is stuck elsewhere; the sockets are aborted all the same

    def statistics(self) -> PoolStatistics:
        """Count what there is and was."""
        return PoolStatistics(
            open=len(self._open),
            idle=len(self._idle),
            opened=self._opened,
            reused=self._reused,
            retried=self._retried,
        )

    async def _connect(self) -> Connection:
        if self._closed is not None:
            raise ModelUnavailable("the model's client is closed")
        if len(self._open) + self._opening >= self._max_connections:
            raise ModelUnavailable(f"all {self._max_connections} connections to {self._target.authority} are in use")
        self._opening += 1
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._connect_to_one_of(await self._addresses())
        except TimeoutError:
            raise ModelUnavailable(
                f"no connection to {self._target.authority} within {self._connect_timeout_s:g} s"
            ) from None
        except OSError as exc:
            raise ModelUnavailable(f"no connection to {self._target.authority}: {exc.strerror or exc}") from exc
        finally:
            self._opening -= 1
        self._opened += 1
        if self._closed is not None:
            connection.break_off("the model's client was closed")
            raise ModelUnavailable("the model's client is closed")
        return connection

    async def _addresses(self) -> list[AddrInfoType]:
        host, port = self._target.host, self._target.port
        with suppress(ValueError):
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))

    async def _connect_to_one_of(self, addresses: list[AddrInfoType]) -> Connection:
        """Connect to whichever address answers first (RFC 8305): the first may be a black hole, as IPv6 often is.

        uvloop cannot do that itself.
        """
        loop = asyncio.get_running_loop()
        sock = await start_connection(addresses, happy_eyeballs_delay=ATTEMPT_DELAY_S, interleave=1, loop=loop)
        _, connection = await loop.create_connection(
            self._connection,
            sock=sock,
            ssl=self._ssl,
            server_hostname=self._target.host if self._ssl is not None else None,
            ssl_handshake_timeout=self._connect_timeout_s if self._ssl is not None else None,
        )
        return connection

    def _connection(self) -> Connection:
        return Connection(
            read_timeout_s=self._read_timeout_s, made=self._open.add, released=self._keep, lost=self._forget
        )

    def _pop_idle(self) -> Connection | None:
        self._drop_old()
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
        return None

    def _keep(self, connection: Connection) -> None:
        if self._closed is not None:
            connection.break_off("the model's client was closed")
            return
        self._idle[connection] = asyncio.get_running_loop().time()
        self._drop_old()

    def _drop_old(self) -> None:
        oldest_allowed = asyncio.get_running_loop().time() - self._keepalive_s
        while self._idle:
            connection = next(iter(self._idle))
            if self._idle[connection] > oldest_allowed:
                return
            del self._idle[connection]
            connection.break_off("the connection grew old")

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)
        if self._closed is not None and not self._open:
            self._closed.set()
