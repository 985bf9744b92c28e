"""Real proxies before real servers: what a caller notices of a server that drains, dies or is full. Nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest

from retell_ws.__main__ import main
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.deploy.proxies import Proxy, configuration
from retell_ws.errors import UsageError
from retell_ws.models.scripted import ScriptedModel
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing.dial import DialError, DialPolicy
from retell_ws.testing.retell import FakeRetell
from tests.deploy.proxies import commands, listening, written
from tests.machine import free_port
from tests.waiting import until

PROXIES: tuple[Proxy, ...] = get_args(Proxy)
SECRET = "secret-of-the-path-0123"
ONCE = DialPolicy(attempts=1)
"""The first attempt has to succeed: the proxy itself tries the other servers."""


class Fleet:
    """Three servers and what is before them.

    Attributes:
        servers: The servers.
        url: What Retell is given: the proxy's.
        log: What the proxy wrote; there when it has ended.
    """

    def __init__(self, servers: list[Server], url: str) -> None:
        self.servers = servers
        self.url = url
        self.log = ""

    def live(self) -> list[int]:
        return [int(server.statistics()["calls"]) for server in self.servers]

    async def come_to(self, total: int, *, none_at: int | None = None) -> None:
        """Wait until so many calls are there, and none at one of the servers: how they spread is the proxy's affair."""

        def holds() -> bool:
            live = self.live()
            return sum(live) == total and (none_at is None or live[none_at] == 0)

        await until(holds)  # the proxy passes the end of a socket on when it likes


@asynccontextmanager
async def server(**settings: object) -> AsyncIterator[Server]:
    agent = Agent("You are Ana.", greeting="Hi.")
    made = Settings(port=0, path_secret=SECRET, **settings)  # type: ignore[arg-type]
    store = MemoryCallStore(asyncio.get_running_loop().time, is_shared=True)
    async with running(agent, made, model=ScriptedModel(ttft_ms=1, spacing_ms=1), store=store) as ready:
        yield ready


def address(server: Server) -> str:
    return urlsplit(server.address).netloc


@asynccontextmanager
async def fleet(
    proxy: Proxy, directory: Path, stack: AsyncExitStack, *, edit: Callable[[str], str] = str, **settings: object
) -> AsyncIterator[Fleet]:
    """Run three servers, which `stack` ends, behind a proxy, which the block does."""
    servers = [await stack.enter_async_context(server(**settings)) for _ in range(3)]
    port = free_port()
    file = directory / "proxy.conf"
    text = configuration(proxy, [address(each) for each in servers], listen=f"127.0.0.1:{port}")
    file.write_text(edit(text.replace("/var/log/nginx/", f"{directory}/")))
    made = Fleet(servers, f"ws://127.0.0.1:{port}/llm-websocket/{SECRET}")
    try:
        async with listening(proxy, file, port):
            yield made
    finally:
        made.log = await asyncio.to_thread(written, directory)


async def call(url: str, stack: AsyncExitStack) -> FakeRetell:
    retell = await stack.enter_async_context(
        FakeRetell(url, dial_policy=ONCE, redial_policy=ONCE, details={"metadata": {}})
    )
    assert await retell.greeting() == "Hi."
    return retell


