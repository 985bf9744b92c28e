"""Escalation in a process of its own: `python -m tests.consumers.apart SETTINGS LEASE_S [hang]`.

The bus is a pipe: entries come as lines, and what the consumer tells the bus goes back as lines. With `hang` whatever
is done in a call never ends, and begins with the line `begun`: the moment between writing down and doing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import uvloop

from retell_ws.consumers.runner import Runner
from retell_ws.control import Command, Outcome
from retell_ws.entries import Entry, decode, encode
from retell_ws.escalating import escalating
from retell_ws.settings import Settings
from retell_ws.stores import redis_watches, sqlite_watches

from ..processes import launched

__all__ = ["Apart", "apart"]


class Pipe:
    """The bus of the child."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._next: asyncio.Task[bytes] | None = None

    async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
        """Give one entry."""
        if self._next is None:
            self._next = asyncio.create_task(self._reader.readline())
        await asyncio.wait((self._next,), timeout=wait_s)
        if not self._next.done():
            return ()
        line, self._next = self._next.result(), None
        if not line:
            raise SystemExit
        return [decode(line)]

    async def commit(self) -> None:
        """Do nothing: what was read is gone from the pipe."""

    async def put(self, entry: Entry) -> None:
        """Tell the parent."""
        _say(encode(entry).decode())

    async def bury(self, entry: Entry, why: str) -> None:
        """Tell the parent."""

    def lag(self) -> int | None:
        """Nobody knows."""
        return None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _hang(_: str, __: Command) -> Outcome:
    _say("begun")
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def _main(settings: Settings, lease_s: float, hangs: bool) -> None:
    for module in (redis_watches, sqlite_watches):
        vars(module)["LEASE_S"] = lease_s
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    source = Pipe(reader)
    async with escalating(settings, source, do=_hang if hangs else None) as consumer, consumer:
        _say("ready")
        await Runner(source, consumer).run(asyncio.Event())


class Apart:
    """The parent's end.

    Attributes:
        lines: What the child has said.
        ready: It reads.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self.ready = asyncio.Event()

    def give(self, entry: Entry) -> None:
        """Put an entry on the bus; nothing when the child is gone."""
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(encode(entry) + b"\n")

    def told(self) -> list[Entry]:
        """Give what the consumer has told the bus."""
        return [decode(line.encode()) for line in self.lines if line != "begun"]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def listen(self) -> None:
        """Hear what the child says."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line == b"ready\n":
                self.ready.set()
            else:
                self.lines.append(line.decode().strip())


@asynccontextmanager
async def apart(settings: Settings, *, lease_s: float = 30.0, hangs: bool = False, **env: str) -> AsyncIterator[Apart]:
    """Run the consumer apart. It is killed in the end.

    Yields:
        It, reading.
    """
    given = msgspec.json.encode(settings).decode()
    more = ("hang",) if hangs else ()
    process = await launched(
        "-m", "tests.consumers.apart", given, str(lease_s), *more, env=env, stderr=asyncio.subprocess.DEVNULL, stdin=-1
    )
    child = Apart(process)
    listening = asyncio.create_task(child.listen())
    try:
        async with asyncio.timeout(20):
            await child.ready.wait()
        yield child
    finally:
        if process.returncode is None:
            process.kill()
        await listening
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(
        _main(msgspec.json.decode(sys.argv[1].encode(), type=Settings), float(sys.argv[2]), sys.argv[3:] == ["hang"])
    )
