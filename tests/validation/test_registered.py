"""What Retell has of an agent is held against what it should have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retell_ws.testing import FakeRetellApi
from retell_ws.validation import retell
from retell_ws.validation.registration import Registered
from retell_ws.validation.retell import compared
from tests.machine import free_port

from .book import lines_of, setup_of

SECRET = "abcdefgh-IJKLMNOP_0123"
OTHER = "a-password-of-a-proxy"
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
        ({"url": f"wss://voice.example.com/other/{SECRET}"}, "fail"),
        ({"url": f"ws://voice.example.com/llm-websocket/{SECRET}"}, "warn"),
    ],
)
def test_an_agent_that_dials_otherwise_is_told(changes: dict[str, Any], outcome: str) -> None:
    assert outcomes(**changes)["Retell dials us"] == outcome


def test_without_a_secret_the_path_has_to_be_ours_all_the_same() -> None:
    assert outcomes(secrets=(), url="wss://127.0.0.1/llm-websocket/")["Retell dials us"] == "pass"
    assert outcomes(secrets=(), url="wss://127.0.0.1/")["Retell dials us"] == "fail"


def test_without_a_secret_whoever_finds_the_url_that_retell_dials_can_call() -> None:
    found = Registered(**{name: getattr(GOOD, name) for name in GOOD.__struct_fields__} | {"url": URL[: -len(SECRET)]})
    for verifies, outcome in ((False, "fail"), (True, "warn")):
        (one,) = (one for one in compared(found, "", (), verifies=verifies) if one.name == "Retell dials us")
        assert one.outcome == outcome and "whoever finds voice.example.com" in one.seen


def test_an_agent_that_dials_another_server_fails() -> None:
    assert outcomes(f"wss://other.example.com/llm-websocket/{SECRET}")["Retell dials us"] == "fail"
    assert outcomes(f"wss://voice.example.com:8443/llm-websocket/{SECRET}")["Retell dials us"] == "fail"


@pytest.mark.parametrize("url", ["", "https://voice.example.com/other"])
def test_webhooks_that_go_elsewhere_are_told(url: str) -> None:
    assert outcomes(webhook_url=url)["Retell tells us"] == "warn"


@pytest.mark.parametrize(
    ("webhook_url", "shown"),
    [
        (f"https://ana:{SECRET}@hooks.example.com:8443/in/{SECRET}", "https://hooks.example.com:8443/•••,"),
        (f"https://ana:{SECRET}@voice.example.com/{SECRET}/webhook?key={SECRET}", "https://voice.example.com/•••?•••"),
        ("https://voice.example.com/webhook", "https://voice.example.com/webhook"),
    ],
)
def test_where_webhooks_go_is_told_without_what_may_be_secret(webhook_url: str, shown: str) -> None:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__} | {"webhook_url": webhook_url}
    told = {one.name: one.seen for one in compared(Registered(**fields), "", ())}["Retell tells us"]
    assert f"webhooks go to {shown}" in told and SECRET not in told


@pytest.mark.parametrize("place", ["[2001:db8::1]:8443", "voice.example.com"])
@pytest.mark.parametrize(
    ("scheme", "path", "ours"),
    [
        ("wss", f"/llm-websocket/{SECRET}", ""),
        ("ws", f"/llm-websocket/{SECRET}", ""),
        ("wss", f"/llm-websocket/{SECRET}", f"wss://ana:{OTHER}@other.example.com/llm-websocket/{SECRET}"),
        ("wss", "/llm-websocket", ""),
        ("wss", f"/other/{SECRET}", ""),
    ],
)
def test_where_retell_dials_is_told_as_host_and_port_alone(scheme: str, path: str, ours: str, place: str) -> None:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    found = Registered(**fields | {"url": f"{scheme}://ana:{OTHER}@{place}{path}"})
    told = {one.name: one.seen for one in compared(found, ours, (SECRET.encode(),))}["Retell dials us"]
    assert place in told and "ana" not in told and OTHER not in told and SECRET not in told


def test_a_draft_is_told() -> None:
    assert outcomes(is_published=False)["published"] == "warn"


async def asked(folder: Path, base: str, agent_id: str, *, key: str = KEY) -> list[str]:
    setup = setup_of(
        folder, retell_url=base, path_secret=SECRET, agent_id=agent_id, environment={"RETELL_API_KEY": key}
    )
    lines = await lines_of("retell", retell.check, setup)
    assert not any(SECRET in line.seen or key in line.seen for line in lines.values())
    return [line.outcome for line in lines.values()]


async def test_retells_own_client_is_asked(tmp_path: Path) -> None:
    async with FakeRetellApi(key=KEY) as api:
        engine = {"type": "custom-llm", "llm_websocket_url": URL}
        made = api.agents.create(
            {"response_engine": engine, "voice_id": "retell-Cimo", "webhook_url": GOOD.webhook_url}
        )
        name = made["agent_id"]
        assert await asked(tmp_path, api.url, name) == ["pass", "pass", "pass", "warn"]
        api.agents.publish(name, made["version"])
        assert await asked(tmp_path, api.url, name) == ["pass"] * 4
        assert await asked(tmp_path, api.url, name, key="key_wrong_0123456789") == ["fail"]
        assert await asked(tmp_path, api.url, "agent_2") == ["fail"]


async def test_an_api_that_cannot_be_reached_is_no_failure_of_the_set_up(tmp_path: Path) -> None:
    assert await asked(tmp_path, f"http://127.0.0.1:{free_port()}", "agent_1") == ["skip"]


async def test_without_a_key_or_an_agent_it_says_what_it_takes(tmp_path: Path) -> None:
    (line,) = (await lines_of("retell", retell.check, setup_of(tmp_path))).values()
    assert line.outcome == "skip"
    assert "RETELL_API_KEY" in line.advice and "--agent-id" in line.advice
