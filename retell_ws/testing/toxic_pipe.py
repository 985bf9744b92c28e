"""One direction of a connection that `toxics` passes on: what a fault does to the bytes, and when.

What was read is stamped, kept in order and written when its time has come, so that a latency delays everything once
and not each piece after the other. The faults are looked at anew whenever they change: what a black hole held goes on
when it is gone, as after a broken network TCP sends again what was lost.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from .news import News

__all__ = ["Bandwidth", "BlackHole", "Fault", "Latency", "LimitData", "Pipe", "Placed", "Reset", "Slicer", "SlowClose"]

CHUNK: Final = 64 * 1024

MAX_HELD: Final = 1 << 20
"""Bytes held in one direction; then nothing more is read, and the sender's own buffers fill."""

STEP_S: Final = 0.05
"""Seconds worth of bytes that leave in one go under a bandwidth."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Everything comes later; nothing overtakes (toxiproxy's `latency`).

    Attributes:
        seconds: By how much.
        jitter_s: By up to so much more or less, drawn for each piece.
    """

    seconds: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """No more than so many bytes a second (`bandwidth`)."""

    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class SlowClose:
    """The end of the connection comes later than its last byte (`slow_close`)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Connections are accepted and nothing passes, not even their end (`timeout`).

    Attributes:
        close_after_s: Seconds after which the connection is closed; None leaves it open. It counts from the fault's
            beginning or the connection's, whichever is later.
    """

    close_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (`reset_peer`).

    Attributes:
        after_s: Seconds after the fault's beginning or the connection's, whichever is later.
    """

    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitData:
    """The connection ends after so many bytes, all of which arrive (`limit_data`). Each connection has its own count,
    from the fault's beginning."""

    limit: int


@dataclass(frozen=True, slots=True)
class Slicer:
    """Everything is cut into small pieces (`slicer`).

    Attributes:
        size: Bytes of a piece.
        delay_s: Seconds between two.
    """

    size: int = 1
    delay_s: float = 0.0


Fault: TypeAlias = Latency | Bandwidth | SlowClose | BlackHole | Reset | LimitData | Slicer


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A fault in force: what `ToxicProxy.add` gives, and `remove` takes."""

    fault: Fault
    upward: bool
    downward: bool
    since: float


_Kind = TypeVar("_Kind", Latency, Bandwidth, SlowClose, BlackHole, Slicer)


class Pipe:
    """Passes on what comes from one socket to another until it ends.

    Args:
        source: Read from.
        sink: Written to.
        faults: Gives what is in force in this direction.
        changed: Told when that changes.
        chance: Draws the jitter.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        *,
        faults: Callable[[], Iterable[Placed]],
        changed: News,
        chance: random.Random,
    ) -> None:
        self._source = source
        self._sink = sink
        self._faults = faults
        self._changed = changed
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes | OSError]] = deque()  # when it came, and what; no bytes are the end
        self._bytes = 0
        self._news = News()
        self._room = asyncio.Event()
        self._room.set()
        self._passed: dict[Placed, int] = {}

    async def run(self) -> bool:
        """Pass everything on, the end included.

        Returns:
            True at the end of what comes, False when a limit was reached.

        Raises:
            OSError: A side was reset.
        """
        reading = asyncio.create_task(self._read())
        try:
            return await self._write()
        finally:
            reading.cancel()
            await asyncio.wait((reading,))

    async def _read(self) -> None:
        data: bytes | OSError = b"."
        while data and not isinstance(data, OSError):
            await self._room.wait()
            try:
                data = await self._loop.sock_recv(self._source, CHUNK)
            except OSError as exc:  # a reset travels as slowly as what came before it
                data = exc
            else:
                self._bytes += len(data)
            self._held.append((self._loop.time(), data))
            if self._bytes >= MAX_HELD:
                self._room.clear()
            self._news.tell()

    async def _write(self) -> bool:
        while True:
            while not self._held:
                await self._news.wait()
            came_at, data = self._held.popleft()
            await self._wait(came_at, partial(self._latency_s, self._chance.uniform(-1, 1)))
            if isinstance(data, OSError):
                raise data
            if not data:
                await self._wait(self._loop.time(), self._close_s)
                self._sink.shutdown(socket.SHUT_WR)
                return True
            if not await self._send(data):
                return False
            self._bytes -= len(data)
            self._room.set()

    async def _send(self, data: bytes) -> bool:
        """Write what is due; False when a limit was reached."""
        while data:
            await self._wait(0.0, float)  # a black hole may have come up
            piece = data[: self._size(len(data))]
            await self._loop.sock_sendall(self._sink, piece)
            data = data[len(piece) :]
            for placed in self._limits():
                self._passed[placed] = self._passed.get(placed, 0) + len(piece)
            if any(self._left(placed) <= 0 for placed in self._limits()):
                return False
            await self._wait(self._loop.time(), partial(self._pause_s, len(piece)))
        return True

    def _size(self, most: int) -> int:
        """How many bytes leave in one go."""
        sizes = [most, *(one.size for one in self._all(Slicer)), *(self._left(placed) for placed in self._limits())]
        return max(1, min(*sizes, *(int(one.bytes_per_s * STEP_S) for one in self._all(Bandwidth)), most))

    def _pause_s(self, sent: int) -> float:
        """The time that so many bytes take."""
        slices = [one.delay_s for one in self._all(Slicer)]
        return max([0.0, *slices, *(sent / one.bytes_per_s for one in self._all(Bandwidth))])

    def _latency_s(self, drawn: float) -> float:
        return sum(one.seconds + drawn * one.jitter_s for one in self._all(Latency))

    def _close_s(self) -> float:
        return sum(one.seconds for one in self._all(SlowClose))

    def _limits(self) -> list[Placed]:
        return [placed for placed in self._faults() if isinstance(placed.fault, LimitData)]

    def _left(self, placed: Placed) -> int:
        assert isinstance(placed.fault, LimitData)
        return placed.fault.limit - self._passed.get(placed, 0)

    def _all(self, kind: type[_Kind]) -> list[_Kind]:
        return [placed.fault for placed in self._faults() if isinstance(placed.fault, kind)]

    async def _wait(self, since: float, extra_s: Callable[[], float]) -> None:
        """Wait for as long as the faults say, who may change their mind while they are waited for."""
        while True:
            left = None if self._all(BlackHole) else since + extra_s() - self._loop.time()
            if left is not None and left <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
