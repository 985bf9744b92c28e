"""What the README says of several servers: its lines are run as they stand, and a call is made through them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.retell import CallEnded, FakeRetell

from .machine import free_ports, program
from .redis_servers import valkey
from .waiting import until

ROOT = Path(__file__).parent.parent
OURS = '"$PYTHON" -m retell_ws "$@"'


def block() -> str:
    (found,) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    return str(found)


class Running:
    """What the README's lines started.

    Attributes:
        url: What Retell is given.
    """

    def __init__(self, url: str, leader: int, first: int) -> None:
        self.url = url
        self._leader = leader
        self._first = first

    def server(self, number: int) -> int:
        """Give the process of the nth server."""
        words = f"--port {self._first + number} --blueprint"
        return next(int(each.pid) for each in group(self._leader) if words in " ".join(each.cmdline()))


@asynccontextmanager
async def running_block(directory: Path) -> AsyncIterator[Running]:
    """Run the README's lines. All they started is gone in the end."""
    port, first, redis = free_ports(1, 3, 1)
    (directory / "redis-server").symlink_to(valkey())  # a Valkey will do
    (directory / "agent.py").write_text("from retell_ws import Agent\nagent = Agent('You are Ana.', greeting='Hi.')\n")
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", f"retell_ws() {{ {OURS}; }}\n{block()}"),
        cwd=directory,
        env={
            **kept,
            "PATH": f"{directory}:{Path(program('haproxy')).parent}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            **{"PORT": str(port), "FIRST_PORT": str(first), "REDIS_PORT": str(redis)},
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Running(f"ws://127.0.0.1:{port}/llm-websocket", process.pid, first)
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


class Caller:
    """A call that may go from server to server.

    Attributes:
        retell: The call.
        frames: All that was heard, on whichever line.
    """

    def __init__(self, url: str) -> None:
        self.frames: list[str] = []
        policy = DialPolicy(attempts=100, pause_s=0.2)  # the first one dials while everything is starting
        once = DialPolicy(attempts=1)
        self.retell = FakeRetell(url, dial_policy=policy, redial_policy=once, on_frame=self.frames.append)

    @property
    def lines(self) -> int:
        """How often a server has taken the call."""
        return sum('"response_type":"config"' in frame for frame in self.frames)

    async def asks(self) -> None:
        """Ask something, on whichever line is up."""
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await self.retell.ask("Are you open on Monday?")).text
                    return
                except CallEnded:
                    assert self.retell.disconnection_reason is None
                    await asyncio.sleep(0.05)


async def moved(callers: list[Caller], lines: int) -> None:
    """Wait until servers have taken calls so many times."""
    await until(lambda: sum(caller.lines for caller in callers) >= lines)


async def test_the_readme_s_three_servers_keep_every_call_when_one_steps_aside_and_one_dies(tmp_path: Path) -> None:
    async with running_block(tmp_path) as servers, AsyncExitStack() as stack:
        callers = [Caller(servers.url) for _ in range(6)]
        for caller in callers:
            await stack.enter_async_context(caller.retell)
            assert await caller.retell.greeting() == "Hi."
            await caller.asks()
        os.kill(servers.server(0), signal.SIGUSR2)
        await moved(callers, 6 + 2)
        for caller in callers:
            await caller.asks()
        os.kill(servers.server(1), signal.SIGKILL)
        await moved(callers, 6 + 2 + 2)
        for caller in callers:
            await caller.asks()
            assert sum('"content":"Hi."' in frame for frame in caller.frames) == 1, "nobody is greeted twice"
            assert not caller.retell.report.faults
