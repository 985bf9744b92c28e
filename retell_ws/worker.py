"""What a worker knows of its supervisor: which of the processes it is, where it listens, and the line between them.

The line is a pair of sockets. Over it the worker says that it is ready, or why it cannot be, and is told what to do:
no signal, which can be lost before a handler is there, and which a service manager may send to both. It is how each
notices the other's death, too: it then reads the end of the line.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final, Self

import msgspec

from .settings import Settings

__all__ = ["MARK", "Order", "Post", "Worker"]

MARK: Final = "RETELL_WORKER"
"""The variable of the environment that makes a process a worker. No setting's name, nor nearly one."""


class Order(Enum):
    """What a worker is told, one byte each."""

    DRAIN = b"d"
    """Leave, as after SIGTERM."""

    STOP = b"s"
    """Leave at once, as after a second one."""

    MOVE = b"m"
    """Give the calls to other servers, and stay."""

    TAKE = b"t"
    """Take calls again."""


class Post(msgspec.Struct, frozen=True):
    """The place of one worker.

    Attributes:
        index: Which one it is, from 0.
        workers: How many there are.
        port: The port of the calls, which they share.
        http_port: Its own second port; 0 picks a free one, None means none.
        line: The number of its end of the line.
    """

    index: int
    workers: int
    port: int
    http_port: int | None
    line: int


class Worker:
    """This process, seen as one of several.

    Args:
        post: Its place.
        line: Its end of the line.
    """

    def __init__(self, post: Post, line: socket.socket) -> None:
        self.post = post
        self._line = line

    @classmethod
    def taken(cls, environment: MutableMapping[str, str] = os.environ) -> Self | None:
        """Take up the place this process was started for; None when it is no worker.

        The mark is taken away: a server that the agent starts is none of ours. Nor is one that was started before
        this by the user's script, which finds the mark but not the line.
        """
        mark = environment.pop(MARK, "")
        if not mark:
            return None
        post = msgspec.json.decode(mark, type=Post)
        try:
            line = socket.socket(fileno=post.line)
        except OSError:
            return None
        if line.family != socket.AF_UNIX:
            line.detach()
            return None
        line.set_inheritable(False)  # whatever the agent starts must not keep the line open after our death
        return cls(post, line)

    def settings(self, settings: Settings) -> Settings:
        """Give the settings of this worker, from those of all."""
        post = self.post
        return msgspec.structs.replace(settings, workers=post.workers, port=post.port, http_port=post.http_port)

    def ready(self, told: Mapping[str, Any]) -> None:
        """Say that calls are taken, with what the ready line tells."""
        self._say({"ready": told})

    def refuse(self, why: str) -> None:
        """Say why this cannot be served: the supervisor says it once for all of them."""
        self._say({"refused": why})

    def _say(self, what: Mapping[str, Any]) -> None:
        with suppress(OSError):  # the supervisor is gone, which `listen` sees
            self._line.sendall(msgspec.json.encode(what) + b"\n")

    def listen(self, obey: Callable[[Order], None]) -> None:
        """Have orders obeyed from now on; the end of the line is one to drain."""
        loop = asyncio.get_running_loop()
        self._line.setblocking(False)

        def read() -> None:
            try:
                orders = self._line.recv(64)
            except BlockingIOError:
                return
            except OSError:
                orders = b""
            if not orders:
                loop.remove_reader(self._line)
                obey(Order.DRAIN)
            for order in orders:
                obey(Order(bytes((order,))))

        loop.add_reader(self._line, read)
