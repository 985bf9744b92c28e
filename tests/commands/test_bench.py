"""`retell_ws bench` against small servers: what it measures, what it holds against them, how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from retell_ws.commands.bench import bench
from retell_ws.errors import UsageError
from retell_ws.testing.callers import Plan, Tally
from retell_ws.testing.verdict import judge

Handler = Callable[[ServerConnection], Awaitable[None]]


def said(response_id: int, content: str, complete: bool, **more: object) -> str:
    """One `response` as a server sends it."""
    return orjson.dumps(
        {
            "response_type": "response",
            "response_id": response_id,
            "content": content,
            "content_complete": complete,
            **more,
        }
    ).decode()


async def good(ws: ServerConnection) -> None:
    """Greets, echoes pings, answers in two pieces."""
    await ws.send(said(0, "Hello.", True))
    async for data in ws:
        message = orjson.loads(data)
        match message["interaction_type"]:
            case "ping_pong":
                await ws.send(orjson.dumps({"response_type": "ping_pong", "timestamp": message["timestamp"]}).decode())
            case "response_required":
                await ws.send(said(message["response_id"], "Of course. ", False))
                await ws.send(said(message["response_id"], "When", True))


async def wordless(ws: ServerConnection) -> None:
    """Completes every turn without a word."""
    await ws.send(said(0, "", True))
    async for data in ws:
        message = orjson.loads(data)
        if message["interaction_type"] == "response_required":
            await ws.send(said(message["response_id"], "", True))


async def closing(ws: ServerConnection) -> None:
    """Closes at the first request, as a crashing handler does."""
    await ws.send(said(0, "Hello.", True))
    async for data in ws:
        if orjson.loads(data)["interaction_type"] == "response_required":
            await ws.close(1011)


async def rude(ws: ServerConnection) -> None:
    """Closes with words that a terminal would obey."""
    await ws.send(said(0, "Hello.", True))
    async for data in ws:
        if orjson.loads(data)["interaction_type"] == "response_required":
            await ws.close(1011, "\x1b]0;PWNED\x07\x1b[2J")


async def leaving(ws: ServerConnection) -> None:
    """Says goodbye in the first turn."""
    await ws.send(said(0, "Hello.", True))
    async for data in ws:
        message = orjson.loads(data)
        if message["interaction_type"] == "response_required":
            await ws.send(said(message["response_id"], "Goodbye.", True, end_call=True))


async def mute(ws: ServerConnection) -> None:
    """Greets and never answers."""
    await ws.send(said(0, "Hello.", True))
    await ws.wait_closed()


@contextmanager
def served(handler: Handler) -> Iterator[str]:
    """Run a server in a thread of its own, because the command runs a loop of its own."""
    ready: list[str] = []
    up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None) as server:
            ready.append(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/llm-websocket")
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert up.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def test_a_good_server_keeps_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    with served(good) as url:
        assert bench(url, calls=2, turns=2, pause_s=0, budget_ms=5000, json=True) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert found["passed"] is True
    assert found["failed"] == 0
    assert found["first_frame_ms"]["count"] == found["first_sentence_ms"]["count"] == 4
    assert found["pong_ms"]["count"] >= 1
    assert found["first_frame_ms"]["p50"] <= found["first_sentence_ms"]["p95"]


def test_the_table_tells_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    with served(good) as url:
        assert bench(url, calls=1, turns=1, pause_s=0, budget_ms=5000) == 0
    out = capsys.readouterr().out
    assert "first sentence" in out
    assert "budget kept" in out


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (wordless, "completed without a word"),
        (closing, "the server closed the socket"),
        (mute, "not completed in time"),
    ],
)
def test_a_turn_that_fails_fails_the_bench_and_is_named(
    handler: Handler, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(handler) as url:
        assert bench(url, calls=1, turns=2, pause_s=0, turn_s=0.2, json=True) == 1
    found = orjson.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert found["failed"] == 2
    assert why in " ".join(found["failures"])


def test_why_a_turn_failed_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with served(rude) as url:
        assert bench(url, calls=1, turns=1, pause_s=0) == 1
    out = capsys.readouterr().out
    assert "]0;PWNED [2J" in out and "\x1b" not in out and "\x07" not in out


def test_a_call_that_the_agent_ends_has_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with served(leaving) as url:
        assert bench(url, calls=1, turns=3, pause_s=0, budget_ms=5000, json=True) == 0
    assert orjson.loads(capsys.readouterr().out)["first_sentence_ms"]["count"] == 1


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UsageError, match=f"ws://127.0.0.1:{port}/x: no connection"):
        bench(f"ws://127.0.0.1:{port}/x", calls=2, turns=1, pause_s=0)


def test_an_address_that_cannot_be_dialled_is_refused_before_any_call() -> None:
    with pytest.raises(UsageError, match="has to look like ws://"):
        bench("127.0.0.1/llm-websocket")


@pytest.mark.parametrize(("longest_s", "passed"), [(0.5, True), (0.501, False)])
def test_the_budget_is_held_against_p95_of_the_first_sentence(longest_s: float, passed: bool) -> None:
    plan = Plan(url="ws://127.0.0.1/x", calls=1, turns=2, pause_s=0, turn_s=1)
    tally = Tally()
    tally.first_frame_s += [0.1, 0.1]
    tally.first_sentence_s += [0.1, longest_s]
    assert judge(plan, tally, 500).passed is passed


def test_a_bench_that_measured_nothing_has_not_passed() -> None:
    plan = Plan(url="ws://127.0.0.1/x", calls=1, turns=1, pause_s=0, turn_s=1)
    assert judge(plan, Tally(), 500).passed is False
