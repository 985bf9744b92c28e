"""One socket of Retell's: how a frame is written to it, and the ways it may end. Nothing else ends a socket.

Every close code but 1000 ends the call in error, and 1000 hangs up on the caller (protocol §1.6). So there are
just these verbs here, and the third, *refuse*, in `server.py`:

- **drop**: the TCP connection ends without a close frame. Retell sees 1006 and redials, up to four times a call.
- **hang up**: close with 1000. The agent leaves the call.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from websockets.asyncio.server import broadcast
from websockets.protocol import State

from .connection import Connection

__all__ = ["Peer"]

MAX_UNREAD: Final = 1 << 20
"""Bytes that may wait for a peer: an hour of speech, and more than any that reads leaves."""


class Peer:
    """One accepted socket.

    Args:
        connection: The socket, after its handshake.
    """

    __slots__ = ("_connection", "_receivers", "_transport")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._receivers = (connection,)
        self._transport = connection.transport

    @property
    def is_open(self) -> bool:
        """A frame written now has a chance to arrive."""
        return self._connection.state is State.OPEN and not self._transport.is_closing()

    @property
    def received_at(self) -> float:
        """When bytes came last, by `time.monotonic`: those of the message that `recv` gives, unless it fell behind."""
        return self._connection.received_at

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
        if not self._connection.is_full:
            return False
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._transport.abort()  # it asks and does not read: it would fill the memory before its time is up
        return True

    async def room(self) -> None:
        """Wait until the peer has read on, or is gone."""
        with suppress(OSError):  # the socket broke meanwhile; whoever reads it will see
            await self._connection.drain()

    def drop(self) -> None:
        """End the connection at once; what was not written is lost."""
        self._transport.abort()

    def release(self) -> None:
        """End the connection without a close frame, after everything written has left, or when that takes too long."""
        self._transport.close()
        self._connection.end_soon()

    def stop_writing(self) -> bool:
        """End our half of the connection, after everything written has left; what the peer has sent can still be read.

        Returns:
            Whether the connection knows halves: with TLS it does not.
        """
        if self._transport.is_closing() or not self._transport.can_write_eof():
            return False
        self._transport.write_eof()
        self._connection.end_soon()
        return True

    async def hang_up(self) -> None:
        """Leave the call: close with 1000."""
        await self._connection.close(1000)

    async def ended(self) -> None:
        """Wait until the connection is gone, so that the library finds nothing left to close."""
        await self._connection.wait_closed()
