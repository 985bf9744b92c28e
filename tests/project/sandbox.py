"""A folder that looks like the project's, and a shell in it, to run what the README says as a reader would.

What a reader has and this machine has not (Docker, a cluster) is played by stand-ins, which refuse what is wrong.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from tests.machine import free_ports
from tests.waiting import until

__all__ = ["Done", "Sandbox", "Shell", "shell"]

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).parent / "stand_ins"

COMMAND_S = 60.0
"""Longest time of a command: Kafka's start on a busy machine."""

GONE_S = 10.0

PORT = re.compile(r"(127\.0\.0\.1:|--port |--http-port )(8080|8081|6379|9000|9092|9100)\b")
"""Ports as the README names them for this machine; `a:8080` is another one's."""


class Sandbox:
    """The folder, and the ports that stand for those of the README.

    Args:
        folder: Empty as yet.
        files: Written into it, by name.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        calls, http, redis, kafka, model, retell = free_ports(1, 1, 1, 2, 1, 1)
        self.ports = {"8080": calls, "8081": http, "6379": redis, "9092": kafka, "9000": model, "9100": retell}
        for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / "retell_ws").symlink_to(ROOT / "retell_ws")
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / ".kafka").mkdir()
        (folder / ".kafka/libs").symlink_to((ROOT / ".kafka/libs").resolve())
        programs = folder / ".programs"
        programs.mkdir()
        for name in ("docker", "kubectl"):
            self._program(programs / name, f"{STAND_INS / name}.py")
        self._program(programs / "retell_ws", "-m", "retell_ws")
        for name, text in files.items():
            (folder / name).write_text(text)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            # What the README says in sentences, and no command sets.
            "RETELL_WS_WEBHOOK_SECRET": "not-a-secret",
            # What is a default in the README and may be taken here; and what a reader has the patience for.
            "RETELL_WS_PORT": str(calls),
            "RETELL_WS_HTTP_PORT": str(http),
            "RETELL_WS_CONTROL_URL": f"http://127.0.0.1:{http}",
            "RETELL_WS_GRACE_S": "1",
            "RETELL_WS_DRAIN_S": "0",
        }

    def _program(self, path: Path, *arguments: str) -> None:
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(arguments)} "$@"\n')
        path.chmod(0o700)

    def moved(self, text: str) -> str:
        """Put our ports in the place of the README's."""
        return PORT.sub(lambda found: f"{found[1]}{self.ports[found[2]]}", text)


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


class Shell:
    """A bash that is told one command after the other, so that what one sets or starts the next one has.

    Args:
        bash: It, reading commands; a line of its output is the status of one.
        folder: Where what commands say is kept.
    """

    def __init__(self, bash: asyncio.subprocess.Process, folder: Path) -> None:
        self._bash = bash
        self._folder = folder
        self._number = 0

    async def run(self, text: str, *, types: str = "", limit_s: float = COMMAND_S) -> Done:
        """Run a command to its end.

        Args:
            text: It.
            types: Its standard input.
            limit_s: Longest time it may take.
        """
        script = self._script(text)
        script.with_suffix(".in").write_text(types)
        self._tell(f"{{ . {script}; }} >{script}.out 2>{script}.err <{script.with_suffix('.in')}; echo $?")
        assert self._bash.stdout is not None
        async with asyncio.timeout(limit_s):
            status = await self._bash.stdout.readline()
        return Done(int(status), *self._said(script))

    async def start(self, text: str, shows: str) -> Done:
        """Run a command that goes on, and wait until it shows that it is ready.

        Raises:
            AssertionError: It does not; the text is what it said.
        """
        script = self._script(text)
        self._tell(f"{{ . {script}; }} >{script}.out 2>{script}.err </dev/null &")
        try:
            await until(lambda: any(re.search(shows, said) for said in self._said(script)), COMMAND_S)
        except TimeoutError:
            raise AssertionError(f"{text}: not ready: {self._said(script)}") from None
        return Done(0, *self._said(script))

    def _script(self, text: str) -> Path:
        self._number += 1
        script = self._folder / f"command-{self._number}"
        script.write_text(f"{text}\n")
        return script

    def _tell(self, line: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{line}\n".encode())

    def _said(self, script: Path) -> tuple[str, str]:
        out, err = Path(f"{script}.out"), Path(f"{script}.err")
        return tuple(path.read_text() if path.exists() else "" for path in (out, err))  # type: ignore[return-value]


@asynccontextmanager
async def shell(sandbox: Sandbox, told: Path) -> AsyncIterator[Shell]:
    """Run a shell in the folder. Whatever was started in it is gone in the end.

    Args:
        sandbox: The folder.
        told: An empty folder for what commands say.
    """
    bash = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-s"),
        cwd=sandbox.folder,
        env=sandbox.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Shell(bash, told)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, number)
            with suppress(TimeoutError):
                await until(lambda: not _is_alive(bash.pid), GONE_S)
                break
        await bash.communicate()


def _is_alive(group: int) -> bool:
    """Somebody of a process group still runs."""
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
