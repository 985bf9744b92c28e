"""Keeps one pipe open to each Redis server that is used: a single one, or every master of a cluster.

A server that cannot be reached is dialled again and again, with growing pauses; meanwhile there is no pipe to it, which
costs whoever asks nothing. Starting without a server is the same thing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError

from .redis_client import Connecting, connecting
from .redis_pipe import GONE, Gone, Pipe, pack
from .redis_scripts import Script

__all__ = ["Nodes", "word_of"]

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.05
"""Seconds before a server is dialled again; twice as many each time."""

LONGEST_PAUSE_S: Final = 1.0

LOOK_S: Final = 0.1
"""Seconds between two looks at where a cluster keeps what."""

START_S: Final = 2.0
"""Seconds a start waits for the first connection."""

START_TRIES: Final = 3
"""Times it dials until it does without."""

TRIES: Final = 4
"""Times a command is sent that was sent to the wrong server, or whose script was not known there."""


class _Node:
    """One server.

    Args:
        host: Its host; None for the one the URL names.
        port: Its port.
    """

    __slots__ = ("host", "pipe", "port", "task")

    def __init__(self, host: str | None, port: int) -> None:
        self.host = host
        self.port = port
        self.pipe: Pipe | None = None
        self.task: asyncio.Task[None] | None = None


class Nodes:
    """The servers behind one URL.

    Args:
        url: As of `redis_client.client_of`.
        what: What is kept there, for the log.
        scripts: Loaded on every connection.
        opened: Called when a connection was made; every key may be at another server than before.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(
        self, url: str, *, what: str, scripts: Sequence[Script] = (), opened: Callable[[], None] = lambda: None
    ) -> None:
        self._connecting: Connecting = connecting(url)
        self._what = what
        self._scripts = scripts
        self._opened = opened
        self._seed = _Node(None, 0)
        self._nodes: dict[tuple[str, int], _Node] = {}
        self._slots: list[_Node | None] | None = None  # None: it is no cluster, or nobody knows yet
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._loading: set[Pipe] = set()
        self._is_closed = False
        self._down_since = 0.0
        self._has_warned = False
        self._failures = 0
        self._why = ""

    async def start(self) -> None:
        """Connect; returns without a connection when there is none soon."""
        self._down_since = asyncio.get_running_loop().time()
        self._seed.task = asyncio.create_task(self._keep(self._seed))
        try:
            async with asyncio.timeout(START_S):
                while not self._is_whole() and self._failures < START_TRIES:
                    await self._news.wait()
        except TimeoutError:
            pass
        except BaseException:
            await self.aclose()
            raise
        self._warn()

    async def aclose(self) -> None:
        """Close every connection."""
        self._is_closed = True
        tasks = [node.task for node in (self._seed, *self._nodes.values()) if node.task is not None]
        tasks += self._leaving
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ------------------------------------------------------------------------ which pipe

    @staticmethod
    def slot_of(key: bytes) -> int:
        """Give the slot of a key; a single server has them all."""
        return key_slot(key)

    def pipe(self, slot: int) -> Pipe | None:
        """Give the pipe for a slot; None when there is no connection."""
        if self._slots is None:
            return self._seed.pipe
        node = self._slots[slot]
        return None if node is None else node.pipe

    def pipes(self) -> list[Pipe]:
        """Give all pipes that are open."""
        return [node.pipe for node in (self._seed, *self._nodes.values()) if node.pipe is not None]

    def is_degraded(self) -> bool:
        """Tell whether something cannot be reached, or does not answer in time."""
        return not self._is_whole() or any(pipe.is_slow() for pipe in self.pipes())

    async def news(self, limit_s: float) -> None:
        """Wait until a connection is made, or for so many seconds."""
        try:
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        except TimeoutError:
            pass

    # ------------------------------------------------------------------------ commands that are waited for

    async def ask(self, slot: int, command: tuple[Any, ...], limit_s: float) -> Any:
        """Send a command and wait for its reply; in a cluster to whichever server has the slot by now.

        Returns:
            The reply; a `hiredis.ReplyError`; `Gone` when there is no connection or no reply within `limit_s`.
        """
        return await self._ask(slot, lambda _: command, limit_s)

    async def run(self, script: Script, slot: int, key: bytes, arguments: tuple[Any, ...], limit_s: float) -> Any:
        """Run a script and wait for its reply, also where it is not known. See `ask`."""

        def command(is_unknown: bool) -> tuple[Any, ...]:
            name = ("EVAL", script.text) if is_unknown else ("EVALSHA", script.sha)
            return (*name, 1, key, *arguments)

        return await self._ask(slot, command, limit_s)

    async def _ask(self, slot: int, command: Callable[[bool], tuple[Any, ...]], limit_s: float) -> Any:
        reply: Any = GONE
        is_unknown, pipe, is_asking = False, self.pipe(slot), False
        try:
            async with asyncio.timeout(limit_s):
                for _ in range(TRIES):
                    if pipe is None or not pipe.has_room():
                        return GONE
                    if is_asking:
                        pipe.send(pack(("ASKING",)), _ignore)
                    reply = await pipe.ask(pack(command(is_unknown)))
                    match word_of(reply):
                        case "NOSCRIPT":
                            self.reload(pipe)
                            is_unknown = True
                        case "MOVED":
                            await self._look_again()
                            pipe, is_asking = self.pipe(slot), False
                        case "ASK":
                            pipe, is_asking = self._named(str(reply).split()[-1]), True
                        case "TRYAGAIN" | "CLUSTERDOWN":
                            await asyncio.sleep(PAUSE_S)
                        case _:
                            return reply
        except TimeoutError:
            return GONE
        return reply

    def _named(self, address: str) -> Pipe | None:
        return next((node.pipe for (host, port), node in self._nodes.items() if f"{host}:{port}" == address), None)

    def wrong(self, pipe: Pipe, reply: Any) -> None:
        """Note what is wrong by an error reply: scripts are loaded again, the cluster looked at, a replica left."""
        match word_of(reply):
            case "NOSCRIPT":
                self.reload(pipe)
            case "MOVED" | "ASK" | "CLUSTERDOWN":
                self.look()
            case "READONLY" | "MASTERDOWN":
                pipe.close()  # no longer a master: the address may lead to another one by now
                self.look()

    def reload(self, pipe: Pipe) -> None:
        """Load the scripts on a connection anew, unless that is under way."""
        if pipe in self._loading:
            return
        self._loading.add(pipe)
        for script in self._scripts:
            pipe.send(pack(("SCRIPT", "LOAD", script.text)), self._loaded, pipe)
        if not self._scripts:
            self._loading.discard(pipe)

    def _loaded(self, _: Any, pipe: Pipe, __: Any) -> None:
        self._loading.discard(pipe)

    # ------------------------------------------------------------------------ connections

    async def _keep(self, node: _Node) -> None:
        pause = PAUSE_S
        while True:
            closed = asyncio.Event()
            pipe = Pipe(lambda _, closed=closed: closed.set())  # type: ignore[misc]
            try:
                await pipe.connect(self._connecting(node.host, node.port))
                await self._greet(node, pipe)
            except (RedisError, OSError, TimeoutError, ValueError, Gone, hiredis.HiredisError) as exc:
                await pipe.aclose()
                self._why = word_of(exc) or type(exc).__name__  # its text may quote what was configured
                self._failures += 1
                self._wake()
                self.look()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            except BaseException:
                await pipe.aclose()
                raise
            pause, self._why = PAUSE_S, ""
            node.pipe = pipe
            self._tell()
            try:
                await closed.wait()
            finally:
                node.pipe = None
                await pipe.aclose()
            if not self._has_warned:
                self._down_since = asyncio.get_running_loop().time()
            self._warn()
            self.look()

    async def _greet(self, node: _Node, pipe: Pipe) -> None:
        """Load the scripts, and learn whether it is a cluster.

        Raises:
            HiredisError: It was refused.
            Gone: There was no reply.
        """
        loading = [pipe.ask(pack(("SCRIPT", "LOAD", script.text))) for script in self._scripts]
        hello = await _right(pipe.ask(pack(("HELLO",))))
        for reply in loading:
            await _right(reply)
        fields = dict(zip(hello[::2], hello[1::2], strict=False))
        if fields.get(b"mode") == b"cluster":
            self._arrange(await _right(pipe.ask(pack(("CLUSTER", "SLOTS")))), node)
        elif node is self._seed:
            self._slots = None

    def look(self) -> None:
        """Learn anew which server has which slots, some time soon."""
        if (self._slots is not None and self._looking is None) and not self._is_closed:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("%s: the cluster cannot be read: %s", self._what, type(exc).__name__)

    async def _look_again(self) -> None:
        self.look()
        if self._looking is not None:
            await asyncio.wait((self._looking,))

    async def _look(self) -> None:
        for node in (self._seed, *self._nodes.values()):
            if node.pipe is not None:
                reply = await node.pipe.ask(pack(("CLUSTER", "SLOTS")))
                if isinstance(reply, list) and self._arrange(reply, node):
                    break
        await asyncio.sleep(LOOK_S)

    def _arrange(self, ranges: list[Any], asked: _Node) -> bool:
        """Take over a cluster's word on who has which slots."""
        slots: list[_Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        found: dict[tuple[str, int], _Node] = {}
        before = self._slots
        for first, last, master, *_ in ranges:
            host, port = (master[0] or b"").decode(), int(master[1])
            if host in ("", "?"):  # the one that was asked does not know its own name
                made = self._connecting(asked.host, asked.port)
                host = str(getattr(made, "host", "127.0.0.1"))
            node = found.get((host, port)) or self._nodes.get((host, port)) or _Node(host, port)
            found[host, port] = node
            slots[first : last + 1] = [node] * (last + 1 - first)
        if not found:
            return False
        gone = [node for address, node in self._nodes.items() if address not in found]
        self._nodes, self._slots = found, slots
        for node in gone:
            if node.task is not None:
                node.task.cancel()  # which closes its pipe
                self._leaving.add(node.task)
                node.task.add_done_callback(self._leaving.discard)
        for node in found.values():
            if node.task is None:
                node.task = asyncio.create_task(self._keep(node))
        if before != slots:
            self._tell()
        return True

    def _tell(self) -> None:
        self._opened()
        if self._has_warned and self._is_whole():
            self._has_warned = False
            down_s = asyncio.get_running_loop().time() - self._down_since
            logger.warning("%s: Redis is back after %.1f s", self._what, down_s)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()  # who waits has the old one

    def _is_whole(self) -> bool:
        if self._slots is None:
            return self._seed.pipe is not None
        return None not in self._slots and all(node.pipe is not None for node in self._nodes.values())

    def _warn(self) -> None:
        if not self._has_warned and not self._is_closed and not self._is_whole():
            self._has_warned = True
            why = f" ({self._why})" if self._why else ""
            logger.warning(
                "%s: Redis cannot be reached%s; this server goes on without it until it can", self._what, why
            )


def word_of(reply: Any) -> str:
    """Give the first word of an error reply, which names its kind; empty for any other reply."""
    return str(reply).partition(" ")[0] if isinstance(reply, hiredis.ReplyError) else ""


async def _right(asked: asyncio.Future[Any]) -> Any:
    reply = await asked
    if isinstance(reply, Gone):
        raise Gone("no reply")
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def _ignore(_: Any, __: Any, ___: Any) -> None:
    pass
