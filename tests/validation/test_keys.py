"""Keys: taken, refused, missing, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retell_ws.testing import FakeAnthropicProcess, FakeRetellApi
from retell_ws.testing.fake_retell_server import Fault
from retell_ws.validation import keys
from retell_ws.validation.line import Line
from tests.machine import free_port
from tests.registration.odd_api import answering

from .book import lines_of, setup_of

KEY = "sk-ant-canary-0123456789"


@pytest.mark.parametrize(("fault", "outcome"), [(None, "pass"), ("401", "fail"), ("500", "fail")])
async def test_a_key_is_tried(tmp_path: Path, fault: str | None, outcome: str) -> None:
    async with FakeAnthropicProcess(ttft_ms=5, fault=fault) as fake:
        setup = setup_of(tmp_path, model_url=fake.url, environment={"ANTHROPIC_API_KEY": KEY})
        line = (await lines_of("keys", keys.check, setup))["ANTHROPIC_API_KEY"]
    assert line.outcome == outcome, line.seen
    assert KEY not in line.seen + line.advice


SILENT = """
data: {"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":1,"output_tokens":0}}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":0}}

data: {"type":"message_stop"}

"""


async def test_one_that_takes_the_key_and_says_nothing_is_told(tmp_path: Path) -> None:
    async with answering(SILENT.encode(), headers="content-type: text/event-stream\r\n") as url:
        setup = setup_of(tmp_path, model_url=url, environment={"ANTHROPIC_API_KEY": KEY})
        line = (await lines_of("keys", keys.check, setup))["ANTHROPIC_API_KEY"]
    assert line.outcome == "warn" and "no token" in line.seen


async def test_nobody_at_the_url_fails_with_the_setting(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    setup = setup_of(tmp_path, model_url=url, environment={"ANTHROPIC_API_KEY": KEY})
    line = (await lines_of("keys", keys.check, setup))["ANTHROPIC_API_KEY"]
    assert line.outcome == "fail" and "--model-url" in line.advice


async def test_a_key_that_cannot_be_one_fails(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, environment={"ANTHROPIC_API_KEY": "two words", "RETELL_API_KEY": "line\nend"})
    lines = await lines_of("keys", keys.check, setup)
    assert lines["ANTHROPIC_API_KEY"].outcome == "fail"
    assert lines["RETELL_API_KEY"].outcome == "fail"
    assert "two words" not in lines["ANTHROPIC_API_KEY"].seen


async def test_without_keys_the_scripted_model_is_no_failure(tmp_path: Path) -> None:
    lines = await lines_of("keys", keys.check, setup_of(tmp_path))
    assert {line.outcome for line in lines.values()} == {"skip"}


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({"verify_calls": True}, "fail"),
        ({"blueprint": "events", "http_host": "0.0.0.0"}, "warn"),
        ({"blueprint": "events", "path_secret": "0123456789abcdef"}, "warn"),
        ({"blueprint": "events"}, "skip"),  # on this machine alone nobody's webhooks can come
        ({}, "skip"),
    ],
)
async def test_a_key_of_retells_is_missed_as_much_as_it_is_needed(
    tmp_path: Path, settings: dict[str, Any], outcome: str
) -> None:
    lines = await lines_of("keys", keys.check, setup_of(tmp_path, **settings))
    assert lines["Retell's keys"].outcome == outcome


RETELL = "key_canary_0123456789"

NAMES = ("RETELL_API_KEY", "RETELL_WEBHOOK_KEY")


async def asked(folder: Path, url: str, name: str = NAMES[0], **settings: Any) -> Line:
    """Look at one key of Retell's, which the API at the URL may know."""
    setup = setup_of(folder, retell_url=url, environment={name: RETELL}, **settings)
    line = (await lines_of("keys", keys.check, setup))[name]
    assert RETELL not in line.seen + line.advice + repr(setup)
    return line


@pytest.mark.parametrize("name", NAMES)
async def test_retell_is_asked_whether_it_takes_its_keys(tmp_path: Path, name: str) -> None:
    async with FakeRetellApi(key=RETELL) as api:
        line = await asked(tmp_path, api.url, name)
        assert line.outcome == "pass" and api.url in line.seen
        assert len(api.log) == 1 and not api.writes()
    async with FakeRetellApi(key="key_of_another_account") as api:
        line = await asked(tmp_path, api.url, name)
        assert line.outcome == "fail" and "refuses" in line.seen and name in line.advice


async def test_a_key_of_retells_that_may_do_nothing_fails(tmp_path: Path) -> None:
    async with FakeRetellApi(key=RETELL) as api:
        api.faults = [Fault(status=403, times=9)]
        assert (await asked(tmp_path, api.url)).outcome == "fail"


async def test_retells_key_is_not_checked_where_retell_cannot_be_reached(tmp_path: Path) -> None:
    line = await asked(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert line.outcome == "skip" and "--retell-url" in line.advice


async def test_retells_key_is_not_checked_without_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "is_installed", lambda extra: False)
    async with FakeRetellApi(key=RETELL) as api:
        line = await asked(tmp_path, api.url)
        assert line.outcome == "skip" and "retell-ws[retell]" in line.advice
        assert not api.log


async def test_the_key_for_webhooks_does_not_verify_calls(tmp_path: Path) -> None:
    async with FakeRetellApi(key=RETELL) as api:
        setup = setup_of(tmp_path, retell_url=api.url, environment={NAMES[1]: RETELL}, verify_calls=True)
        lines = await lines_of("keys", keys.check, setup)
    assert lines["Retell's keys"].outcome == "fail" and NAMES[0] in lines["Retell's keys"].advice
