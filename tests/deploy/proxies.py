"""Real proxies for tests: how each is checked and run, and what it wrote."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from retell_ws.deploy.proxies import Proxy
from tests.machine import program
from tests.waiting import until

__all__ = ["commands", "listening", "written"]


def commands(proxy: Proxy, file: Path) -> tuple[list[str], list[str]]:
    """Give how the configuration is checked, and how the proxy runs in the foreground."""
    path = program(proxy, optional=proxy == "caddy")
    match proxy:
        case "haproxy":
            return [path, "-c", "-f", str(file)], [path, "-db", "-f", str(file)]
        case "nginx":
            given = [path, "-e", "stderr", "-c", str(file)]
            return [*given, "-t"], [*given, "-g", f"daemon off; pid {file.parent}/nginx.pid;"]
        case "caddy":
            given = ["--adapter", "caddyfile", "--config", str(file)]
            return [path, "validate", *given], [path, "run", *given]


@asynccontextmanager
async def listening(proxy: Proxy, file: Path, port: int) -> AsyncIterator[None]:
    """Run a proxy while the block lasts; it listens when the block begins.

    Args:
        proxy: Which one.
        file: Its configuration; what it writes goes into the same folder.
        port: Of 127.0.0.1, where it listens.
    """
    _, run = commands(proxy, file)
    env = {"PATH": os.environ["PATH"], "HOME": str(file.parent)}
    with (file.parent / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*run, stdout=log, stderr=log, env=env, cwd=file.parent)
        try:
            await until(lambda: _listens(port))
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(10):
                await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


def written(directory: Path) -> str:
    """Read what the proxy of a folder wrote, its access log too."""
    return "".join(each.read_text() for each in directory.glob("*log"))
