"""From `single` to `distributed` to `events` by the commands `blueprint apply` prints, while people are on the line.

Real processes: servers, HAProxy, a Valkey, a fake of the model's API. Nobody is greeted twice, no word is lost or said
twice, and new calls go to the new servers.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio

from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess
from retell_ws.testing.retell import CallEnded, FakeRetell

from ..machine import program
from ..redis_servers import RedisServer, valkey
from ..test_several_servers import group
from ..waiting import until

ROOT = Path(__file__).parent.parent.parent
TEXT = " ".join(f"{'W' if n % 10 == 1 else 'w'}{n}{'.' if n % 10 == 0 else ''}" for n in range(1, 41))
"""What the model says: forty words, each different, in four sentences."""

GREETING = "Harbor Clinic."


def row_of_ports(length: int) -> int:
    """Find a row of ports of four digits, those ten thousand above it free as well."""
    for _ in range(200):
        first = random.randrange(2000, 9000)
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + length):
                for each in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", each))
            return first
    raise AssertionError("there are no free ports")


class Team:
    """Who runs it: a folder, and a shell in which commands are typed.

    Attributes:
        url: What Retell is given.
    """

    def __init__(self, folder: Path, port: int, redis: RedisServer, listen: int) -> None:
        self.url = f"ws://127.0.0.1:{listen}/llm-websocket"
        self.port = port
        self.shells: list[asyncio.subprocess.Process] = []
        self._folder = folder
        self._options = {"port": str(port), "listen": f"127.0.0.1:{listen}", "redis-url": redis.url}
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        path = [str(folder), str(Path(program("haproxy")).parent), *os.environ["PATH"].split(os.pathsep)]
        path = [each for each in path if each != "/usr/sbin"]  # as it is to somebody who is not root
        self._env = {**kept, "PATH": os.pathsep.join(path), "PYTHONPATH": str(ROOT)}

    async def apply(self, blueprint: str, *names: str, **more: str) -> list[str]:
        """Have a blueprint applied, with some of the options of the beginning, and give the commands that are told."""
        given = {name: self._options[name] for name in names} | more
        flags = [word for name, value in given.items() for word in (f"--{name}", value)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "retell_ws", "blueprint", "apply", blueprint, "--into", str(self._folder), "--yes"),
            *flags,
            stdout=asyncio.subprocess.PIPE,
            env=self._env,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        (section,) = re.findall(r"Next, on one machine\n(.*?)\n\n", out.decode(), re.DOTALL)
        return re.findall(r"^    \$ (.*)$", section, re.MULTILINE)

    async def type(self, commands: list[str]) -> None:
        """Type commands, one after the other; each has to succeed."""
        script = self._folder / f"typed-{len(self.shells)}"  # as an argument they would be found by `pkill -f`
        script.write_text("\n".join(commands))
        with (self._folder / "log").open("ab") as log:
            shell = await asyncio.create_subprocess_exec(
                *("bash", "-ex", str(script)),
                cwd=self._folder,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.shells.append(shell)
        assert await shell.wait() == 0, (self._folder / "log").read_text()

    async def calls(self, number: int) -> int:
        """Ask a server, by its place in the row, how many calls it has; -1 when it is not there."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port + number + 10_000)
        except OSError:
            return -1
        try:
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            found = re.search(rb"\nretell_ws_calls (\d+)", await reader.read())
        finally:
            writer.close()
        return int(found[1]) if found else -1

    def asked(self) -> int:
        """Tell how often the old server was asked whether it has a call."""
        return (self._folder / "log").read_text().count(f"+ curl -fsS http://127.0.0.1:{self.port + 10_000}/metrics")

    async def end(self) -> None:
        """End all that was started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for shell in self.shells:
                with suppress(ProcessLookupError):
                    os.killpg(shell.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(8):
                    while any([await asyncio.to_thread(group, each.pid) for each in self.shells]):  # noqa: ASYNC110  # no children of ours
                        await asyncio.sleep(0.05)


class Caller:
    """Somebody on the line, who counts what is heard.

    Attributes:
        retell: The call.
    """

    def __init__(self, url: str) -> None:
        self._frames: list[str] = []
        policy = DialPolicy(attempts=100, pause_s=0.2)
        self.retell = FakeRetell(
            url, dial_policy=policy, redial_policy=policy, reminder_max_count=0, on_frame=self._frames.append
        )

    async def begins(self, stack: AsyncExitStack) -> Caller:
        """Dial, and hear the greeting."""
        await stack.enter_async_context(self.retell)
        assert await self.retell.greeting() == GREETING
        return self

    @property
    def lines(self) -> int:
        """How often a server has taken the call."""
        return sum('"response_type":"config"' in frame for frame in self._frames)

    async def asks(self) -> None:
        """Ask after a breath, on a line that is up, and hear each word once, whatever becomes of the line then."""
        await asyncio.sleep(0.3)  # servers drop between turns; what is asked in that very millisecond reaches nobody
        await self.retell.until(lambda: self.retell.is_open, timeout_s=60)
        response_id = await self.retell.request("What are your hours?")
        await self.hears(response_id)

    async def hears(self, response_id: int) -> None:
        """Hear an answer to its end."""
        while True:
            try:
                answer = await self.retell.answer(response_id, timeout_s=60)
                break
            except CallEnded:
                assert self.retell.disconnection_reason is None
                await asyncio.sleep(0.05)
        assert answer.text == TEXT

    async def is_cut_off_in_mid_sentence(self) -> None:
        """Ask, lose the line while words come, and hear the rest on the next one."""
        response_id = await self.retell.request("And on Saturdays?")
        heard = self.retell.rules.exchanges[response_id]
        await until(lambda: 5 < len(heard.text.split()) < 35)
        await self.retell.drop()
        await self.retell.redial()
        await self.hears(response_id)

    def was_well_served(self) -> None:
        """Nobody is greeted twice, and Retell has nothing to complain of."""
        assert sum(f'"content":"{GREETING}"' in frame for frame in self._frames) == 1
        assert not self.retell.report.faults


@pytest_asyncio.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    """A team with an agent, a Redis that runs, and a model's API."""
    for name in ("pkill", "curl"):
        program(name)
    (tmp_path / "agent.py").write_text(
        f"from retell_ws import Agent\nagent = Agent('You are Ana.', greeting={GREETING!r})\n"
    )
    port = row_of_ports(4)
    with RedisServer(valkey(), tmp_path / "redis", port=port + 3) as redis:
        async with FakeAnthropicProcess(ttft_ms=20, spacing_ms=25, text=TEXT) as fake:
            (tmp_path / "retell_ws.env").write_text(
                f"ANTHROPIC_API_KEY=any\nRETELL_WS_MODEL_URL={fake.url}\nRETELL_WS_DRAIN_S=1\n"
                "RETELL_WS_DRAIN_DELAY_S=1\nRETELL_WS_HOLDING_MS=60000\nRETELL_WS_FIRST_TEXT_MS=60000\n"
            )
            made = Team(tmp_path, port, redis, port + 10_003)
            try:
                yield made
            finally:
                await made.end()


