"""The processes of the fault bench: servers on ports that stay the same, HAProxy before them, Redis behind them.

Each is started, struck and stopped by its own id. They are children of the bench: nothing else is touched.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson

from bench.harness.processes import ROOT, NotReady, environment
from bench.harness.redis_server import redis_command

__all__ = ["Process", "Program", "Proxy", "RedisServer", "Server"]

READY_S = 30.0
STOP_S = 30.0


class Process:
    """A child that can be started again and again.

    Args:
        name: For messages.
        argv: What is run.
        log: Where it writes what it has to say.
        env: Additions to the environment.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._argv = list(argv)
        self._log = log
        self._env = environment(env)
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Its id.

        Raises:
            NotReady: It does not run.
        """
        if self._child is None or self._child.returncode is not None:
            raise NotReady(f"{self.name} does not run: {self.said()}")
        return self._child.pid

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            NotReady: It does not come up.
        """
        with self._log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self._argv, cwd=ROOT, env=self._env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )  # fmt: skip
        try:
            async with asyncio.timeout(READY_S):
                await self._ready(self._child)
        except TimeoutError:
            raise NotReady(f"{self.name} does not come up: {self.said()}") from None

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        """Wait until it can be used."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """Strike it dead."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        """Ask it to end, and wait for that; kill it when it does not."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        child.terminate()
        child.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(STOP_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    async def ended(self) -> int:
        """Wait for its end and give its exit status."""
        assert self._child is not None
        return await self._child.wait()

    def said(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:].strip() if self._log.exists() else ""


class Program(Process):
    """A program of ours: it prints a line of JSON when it is ready.

    Attributes:
        ready: The line.
    """

    ready: dict[str, Any]

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        line = await child.stdout.readline()
        if not line.startswith(b"{"):
            raise NotReady(f"{self.name} did not start: {self.said()}")
        self.ready = orjson.loads(line)


class Server(Program):
    """One of our servers.

    Args:
        name: `s1`, and so on.
        port: Of the call port.
        http_port: Of the second port.
        folder: For its log and the file of side effects.
        flags: Further flags of the module.
        module: What is run: `bench.harness.faults.server`, or one that takes the same flags.
    """

    def __init__(
        self,
        name: str,
        *,
        port: int,
        http_port: int,
        folder: Path,
        flags: Sequence[str],
        module: str = "bench.harness.faults.server",
    ) -> None:
        argv = [
            *(sys.executable, "-m", module, "--name", name),
            *("--port", str(port), "--http-port", str(http_port), "--effects", str(folder / "effects.jsonl")),
        ]
        super().__init__(name, [*argv, *flags], folder / f"{name}.log")
        self.port = port
        self.http_port = http_port

    async def metrics(self, timeout_s: float = 5.0) -> dict[str, float]:
        """Read the second port's `/metrics`: each series with its figure.

        Raises:
            OSError: It cannot be reached.
            TimeoutError: It does not answer.
        """
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
            try:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                text = (await reader.read()).decode()
            finally:
                writer.close()
        found: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("retell_ws_"):
                series, _, value = line.rpartition(" ")
                with suppress(ValueError):
                    found[series] = float(value)
        return found


class RedisServer(Process):
    """A Redis that keeps nothing on disk: started again, it is empty.

    Args:
        port: Where it listens.
        folder: For its log.
    """

    def __init__(self, port: int, folder: Path) -> None:
        log = str(folder / "redis.txt")
        argv = redis_command("--port", str(port), "--bind", "127.0.0.1", "--logfile", log)
        super().__init__("redis", argv, folder / "redis.log")
        self.port = port

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        await _listens(child, self.port)


class Proxy(Process):
    """HAProxy with a configuration.

    Args:
        port: Where it listens.
        config: The file.
        folder: For its log.
    """

    def __init__(self, port: int, config: Path, folder: Path) -> None:
        found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if found is None:
            raise NotReady("haproxy is not installed")
        super().__init__("haproxy", [found, "-db", "-f", str(config)], folder / "haproxy.log")
        self.port = port

    async def _ready(self, child: asyncio.subprocess.Process) -> None:
        await _listens(child, self.port)


async def _listens(child: asyncio.subprocess.Process, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if child.returncode is not None:
                raise NotReady(f"it ended with {child.returncode}") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
