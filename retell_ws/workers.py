"""Several processes behind one port, and the process that keeps them: it starts them, starts anew the one that died,
passes on what it is told, and answers no call itself.

**How the agent gets into a worker.** Each is a fresh interpreter that is started as this process was: the same command
line, in the same folder (`sys.orig_argv`). So it does all that this one did, `retell_ws serve agent.py` as well as a
script of the user's that calls `serve(agent)`, and comes to the same place; there it finds the mark of a worker
(`worker.py`) and serves. What a script does before it calls `serve` is done by each of them. A fork would be quicker
and is out of the question: it copies locks that threads hold, and connections.

**How they share the port.** Each listens on it with SO_REUSEPORT, and the kernel spreads the connections. This process
binds it first, which makes one free port out of port 0, and keeps it bound without listening, so that nobody else gets
it while a worker is away.

**How they end.** A worker that reads the end of its line drains, so none is left behind, whatever became of us.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic
from typing import Any, Final, Self

import msgspec
import orjson

from .errors import AddressInUseError, UsageError
from .listening import not_listening
from .restarts import Restarts
from .settings import Settings
from .worker import MARK, Order, Post

__all__ = ["reserved", "say_ready", "supervise"]

logger = logging.getLogger(__name__)

START_S: Final = 60.0
"""Seconds a worker may take until it is ready."""

LAST_WORDS_S: Final = 0.1
"""Seconds in which what a worker said before its end is read."""

AT_ONCE_S: Final = 20.0
"""Seconds a worker may take when it is to end at once: what side effects and the ends of calls are given, and a bit."""


def say_ready(ready: Mapping[str, Any]) -> None:
    """Write the one line for whoever started us."""
    sys.stdout.write(orjson.dumps(ready).decode() + "\n")
    sys.stdout.flush()


def supervise(settings: Settings) -> int:
    """Keep `settings.workers` processes until SIGTERM or SIGINT; a second signal ends them at once.

    Returns:
        0 after a stop; 1, after one line on stderr, when they die again and again.

    Raises:
        UsageError: The address cannot be listened on, or a worker says what cannot be done.
    """
    with reserved(settings.host, settings.port) as port:
        try:
            asyncio.run(_Supervisor(settings, port).run())
        except _GivenUp as exc:
            sys.stderr.write(f"retell_ws: {exc}\n")
            return 1
    return 0


class _GivenUp(Exception):
    """It makes no sense to go on; the text says why."""


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Keep a port for those who share it, without listening on it.

    Yields:
        The port.

    Raises:
        UsageError: It cannot be had: somebody listens on it, or there is no such address.
    """
    with ExitStack() as held:
        try:
            places = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(places):
                if port:
                    # Another one like us would share the port with us: only a socket that shares nothing tells.
                    with socket.socket(family, kind, protocol) as alone:
                        _bind(alone, address, port)
                shared = held.enter_context(socket.socket(family, kind, protocol))
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _bind(shared, address, port)
                port = shared.getsockname()[1]
        except OSError as exc:
            raise not_listening(host, port, exc, "--port") from None
        yield port


def _bind(sock: socket.socket, address: tuple[Any, ...], port: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what an earlier server left does not count
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address[0], port, *address[2:]))


