"""Several processes behind one port: real ones, killed and told to leave as an operator or a machine would."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.errors import UsageError
from retell_ws.testing.dial import DialError, DialPolicy
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess
from retell_ws.testing.retell import FakeRetell
from retell_ws.worker import MARK, Worker
from retell_ws.workers import reserved

from .http_client import fetched
from .machine import place_of
from .processes import KEY, launched, ready, refused, served, start
from .redis_servers import RedisServer, valkey
from .waiting import until

ROOT = Path(__file__).parent.parent
ONCE = DialPolicy(attempts=1)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """What makes two workers of a server whose calls any of them can take."""
    with RedisServer(valkey(), tmp_path) as redis:
        yield ("--workers", "2", "--blueprint", "distributed", "--redis-url", redis.url, "--drain-delay-s", "0")


def workers(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if child.status() != psutil.STATUS_ZOMBIE]


async def calls(address: str) -> int:
    """Ask one worker how many calls it has."""
    text = await asyncio.to_thread(fetched, f"{address}/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith("retell_ws_calls ")]
    return int(float(line.split()[1]))


@asynccontextmanager
async def a_call_on_each(ready: dict[str, Any]) -> AsyncIterator[list[FakeRetell]]:
    """Call until each of two workers has a call; give one of either, in the workers' order."""
    found: dict[int, FakeRetell] = {}
    async with AsyncExitStack() as stack:
        before = [0, 0]
        for _ in range(60):
            retell = await stack.enter_async_context(FakeRetell(ready["ws"], redials=False, dial_policy=ONCE))
            await retell.greeting()
            now = [await calls(address) for address in ready["http"]]
            found.setdefault(0 if now[0] > before[0] else 1, retell)
            before = now
            if len(found) == 2:
                break
        yield [found[0], found[1]]


def listening_pid(address: str) -> int:
    _, port = place_of(address)
    return next(
        connection.pid or 0
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    )


def answers(address: str) -> bool:
    try:
        return fetched(f"{address}/livez") == "ok\n"
    except OSError:
        return False


# ---------------------------------------------------------------------------- one port


async def test_workers_share_one_port_and_each_has_a_second_one(shared: tuple[str, ...]) -> None:
    async with served(*shared, "--http-port", "0") as (process, ready):
        assert list(ready) == ["ready", "ws", "http", "blueprint", "model", "workers"]
        assert ready["workers"] == len(set(ready["http"])) == len(workers(process)) == 2
        async with a_call_on_each(ready) as each:
            for retell in each:
                assert (await retell.ask("Are you open on Monday?")).text
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0
        assert out == b"", "the ready line is all there is"
        assert err.count(b"ANTHROPIC_API_KEY") == 1, "what is true of all is said once"


async def test_without_a_second_port_the_ready_line_names_none(shared: tuple[str, ...]) -> None:
    async with served(*shared) as (_, ready):
        assert list(ready) == ["ready", "ws", "blueprint", "model", "workers"]


