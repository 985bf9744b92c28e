"""Our command line as a process of its own, as a user starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

__all__ = ["KEY", "launched", "ready", "ready_line", "refused", "served", "start"]

KEY = "sk-ant-canary-0123456789"

START_S = 20.0


async def launched(*arguments: str, env: Mapping[str, str], stderr: int = PIPE, stdin: int = DEVNULL) -> Process:
    """Start `python arguments…`.

    Args:
        arguments: Of the interpreter.
        env: All it has of an environment, but for what any program needs.
        stderr: As `asyncio.create_subprocess_exec` takes it: a pipe, unless nobody will read it.
        stdin: Likewise; by default there is nothing to read.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=stdin,
        stdout=PIPE,
        stderr=stderr,
        env={**kept, "PYTHONUNBUFFERED": "1", **env},
    )


async def start(*arguments: str, **env: str) -> Process:
    """Start `retell_ws arguments…`."""
    return await launched("-m", "retell_ws", *arguments, env=env)


async def ready_line(process: Process) -> dict[str, Any]:
    """Wait for what a process says when it serves."""
    assert process.stdout is not None
    async with asyncio.timeout(START_S):
        line = await process.stdout.readline()
    found: dict[str, Any] = orjson.loads(line)
    return found


@asynccontextmanager
async def ready(process: Process) -> AsyncIterator[dict[str, Any]]:
    """Have a process that serves; it is killed at the end if it still runs.

    Yields:
        Its ready line.
    """
    try:
        yield await ready_line(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def served(*flags: str, **env: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """Have a server on a port of its own.

    Yields:
        It, and its ready line.
    """
    process = await start("serve", "--port", "0", *flags, **env)
    async with ready(process) as line:
        yield process, line


async def refused(*arguments: str, status: int = 2, **env: str) -> str:
    """Run a command that must exit with this status, and say one line; give the line."""
    process = await start(*arguments, **env)
    async with asyncio.timeout(START_S):
        out, err = await process.communicate()
    assert process.returncode == status, err.decode()
    assert out == b""
    (line,) = err.decode().splitlines()
    assert line.startswith("retell_ws: ")
    assert "Traceback" not in line
    return line
