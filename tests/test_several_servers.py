"""What the README says of several servers: its lines are run as they stand, and a call is made through them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.testing.dial import DialError, DialPolicy
from retell_ws.testing.retell import FakeRetell

from .redis_process import binary

ROOT = Path(__file__).parent.parent
OURS = '"$PYTHON" -m retell_ws "$@"'


def block() -> str:
    (found,) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    return str(found)


def free_ports() -> tuple[int, int, int]:
    """Find a port, the first of three in a row, and another one."""
    for _ in range(100):
        with ExitStack() as held, suppress(OSError):
            ports: list[int] = []
            for place in (0, 0, 0, "next", "next"):
                sock = held.enter_context(socket.socket())
                sock.bind(("127.0.0.1", ports[-1] + 1 if place == "next" else 0))
                ports.append(sock.getsockname()[1])
            return ports[0], ports[2], ports[1]
    raise AssertionError("there are no free ports")


def haproxy() -> Path:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("haproxy is not installed")
        pytest.skip("haproxy is not installed")
    return Path(found)


@asynccontextmanager
async def running_block(directory: Path) -> AsyncIterator[str]:
    """Run the README's lines; give the URL of what they started. All of it is gone in the end."""
    port, first, redis = free_ports()
    (directory / "redis-server").symlink_to(binary())  # a Valkey will do
    (directory / "agent.py").write_text("from retell_ws import Agent\nagent = Agent('You are Ana.', greeting='Hi.')\n")
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", f"retell_ws() {{ {OURS}; }}\n{block()}"),
        cwd=directory,
        env={
            **kept,
            "PATH": f"{directory}:{haproxy().parent}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            **{"PORT": str(port), "FIRST_PORT": str(first), "REDIS_PORT": str(redis)},
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"ws://127.0.0.1:{port}/llm-websocket"
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(15):
                    while await asyncio.to_thread(group, process.pid):  # noqa: ASYNC110  # it is no child of ours
                        await asyncio.sleep(0.05)
        await process.wait()


def group(leader: int) -> list[psutil.Process]:
    """Give what runs of a group of processes."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def test_the_readme_s_three_servers_take_a_call(tmp_path: Path) -> None:
    async with running_block(tmp_path) as url:
        async with asyncio.timeout(40):
            while True:
                try:
                    retell = await FakeRetell(url, dial_policy=DialPolicy(attempts=1)).__aenter__()
                except DialError:
                    await asyncio.sleep(0.2)
                else:
                    break
        try:
            assert await retell.greeting() == "Hi."
            assert (await retell.ask("Are you open on Monday?")).text
        finally:
            await retell.__aexit__(None, None, None)
    assert (tmp_path / "haproxy.cfg").is_file()
