"""One HTTP/1.1 connection that posts a request and hands over the answer while it comes. Never opens, never retries.

Made for one use, a model's event stream, and so without what a general client has: no pipelining, no redirects, no
compression, no cookies, no proxies. A general one costs twice as much for every delta (aiohttp: 27 µs against 13, all
in) and cannot leave the socket unread while the voice is busy (`Response.read`). Parsing is llhttp's (httptools).
Closing a response that is still coming aborts its connection within the call: HTTP/1.1 has no other way to tell the
server to stop (RFC 9112 §9.6), and this one reaches it in under a millisecond.

There is no queue and no task here: the protocol collects what came, and its one reader waits on a future only when
nothing is there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..errors import ModelBroken, ModelError, ModelUnavailable

__all__ = ["Connection", "Response"]

MAX_HEAD_BYTES: Final = 64 << 10
"""Longest status line and headers. The API's have 1 to 2 KB."""

HIGH_WATER_BYTES: Final = 256 << 10
"""Body that may wait for a slow reader before the socket is no longer read: some 2,000 deltas."""

FINISH_S: Final = 1.0
"""How long an answer whose `message_stop` was seen may take to its last chunk, to save its connection."""

_KEEPALIVE: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    # A network that forgets idle flows is noticed within 110 s; names that a platform lacks are left to its defaults.
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 5))
    if hasattr(socket, name)
)


