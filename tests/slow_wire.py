"""A TCP wire between a client and a server that a test can make slow, or cut."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self


class _End(asyncio.Protocol):
    """One end of a connection; what comes in leaves at the other one, later."""

    def __init__(self, wire: SlowWire, *, is_inner: bool) -> None:
        self._wire = wire
        self.is_inner = is_inner
        self.other: _End | None = None
        self.transport: Any = None
        self._early: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._wire.ends.add(self)
        if self.is_inner:
            self._wire.connect(self)
        for data in self._early:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self._wire.delay_s, self._pass, data)

    def _pass(self, data: bytes) -> None:
        if self.other is None:
            return
        if self.other.transport is None:
            self.other._early.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ends.discard(self)
        if not self._wire.ends:
            self._wire.empty.set()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort()


class SlowWire:
    """Listens on a port of 127.0.0.1, and connects whoever comes with another one.

    Args:
        port: Of the server.

    Attributes:
        delay_s: Seconds each way.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.delay_s = 0.0
        self.is_cut = False
        self.ends: set[_End] = set()
        self.empty = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The server, by way of here."""
        if self._server is None:
            raise AssertionError("the wire is not open")
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: _End(self, is_inner=True), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.cut()
        while self.ends:
            self.empty.clear()
            await self.empty.wait()

    def cut(self) -> None:
        """End all connections, and let nobody in."""
        self.is_cut = True
        for end in list(self.ends):
            if end.transport is not None:
                end.transport.abort()

    def mend(self) -> None:
        """Let them in again."""
        self.is_cut = False

    def connect(self, inner: _End) -> None:
        """Connect who came with the server."""
        if self.is_cut:
            inner.transport.abort()
            return
        outer = _End(self, is_inner=False)
        inner.other, outer.other = outer, inner
        task = asyncio.create_task(self._connect(inner, outer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, inner: _End, outer: _End) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: outer, "127.0.0.1", self._to)
        except OSError:
            inner.transport.abort()
