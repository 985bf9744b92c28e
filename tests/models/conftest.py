"""What the tests of the models share: both event loops, one fake API for all of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import uvloop

from retell_ws.testing.fake_anthropic import FakeAnthropic


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {
        "asyncio": lambda: _debugging(asyncio.new_event_loop()),
        "uvloop": lambda: _debugging(uvloop.new_event_loop()),
    }


def _debugging(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    loop.set_debug(True)
    loop.slow_callback_duration = 10
    return loop


@pytest.fixture(scope="session")
def fake_url() -> Iterator[str]:
    """One process for the whole run: it serves tests on either loop."""
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", "retell_ws.testing.fake_anthropic", "--ttft-ms", "10", "--spacing-ms", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stdin is not None
        ready: dict[str, Any] = msgspec.json.decode(process.stdout.readline())
        yield ready["url"]
        process.stdin.close()
        assert process.wait(10) == 0


@pytest_asyncio.fixture
async def fake(fake_url: str) -> AsyncIterator[FakeAnthropic]:
    """The fake API, its options and log as after its start."""
    fake = FakeAnthropic(fake_url)
    await fake.control(reset=True)
    await fake.clear()
    yield fake