async def test_a_script_that_serves_is_run_again_in_each_worker(shared: tuple[str, ...], tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    settings = f"port=0, workers=2, blueprint='distributed', redis_url={shared[-3]!r}"
    script.write_text(
        "from retell_ws import Agent, serve\nif __name__ == '__main__':\n"
        f"    serve(Agent('You are Ana.', greeting='Mine.'), {settings})\n"
    )
    process = await launched(str(script), env={"PYTHONPATH": str(ROOT)})
    async with ready(process) as line:
        assert line["workers"] == 2
        async with FakeRetell(line["ws"]) as retell:
            assert await retell.greeting() == "Mine."
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


def test_a_reserved_port_is_one_for_all_and_nobody_else_s() -> None:
    with reserved("127.0.0.1", 0) as port:
        with socket.socket() as other, pytest.raises(OSError):
            other.bind(("127.0.0.1", port))
        for _ in range(2):
            with socket.socket() as sharing:
                sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sharing.bind(("127.0.0.1", port))
                sharing.listen()
                with pytest.raises(UsageError, match=f"127.0.0.1:{port}"), reserved("127.0.0.1", port):
                    pass
    with pytest.raises(UsageError, match="cannot listen on no.such.host.invalid"):
        with reserved("no.such.host.invalid", 0):
            pass


async def test_a_port_that_others_share_is_in_use_all_the_same(shared: tuple[str, ...]) -> None:
    async with served(*shared) as (_, ready):
        _, port = place_of(ready["ws"])
        assert f"127.0.0.1:{port}" in await refused("serve", "--port", str(port), *shared, status=1)


async def test_a_second_port_of_a_worker_that_is_in_use_is_no_wrong_setting(shared: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = await refused("serve", "--port", "0", *shared, "--http-port", str(port), status=1)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line


async def test_what_no_worker_can_do_is_said_once_and_ends_with_2(shared: tuple[str, ...]) -> None:
    assert "RETELL_API_KEY" in await refused("serve", "--port", "0", *shared, "--verify-calls")
    async with FakeAnthropicProcess(fault="401") as fake:
        wrong = ("--model", "anthropic", "--model-url", fake.url)
        assert "is refused" in await refused("serve", "--port", "0", *shared, *wrong, ANTHROPIC_API_KEY=KEY)


# ---------------------------------------------------------------------------- when one dies


async def test_a_worker_that_is_killed_comes_back_and_the_other_s_calls_go_on(shared: tuple[str, ...]) -> None:
    async with served(*shared, "--http-port", "0") as (process, ready):
        async with a_call_on_each(ready) as (lost, kept):
            victim = listening_pid(ready["http"][0])
            os.kill(victim, signal.SIGKILL)
            await lost.ended()
            assert lost.close_code == 1006
            assert (await kept.ask("Are you open on Monday?")).text
            await until(lambda: len(workers(process)) == 2 and answers(ready["http"][0]))
            assert victim not in {child.pid for child in workers(process)}
            assert (await kept.ask("And on Tuesday?")).text
        async with a_call_on_each(ready):
            pass  # both are reached again, under the addresses they had


FORKS = """
import os, time
from retell_ws import Agent
if os.environ.get("RETELL_WORKER") and not os.fork():
    os.close(1)
    os.close(2)
    time.sleep(6)
    os._exit(0)
agent = Agent("You are Ana.", greeting="Hi.")
"""


async def test_a_process_that_a_worker_forked_does_not_hide_its_death(shared: tuple[str, ...], tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(FORKS)
    async with served(str(agent), *shared, "--http-port", "0") as (process, ready):
        victim = listening_pid(ready["http"][1])
        os.kill(victim, signal.SIGKILL)
        await until(lambda: answers(ready["http"][1]), limit_s=5)


async def test_workers_that_die_again_and_again_are_given_up(shared: tuple[str, ...]) -> None:
    async with served(*shared) as (process, _):
        assert process.stderr is not None
        while process.returncode is None:
            for child in workers(process):
                child.kill()
            try:
                async with asyncio.timeout(0.05):
                    await process.wait()
            except TimeoutError:
                pass
        assert process.returncode == 1
        told = (await process.stderr.read()).decode().splitlines()
        (last,) = [line for line in told if line.startswith("retell_ws: ")]
        assert "SIGKILL" in last and "all are stopped" in last


async def test_a_worker_that_ends_before_it_is_ready_ends_the_start(shared: tuple[str, ...], tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(
        f"import os\nfrom retell_ws import Agent\nif {MARK!r} in os.environ:\n    os._exit(3)\nagent = Agent('You.')\n"
    )
    process = await start("serve", str(agent), "--port", "0", *shared)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    assert err.decode() == "retell_ws: worker 0 exited with 3 before it was ready\n"


# ---------------------------------------------------------------------------- how they leave


async def test_a_signal_lets_every_worker_s_calls_finish_and_a_second_one_does_not(shared: tuple[str, ...]) -> None:
    async with served(*shared, "--http-port", "0", "--drain-s", "30") as (process, ready):
        children = workers(process)
        async with a_call_on_each(ready) as each:
            process.send_signal(signal.SIGTERM)
            for address in ready["http"]:
                await until(lambda address=address: not is_ready(address))  # type: ignore[misc]
            for retell in each:
                assert (await retell.ask("Hello?")).text
            process.send_signal(signal.SIGTERM)
            for retell in each:
                await retell.ended()
                assert retell.close_code == 1006
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        assert not any(child.is_running() for child in children)


def is_ready(address: str) -> bool:
    try:
        return fetched(f"{address}/readyz") == "ok\n"
    except OSError:
        return False


async def test_a_signal_to_all_processes_at_once_is_one_signal(shared: tuple[str, ...]) -> None:
    """As systemd sends it."""
    async with served(*shared, "--http-port", "0", "--drain-s", "30") as (process, ready):
        async with a_call_on_each(ready) as each:
            for child in workers(process):
                child.terminate()
            process.send_signal(signal.SIGTERM)
            for address in ready["http"]:
                await until(lambda address=address: not is_ready(address))  # type: ignore[misc]
            for retell in each:
                assert (await retell.ask("Hello?")).text
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_usr2_moves_the_calls_of_all_workers_and_a_second_one_lets_them_come(shared: tuple[str, ...]) -> None:
    async with served(*shared, "--http-port", "0") as (process, ready):
        async with a_call_on_each(ready) as each:
            process.send_signal(signal.SIGUSR2)
            for retell in each:
                await retell.ended()
                assert retell.close_code == 1006
            for _ in range(4):
                with pytest.raises(DialError) as caught:
                    await FakeRetell(ready["ws"], dial_policy=ONCE).__aenter__()
                assert caught.value.status == 503
        victim = listening_pid(ready["http"][1])
        os.kill(victim, signal.SIGKILL)
        await until(lambda: answers(ready["http"][1]) and listening_pid(ready["http"][1]) != victim)
        await until(lambda: not is_ready(ready["http"][1]))  # one that is started meanwhile takes none either
        process.send_signal(signal.SIGUSR2)
        for address in ready["http"]:
            await until(lambda address=address: is_ready(address))  # type: ignore[misc]
        async with a_call_on_each(ready):
            pass


async def test_workers_whose_supervisor_is_gone_drain_and_end(shared: tuple[str, ...]) -> None:
    async with served(*shared, "--http-port", "0", "--drain-s", "30") as (process, ready):
        children = workers(process)
        async with a_call_on_each(ready) as each:
            process.kill()
            await process.wait()
            for address in ready["http"]:
                await until(lambda address=address: not is_ready(address))  # type: ignore[misc]
            for retell in each:
                assert (await retell.ask("Hello?")).text
        await until(lambda: not any(child.is_running() for child in children))


async def test_a_stop_during_the_start_is_a_stop(shared: tuple[str, ...]) -> None:
    process = await start("serve", "--port", "0", *shared)
    await until(lambda: bool(workers(process)))
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err


# ---------------------------------------------------------------------------- the mark


def test_without_a_mark_a_process_is_no_worker() -> None:
    assert Worker.taken({}) is None


def test_a_mark_that_was_inherited_without_the_line_is_none(tmp_path: Path) -> None:
    """The agent's file may have started a server of its own before it came to serve."""
    with socket.socket() as taken, (tmp_path / "file").open("w") as file:
        for number in (taken.fileno(), file.fileno(), 9999):
            mark = {MARK: f'{{"index":0,"workers":2,"port":1,"http_port":null,"line":{number}}}'}
            assert Worker.taken(mark) is None
            assert mark == {}
        assert taken.fileno() >= 0
        taken.getsockname()
