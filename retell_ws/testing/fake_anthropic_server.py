"""The fake API's connections: HTTP in, a script played out by the clock. Lean: benches share the machine with it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import time
from collections import deque
from typing import Final, cast

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from . import fake_anthropic_events as events
from .fake_anthropic_blocks import Block, Request
from .fake_anthropic_cache import PromptCache
from .fake_anthropic_faults import FAULTS, UNREAD, Play, Script, script
from .fake_anthropic_totals import Watch
from .first_tokens import chance

__all__ = ["Entry", "FakeApi"]

MAX_BODY_BYTES: Final = 16 << 20
MAX_ENTRIES: Final = 20_000
MAX_ENTRIES_WITH_REQUEST: Final = 200
"""Of how many requests, the latest, headers and body are kept."""

RESET_AFTER_S: Final = 0.02
"""Time for the peer to read what came before a reset, which would throw it away."""


class Entry(msgspec.Struct, kw_only=True):
    """What happened to one request; times in ns of the system's monotonic clock.

    Attributes:
        connection: Counts connections: equal numbers are one connection.
        received_ns: When the whole request was here.
        first_delta_ns: When the first delta was written.
        deltas_sent: Deltas written so far.
        input_tokens: A quarter of the body's bytes.
        ended: `done`, `peer_closed`, or the fault that was played to its end; None while the answer runs.
        closed_ns: When that was.
    """

    id: int
    connection: int
    method: str
    path: str
    received_ns: int
    first_delta_ns: int | None = None
    deltas_sent: int = 0
    input_tokens: int = 0
    fault: str | None = None
    ended: str | None = None
    closed_ns: int | None = None
    headers: dict[str, str] | None = None
    body: msgspec.Raw | None = None

    def end(self, how: str) -> None:
        """Note the end, the first time."""
        if self.ended is None:
            self.ended = how
            self.closed_ns = time.monotonic_ns()


_REFUSED: Final = frozenset({"429", "529", "500", "401"})


class FakeApi:
    """What the connections share.

    Args:
        play: How to play.
    """

    def __init__(self, play: Play) -> None:
        self._first_play = play
        self.play = play
        self.connections: set[_Connection] = set()
        self._cache = PromptCache()
        self.log: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self.watch = Watch()
        self.requests = 0
        self.accepted = 0

    def protocol(self) -> asyncio.Protocol:
        """Serve one more connection."""
        self.accepted += 1
        return _Connection(self, self.accepted)

    def close(self) -> None:
        """Abort every connection."""
        for connection in tuple(self.connections):
            connection.abort()

    def control(self, body: bytes) -> bytes:
        """Change how to play; a `reset` goes back to the start first, with an empty cache. Returns the whole answer."""
        try:
            changes: dict[str, object] = msgspec.json.decode(body, type=dict[str, object])
            reset = changes.pop("reset", False)
            old = self._first_play if reset else self.play
            play = msgspec.convert({**msgspec.to_builtins(old), **changes}, Play)
            if unknown := {play.fault, *play.faults} - {None, *FAULTS}:
                raise ValueError(f"unknown faults: {unknown}")
        except (msgspec.DecodeError, ValueError) as exc:
            return events.plain(400, msgspec.json.encode({"error": str(exc)}))
        self.play = play
        if reset:
            self._cache = PromptCache()
        return events.plain(200, msgspec.json.encode(play))

    def begin(self, entry: Entry, headers: list[tuple[bytes, bytes]], body: bytes) -> Script:
        """Log a request for an answer and decide on that."""
        self.log.append(entry)
        if len(self.log) > MAX_ENTRIES_WITH_REQUEST:
            old = self.log[-1 - MAX_ENTRIES_WITH_REQUEST]
            old.headers = old.body = None
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        key = fields.get("authorization", "").removeprefix("Bearer ") or fields.get("x-api-key")
        for secret in ("authorization", "x-api-key"):
            if secret in fields:
                fields[secret] = hashlib.sha256(fields[secret].encode("latin-1")).hexdigest()[:16]
        entry.headers = fields
        try:
            request = msgspec.json.decode(body, type=Request)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Script(opening=(events.refused(400, request_id=entry.id),))
        entry.body = msgspec.Raw(body)
        if not key:
            return Script(opening=(events.refused(401, request_id=entry.id),))
        play, entry.input_tokens = self.play, len(body) // 4
        if not play.fault_models or request.model in play.fault_models:
            entry.fault = play.faults.pop(0) if play.faults else play.fault
        blocks = play.answers.pop(0) if play.answers and request.stream else None
        words, before = self.watch.begin(request, entry.input_tokens)
        if blocks is None and play.texts:
            blocks = [Block(text=play.texts[int(chance(0, words) * len(play.texts))])]
        ttft_s = play.ttft_ms / 1000
        if play.first_tokens is not None and entry.fault is None and request.stream:
            drawn = play.first_tokens.draw(request.model.encode(), words, b"%d" % before)
            if drawn is None:
                entry.fault = "pings_only"
                self.watch.totals.hung += 1
            else:
                ttft_s = drawn
        prompt = events.Prompt()
        if entry.fault not in UNREAD:
            try:
                prompt = self._cache.read(
                    request, message_id=events.message_id(entry.id), tokens=entry.input_tokens, now=time.monotonic()
                )
            except msgspec.ValidationError:
                return Script(opening=(events.refused(400, request_id=entry.id),))
        played = script(play, entry.fault, blocks, request, request_id=entry.id, prompt=prompt)
        played.ttft_ms = ttft_s * 1000
        if request.stream:
            played.about = bytes(request.messages)
            self.watch.runs(played.about)
        return played

    def ended(self, played: Script, entry: Entry, how: str) -> None:
        """Log the end of an answer."""
        if entry.ended is None:
            entry.end(how)
            self.watch.totals.refused += entry.fault in _REFUSED
            if played.about:
                self.watch.ends(played.about, entry.deltas_sent, closed_by_peer=how == "peer_closed")


class _Connection(asyncio.Protocol):
    def __init__(self, api: FakeApi, number: int) -> None:
        self._api = api
        self._number = number
        self._parser = HttpRequestParser(self)
        self._answer: _Answer | None = None
        self._begin()

    def abort(self) -> None:
        self._transport.abort()

    def answered(self) -> None:
        """Be ready for the next request."""
        self._answer = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._api.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._api.connections.discard(self)
        if self._answer is not None:
            self._answer.stop()
        # Both lead back here: left to the collector, thousands of them are one long pause of every stream.
        self._answer = None
        del self._parser

    # -- HttpRequestParser's callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._transport.abort()

    def on_message_complete(self) -> None:
        received_ns = time.monotonic_ns()
        method, path = self._parser.get_method().decode(), self._url.decode("latin-1").partition("?")[0]
        headers, body = self._headers, bytes(self._body)
        self._begin()
        if self._transport.is_closing():
            return
        if self._answer is not None:
            self._transport.abort()  # pipelining, which no client of the API does
            return
        match method, path:
            case "POST", "/control":
                self._transport.write(self._api.control(body))
            case "GET", "/log":
                self._transport.write(events.plain(200, msgspec.json.encode(list(self._api.log))))
            case "GET", "/totals":
                self._transport.write(events.plain(200, msgspec.json.encode(self._api.watch.totals)))
            case "DELETE", "/log":
                self._api.log.clear()
                self._api.watch = Watch()
                self._transport.write(events.plain(200, b"{}"))
            case "POST", _ if path.endswith("/v1/messages"):
                self._api.requests += 1
                entry = Entry(
                    id=self._api.requests,
                    connection=self._number,
                    method=method,
                    path=path,
                    received_ns=received_ns,
                )
                play = self._api.begin(entry, headers, body)
                self._answer = _Answer(self._api, self, self._transport, play, entry)
                self._answer.start()
            case _:
                whole = events.refused(404, request_id=0)
                self._transport.write(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else whole)

    def _begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()


class _Answer:
    """A script on its way. One timer at a time, set by the clock so that lateness does not add up."""

    __slots__ = ("_api", "_connection", "_due", "_entry", "_first", "_loop", "_next", "_ping_s", "_script",
                 "_spacing_s", "_stamp", "_timer", "_transport", "_whole")  # fmt: skip

    def __init__(
        self, api: FakeApi, connection: _Connection, transport: asyncio.Transport, play: Script, entry: Entry
    ) -> None:
        pace = api.play
        ttft_ms = pace.ttft_ms if play.ttft_ms is None else play.ttft_ms
        self._api = api
        self._connection = connection
        self._transport = transport
        self._script = play
        self._entry = entry
        self._loop = asyncio.get_running_loop()
        self._stamp = play.stamp
        self._spacing_s = pace.spacing_ms / 1000
        self._ping_s = pace.ping_ms / 1000
        self._first = self._loop.time() + (pace.fault_s * 10 if play.ping else ttft_ms / 1000)
        self._due = self._first
        self._next = 0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    def start(self) -> None:
        if self._script.at_once or self._script.sliced:
            self._whole = b"".join((*self._script.opening, *self._script.deltas, self._script.closing))
            self._timer = self._loop.call_at(self._first, self._all)
        elif self._script.wait_ms:
            self._first = self._due = self._first + self._script.wait_ms / 1000
            self._timer = self._loop.call_later(self._script.wait_ms / 1000, self._open)
        else:
            self._open()

    def stop(self) -> None:
        """Note that the peer is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._api.ended(self._script, self._entry, "peer_closed")

    def _open(self) -> None:
        for data in self._script.opening:
            self._transport.write(data)
        if not self._script.deltas:
            self._finish()
        elif self._script.ping:
            self._ping()
        else:
            self._timer = self._loop.call_at(self._due, self._step)

    def _step(self) -> None:
        index = self._next
        deltas = self._script.deltas
        if index == 0:
            self._entry.first_delta_ns = now = time.monotonic_ns()
            if self._stamp:
                # Built past the cache, which has no use for it.
                self._transport.write(events.delta.__wrapped__(f"@{self._entry.received_ns},{now} "))
            else:
                self._transport.write(deltas[0])
        else:
            self._transport.write(deltas[index])
        self._next = self._entry.deltas_sent = index + 1
        if self._next < len(deltas):
            self._due += self._spacing_s
            self._timer = self._loop.call_at(self._due, self._step)
        else:
            self._finish()

    def _all(self) -> None:
        self._entry.first_delta_ns = time.monotonic_ns()
        self._entry.deltas_sent = len(self._script.deltas)
        if self._script.sliced:
            self._slice()
        else:
            self._transport.write(self._whole)
            self._end()

    def _slice(self) -> None:
        self._transport.write(self._whole[self._next : self._next + 1])
        self._next += 1
        if self._next < len(self._whole):
            self._timer = self._loop.call_soon(self._slice)  # a turn of the loop between two bytes, so two segments
        else:
            self._end()

    def _ping(self) -> None:
        self._transport.write(events.PING)
        again = self._loop.time() + self._ping_s
        if self._script.deltas and again >= self._first:
            self._timer = self._loop.call_at(self._first, self._step)
        else:
            self._timer = self._loop.call_at(again, self._ping)

    def _finish(self) -> None:
        if self._script.closing:
            self._transport.write(self._script.closing)
        match self._script.then:
            case "keep":
                self._end()
            case "close":
                self._end()
                self._transport.close()
            case "reset":
                self._timer = self._loop.call_later(RESET_AFTER_S, self._reset)
            case "pings":
                self._ping()
            case "silence":
                self._timer = None

    def _reset(self) -> None:
        self._end()
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _end(self) -> None:
        self._api.ended(self._script, self._entry, self._entry.fault or "done")
        self._connection.answered()
