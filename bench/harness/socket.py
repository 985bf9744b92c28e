"""One WebSocket to a server under test, as an asyncio protocol. It never decides what is said on it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast
from urllib.parse import urlsplit

import msgspec

from bench.harness.frames import CLOSE, PING, PONG, TEXT, BadFrame, FrameReader, frame, handshake

__all__ = ["CallSocket", "Listener", "Reply", "dial"]

OPEN_TIMEOUT_S = 30.0
"""A server that builds a client per call takes its time when a thousand dial."""


class Reply(msgspec.Struct, gc=False):
    """Any message of a server's, as far as the bench reads it."""

    response_type: str
    response_id: int = -1
    content: str = ""
    content_complete: bool = False
    timestamp: int = 0


class Listener(Protocol):
    """What a call does with its socket."""

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Take one message; `now_ns` is when its bytes were read."""

    def lost(self, why: str) -> None:
        """The socket is gone."""


_decode = msgspec.json.Decoder(Reply).decode


class CallSocket(asyncio.Protocol):
    """The protocol: frames in and out, pings of the transport answered."""

    def __init__(self, listener: Listener, request: bytes, opened: asyncio.Future[None]) -> None:
        self._listener = listener
        self._request = request
        self._opened = opened
        self._reader = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._why = "connection lost"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Hand every whole message on."""
        now = time.monotonic_ns()
        try:
            frames = self._reader.feed(data)
            if not self._opened.done() and self._reader.upgraded:
                self._opened.set_result(None)
            for opcode, payload in frames:
                if opcode == TEXT:
                    self._listener.heard(_decode(payload), now)
                elif opcode == PING:
                    self._write(frame(payload, PONG))
                elif opcode == CLOSE:
                    self._why = f"closed {int.from_bytes(payload[:2], 'big')}"
        except (BadFrame, msgspec.DecodeError) as exc:
            self._why = str(exc)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the call."""
        self._transport = None
        if not self._opened.done():
            self._opened.set_exception(ConnectionError(self._why))
        self._listener.lost(self._why)

    def send(self, payload: bytes) -> None:
        """Send one text message; nothing happens when the socket is gone."""
        self._write(frame(payload))

    def abort(self) -> None:
        """Let the connection go without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    def hang_up(self) -> None:
        """Close as a caller does, with code 1000."""
        self._write(frame((1000).to_bytes(2, "big"), CLOSE))
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def dial(url: str, call_id: str, listener: Listener) -> CallSocket:
    """Open the socket of one call.

    Args:
        url: The server's URL without the call id.
        call_id: Added to the path, as Retell does (protocol §1.2).
        listener: What hears its messages.

    Raises:
        OSError: Nobody listens, the upgrade was refused, or it took longer than `OPEN_TIMEOUT_S`.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[None] = loop.create_future()
    request = handshake(host, port, f"{parts.path}/{call_id}")
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        _, socket = await loop.create_connection(lambda: CallSocket(listener, request, opened), host, port)
        await opened
    return socket
