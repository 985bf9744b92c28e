"""Conformance, latency, cache and webhooks: against good servers, and against others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.settings import Settings
from retell_ws.testing.checking import Outcome, Severity
from retell_ws.testing.conformance import Report, Result
from retell_ws.validation import cache, conformance, latency, webhooks
from retell_ws.validation.book import Book
from retell_ws.validation.line import Latency, Line
from retell_ws.validation.second_port import asking
from retell_ws.validation.setup import Setup
from tests.machine import free_port

from .book import lines_of, setup_of

KEY = "key_0123456789abcdef"

FAST: dict[str, Any] = {"port": 0, "model": "scripted", "scripted_ttft_ms": 0, "scripted_spacing_ms": 0}

AGENT = Agent("You are Ana.", greeting="Hello.")


async def rude(ws: ServerConnection) -> None:
    """Never greets, and answers in text that is no JSON."""
    async for _ in ws:
        await ws.send("hello?")


async def failing(ws: ServerConnection) -> None:
    """Greets, and closes at the first question."""
    await ws.send(b'{"response_type":"response","response_id":0,"content":"Hi.","content_complete":true}'.decode())
    async for data in ws:
        if orjson.loads(data)["interaction_type"] == "response_required":
            await ws.close(1011)


@asynccontextmanager
async def stranger(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/llm-websocket"


async def opening(setup: Setup) -> dict[str, Line]:
    async def check(setup: Setup, book: Book) -> None:
        await conformance.check(setup, book, only=("begins-with-id-0", "config-comes-first"))

    return await lines_of("conformance", check, setup)


async def test_a_server_of_ours_conforms(tmp_path: Path) -> None:
    async with running(AGENT, Settings(**FAST)) as server:
        lines = await opening(setup_of(tmp_path, url=server.url))
    assert lines["the protocol"].outcome == "pass", lines


def result(outcome: Outcome, seen: str) -> Result:
    return Result(
        name="x", topic="t", section="1", meaning="m", severity=Severity.MUST, outcome=outcome, seen=seen, took_s=0.0
    )


def test_checks_that_were_skipped_say_why() -> None:
    skipped = [result(Outcome.SKIPPED, why) for why in ("no tool", "no keys", "no tool")]
    report = Report(url="ws://x", results=(*skipped, result(Outcome.PASSED, "y")), took_s=1.0)
    assert conformance.counted(report) == "1 check passed, 0 warned, 3 skipped (2 × no tool, 1 × no keys)"
    assert conformance.counted(Report(url="ws://x", results=(), took_s=0.0)).endswith("0 skipped")


async def test_a_server_that_does_not_speak_it_fails_and_each_failed_check_is_named(tmp_path: Path) -> None:
    async with stranger(rude) as url:
        lines = await opening(setup_of(tmp_path, url=url))
    assert lines.pop("the protocol").outcome == "fail"
    assert lines and "fail" in {line.outcome for line in lines.values()}
    assert all("retell_ws check" in line.advice for line in lines.values())


@pytest.mark.parametrize("check", [conformance.check, latency.check])
async def test_a_url_where_nobody_is_fails_in_one_line(tmp_path: Path, check: Callable[..., Awaitable[object]]) -> None:
    lines = await lines_of("latency", check, setup_of(tmp_path, url=f"ws://127.0.0.1:{free_port()}/x"))
    (line,) = lines.values()
    assert line.outcome == "fail" and "no connection" in line.seen and "--url" in line.advice


@pytest.mark.parametrize("check", [conformance.check, latency.check])
async def test_a_url_that_cannot_be_dialled_fails_without_its_secret(
    tmp_path: Path, check: Callable[..., Awaitable[object]]
) -> None:
    url = f"ws://user@127.0.0.1:{free_port()}/llm-websocket/{KEY}"
    (line,) = (await lines_of("latency", check, setup_of(tmp_path, url=url))).values()
    assert line.outcome == "fail" and "cannot be dialled" in line.seen
    assert KEY not in line.seen + line.advice


async def test_a_server_that_comes_not_up_fails_with_its_own_words(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, target="no_such_agent.py")
    lines = await lines_of("latency", latency.check, setup)
    (line,) = lines.values()
    assert line.outcome == "fail" and "there is no file no_such_agent.py" in line.seen


async def measured(setup: Setup) -> tuple[dict[str, Line], Latency | None]:
    found: list[Latency | None] = []

    async def check(setup: Setup, book: Book) -> None:
        found.append(await latency.check(setup, book))

    return await lines_of("latency", check, setup), found[0]


async def test_first_sentences_within_the_budget_pass(tmp_path: Path) -> None:
    async with running(AGENT, Settings(**FAST)) as server:
        lines, latency = await measured(setup_of(tmp_path, url=server.url, budget_ms=5000))
    assert lines["first sentence"].outcome == "pass"
    assert lines["keepalive"].outcome == "pass"
    assert latency is not None
    assert len(latency.sentences_ms) == 2 * 5
    assert latency.p50_ms <= latency.p95_ms <= latency.p99_ms <= latency.sentences_ms[-1]


async def test_a_budget_of_a_millisecond_is_missed(tmp_path: Path) -> None:
    settings = Settings(**{**FAST, "scripted_ttft_ms": 5})
    async with running(AGENT, settings) as server:
        lines, latency = await measured(setup_of(tmp_path, url=server.url, budget_ms=1))
    assert lines["first sentence"].outcome == "fail"
    assert "of 1 ms" in lines["first sentence"].seen and "--speculate" in lines["first sentence"].advice
    assert latency is not None


async def test_no_more_callers_than_the_server_takes_are_sent(tmp_path: Path) -> None:
    lines, latency = await measured(setup_of(tmp_path, callers=3, max_calls=2, model="scripted", budget_ms=10_000))
    assert latency is not None and latency.callers == 2
    assert lines["first sentence"].outcome == "pass"


async def test_turns_that_fail_are_no_latency(tmp_path: Path) -> None:
    async with stranger(failing) as url:
        lines, latency = await measured(setup_of(tmp_path, url=url))
    assert lines["first sentence"].outcome == "fail"
    assert "closed" in lines["first sentence"].seen
    assert latency is None


async def test_it_says_whose_time_it_was(tmp_path: Path) -> None:
    lines, latency = await measured(setup_of(tmp_path, budget_ms=10_000))
    assert latency is not None and "the scripted model" in latency.of
    assert lines["first sentence"].outcome == "pass"


# -- the cache


CACHED = """
from retell_ws import Agent
agent = Agent("You are Ana.", greeting="Hello.", cache=True)
"""


async def test_the_second_caller_is_answered_from_the_cache(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(CACHED)
    agent = Agent("You are Ana.", greeting="Hello.", cache=True)
    setup = setup_of(tmp_path, target=str(tmp_path / "agent.py"), agent=agent)
    (line,) = (await lines_of("cache", cache.check, setup)).values()
    assert line.outcome == "pass", line.seen


async def test_an_agent_that_answers_otherwise_than_it_says_fails(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(CACHED.replace(", cache=True", ""))
    agent = Agent("You are Ana.", greeting="Hello.", cache=True)
    setup = setup_of(tmp_path, target=str(tmp_path / "agent.py"), agent=agent)
    (line,) = (await lines_of("cache", cache.check, setup)).values()
    assert line.outcome == "fail" and "from the model" in line.seen


@pytest.mark.parametrize(
    ("agent", "settings", "word"),
    [
        (Agent("x"), {}, "Agent(..., cache=True)"),
        (Agent("x", cache=True, end_call=True), {}, "tools"),
        (Agent("x", cache=True), {"answer_cache": False}, "--no-answer-cache"),
    ],
)
async def test_what_is_not_cached_is_told_why(
    tmp_path: Path, agent: Agent, settings: dict[str, Any], word: str
) -> None:
    (line,) = (await lines_of("cache", cache.check, setup_of(tmp_path, agent=agent, **settings))).values()
    assert line.outcome == "skip" and word in line.seen


# -- webhooks


async def test_a_server_with_the_key_takes_what_was_signed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    async with (
        running(AGENT, Settings(**FAST, http_port=0)) as server,
        asking(server.http_address or "") as port,
    ):
        assert await webhooks.try_out(port, KEY.encode(), "call_1") == ""
        assert await webhooks.try_out(port, b"another_key_0123", "call_2") == "a signed webhook is answered with 401"


async def test_webhooks_are_kept_once(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="events", environment={"RETELL_API_KEY": KEY, "RETELL_WEBHOOK_KEY": KEY + "x"})
    lines = await lines_of("webhooks", webhooks.check, setup)
    assert {name: line.outcome for name, line in lines.items()} == {"where they come in": "info", "signatures": "pass"}
    assert "kept once" in lines["signatures"].seen


async def test_without_a_key_the_mechanism_is_on_trial_and_the_key_is_not(tmp_path: Path) -> None:
    lines = await lines_of("webhooks", webhooks.check, setup_of(tmp_path))
    assert lines["your key"].outcome == "skip"
    assert lines["where they come in"].outcome == "skip"
    assert lines["signatures"].outcome == "pass"
    assert "not kept" in lines["signatures"].seen
