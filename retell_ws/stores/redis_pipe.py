"""One connection to a Redis server that many share: commands go out at once, replies are matched in their order.

redis-py connects it, with TLS and a password where the URL says so; then its socket is taken over, because whatever is
written to a caller's socket must never be ahead of Redis, not even when this process is killed in between: `send` has
handed its bytes to the kernel before it returns. So there is no pool to wait for, and a command costs microseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection, SSLConnection

__all__ = ["CONNECT_S", "GONE", "SILENCE_S", "SLOW_S", "Gone", "Pipe", "pack"]

CONNECT_S: Final = 2.0
"""Seconds a connection may take, with TLS, password and all: some turns of a slow network."""

SLOW_S: Final = 0.2
"""Seconds after which a missing reply is worth telling. Of a call only its attach and its claims wait for it."""

SILENCE_S: Final = 1.0
"""Seconds without a byte, while replies are due, after which the connection is given up: a slow Redis is not a dead
one, and for a dead one nobody should wait longer."""

LAST_LOOK_S: Final = 0.05
"""Seconds after that for replies that have come and were not read yet."""

MAX_COUNT: Final = 10_000
"""Commands that may be under way."""

MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of them together."""

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""Write a command as Redis reads it."""


class Gone(Exception):
    """No reply: the connection is no more, or it took too long. Whether the command was carried out nobody knows."""


GONE: Final = Gone("no reply")

Done = Callable[[Any, Any, Any], None]


class Pipe(asyncio.Protocol):
    """One connection.

    Args:
        closed: Called once, when it is no more.
    """

    def __init__(self, closed: Callable[[Pipe], None]) -> None:
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[Done, Any, Any, int, float]] = deque()
        self._bytes = 0
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = None
        self._kept: Any = None
        self.is_open = False
        self._lost = asyncio.Event()

    async def connect(self, made: AbstractConnection) -> None:
        """Connect, and take the connection over.

        Raises:
            RedisError: It was refused.
            OSError: It was refused.
            TimeoutError: It took too long.
        """
        connection: Any = made  # the library has no types here
        try:
            async with asyncio.timeout(CONNECT_S):
                if isinstance(connection, SSLConnection):
                    await asyncio.to_thread(connection.ssl_context.get)  # reads certificates
                await connection.connect()
        except BaseException:
            connection._close()
            raise
        reader, writer = connection._reader, connection._writer
        # The writer would close the socket when it is collected; the connection would complain of it.
        self._kept, connection._writer, connection._reader = writer, None, None
        if reader is None or writer is None or reader.at_eof() or writer.transport.is_closing():
            if writer is not None:
                writer.transport.abort()
            raise ConnectionResetError("closed while it was made")  # which this object would not be told any more
        self._transport = writer.transport
        self._transport.set_protocol(self)
        # Some versions of uvloop would otherwise write at the end of the loop's turn.
        self._transport.set_write_buffer_limits(high=0)
        self.is_open = True

    # ------------------------------------------------------------------------ commands

    def has_room(self) -> bool:
        """Tell whether one more command may be sent."""
        return self.is_open and len(self._waiting) < MAX_COUNT and self._bytes < MAX_BYTES

    def send(self, command: bytes, done: Done, about: Any = None, more: Any = None) -> None:
        """Send a command, at once.

        Args:
            command: As of `pack`.
            done: Called with the reply, `about` and `more`. An error of Redis's is a `hiredis.ReplyError`; without a
                reply it is a `Gone`.
            about: For `done`.
            more: For `done`.
        """
        if not self.is_open:
            self._loop.call_soon(done, GONE, about, more)
            return
        size = len(command)
        now = self._loop.time()
        self._waiting.append((done, about, more, size, now))
        self._bytes += size
        if self._timer is None:
            self._heard_at = now
            self._timer = self._loop.call_later(SILENCE_S, self._look)
        self._transport.write(command)

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command, and give what becomes its reply: an error of Redis's, or `Gone`, is one too."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, _answer, future)
        return future

    @property
    def in_flight(self) -> int:
        """Commands whose reply is due."""
        return len(self._waiting)

    def is_slow(self) -> bool:
        """Tell whether a reply is overdue."""
        return bool(self._waiting) and self._loop.time() - max(self._waiting[0][4], self._heard_at) > SLOW_S

    def close(self) -> None:
        """Close it at once; whoever waits for a reply is told that there is none."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    async def aclose(self) -> None:
        """Close it, and wait until the loop has let go of it."""
        self.close()
        if self._transport is not None:
            await self._lost.wait()

    # ------------------------------------------------------------------------ replies

    def data_received(self, data: bytes) -> None:
        """Match what came; called by the loop."""
        self._heard_at = self._loop.time()
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                if not waiting:
                    self.close()  # nobody asked: from here on nothing would match
                    return
                done, about, more, size, _ = waiting.popleft()
                self._bytes -= size
                done(reply, about, more)
                if not self.is_open:  # by that: the others were told that there is no reply
                    return
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody; called by the loop."""
        self._lost.set()
        self._end()

    def _look(self, is_last: bool = False) -> None:
        self._timer = None
        if not self._waiting:
            return
        due = max(self._heard_at, self._waiting[0][4]) + SILENCE_S
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
        elif not is_last:
            # Perhaps it was this loop that stood still, and the replies are there to be read.
            self._timer = self._loop.call_later(LAST_LOOK_S, self._look, True)
        else:
            self.close()

    def _end(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting, self._bytes = self._waiting, deque(), 0
        for done, about, more, _, _ in waiting:
            done(GONE, about, more)
        self._closed(self)


def _answer(reply: Any, future: asyncio.Future[Any], _: Any) -> None:
    if not future.done():
        future.set_result(reply)
