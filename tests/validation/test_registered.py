"""What Retell has of an agent is held against what it should have; the API is one of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from retell_ws.validation import retell
from retell_ws.validation.registration import Registered
from retell_ws.validation.retell import compared
from tests.machine import free_port

from .book import lines_of, setup_of

SECRET = "abcdefgh-IJKLMNOP_0123"
KEY = "key_0123456789abcdef"
URL = f"wss://voice.example.com/llm-websocket/{SECRET}"

GOOD = Registered(
    kind="custom-llm", url=URL, webhook_url="https://voice.example.com/webhook", version=3, is_published=True
)


def outcomes(ours: str = "", secrets: tuple[bytes, ...] = (SECRET.encode(),), **changes: Any) -> dict[str, str]:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__} | changes
    told = compared(Registered(**fields), ours, secrets)
    for one in told:
        assert SECRET not in one.seen + one.advice
        assert one.outcome == "pass" or one.advice
    return {one.name: one.outcome for one in told}


def test_an_agent_that_is_registered_as_it_should_be_passes() -> None:
    assert set(outcomes().values()) == {"pass"}
    assert set(outcomes(URL).values()) == {"pass"}
    assert set(outcomes(URL.replace("wss://voice.example.com", "wss://voice.example.com:443")).values()) == {"pass"}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"kind": "retell-llm", "url": ""}, "fail"),
        ({"url": "wss://voice.example.com/llm-websocket"}, "fail"),
        ({"url": "wss://voice.example.com/llm-websocket/another-secret-0123"}, "fail"),
        ({"url": f"ws://voice.example.com/llm-websocket/{SECRET}"}, "warn"),
    ],
)
def test_an_agent_that_dials_otherwise_is_told(changes: dict[str, Any], outcome: str) -> None:
    assert outcomes(**changes)["Retell dials us"] == outcome


def test_an_agent_that_dials_another_server_fails() -> None:
    assert outcomes(f"wss://other.example.com/llm-websocket/{SECRET}")["Retell dials us"] == "fail"
    assert outcomes(f"wss://voice.example.com:8443/llm-websocket/{SECRET}")["Retell dials us"] == "fail"


@pytest.mark.parametrize("url", ["", "https://voice.example.com/other"])
def test_webhooks_that_go_elsewhere_are_told(url: str) -> None:
    assert outcomes(webhook_url=url)["Retell tells us"] == "warn"


def test_a_draft_is_told() -> None:
    assert outcomes(is_published=False)["published"] == "warn"


AGENT = {
    "agent_id": "agent_1",
    "version": 3,
    "is_published": True,
    "last_modification_timestamp": 1_764_000_000_000,
    "voice_id": "11labs-Adrian",
    "response_engine": {"type": "custom-llm", "llm_websocket_url": URL},
    "webhook_url": "https://voice.example.com/webhook",
}


@asynccontextmanager
async def api() -> AsyncIterator[str]:
    """Serve one agent, to whoever has the key."""

    async def agent(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"status": "error", "message": "no"}, status=401)
        if request.match_info["id"] != "agent_1":
            return web.json_response({"status": "error", "message": "no"}, status=404)
        return web.json_response(AGENT)

    app = web.Application()
    app.add_routes([web.get("/get-agent/{id}", agent)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def asked(folder: Path, base: str, *, key: str = KEY, agent_id: str = "agent_1") -> dict[str, str]:
    setup = setup_of(
        folder, retell_url=base, path_secret=SECRET, agent_id=agent_id, environment={"RETELL_API_KEY": key}
    )
    lines = await lines_of("retell", retell.check, setup)
    assert not any(SECRET in line.seen or key in line.seen for line in lines.values())
    return {name: line.outcome for name, line in lines.items()}


async def test_retells_own_client_is_asked(tmp_path: Path) -> None:
    async with api() as base:
        assert await asked(tmp_path, base) == {
            "agent_1 registered": "pass",
            "Retell dials us": "pass",
            "Retell tells us": "pass",
            "published": "pass",
        }
        assert await asked(tmp_path, base, key="key_wrong_0123456789") == {"agent_1 registered": "fail"}
        assert await asked(tmp_path, base, agent_id="agent_2") == {"agent_2 registered": "fail"}


async def test_an_api_that_cannot_be_reached_is_no_failure_of_the_set_up(tmp_path: Path) -> None:
    assert await asked(tmp_path, f"http://127.0.0.1:{free_port()}") == {"agent_1 registered": "skip"}


async def test_without_a_key_or_an_agent_it_says_what_it_takes(tmp_path: Path) -> None:
    (line,) = (await lines_of("retell", retell.check, setup_of(tmp_path))).values()
    assert line.outcome == "skip"
    assert "RETELL_API_KEY" in line.advice and "--agent-id" in line.advice