@asynccontextmanager
async def typing(team: Team, commands: list[str]) -> AsyncIterator[asyncio.Task[None]]:
    """Have commands typed beside the block, which they outlast."""
    async with asyncio.TaskGroup() as tasks:
        yield tasks.create_task(team.type(commands))


async def comes_to(team: Team, *calls: int) -> None:
    """Wait until the servers have so many calls, the first one first."""
    async with asyncio.timeout(60):
        while [await team.calls(number) for number in range(len(calls))] != list(calls):  # noqa: ASYNC110  # nothing tells us
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_from_one_blueprint_to_the_next_nobody_on_the_line_notices(team: Team) -> None:
    await team.type(await team.apply("single", "port", "listen"))
    async with AsyncExitStack() as stack:
        old = [await Caller(team.url).begins(stack) for _ in range(3)]
        await comes_to(team, 3)
        commands = await team.apply("distributed", "redis-url", servers="2")
        async with AsyncExitStack() as new_calls, typing(team, commands) as typed:
            talking = [asyncio.create_task(caller.asks()) for caller in old]
            new: list[Caller] = []
            async with asyncio.timeout(60):  # until the proxy is told, and the old server: then they go to the new ones
                while not await team.calls(1) > 0:
                    new.append(await Caller(team.url).begins(new_calls))
                    await asyncio.sleep(1.0)
            at_old = await team.calls(0)
            new.append(await Caller(team.url).begins(new_calls))
            assert await team.calls(0) == at_old, "the old server gets no new calls"
            await asyncio.gather(*talking)
            await asyncio.gather(*(caller.is_cut_off_in_mid_sentence() for caller in old))
            assert await team.calls(0) == at_old, "a call stays with the server that knows it"
            await asyncio.gather(*(caller.asks() for caller in (*old, *new)))
            for caller in (*old, *new):
                caller.was_well_served()
            assert [caller.lines for caller in old] == [2] * len(old)
            assert not typed.done(), "the old server has calls"
            lost, *others = old
            await lost.retell.drop()
            for caller in (*others, *new):
                await caller.retell.hang_up()
            await comes_to(team, 0)
            before = team.asked()
            await until(lambda: team.asked() > before + 1)  # the answer to the first one is known
            await lost.retell.redial()
            await lost.asks()
            lost.was_well_served()
            assert await team.calls(0) == 1 and lost.lines == 3, "it has found its call where it was"
            await lost.retell.hang_up()
        assert await team.calls(0) == -1, "the old server is gone"
    async with AsyncExitStack() as stack:
        callers = [await Caller(team.url).begins(stack) for _ in range(4)]
        commands = await team.apply("events", kafka="127.0.0.1:1")
        # No Kafka is there, which is to cost nobody a word; who types the check would go no further.
        (ask,) = (number for number, command in enumerate(commands) if "--only redis kafka " in command)
        commands[ask] = commands[ask].replace(" kafka ", " ")
        async with typing(team, commands) as typed:
            while not typed.done():
                await asyncio.gather(*(caller.asks() for caller in callers))
        await asyncio.gather(*(caller.asks() for caller in callers))
        for caller in callers:
            caller.was_well_served()
            assert caller.lines > 1, "each has changed its server"
