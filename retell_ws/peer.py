"""One socket of Retell's: how a frame is written to it, and the ways it may end. Nothing else ends a socket.

Every close code but 1000 ends the call in error, and 1000 hangs up on the caller (protocol §1.6). So there are
just these verbs here, and the third, *refuse*, in `server.py`:

- **drop**: the TCP connection ends without a close frame. Retell sees 1006 and redials, up to four times a call.
- **hang up**: close with 1000. The agent leaves the call.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.protocol import State

__all__ = ["Peer"]

PENDING: Final = 32 * 1024
"""Bytes that may wait to be written before a peer counts as not reading: minutes of speech."""

KEEPALIVE: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
)
"""TCP's own keepalive, in seconds and tries, where the platform lets us set it: a dead line is gone in a minute."""

KERNEL_BUFFER: Final = 128 * 1024
"""Bytes the kernel may hold for a peer; its default grows to megabytes, which only hides that nobody reads."""


class Peer:
    """One accepted socket.

    Args:
        connection: The socket, after its handshake.
        send_s: Seconds a peer may leave `PENDING` bytes unread before it is dropped.
    """

    __slots__ = ("_connection", "_loop", "_receivers", "_send_s", "_transport", "_unread")

    def __init__(self, connection: ServerConnection, send_s: float) -> None:
        self._connection = connection
        self._receivers = (connection,)
        self._transport = connection.transport
        self._loop = asyncio.get_running_loop()
        self._send_s = send_s
        self._unread: asyncio.TimerHandle | None = None
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
            # A line that died before its first ping is noticed by nobody else.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for level, option, value in KEEPALIVE:
                raw.setsockopt(level, option, value)

    @property
    def is_open(self) -> bool:
        """A frame written now has a chance to arrive."""
        return self._connection.state is State.OPEN and not self._transport.is_closing()

    async def recv(self) -> bytes:
        """Wait for the next message.

        Cancelling it loses nothing.

        Raises:
            websockets.ConnectionClosed: The socket has ended, in whatever way.
        """
        return await self._connection.recv(decode=False)

    def write(self, frame: bytes) -> bool:
        """Write a frame now, without waiting. It goes nowhere when the socket has ended.

        Returns:
            Whether more is waiting to be written than a peer that reads would leave.

        `broadcast` is the library's one way to write that is a plain function; here it has one receiver.
        """
        broadcast(self._receivers, frame, text=True)
        if self._transport.get_write_buffer_size() > PENDING and self._unread is None:
            self._unread = self._loop.call_later(self._send_s, self._still_unread)
        return self._unread is not None

    async def room(self) -> None:
        """Wait until the peer has read on, or is gone."""
        with suppress(OSError):  # the socket broke meanwhile; whoever reads it will see
            await self._connection.drain()
        self._forget()

    def drop(self) -> None:
        """End the connection at once; what was not written is lost."""
        self._forget()
        self._transport.abort()

    def release(self) -> None:
        """End the connection without a close frame, after everything written has left; wait `send_s` for that."""
        self._transport.close()
        if self._unread is None:
            self._unread = self._loop.call_later(self._send_s, self.drop)

    async def hang_up(self) -> None:
        """Leave the call: close with 1000."""
        self._forget()
        await self._connection.close(1000)

    async def ended(self) -> None:
        """Wait until the connection is gone, so that the library finds nothing left to close."""
        await self._connection.wait_closed()
        self._forget()

    def _still_unread(self) -> None:
        self._unread = None
        if self._transport.get_write_buffer_size() > PENDING:
            self.drop()

    def _forget(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
