"""Looks at a server from outside: its memory, its descriptors, what its process tells. It starts nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import psutil  # type: ignore[import-untyped]

from bench.harness import machine
from bench.harness.events.arrived import journal_bytes

__all__ = ["Looks", "Sample"]

TOLD_S = 20.0
"""Longest wait for the process to tell: its loop may be busy, the machine too."""


class Sample(msgspec.Struct, frozen=True):
    """What there was at one moment.

    Attributes:
        at_s: Seconds since the first call; before it, negative.
        rss_mib: Resident memory of the server.
        beside_mib: Of the process of its consumers.
        descriptors: Open files and sockets of the server, but for sockets to the model and to Redis, which are pooled.
        call_sockets: Sockets on the port of the calls.
        model_sockets: Sockets to the model.
        store_sockets: Sockets to Redis.
        closing_sockets: Those of the server that are neither open nor listening: one side has closed.
        tasks, threads, objects, sessions: As the process tells; objects are those the garbage collector looks at.
        calls: As `/metrics` tells.
        journal_mib: The journal's files.
        keys: In Redis.
    """

    at_s: float
    rss_mib: float
    beside_mib: float
    descriptors: int
    call_sockets: int
    model_sockets: int
    store_sockets: int
    closing_sockets: int
    tasks: int
    threads: int
    objects: int
    sessions: int
    calls: int
    journal_mib: float
    keys: int


class Looks:
    """Takes samples of one server.

    Args:
        pid: Of the server.
        ws: Its address for calls.
        http: Its second port.
        model: The address of the model.
        redis: The port of Redis.
        data: Its data folder.
        told: The file into which its process tells.
    """

    def __init__(self, pid: int, *, ws: str, http: str, model: str, redis: int, data: Path, told: Path) -> None:
        self._server = psutil.Process(pid)
        self._calls_port = urlsplit(ws).port
        self._model_port = urlsplit(model).port
        self._redis_port = redis
        self._http = http
        self._data = data
        self._told = told
        self._first_call = time.monotonic()

    def begin(self) -> None:
        """The first call is now."""
        self._first_call = time.monotonic()

    def sample(self) -> Sample:
        """Look.

        Raises:
            TimeoutError: The process does not tell.
            OSError: It does not answer on its second port.
        """
        told = self._ask()
        to_model = to_redis = calls = closing = 0
        for connection in self._server.net_connections(kind="tcp"):
            to_model += bool(connection.raddr) and connection.raddr.port == self._model_port
            to_redis += bool(connection.raddr) and connection.raddr.port == self._redis_port
            calls += connection.laddr.port == self._calls_port and connection.status != psutil.CONN_LISTEN
            closing += connection.status not in (psutil.CONN_ESTABLISHED, psutil.CONN_LISTEN)
        return Sample(
            at_s=time.monotonic() - self._first_call,
            rss_mib=machine.rss_bytes(self._server.pid) / 2**20,
            beside_mib=sum(child.memory_info().rss for child in self._server.children(recursive=True)) / 2**20,
            descriptors=self._server.num_fds() - to_model - to_redis,
            call_sockets=calls,
            model_sockets=to_model,
            store_sockets=to_redis,
            closing_sockets=closing,
            calls=self._attached(),
            journal_mib=journal_bytes(self._data) / 2**20,
            keys=self._keys(),
            **told,
        )

    def _ask(self) -> dict[str, int]:
        before = self._lines()
        os.kill(self._server.pid, signal.SIGUSR1)
        deadline = time.monotonic() + TOLD_S
        while len(lines := self._lines()) == len(before):
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not tell what is in its process")
            time.sleep(0.01)
        found: dict[str, int] = msgspec.json.decode(lines[-1])
        return found

    def _lines(self) -> list[bytes]:
        """What was told so far; a line without its end is not there yet."""
        text = self._told.read_bytes() if self._told.exists() else b""
        return text.split(b"\n")[:-1]

    def _attached(self) -> int:
        with urlopen(f"{self._http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return next(int(float(line.split()[1])) for line in text.splitlines() if line.startswith("retell_ws_calls "))

    def _keys(self) -> int:
        from redis import Redis

        with Redis(port=self._redis_port) as client:
            return int(client.dbsize())
