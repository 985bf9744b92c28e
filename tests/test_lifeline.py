"""What a command has started ends with it, also when it is killed and can end nothing itself."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.lifeline import MARK
from tests.machine import free_port
from tests.processes import launched, ready, start
from tests.waiting import until

SOON_S = 14.0
"""Seconds until all has ended: eight to leave, consumers five for the journal."""

VALIDATE = ("blueprint", "validate", "--model", "scripted")


TOLD = """
import os, signal, subprocess, sys
from retell_ws import lifeline
lifeline.LEAVE_S = 1.5
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else signal.SIG_DFL)
print(lifeline.follow(), lifeline.MARK in os.environ, sys.stdin.read() == "" if "reads" in sys.argv else "", flush=True)
while True:
    pass
"""


def runs(process: psutil.Process) -> bool:
    """Tell whether it does; one that nobody has buried does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def has_call(process: psutil.Process) -> bool:
    """Tell whether it is a server and somebody is connected to it."""
    try:
        mine = process.net_connections(kind="tcp")
        ports = {one.laddr.port for one in mine if one.status == psutil.CONN_LISTEN}
        called = any(one.status == psutil.CONN_ESTABLISHED and one.laddr.port in ports for one in mine)
        return called and "serve" in process.cmdline()
    except psutil.Error:
        return False


def consumes(process: psutil.Process) -> bool:
    try:
        return "consume" in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("arguments", "is_there"),
    [
        ((*VALIDATE, "--only", "latency"), has_call),
        ((*VALIDATE, "--only", "events", "--blueprint", "events"), consumes),
        (("blueprint", "recommend", "--calls", "5"), has_call),
    ],
)
async def test_nothing_outlives_a_command_that_is_killed(
    tmp_path: Path, arguments: tuple[str, ...], is_there: Callable[[psutil.Process], bool]
) -> None:
    process = await start(*arguments, TMPDIR=str(tmp_path), RETELL_WS_DATA=str(tmp_path / "data"))
    ours = psutil.Process(process.pid)
    await until(lambda: any(map(is_there, ours.children(recursive=True))), limit_s=30)
    started = ours.children(recursive=True)
    try:
        process.kill()
        await process.wait()
        await until(lambda: not any(map(runs, started)), limit_s=SOON_S)
    finally:
        for each in filter(runs, started):
            each.kill()
        await process.communicate()


async def test_workers_end_with_it_as_well() -> None:
    shared = ("--workers", "2", "--blueprint", "distributed", "--redis-url", f"redis://127.0.0.1:{free_port()}")
    arguments = ("-m", "retell_ws", "serve", "--port", "0", "--drain-delay-s", "0", *shared)
    process = await launched(*arguments, env={MARK: "1"}, stdin=PIPE)
    async with ready(process):
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) == 2
        assert process.stdin is not None
        process.stdin.close()
        await until(lambda: not any(map(runs, started)), limit_s=SOON_S)
        await process.wait()


@pytest.mark.parametrize(("how", "number"), [("", signal.SIGTERM), ("deaf", signal.SIGKILL)])
async def test_one_that_does_not_leave_ends_all_the_same(how: str, number: int) -> None:
    process = await launched("-c", TOLD, how, env={MARK: "1"}, stdin=PIPE)
    assert await _first_line(process) == "True False"
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(10):
        await process.communicate()
    assert process.returncode == -number


async def test_whoever_reads_the_input_finds_it_empty() -> None:
    process = await launched("-c", TOLD, "reads", env={MARK: "1"}, stdin=PIPE)
    try:
        assert await _first_line(process) == "True False True"
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("env", [{}, {MARK: "1"}])
async def test_an_input_that_is_empty_from_the_start_ends_nobody(env: dict[str, str]) -> None:
    process = await launched("-c", TOLD, "reads", env=env)
    try:
        assert await _first_line(process) == "False False True"
        await until(lambda: psutil.Process(process.pid).num_threads() == 1)
    finally:
        process.kill()
        await process.communicate()


async def _first_line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()
