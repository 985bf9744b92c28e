"""The conformance suite finds what is wrong with a server grown from the demo, and nothing that is right with it."""

from __future__ import annotations

import asyncio
import sys

import orjson

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


async def test_the_faults_of_the_demo_are_found() -> None:
    async with FakeAnthropicProcess(ttft_ms=50, spacing_ms=15) as fake:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.peers.demo_shaped", "--best", "--shared-client"),
            *("--port", "0", "--base-url", fake.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            ready = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 20))
            report = await run(ready["ws"], only=tuple(FAULTS | RIGHT))
        finally:
            process.kill()
            await process.wait()
    assert {result.name for result in report.results} == FAULTS | RIGHT
    assert {result.name for result in report.failures} == FAULTS
