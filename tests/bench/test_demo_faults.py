"""The conformance suite finds what is wrong with a server grown from the demo, and nothing that is right with it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import orjson

from retell_ws.testing.checking import Patience
from retell_ws.testing.conformance import run
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess

FAULTS = {
    "a-newer-id-mutes-the-older",
    "an-id-asked-twice-is-answered-once",
    "a-lower-id-is-ignored",
    "bad-json-is-survived",
    "unknown-roles-are-answered",
    "the-greeting-is-not-repeated",
    "an-open-id-is-completed-on-the-new-socket",
}
RIGHT = {"config-comes-first", "an-update-does-not-supersede", "a-reminder-is-answered", "nulls-are-taken-as-absent"}


ANSWERED = "a-request-is-answered-with-its-id"


@asynccontextmanager
async def serving(*command: str) -> AsyncIterator[str]:
    """A server process; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command, "--port", "0"),
        env={**os.environ, "ANTHROPIC_API_KEY": "any"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield orjson.loads(await asyncio.wait_for(process.stdout.readline(), 20))["ws"]
    finally:
        process.kill()
        await process.wait()


def demo(model_url: str) -> AbstractAsyncContextManager[str]:
    return serving("bench.peers.demo_shaped", "--best", "--shared-client", "--base-url", model_url)


async def test_the_faults_of_the_demo_are_found() -> None:
    async with FakeAnthropicProcess(ttft_ms=50, spacing_ms=15) as fake, demo(fake.url) as url:
        report = await run(url, only=tuple(FAULTS | RIGHT))
    assert {result.name for result in report.results} == FAULTS | RIGHT
    assert {result.name for result in report.failures} == FAULTS


async def test_a_model_that_fails_leaves_the_demo_s_caller_waiting_and_not_ours() -> None:
    async with FakeAnthropicProcess(fault="529") as fake:
        async with demo(fake.url) as url:
            report = await run(url, only=(ANSWERED,), patience=Patience(answer_s=2))
            assert [(result.name, result.seen) for result in report.failures] == [(ANSWERED, "id 1: nothing after 2 s")]
        async with serving("retell_ws", "serve", "--model-url", fake.url, "--drain-s", "0") as url:
            assert (await run(url, only=(ANSWERED,), patience=Patience(answer_s=2))).is_conformant