class _Child:
    """One worker, as its supervisor sees it.

    Attributes:
        ready: What it told when it was ready; None until then.
        refused: Why it cannot serve; empty when it did not say so.
        status: What it exited with; None until it has ended.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._exit = asyncio.create_task(process.wait())
        self._reader = reader
        self._writer = writer
        self.ready: dict[str, Any] | None = None
        self.refused = ""
        self.status: int | None = None

    @classmethod
    async def started(cls, index: int, settings: Settings, port: int, http_port: int | None) -> Self:
        """Start one."""
        ours, theirs = socket.socketpair()
        with theirs:
            post = Post(index, settings.workers, port, http_port, theirs.fileno())
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *sys.orig_argv[1:],
                env={**os.environ, MARK: msgspec.json.encode(post).decode()},
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C is for us: what it means to them, we say
            )
        return cls(process, *await asyncio.open_unix_connection(sock=ours))

    async def hear(self) -> None:
        """Wait for what it says next, or for its end. A process that it forked may hold its line for longer."""
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait((reading, self._exit), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((reading,), timeout=LAST_WORDS_S)
        finally:
            reading.cancel()

    async def _read(self) -> None:
        with suppress(ConnectionError):
            if line := await self._reader.readline():
                told = msgspec.json.decode(line)
                self.ready, self.refused = self.ready or told.get("ready"), told.get("refused", "")

    async def ended(self) -> str:
        """Wait for its end and give it in words."""
        if self.ready is not None:
            await self.hear()
        status = self.status = await self._exit
        self._writer.close()
        if self.refused:
            return f"cannot serve: {self.refused}"
        if status < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-status).name}"
        return f"exited with {status}"

    def tell(self, order: Order) -> None:
        """Give an order."""
        if self.ready is None and order in (Order.DRAIN, Order.STOP):
            # There is nothing to drain, and it may never come to hear us.
            self._signal(signal.SIGTERM)
        else:
            self._writer.write(order.value)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Not the process's own method: it looks whether the process has ended, and takes the status from asyncio.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


class _Supervisor:
    """Keeps the workers.

    Args:
        settings: Those of all.
        port: The port they share.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._restarts = Restarts(settings.workers)
        first = settings.http_port
        self._http_ports = [first and first + index for index in range(settings.workers)]
        self._children: dict[int, _Child] = {}
        self._up = [asyncio.Event() for _ in range(settings.workers)]
        self._stop = asyncio.Event()
        self._failure: UsageError | _GivenUp | None = None
        self._is_moved = False

    async def run(self) -> None:
        """Start the workers, say the ready line, and keep them until told to stop.

        Raises:
            UsageError: A worker says that it cannot serve. All have ended.
            _GivenUp: They die. All have ended.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGUSR2, self._turn_round)
        async with asyncio.TaskGroup() as keepers:
            for index, up in enumerate(self._up):
                keepers.create_task(self._keep(index))
                if index == 0:
                    await up.wait()  # what is wrong for one is wrong for all, and should be said once
            for up in self._up:
                await up.wait()
            if not self._stop.is_set():
                self._say_ready()
        if self._failure is not None:
            raise self._failure

    def _say_ready(self) -> None:
        told = [self._children[index].ready or {} for index in range(self._settings.workers)]
        https = {} if self._settings.http_port is None else {"http": [each["http"] for each in told]}
        say_ready({**told[0], **https, "workers": self._settings.workers})

    async def _keep(self, index: int) -> None:
        """Start a worker, and anew when it has died, until all are to end."""
        while not self._stop.is_set():
            child, how, lived_s = await self._life(index)
            if self._stop.is_set():
                break
            if child is not None and child.refused and (child.ready or not self._up[index].is_set()):
                kind = AddressInUseError if child.status == AddressInUseError.exit_status else UsageError
                self._fail(kind(child.refused))
            elif not self._up[index].is_set():
                self._fail(_GivenUp(f"worker {index} {how} before it was ready"))
            elif (pause_s := self._restarts.died(index, monotonic(), lived_s=lived_s)) is None:
                self._fail(_GivenUp(f"worker {index} {how}, as too many have within half a minute: all are stopped"))
            else:
                logger.error("worker %d %s: started again in %g s", index, how, pause_s)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stop.wait()
        self._up[index].set()  # whoever waits for all to be ready waits for no more

    async def _life(self, index: int) -> tuple[_Child | None, str, float]:
        """Give a worker that has ended, how it did, and for how many seconds it took calls."""
        try:
            child = await _Child.started(index, self._settings, self._port, self._http_ports[index])
        except OSError as exc:  # no memory, no process left: perhaps in a moment
            return None, f"cannot be started: {exc.strerror or exc}", 0.0
        self._children[index] = child
        if self._stop.is_set():
            child.tell(Order.DRAIN)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await child.hear()
        since = monotonic()
        if child.ready is not None:
            self._is_ready(index, child.ready)
        elif not child.refused:
            child.tell(Order.DRAIN)  # it takes too long, or its line has ended and it is about to
            asyncio.get_running_loop().call_later(AT_ONCE_S, child.kill)
        how = await child.ended()
        del self._children[index]
        return child, how, 0.0 if child.ready is None else monotonic() - since

    def _is_ready(self, index: int, ready: Mapping[str, Any]) -> None:
        if self._http_ports[index] == 0:
            self._http_ports[index] = int(ready["http"].rpartition(":")[2])  # whoever scrapes it finds it again
        if self._stop.is_set():
            self._children[index].tell(Order.DRAIN)
        elif self._is_moved:
            self._children[index].tell(Order.MOVE)
        self._up[index].set()

    def _fail(self, failure: UsageError | _GivenUp) -> None:
        self._failure = self._failure or failure
        self._stop.set()
        self._tell(Order.DRAIN)

    def _leave(self) -> None:
        order = Order.STOP if self._stop.is_set() else Order.DRAIN
        self._stop.set()
        self._tell(order)
        if order is Order.STOP:
            asyncio.get_running_loop().call_later(AT_ONCE_S, self._kill)

    def _turn_round(self) -> None:
        self._is_moved = not self._is_moved
        self._tell(Order.MOVE if self._is_moved else Order.TAKE)

    def _tell(self, order: Order) -> None:
        for child in self._children.values():
            child.tell(order)

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()
