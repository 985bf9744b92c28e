"""The library's connection with the limits it leaves to its caller: none may be left half-dead for longer than these.

The library bounds what it reads, but not how many frames that is, of which each costs the loop as much as a message. It
writes its own answers (the pong to a WebSocket ping, the close frame) without a look at whether anybody reads them, and
after a close it waits for the other side as long as that likes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection
from websockets.protocol import Event

__all__ = ["FRAMES", "MUTE", "Connection", "making"]

MUTE: Final = logging.getLogger("retell_ws.websockets")
"""The library logs frames at DEBUG and requests at ERROR: speech, and the secret in the path. It stays mute."""
MUTE.setLevel(logging.CRITICAL + 1)
MUTE.propagate = False

logger = logging.getLogger(__name__)

FRAMES: Final = 1000
"""Frames that a peer may send in a second: Retell sends ten, and a hundred times as many still cost others little."""

PIECE: Final = 16_384
"""Bytes that are read between two looks at their number: a loop hands over up to 256 KB, which may be 40,000 frames."""

KERNEL_BUFFER: Final = 128 * 1024
"""Bytes the kernel may hold for a peer; its default grows to megabytes, which only hides that nobody reads."""

_OPTIONS: Final = (
    (socket.SOL_SOCKET, "SO_SNDBUF", KERNEL_BUFFER),
    # A line that dies before its first ping is noticed by nobody else: idle within a minute, in the middle of a
    # word within half of one. Names that a platform lacks are left to its defaults.
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),
)


class Connection(ServerConnection):
    """One socket, from its first byte on.

    Args:
        send_s: Seconds the other side may leave more than `write_limit` bytes unread.
        close_s: Seconds it may leave the TCP connection open once there is nothing more to say on it.

    Attributes:
        received_at: When bytes came last, in seconds of `time.monotonic`.
    """

    def __init__(self, *args: Any, send_s: float, close_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._send_s = send_s
        self._close_s = close_s
        self.received_at = 0.0
        self._unread: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._second = 0.0  # when the one began in which frames are counted
        self._frames = 0

    @property
    def is_full(self) -> bool:
        """More is waiting to be written than a peer that reads would leave."""
        return self._unread is not None

    def end_soon(self) -> None:
        """Abort the connection unless it has ended within `send_s`."""
        if self._closing is None:
            self._closing = self.loop.call_later(self._send_s, self.transport.abort)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        for level, name, value in _OPTIONS:
            if raw is not None and hasattr(socket, name):
                raw.setsockopt(level, getattr(socket, name), value)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_unread()

    def data_received(self, data: bytes) -> None:
        self.received_at = monotonic()
        if self.received_at - self._second >= 1:
            self._second, self._frames = self.received_at, 0
        for at in range(0, len(data), PIECE):
            super().data_received(data[at : at + PIECE])
            if self._frames > FRAMES:
                logger.warning("more than %d frames in a second: socket dropped", FRAMES)
                self.transport.abort()
                return
        if self._closing is None and self.protocol.close_expected():
            self._closing = self.loop.call_later(self._close_s, self.transport.abort)

    def process_event(self, event: Event) -> None:
        self._frames += 1
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_unread()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None  # it leads back here
        super().connection_lost(exc)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def making(*, send_s: float, close_s: float) -> type[ServerConnection]:
    """Make such connections: what `websockets.serve` takes as `create_connection`."""
    make: Callable[..., Connection] = partial(Connection, send_s=send_s, close_s=close_s)
    return cast(type[ServerConnection], make)
