"""Spare processes: servers and consumers that a validation starts beside the real ones, and ends, whatever happens.
When it is killed itself they end by themselves (`lifeline.py`).

They are what a user starts, `python -m retell_ws …`, on ports and in a folder of their own. Settings and keys reach
them through the environment alone, which other users of the machine cannot read.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import msgspec
import orjson

from ..errors import RetellWsError
from ..lifeline import LEAVE_S, MARK
from ..settings import Settings, environment_of

__all__ = ["Spare", "SpareError", "server_settings", "started"]

START_S: Final = 20.0
"""Seconds one may take to be ready."""

SHOWN: Final = 300
"""Characters of its last words that are shown."""


class SpareError(RetellWsError):
    """A spare process does not start; the text has its last words."""


class Spare:
    """A spare process that is ready.

    Args:
        process: It.
        ready: Its ready line.
        secret: Of its path; empty when there is none.
    """

    def __init__(self, process: Process, ready: Mapping[str, Any], secret: str = "") -> None:
        self._process = process
        self._ready = ready
        self._secret = secret

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """What Retell would be given."""
        return f"{self._ready['ws']}/{self._secret}" if self._secret else str(self._ready["ws"])

    @property
    def http(self) -> str:
        """Where the second port is."""
        return str(self._ready["http"])

    @property
    def port(self) -> int:
        """The port of the calls."""
        return int(str(self._ready["ws"]).split("/")[2].rpartition(":")[2])

    def kill(self) -> None:
        """End it as a crash would: with no word to anybody."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def leave(self) -> None:
        """Tell it to stop, as a service manager does."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def ended(self) -> int:
        """Wait for its end, and give its exit status."""
        return await self._process.wait()


def server_settings(settings: Settings, folder: Path, **changes: Any) -> Settings:
    """Make the settings of a spare server: the real ones, but where it would meet the real servers or do harm.

    Args:
        settings: The real ones.
        folder: Of its own.
        changes: What else is to be different.
    """
    return msgspec.structs.replace(
        settings,
        **{
            "host": "127.0.0.1",
            "port": 0,
            "http_host": "127.0.0.1",
            "http_port": 0,
            "workers": 1,
            "data": str(folder) if settings.data_folder() else "",
            "archive": "",
            "kafka_bootstrap": "",
            "consume": False,
            "rules": "",  # or an escalation might ring somebody up
            "verify_calls": False,  # Retell knows nothing of our calls
            "answers_file": "",
            "traces": False,  # calls that nobody made are not for the real collector
            "log_level": "warning",
            **changes,
        },
    )


@asynccontextmanager
async def started(
    *arguments: str, settings: Settings, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Spare]:
    """Run `retell_ws ARGUMENTS` while the block lasts.

    Args:
        arguments: Of the command line; they hold no secret.
        settings: Its settings.
        environment: Variables beside ours.

    Yields:
        It, ready.

    Raises:
        SpareError: It does not come up.
    """
    with TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "retell_ws", *arguments),
            stdin=PIPE,  # which ends with us: when we are killed, we end nobody
            stdout=PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us, who end it
            # Settings last: those of the environment are the real server's, as its port and its folder are.
            env={**os.environ, **(environment or {}), **environment_of(settings), MARK: "1"},
        )
        ignored: asyncio.Task[None] | None = None
        try:
            ready = await _ready(process)
            if ready is None:
                log.seek(0)
                raise SpareError(f"a spare `{arguments[0]}` does not start: {_last_words(log.read())}")
            ignored = asyncio.create_task(_ignore(process))
            secret, *_ = (*settings.path_secrets(), b"")
            yield Spare(process, ready, secret.decode())
        finally:
            try:
                await _end(process)
            finally:
                if ignored is not None:
                    ignored.cancel()


async def _ready(process: Process) -> dict[str, Any] | None:
    """Wait for the ready line, among whatever the agent's file prints; None when there is none."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while line := await _output(process).readline():
                with suppress(orjson.JSONDecodeError):
                    found = orjson.loads(line)
                    if isinstance(found, dict) and "ready" in found:
                        return found
    return None


async def _ignore(process: Process) -> None:
    """Read what it prints: it would stand still if nobody did."""
    while await _output(process).read(65_536):
        pass


def _output(process: Process) -> StreamReader:
    if process.stdout is None:
        raise AssertionError("its output is a pipe")
    return process.stdout


async def _end(process: Process) -> None:
    """End it, politely first: its own children end with it. A cancel does not keep it alive."""
    if process.returncode is not None:
        return
    try:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _last_words(log: bytes) -> str:
    lines = [line for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
    said = lines[-1].removeprefix("retell_ws: ").strip() if lines else f"no word within {START_S:g} s"
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"