class Response:
    """The answer to one request. Written by its connection, read by one task.

    Attributes:
        status: HTTP status; 0 until the head has come.
        headers: Names in lower case; of a repeated name the last value.
        sent_at: The loop's time at which the request was written.
    """

    __slots__ = ("_buffered", "_chunks", "_connection", "_failure", "_loop", "_waiter", "headers", "sent_at", "stale",
                 "status", "touched")  # fmt: skip

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop, sent_at: float) -> None:
        self._loop = loop
        self.sent_at = sent_at
        self.status = 0
        self.headers: dict[str, str] = {}
        self.touched = False
        """Whether a byte of the answer has come."""
        self.stale = False
        """Whether the connection turned out closed before a byte of the answer came."""
        self._connection: Connection | None = connection  # None once the answer ended, whichever way
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._failure: ModelError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> None:
        """Wait for status and headers. Cancelling closes the response.

        Raises:
            ModelUnavailable: The connection ended, fell silent or spoke no HTTP before they were complete.
        """
        try:
            while not self.status:
                if self._failure is not None:
                    raise self._failure
                await self._wait()
        except asyncio.CancelledError:
            self.close()
            raise

    async def read(self, rest_s: float = 0.0) -> bytes:
        """Wait for more of the body. Cancelling leaves the response as it was.

        Args:
            rest_s: Seconds for which the socket need not be read when nothing has come yet: what comes meanwhile
                gathers in the kernel and wakes nobody. An end or a loss of the connection is then seen so much
                later.

        Returns:
            All that has come since the last call; empty when the body is complete.

        Raises:
            ModelBroken: The connection ended or fell silent before that.
        """
        if rest_s and not self._chunks and self._connection is not None:
            self._connection.rest(rest_s)
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._connection is None:
                return b""
            # `_wait` written out: a coroutine less for every token.
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._buffered > HIGH_WATER_BYTES and self._connection is not None:
            self._connection.resume()
        self._buffered = 0
        return data

    async def read_all(self, *, limit_bytes: int) -> bytes:
        """Wait for the whole body, but for no more than `limit_bytes` of it.

        Raises:
            ModelBroken: The connection ended or fell silent before that.
        """
        body = bytearray()
        while len(body) < limit_bytes and (data := await self.read()):
            body += data
        return bytes(body[:limit_bytes])

    def finish(self) -> None:
        """Want nothing more of an answer that is about to end, but spare its connection. Does not wait."""
        if self._connection is not None:
            self._chunks.clear()
            self._connection.finish()

    def close(self) -> None:
        """Want nothing more: of an answer that still comes, the connection is aborted at once. Does not wait."""
        if self._connection is not None:
            self._connection.break_off("the answer was closed by its reader")

    def add(self, data: bytes) -> bool:
        """Take a piece of the body; for the connection. Returns whether it should stop reading for a while."""
        self._chunks.append(data)
        self._buffered += len(data)
        self.wake()
        return self._buffered > HIGH_WATER_BYTES

    def end(self, failure: ModelError | None = None) -> None:
        """Take the end of the answer; for the connection."""
        self._connection = None
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        """Let the reader look again; for the connection."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Connection(asyncio.Protocol):
    """A socket to the model's host: idle, or coming up with one response.

    Args:
        read_timeout_s: Longest silence, in seconds, while an answer is due or coming.
        made: Called when the connection is open.
        released: Called when the connection is ready for its next request.
        lost: Called once when the connection is gone.
    """

    __slots__ = ("_complete", "_discard", "_framed", "_head_bytes", "_heard", "_keep", "_loop", "_lost", "_made",
                 "_parser", "_paused", "_read_timeout_s", "_released", "_response", "_timer", "_transport",
                 "_wake_up")  # fmt: skip

    def __init__(
        self,
        *,
        read_timeout_s: float,
        made: Callable[[Connection], None],
        released: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_timeout_s = read_timeout_s
        self._made = made
        self._released = released
        self._lost = lost
        self._response: Response | None = None
        self._parser: HttpResponseParser | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake_up: asyncio.TimerHandle | None = None
        self._paused = False

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        return self._response is None and not self._transport.is_closing()

    def send(self, request: bytes) -> Response:
        """Write a whole request.

        Args:
            request: Head and body.

        Returns:
            The response, of which nothing has come yet.
        """
        self._heard = self._loop.time()
        response = self._response = Response(self, self._loop, self._heard)
        self._parser = HttpResponseParser(self)
        self._head_bytes = 0
        self._framed = self._complete = self._keep = self._discard = self._paused = False
        self._timer = self._loop.call_at(self._heard + self._read_timeout_s, self._watch)
        self._transport.write(request)
        return response

    def resume(self) -> None:
        """Read on: the reader has caught up, or the rest is over."""
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()

    def rest(self, seconds: float) -> None:
        """Do not read for so long."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
            self._wake_up = self._loop.call_later(seconds, self.resume)

    def finish(self) -> None:
        """Throw away the rest of the answer; when it does not end within `FINISH_S`, the connection goes too."""
        self._discard = True
        self._set_timer(self._loop.time() + FINISH_S, self._too_late)
        self.resume()

    def break_off(self, why: str) -> None:
        """Abort the connection, whatever it is doing."""
        self._end_response(self._failure(why))
        self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # TCP_NODELAY is set by the event loops themselves.
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for level, option, value in _KEEPALIVE:
            sock.setsockopt(level, option, value)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None:
            # Nothing was asked: a farewell (408) or bytes of an answer that had ended. Either way out of step.
            self._transport.abort()
            return
        self._heard = self._loop.time()
        response.touched = True
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.break_off("the model's host does not speak HTTP/1.1 as it should")
            return
        if self._complete:
            self._end_response(None)
            if self._keep:
                self._released(self)
            else:
                self._transport.abort()
        elif not response.status:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.break_off("the head of the model's answer is too long")

    def eof_received(self) -> None:
        """Let the transport close: half-closed connections are of no use to a client."""

    def connection_lost(self, exc: Exception | None) -> None:
        response = self._response
        if response is not None:
            if response.status and not self._framed and exc is None:
                self._end_response(None)  # RFC 9112 §6.3, rule 8: such a body ends with its connection
            else:
                response.stale = not response.touched
                self._end_response(self._failure("the connection to the model was lost"))
        self._parser = None  # it refers back to this connection, and cycles wait long for the collector here
        self._lost(self)

    # -- HttpResponseParser's callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            self._keep = False  # more than was asked for: out of step

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None:
            self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        response, parser = self._response, self._parser
        if response is None or parser is None or self._complete:
            return
        status = parser.get_status_code()
        if status < 200:
            response.headers.clear()  # an interim response (RFC 9110 §15.2): the answer is still to come
            return
        self._framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        response.status = status
        response.wake()

    def on_body(self, body: bytes) -> None:
        if self._response is None or self._discard or self._complete:
            return
        if self._response.add(body) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._parser is None or self._response is None or self._complete:
            return
        if self._response.status:  # 0 when it was an interim response that is complete
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # -- deadlines: one timer an answer, moved when it fires; `asyncio.timeout` a read would cost more than the read

    def _watch(self) -> None:
        now = self._loop.time()
        due = (now if self._paused else self._heard) + self._read_timeout_s
        if due > now:
            self._set_timer(due, self._watch)
        else:
            self.break_off(f"the model was silent for {self._read_timeout_s:g} s")

    def _too_late(self) -> None:
        self.break_off("the model's answer did not end")

    def _set_timer(self, when: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, callback)

    def _end_response(self, failure: ModelError | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._response is not None:
            response, self._response = self._response, None
            self.resume()
            response.end(failure)

    def _failure(self, why: str) -> ModelError:
        if self._response is None or not self._response.status:
            return ModelUnavailable(why)
        return ModelBroken(why, request_id=self._response.headers.get("request-id"))
