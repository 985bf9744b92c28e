"""Every fault of the model's API, heard from the caller's end of the line, through both Anthropic clients.

Whatever happens, the caller hears a line, the id is completed once, and the next turn works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.models.anthropic import AnthropicModel
from retell_ws.ports import Model
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.testing.fake_anthropic import FakeAnthropic, FakeAnthropicProcess
from retell_ws.testing.retell import FakeRetell

AGENT = Agent("You are Ana.", greeting="Harbor Clinic.")
LINES = AGENT.lines

FIRST, SECOND, THIRD = "One two three. ", "Four five six. ", "Seven eight nine."
TEXT = FIRST + SECOND + THIRD

APOLOGY = {"429", "529", "500", "401", "hang", "reset_before", "pings_only", "slow_first"}
CLOSING = {"reset", "cut", "stall", "error_event", "no_message_stop"}
WHOLE = {"slicer", "burst", "slow_head"}


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropicProcess(ttft_ms=10, spacing_ms=2, text=TEXT, fault_s=0.2, ping_ms=50) as process:
        yield process


@pytest_asyncio.fixture(params=["anthropic", "anthropic-sdk"])
async def server(request: pytest.FixtureRequest, fake: FakeAnthropic) -> AsyncIterator[Server]:
    model: Model
    if request.param == "anthropic":
        model = AnthropicModel(api_key="canary", base_url=fake.url)
    else:
        from retell_ws.models.anthropic_sdk import AnthropicSdkModel  # a second of import: only where it is used

        model = AnthropicSdkModel(api_key="canary", base_url=fake.url)
    settings = Settings(port=0, holding_ms=5000, first_text_ms=600, stall_ms=400)
    async with running(AGENT, settings, model=model) as running_server:
        yield running_server


@pytest.mark.parametrize("fault", sorted(APOLOGY | CLOSING | WHOLE | {"refusal", "max_tokens"}))
async def test_a_fault_is_spoken_completed_once_and_over_with_the_next_turn(
    server: Server, fake: FakeAnthropic, fault: str
) -> None:
    await fake.control(fault=fault)
    async with FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        asked = await retell.request("What do you count?")
        spoken = (await retell.answer(asked, timeout_s=5)).text
        if fault in APOLOGY:
            assert spoken == LINES.apology
        elif fault in WHOLE:
            assert spoken == TEXT
        elif fault == "refusal":
            assert spoken.endswith(LINES.refusal)
        else:
            line = LINES.cut if fault == "max_tokens" else LINES.closing
            assert spoken.endswith(line)
            assert TEXT.startswith(spoken.removesuffix(line).strip())
        await fake.control(fault=None)
        assert (await retell.ask("And again?", timeout_s=5)).text == TEXT
        assert retell.report.completions[asked] == 1
        assert retell.report.faults == ()


async def test_superseding_a_turn_closes_the_stream_at_the_api(server: Server, fake: FakeAnthropic) -> None:
    await fake.control(spacing_ms=100)
    async with FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        first = await retell.request("I need")
        await retell.piece(first)
        await retell.request("I need a doctor.", grow=True)
        entries: list[dict[str, object]] = []
        async with asyncio.timeout(5):
            while not entries:  # each look is a request of its own, so this gives way
                entries = [entry for entry in await fake.log() if entry["ended"] == "peer_closed"]
        assert len(entries) == 1
        sent = entries[0]["deltas_sent"]
        assert isinstance(sent, int) and sent < len(TEXT.split())
