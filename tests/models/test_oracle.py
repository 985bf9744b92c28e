"""What the official client sends and understands decides what ours must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from retell_ws.models.anthropic import AnthropicModel
from retell_ws.models.anthropic_sdk import AnthropicSdkModel
from retell_ws.ports import Delta, End, Model
from retell_ws.prompt import Message, ModelRequest
from retell_ws.testing.fake_anthropic import FakeAnthropic

pytestmark = pytest.mark.usefixtures("clean_loop")

HEADERS = ("authorization", "anthropic-version", "content-type", "accept", "host", "x-api-key", "content-length")
"""Those with which a server decides; the others are about the client itself."""

REQUESTS = [
    ModelRequest(system="You are Ana.", messages=(Message("user", "Hello"),), max_tokens=200),
    ModelRequest(system="", messages=(Message("user", "Hello"),), max_tokens=1),
    ModelRequest(
        system='Grüße, 你好, "quoted"\n\ttwo lines \u2028 😀',
        messages=(Message("user", "a\\b"), Message("assistant", "Ça va?"), Message("user", "\x1f…")),
        max_tokens=300,
        model="claude-sonnet-5-5",
    ),
]


async def both(fake: FakeAnthropic, request: ModelRequest) -> list[tuple[dict[str, Any], list[Delta]]]:
    results = []
    clients: list[Callable[..., Model]] = [AnthropicSdkModel, AnthropicModel]
    for make in clients:
        await fake.clear()
        model = await asyncio.to_thread(make, api_key="sk-ant-1", base_url=fake.url)
        async with asyncio.timeout(10):
            deltas = [delta async for delta in model.stream(request)]
        await model.aclose()
        (entry,) = await fake.log()
        results.append((entry, deltas))
    return results


@pytest.mark.parametrize("request_", REQUESTS)
async def test_both_clients_send_the_same_request(fake: FakeAnthropic, request_: ModelRequest) -> None:
    (theirs, _), (ours, _) = await both(fake, request_)
    assert (ours["method"], ours["path"]) == (theirs["method"], theirs["path"]) == ("POST", "/v1/messages")
    assert ours["body"] == theirs["body"]
    for name in set(HEADERS) - {"content-length", "host"}:
        assert ours["headers"].get(name) == theirs["headers"].get(name), name
    assert set(HEADERS) & set(ours["headers"]) == set(HEADERS) & set(theirs["headers"])


@pytest.mark.parametrize("request_", REQUESTS)
async def test_both_clients_give_the_same_deltas(fake: FakeAnthropic, request_: ModelRequest) -> None:
    (_, theirs), (_, ours) = await both(fake, request_)
    assert ours[:-1] == theirs[:-1]
    assert isinstance(ours[-1], End) and isinstance(theirs[-1], End)
    # The fake counts its requests, so all but the id is the same.
    assert (ours[-1].stop_reason, ours[-1].usage, ours[-1].model) == (
        theirs[-1].stop_reason, theirs[-1].usage, theirs[-1].model
    )  # fmt: skip


async def test_the_body_is_written_in_one_order_with_the_conversation_last(fake: FakeAnthropic) -> None:
    _, (entry, _) = await both(fake, REQUESTS[0])
    assert list(entry["body"]) == [
        "model", "max_tokens", "stream", "thinking", "cache_control", "system", "messages"
    ]  # fmt: skip
