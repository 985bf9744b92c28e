"""A TCP proxy that breaks things on purpose: toxiproxy's faults, in the test's own loop and without its binary.

    async with ToxicProxy("127.0.0.1", 6379) as proxy:
        slow = proxy.add(Latency(0.3, jitter_s=0.05))       # both ways, live connections included
        ...                                                 # what is tested connects to proxy.port
        proxy.remove(slow)
        with proxy.having(BlackHole(), way="down"):         # answers do not come back
            ...
        proxy.cut()                                         # every connection is reset
        proxy.down()                                        # and new ones are refused
        await proxy.up()

Faults may be added and removed at any time; several of a kind add up. `up` is the way to the server, `down` the way
back. It is a proxy of bytes: it knows nothing of what is said over them.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from .news import News
from .toxic_pipe import Bandwidth, BlackHole, Fault, Latency, LimitData, Pipe, Placed, Reset, Slicer, SlowClose

__all__ = [
    "Bandwidth",
    "BlackHole",
    "Fault",
    "Latency",
    "LimitData",
    "Placed",
    "Reset",
    "Slicer",
    "SlowClose",
    "ToxicProxy",
    "Way",
]

Way: TypeAlias = Literal["up", "down", "both"]

BACKLOG: Final = 1024

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER without a wait: the kernel sends a reset instead of an end."""


class ToxicProxy:
    """Stands between clients and one server while the block lasts. At its end every connection is reset.

    Args:
        host: The server's address.
        port: The server's port.
        listen_host: The address to listen on.
        listen_port: The port; 0 picks a free one.
        seed: Of the jitter: the same seed draws the same.

    Attributes:
        port: Where it listens; it stays the same through `down` and `up`.
        accepted: Connections accepted so far.
        target: Host and port of the server; set anew, it counts for new connections: a balancer that fails over.
    """

    def __init__(
        self, host: str, port: int, *, listen_host: str = "127.0.0.1", listen_port: int = 0, seed: int = 0
    ) -> None:
        self.port = listen_port
        self.accepted = 0
        self.target: tuple[str, int] = (host, port)
        self._listen_host = listen_host
        self._chance = random.Random(seed)
        self._faults: list[Placed] = []
        self._changed = News()
        self._tasks = asyncio.TaskGroup()
        self._listener: socket.socket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._pipes: set[asyncio.Task[bool]] = set()

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The address is taken.
        """
        await self._tasks.__aenter__()
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self.cut()
        # What the block raised is not for the group to wrap; only a cancel must pass through it.
        if kind is asyncio.CancelledError:
            await self._tasks.__aexit__(kind, exc, trace)
        else:
            await self._tasks.__aexit__(None, None, None)

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"{self._listen_host}:{self.port}"

    @property
    def live(self) -> int:
        """Connections that are open."""
        return len(self._links)

    def add(self, fault: Fault, way: Way = "both") -> Placed:
        """Put a fault in force, for live connections too.

        Returns:
            What `remove` takes.
        """
        placed = Placed(fault, way != "down", way != "up", asyncio.get_running_loop().time())
        self._faults.append(placed)
        self._changed.tell()
        return placed

    def remove(self, placed: Placed) -> None:
        """End a fault. What it held goes on.

        Raises:
            ValueError: It is not in force.
        """
        self._faults.remove(placed)
        self._changed.tell()

    @contextmanager
    def having(self, fault: Fault, way: Way = "both") -> Iterator[Placed]:
        """Have a fault in force for the length of a block."""
        placed = self.add(fault, way)
        try:
            yield placed
        finally:
            self.remove(placed)

    def cut(self) -> None:
        """Reset every connection, at once: what is held on them is lost. New ones are accepted."""
        for task in (*self._links, *self._pipes):
            task.cancel()
        self._pipes.clear()  # no second cancel: they still end what they read with

    def down(self) -> None:
        """Refuse new connections. Those that are open stay."""
        if self._listening is not None and self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # refuses from now on; closed once the task has let go of it
            self._listening.cancel()
            self._listening = None

    async def up(self) -> None:
        """Accept connections again.

        Raises:
            OSError: The port was taken meanwhile.
        """
        if self._listening is not None:
            return
        family = socket.AF_INET6 if ":" in self._listen_host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._listen_host, self.port))
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._listening = self._tasks.create_task(self._listen(listener))
        self._listening.add_done_callback(lambda _: listener.close())  # a task may be cancelled before it begins

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            self.accepted += 1
            link = self._tasks.create_task(self._pass_on(client))
            self._links.add(link)
            link.add_done_callback(partial(self._gone, client))

    def _gone(self, client: socket.socket, link: asyncio.Task[None]) -> None:
        client.close()
        self._links.discard(link)

    async def _pass_on(self, client: socket.socket) -> None:
        """Hold one connection to its end, which is a reset unless both sides have ended in order."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        in_order = False
        with client, socket.socket(family, socket.SOCK_STREAM) as server:
            try:
                for one in (client, server):
                    one.setblocking(False)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened_at = loop.time()
                await loop.sock_connect(server, self.target)
                in_order = await self._hold(client, server, opened_at)
            except OSError:
                pass  # the server refuses, or a side was reset: so is the other
            finally:
                if not in_order:
                    for one in (client, server):
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    async def _hold(self, client: socket.socket, server: socket.socket, opened_at: float) -> bool:
        """Pass on until the connection ends; False when it is to be reset."""

        def pipe(source: socket.socket, sink: socket.socket, *, up: bool) -> asyncio.Task[bool]:
            def faults() -> Iterator[Placed]:
                return (placed for placed in self._faults if (placed.upward if up else placed.downward))

            made = Pipe(source, sink, faults=faults, changed=self._changed, chance=self._chance)
            return asyncio.create_task(made.run())

        pipes = {pipe(client, server, up=True), pipe(server, client, up=False)}
        ending = asyncio.create_task(self._ending(opened_at))
        open_still = {*pipes, ending}
        self._pipes |= pipes
        try:
            while open_still & pipes:
                done, open_still = await asyncio.wait(open_still, return_when=asyncio.FIRST_COMPLETED)
                if ending in done:
                    return ending.result()
                if not all([one.result() for one in done]):
                    break  # a limit was reached
            return True
        finally:
            for task in (*(pipes & self._pipes), ending):
                task.cancel()
            self._pipes -= pipes
            await asyncio.wait((*pipes, ending))

    async def _ending(self, opened_at: float) -> bool:
        """Wait until a fault ends the connection; False when by a reset."""
        loop = asyncio.get_running_loop()
        while True:
            due = [
                (max(placed.since, opened_at) + after_s, isinstance(placed.fault, BlackHole))
                for placed in self._faults
                if (after_s := _ends_after_s(placed.fault)) is not None
            ]
            at, in_order = min(due, default=(None, True))
            if at is not None and at <= loop.time():
                return in_order
            with suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._changed.wait()


def _ends_after_s(fault: Fault) -> float | None:
    match fault:
        case Reset(after_s=after_s):
            return after_s
        case BlackHole(close_after_s=after_s):
            return after_s
    return None