@pytest.mark.parametrize("proxy", PROXIES)
async def test_the_proxy_accepts_its_configuration(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "proxy.conf"
    with pytest.raises(SystemExit) as caught:
        main(["proxy", proxy, "--server", "127.0.0.1:8081", "--server", "[::1]:8082", "--out", str(file)])
    assert caught.value.code == 0
    file.write_text(file.read_text().replace("/var/log/nginx/", f"{tmp_path}/"))
    check, _ = commands(proxy, file)
    process = await asyncio.create_subprocess_exec(
        *check, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert b"[WARNING]" not in told and b"[warn]" not in told


@pytest.mark.parametrize("proxy", PROXIES)
async def test_calls_go_to_the_server_that_has_least_and_nobody_logs_their_path(proxy: Proxy, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, fleet(proxy, tmp_path, stack) as made:
        async with AsyncExitStack() as calls:
            retells = [await call(made.url, calls) for _ in range(6)]
            assert made.live() == [2, 2, 2]
            for retell in retells:
                assert (await retell.ask("Are you open on Monday?")).text
        await made.come_to(0)
    mark = {"caddy": '"status":0', "nginx": "] 101 ", "haproxy": " 101 "}[proxy]
    assert made.log.count(mark) == 6, "each call is logged"
    assert SECRET not in made.log and "call_" not in made.log


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_server_that_drains_keeps_what_it_has_and_gets_nothing_new(proxy: Proxy, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, fleet(proxy, tmp_path, stack, drain_s=60) as made:
        async with AsyncExitStack() as calls:
            retells = [await call(made.url, calls) for _ in range(3)]
            assert made.live() == [1, 1, 1]
            draining = asyncio.create_task(made.servers[0].drain())
            for _ in range(4):  # before the proxy has looked, and after
                await call(made.url, calls)
            assert made.live() == [1, 3, 3]
            for retell in retells:
                assert (await retell.ask("Are you open on Monday?")).text
        await asyncio.wait_for(draining, 5)


@pytest.mark.parametrize("proxy", PROXIES)
async def test_the_calls_of_a_server_that_moves_them_land_elsewhere_and_it_is_found_again(
    proxy: Proxy, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack, fleet(proxy, tmp_path, stack) as made:
        async with AsyncExitStack() as calls:
            retells = [await call(made.url, calls) for _ in range(6)]
            made.servers[1].move_calls()
            await made.come_to(6, none_at=1)
            for retell in retells:
                assert (await retell.ask("Are you open on Monday?")).text
            made.servers[1].take_calls()
            async with asyncio.timeout(10):
                while made.live()[1] == 0:
                    await call(made.url, calls)
    assert SECRET not in made.log and "call_" not in made.log


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_server_that_is_gone_costs_no_call(proxy: Proxy, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, fleet(proxy, tmp_path, stack) as made:
        async with AsyncExitStack() as calls:
            retells = [await call(made.url, calls) for _ in range(6)]
            await made.servers[2].__aexit__(None, None, None)
            await made.come_to(6, none_at=2)
            for retell in retells:
                assert (await retell.ask("Are you open on Monday?")).text
            for _ in range(4):
                await call(made.url, calls)
    assert SECRET not in made.log and "call_" not in made.log


@pytest.mark.parametrize("proxy", PROXIES)
async def test_when_all_are_full_a_call_is_refused_and_one_that_ended_makes_room(proxy: Proxy, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, fleet(proxy, tmp_path, stack, max_calls=1) as made:
        async with AsyncExitStack() as calls:
            retells = [await call(made.url, calls) for _ in range(3)]
            with pytest.raises(DialError) as caught:
                await call(made.url, calls)
            assert caught.value.status == 503
            await retells[0].hang_up()
            async with asyncio.timeout(10):
                while True:
                    try:
                        await call(made.url, calls)
                    except DialError:
                        await asyncio.sleep(0.1)
                    else:
                        break


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
async def test_a_server_that_leaves_with_its_calls_in_memory_is_asked_first_for_them_alone(
    proxy: Proxy, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        old, *new = [await stack.enter_async_context(server(drain_s=60)) for _ in range(3)]
        port, file = free_port(), tmp_path / "proxy.conf"
        text = configuration(proxy, [address(each) for each in new], listen=f"127.0.0.1:{port}", leaving=address(old))
        file.write_text(text.replace("/var/log/nginx/", f"{tmp_path}/"))
        url = f"ws://127.0.0.1:{port}/llm-websocket/{SECRET}"

        def live() -> list[int]:
            return [int(each.statistics()["calls"]) for each in (old, *new)]

        async with listening(proxy, file, port), AsyncExitStack() as callers:
            first = await call(url, callers)
            await until(lambda: live() == [1, 0, 0])  # nobody has told the old one yet that it leaves
            draining = asyncio.create_task(old.drain())
            await until(lambda: old.is_draining)
            for _ in range(4):
                await call(url, callers)
            assert live() == [1, 2, 2], "new calls go to the others, in turn"
            await first.drop()
            await until(lambda: live()[0] == 0)
            await first.redial()
            assert (await first.ask("Are you open on Monday?")).text
            assert live() == [1, 2, 2], "and a redial to the one that knows the call"
            await first.hang_up()
            await draining
            await old.__aexit__(None, None, None)
            await call(url, callers)
            assert sum(live()[1:]) == 5, "when it has gone it is missed by nobody"
    log = await asyncio.to_thread(written, tmp_path)
    assert SECRET not in log and "call_" not in log


def test_caddy_cannot_do_that() -> None:
    with pytest.raises(UsageError, match="--leaving"):
        configuration("caddy", ["a:1"], leaving="b:1")


@pytest.mark.parametrize("leaving", ["a:1", "b", "b:1; x"])
def test_who_leaves_is_an_address_of_another_server(leaving: str) -> None:
    with pytest.raises(UsageError, match="--leaving"):
        configuration("haproxy", ["a:1"], leaving=leaving)


def impatient(text: str) -> str:
    """Shorten the limits that hold before the handshake."""
    for limit in ("timeout client 30s", "timeout server 3s"):
        assert limit in text
        text = text.replace(limit, f"{limit.rpartition(' ')[0]} 300ms")
    return text


async def test_a_silent_call_is_not_cut_where_a_request_would_be(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, fleet("haproxy", tmp_path, stack, edit=impatient) as made:
        async with FakeRetell(made.url, ping_s=None, redials=False) as retell:
            await retell.greeting()
            await retell.quiet(1.0)
            assert (await retell.ask("Are you open on Monday?")).text


# ---------------------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("proxy", "line"),
    [("haproxy", "timeout tunnel 3h"), ("nginx", "proxy_read_timeout 3h;"), ("nginx", "proxy_connect_timeout 1s;")],
)
def test_calls_last_for_hours_and_a_server_that_is_gone_is_not_waited_for(proxy: Proxy, line: str) -> None:
    assert line in configuration(proxy, ["a:1"])


@pytest.mark.parametrize("proxy", PROXIES)
def test_every_server_is_named_and_nothing_is_left_to_fill_in(proxy: Proxy) -> None:
    servers = ["10.0.0.1:8081", "retell-2.internal:8080", "[fd00::1]:8081"]
    for listen in (":80", "127.0.0.1:8080", "[::1]:8080"):
        text = configuration(proxy, servers, listen=listen)
        assert all(server in text for server in servers)
        assert "@ready@" not in text and "@servers@" not in text and "@listen@" not in text


@pytest.mark.parametrize(
    ("servers", "listen", "words"),
    [
        ([], ":80", "needs servers"),
        (["a:1", "a:1"], ":80", "twice"),
        (["a"], ":80", "'a' is not HOST:PORT"),
        ([":1"], ":80", "':1' is not HOST:PORT"),
        (["a:0"], ":80", "HOST:PORT"),
        (["a:65536"], ":80", "HOST:PORT"),
        (["a:1; include /etc/passwd"], ":80", "HOST:PORT"),
        (["a:1\nb:2"], ":80", "HOST:PORT"),
        (["a:1"], "80", "[HOST]:PORT"),
        (["a:1"], "x y:80", "[HOST]:PORT"),
    ],
)
def test_only_addresses_get_into_the_file(servers: list[str], listen: str, words: str) -> None:
    for proxy in PROXIES:
        with pytest.raises(UsageError) as caught:
            configuration(proxy, servers, listen=listen)
        assert words in str(caught.value)


def test_without_a_file_the_configuration_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["proxy", "haproxy", "--server", "a:1"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == configuration("haproxy", ["a:1"])


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["proxy", "nginx", "--server", "a:1", "--out", str(tmp_path / "no" / "file")])
    assert caught.value.code == 2
    assert "cannot write" in capsys.readouterr().err
