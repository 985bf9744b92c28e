"""One socket of a synthetic call: reads it to its end, sends with a deadline, never decides what an end means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

__all__ = ["Line"]


class Line:
    """One open socket.

    Attributes:
        code: The close code, once the line is gone: 1005 without a code, 1006 without a close frame.
        is_dead: It was given up because no pong came; set by whoever gave it up.
        heard_at: When the last pong came, or pings began.
        keepalive: Set once this socket's `config` asked for pings.
        gone: Set when nothing more will come.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._closing_code: int | None = None
        self.code = 1006
        self.is_dead = False
        self.heard_at = 0.0
        self.keepalive = asyncio.Event()
        self.gone = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether frames may still come: no close frame came or went, and the connection stands."""
        return not self.gone.is_set() and self._socket.state is State.OPEN

    @property
    def peer(self) -> tuple[str, int]:
        """The server's address."""
        host, port, *_ = self._socket.remote_address
        return host, port

    @property
    def headers(self) -> Mapping[str, str]:
        """What the handshake was answered with, names as they came."""
        response = self._socket.response
        return {} if response is None else dict(response.headers.raw_items())

    async def read(self, hear: Callable[[Line, str | bytes], None]) -> None:
        """Hand every frame to `hear` until the line ends. Cancelling it loses no frame but the next."""
        try:
            while self._closing_code is None:
                hear(self, await self._socket.recv())
            await self._socket.close(self._closing_code)
            self.code = self._closing_code
        except ConnectionClosed as exc:
            if exc.rcvd is not None and not exc.rcvd_then_sent and exc.sent is not None:
                self.code = exc.sent.code  # we closed first, over bytes that are no UTF-8 (1007)
            elif exc.rcvd is not None:
                self.code = exc.rcvd.code
            elif exc.sent is not None:
                self.code = exc.sent.code
        finally:
            self.gone.set()

    async def send(self, data: str | bytes, *, timeout_s: float) -> None:
        """Send one frame; a line that does not take it in time is cut. A line that is gone swallows it."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.send(data)
        except TimeoutError:
            self.abort()
        except ConnectionClosed:
            pass  # `read` sees the same end, and that is where it is judged

    def close_soon(self, code: int) -> None:
        """Close after the frame that is being read."""
        self._closing_code = code

    async def close(self, code: int) -> None:
        """Close with `code` and wait for the server's half, two seconds at most."""
        await self._socket.close(code)

    def abort(self) -> None:
        """Cut the connection without a close frame; the server sees 1006."""
        self._socket.transport.abort()
