"""A balancer of a few lines: where it leads to is the test's to say, and so is when it breaks."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Switch:
    """Passes bytes on to one server at a time, while the block lasts.

    Attributes:
        target: The port of the server whoever dials from now on is led to.
    """

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.pass_on()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        """What a caller dials."""
        if self._server is None:
            raise AssertionError("it is not open")
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/llm-websocket"

    def lead_to(self, address: str) -> None:
        """Lead whoever dials from now on to the server of this address."""
        self.target = int(address.partition("://")[2].partition("/")[0].rpartition(":")[2])

    def hold(self) -> None:
        """Let nothing more through on the connections there are, either way, until `pass_on`."""
        self._gate.clear()

    def pass_on(self) -> None:
        """Let through what was held."""
        self._gate.set()

    def cut(self) -> None:
        """Break every connection, on both sides."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, there}
        for work in (self._pass(reader, there), self._pass(there_reader, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._gate.wait()
                writer.write(data)
            await self._gate.wait()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)
