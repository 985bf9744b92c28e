"""The conformance suite finds what is wrong with a server grown from the demo, and nothing that is right with it."""

from __future__ import annotations

from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from retell_ws.testing.checking import Patience
from retell_ws.testing.conformance import run
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess
from tests.processes import launched, ready

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
    process = await launched("-m", *command, "--port", "0", env={"ANTHROPIC_API_KEY": "any"}, stderr=DEVNULL)
    async with ready(process) as line:
        yield line["ws"]


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
