"""Keys: taken, refused, missing, and never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retell_ws.testing import FakeAnthropicProcess
from retell_ws.validation import keys
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


async def test_a_key_of_retells_that_is_there_is_named_alone(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, environment={"RETELL_API_KEY": KEY})
    line = (await lines_of("keys", keys.check, setup))["Retell's keys"]
    assert line.outcome == "pass" and "RETELL_API_KEY" in line.seen and KEY not in line.seen
    assert KEY not in repr(setup)
