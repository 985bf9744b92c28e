"""Start a process on a core, wait for its ready line, stop it. It never touches a process it did not start."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

__all__ = ["ROOT", "NotReady", "Running", "environment", "pinned_to", "started"]

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


class NotReady(Exception):
    """A process ended, or said nothing, instead of printing its ready line."""


class Running:
    """A process that printed its ready line.

    Attributes:
        pid: Its id.
        ready: The ready line.
        ready_s: Seconds from its start to its ready line.
        beside: Processes that work with it, by name.
    """

    def __init__(self, pid: int, ready: dict[str, Any], ready_s: float) -> None:
        self.beside: dict[str, int] = {}
        self.pid = pid
        self.ready = ready
        self.ready_s = ready_s


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give ours and some more; results under a debug setting of the shell would not be comparable."""
    return {**os.environ, "PYTHONASYNCIODEBUG": "", "PYTHONDEVMODE": "", **(more or {})}


@contextmanager
def pinned_to(core: int) -> Iterator[None]:
    """Run on one core inside the block; processes and threads started there stay on it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def started(argv: Sequence[str], *, core: int, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run `python argv…` on `core` for the length of the block.

    Args:
        argv: Arguments for the interpreter, such as `-m` and a module.
        core: The core it may run on.
        env: Additions to the environment.

    Yields:
        The process, ready.

    Raises:
        NotReady: It printed no ready line; the text ends with what it said on stderr.
    """
    with tempfile.TemporaryFile() as stderr:
        began = time.monotonic()
        with pinned_to(core):
            process = subprocess.Popen(
                [sys.executable, *argv],
                cwd=ROOT,
                env=environment(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        try:
            assert process.stdout is not None
            line = _first_line(process.stdout, began + READY_TIMEOUT_S)
            took = time.monotonic() - began
            if not line.startswith(b"{"):
                raise NotReady(f"{' '.join(argv[:3])} did not start: {_tail(process, stderr)}")
            yield Running(process.pid, orjson.loads(line), took)
        finally:
            _stop(process)


def _first_line(pipe: IO[bytes], deadline: float) -> bytes:
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                break
            more = os.read(pipe.fileno(), 65536)
            if not more:
                break
            line += more
    return line


def _tail(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> str:
    _stop(process)
    stderr.seek(0)
    return stderr.read()[-2000:].decode(errors="replace").strip() or "no ready line, nothing on stderr"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
