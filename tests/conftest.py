"""Fixtures every test may use, and the loops they run on."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers as draws
from hypothesis.internal.constants_ast import Constants

# Where the package is installed pytest finds this fixture by itself; a checkout need not be.
from retell_ws.testing.plugin import calling as calling

from . import kafka_servers
from .machine import free_port
from .redis_servers import RedisServer, valkey

settings.register_profile(
    "usual",
    max_examples=80,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    max_examples=3000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", settings.get_profile("thorough"), max_examples=500_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
if settings.get_current_profile_name() == "usual":
    # Literals of whatever modules happen to be loaded are drawn too, so that a test's examples would hang on the tests
    # that ran before it, and on lines that have nothing to do with it. There is no setting for that.
    draws._get_local_constants = Constants

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

ON_BOTH_LOOPS = {
    *("test_admin", "test_escalation", "test_inbox", "test_journal_source", "test_outbox", "test_peer", "test_recall"),
    *("test_redis", "test_server", "test_session", "test_source_contract", "test_turn"),
}
"""Modules whose every test runs on asyncio and on uvloop; the others run on uvloop, which is what users get."""


def _debugging(factory: LoopFactory) -> LoopFactory:
    def make() -> asyncio.AbstractEventLoop:
        loop = factory()
        loop.set_debug(True)
        loop.slow_callback_duration = 10  # debug mode itself is slow; what must not block is blockbuster's affair
        return loop

    return make


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    on_uvloop = {"uvloop": _debugging(uvloop.new_event_loop)}
    if item.path.stem in ON_BOTH_LOOPS:
        return {**on_uvloop, "asyncio": _debugging(asyncio.new_event_loop)}
    return on_uvloop


@pytest.fixture(autouse=True, scope="module")
def _young_heap() -> None:
    """Let tests that look at all objects for what was left behind see those of their own module, and not a million."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    return kafka_servers.told()


@pytest.fixture
async def clean_loop() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, blocks the loop, or lets an exception reach the loop."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    before = asyncio.all_tasks()
    with blockbuster_ctx("retell_ws"):
        yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    assert not unhandled, f"exceptions nobody handled: {unhandled}"


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a server of the test's own, which it may end and start again empty, on the same port."""
    with RedisServer(valkey(), tmp_path / "redis", port=free_port()) as server:
        yield server
