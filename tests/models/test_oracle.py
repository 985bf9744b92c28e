"""What the official client sends and understands decides what ours must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from retell_ws.models.anthropic import AnthropicModel
from retell_ws.models.anthropic_sdk import AnthropicSdkModel
from retell_ws.ports import Delta, End, Model, Text, ToolCall
from retell_ws.request import Message, ModelRequest, ToolResult, ToolUse, Words
from retell_ws.testing.fake_anthropic import FakeAnthropic
from retell_ws.tool import ToolSpec

from .parts import whole

pytestmark = pytest.mark.usefixtures("clean_loop")

HEADERS = ("authorization", "anthropic-version", "content-type", "accept", "host", "x-api-key", "content-length")
"""Those with which a server decides; the others are about the client itself."""

TOOLS = (
    ToolSpec(
        "book",
        "Book an appointment: “Grüße”.",
        msgspec.Raw(b'{"type":"object","properties":{"day":{"type":"string"}},"required":["day"]}'),
    ),
    ToolSpec("end_call", "End the call.", msgspec.Raw(b'{"type":"object","properties":{}}')),
)

CALLED = (
    Message("user", "Book me in for Monday."),
    Message("assistant", (Words("Gladly."), ToolUse("toolu_1", "book", msgspec.Raw(b'{"day":"Monday","n":1.5}')))),
    Message("user", (ToolResult("toolu_1", "Booked."),)),
    Message("assistant", "Done."),
    Message("user", "And Tuesday and Friday."),
    Message(
        "assistant",
        (
            ToolUse("toolu_2", "book", msgspec.Raw(b'{"day":"Tuesday"}')),
            ToolUse("toolu_3", "book", msgspec.Raw(b"{}")),
        ),
    ),
    Message(
        "user",
        (ToolResult("toolu_2", "No room: “full”.", is_error=True), ToolResult("toolu_3", ""), Words("Hello?")),
    ),
)

REQUESTS = [
    ModelRequest(system="You are Ana.", messages=(Message("user", "Hello"),), max_tokens=200, tools=TOOLS),
    ModelRequest(system="You are Ana.", messages=CALLED, max_tokens=200, tools=TOOLS),
    ModelRequest(system="You are Ana.", messages=CALLED, max_tokens=200, tools=TOOLS, tool_choice="none"),
    ModelRequest(system="You are Ana.", messages=(Message("user", "Bye"),), max_tokens=200, tools=TOOLS),
    ModelRequest(system="You are Ana.", messages=(Message("user", "Hello"),), max_tokens=200),
    ModelRequest(system="", messages=(Message("user", "Hello"),), max_tokens=1),
    ModelRequest(
        system='Grüße, 你好, "quoted"\n\ttwo lines \u2028 😀',
        messages=(Message("user", "a\\b"), Message("assistant", "Ça va?"), Message("user", "\x1f…")),
        max_tokens=300,
        model="claude-sonnet-5-5",
        previous_id="msg_000000000000000000000001",
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
        results.append((entry, whole(deltas)))
    return results


def without_id(delta: Delta) -> Delta:
    """Two requests never have calls of one id."""
    return msgspec.structs.replace(delta, id="") if isinstance(delta, ToolCall) else delta


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
    assert [without_id(delta) for delta in ours[:-1]] == [without_id(delta) for delta in theirs[:-1]]
    assert isinstance(ours[-1], End) and isinstance(theirs[-1], End)
    # The fake counts its requests, so all but the id is the same.
    assert (ours[-1].stop_reason, ours[-1].usage, ours[-1].model) == (
        theirs[-1].stop_reason, theirs[-1].usage, theirs[-1].model
    )  # fmt: skip


async def test_both_clients_fill_the_cache_with_the_same_request(fake: FakeAnthropic) -> None:
    request = msgspec.structs.replace(REQUESTS[0], system="You are Ana. " * 300, previous_id="msg_1")
    bodies = []
    clients: list[Callable[..., Model]] = [AnthropicSdkModel, AnthropicModel]
    for make in clients:
        await fake.clear()
        model = await asyncio.to_thread(make, api_key="sk-ant-1", base_url=fake.url)
        async with asyncio.timeout(10):
            await model.warm(request)
        await model.aclose()
        (entry,) = await fake.log()
        bodies.append(entry["body"])
    assert bodies[0] == bodies[1]
    assert list(bodies[1]) == ["model", "max_tokens", "thinking", "tools", "system", "messages"]
    ((theirs, _), (ours, _)) = await both(fake, request)
    for name in ("model", "thinking", "tools", "system"):
        assert bodies[1][name] == ours["body"][name] == theirs["body"][name], name


async def test_the_body_is_written_in_one_order_with_the_conversation_last(fake: FakeAnthropic) -> None:
    _, (entry, _) = await both(fake, REQUESTS[0])
    assert list(entry["body"]) == [
        "model", "max_tokens", "stream", "thinking", "cache_control", "tools", "system", "messages", "diagnostics"
    ]  # fmt: skip


BLOCKS = [
    {"text": "Let me see."},
    {"tool": "book", "input": {"day": "Grüß dich", "n": [1, {"x": None}]}, "id": "toolu_a"},
    {"text": "And:"},
    {"tool": "end_call", "id": "toolu_b"},
]


@pytest.mark.parametrize("fault", [None, "slicer", "burst", "tool_max_tokens", "tool_no_input", "tool_bad_json"])
async def test_both_clients_give_the_same_deltas_for_calls(fake: FakeAnthropic, fault: str | None) -> None:
    await fake.control(blocks=BLOCKS, fault=fault)
    (_, theirs), (_, ours) = await both(fake, REQUESTS[0])
    assert ours[:-1] == theirs[:-1]
    assert isinstance(ours[-1], End) and isinstance(theirs[-1], End)
    assert ours[-1].stop_reason == theirs[-1].stop_reason
    assert [type(delta) for delta in ours[:4]] == [Text, Text, Text, ToolCall]
