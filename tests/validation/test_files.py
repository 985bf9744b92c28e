"""The files that settings name: read as the server reads them, which is given none of them when it is a spare one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retell_ws.agent import Agent
from retell_ws.run import reachable
from retell_ws.settings import Settings
from retell_ws.validation import settings as topic
from retell_ws.validation.line import Line

from .book import lines_of, setup_of

RULES = """
[[rule]]
name = "slow"
when = { over_budget = 3 }
then = [{ action = "webhook", url = "https://example.com/slow" }]
"""

SECRET = {"RETELL_WS_WEBHOOK_SECRET": "canary"}

CACHED = Agent("You are Ana.", greeting="Hello.", cache=True)


async def looked_over(folder: Path, **given: Any) -> dict[str, Line]:
    """Look at settings as for a server whose second port is there."""
    return await lines_of("settings", topic.check, setup_of(folder / "spare", **{"http_port": 0, **given}))


def written(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "file"
    path.write_text(text)
    return str(path)


@pytest.fixture
def rules(tmp_path: Path) -> str:
    return written(tmp_path, RULES)


async def test_rules_are_read(tmp_path: Path, rules: str) -> None:
    given: dict[str, Any] = {"rules": rules, "data": str(tmp_path / "data")}
    line = (await looked_over(tmp_path, **given, environment=SECRET))["rules"]
    assert line.outcome == "pass" and "1 rule" in line.seen and "slow" in line.seen
    assert reachable(Settings(**given, http_port=0)).rules  # the server starts
    line = (await looked_over(tmp_path, **given))["rules"]
    assert line.outcome == "fail" and "RETELL_WS_WEBHOOK_SECRET" in line.seen


async def test_rules_that_a_server_does_not_start_with_fail(tmp_path: Path, rules: str) -> None:
    given: dict[str, Any] = {"data": str(tmp_path / "data"), "environment": SECRET}
    wrong = written(tmp_path / "wrong", "x = 1")
    line = (await looked_over(tmp_path, rules=wrong, **given))["rules"]
    assert line.outcome == "fail" and "`x` is unknown" in line.seen
    line = (await looked_over(tmp_path, rules=str(tmp_path / "none"), **given))["rules"]
    assert line.outcome == "fail" and "cannot read" in line.seen
    line = (await looked_over(tmp_path, rules=rules, http_port=None, **given))["rules"]
    assert line.outcome == "fail" and "--http-port" in line.seen


async def test_a_secret_is_missed_less_where_others_follow_the_rules(tmp_path: Path, rules: str) -> None:
    given: dict[str, Any] = {"blueprint": "events", "data": str(tmp_path / "data"), "kafka_bootstrap": "127.0.0.1:9"}
    line = (await looked_over(tmp_path, rules=rules, **given))["rules"]
    assert line.outcome == "warn" and "consume escalation" in line.advice


async def test_rules_that_nobody_follows_are_not_read(tmp_path: Path) -> None:
    lines = await looked_over(tmp_path, rules="/nowhere")
    assert "rules" not in lines and lines["what fits together"].outcome == "warn"


@pytest.mark.parametrize(
    ("text", "word"), [("What are your hours?\n", "1 opening"), ('{"version": 1, "answers": []}', "0 answers")]
)
async def test_answers_are_read(tmp_path: Path, text: str, word: str) -> None:
    line = (await looked_over(tmp_path, agent=CACHED, answers_file=written(tmp_path, text)))["answers file"]
    assert line.outcome == "pass" and word in line.seen


async def test_answers_that_a_server_does_not_start_with_fail(tmp_path: Path) -> None:
    line = (await looked_over(tmp_path, agent=CACHED, answers_file="/nowhere"))["answers file"]
    assert line.outcome == "fail" and "cannot read /nowhere" in line.seen
    line = (await looked_over(tmp_path, agent=CACHED, answers_file=written(tmp_path, "{")))["answers file"]
    assert line.outcome == "fail" and "holds no answers" in line.seen
    line = (await looked_over(tmp_path, agent=Agent("x"), answers_file=written(tmp_path, "Hi.")))["answers file"]
    assert line.outcome == "fail" and "cache=True" in line.seen


async def test_what_traces_ask_of_the_environment_is_looked_at(tmp_path: Path) -> None:
    assert (await looked_over(tmp_path, traces=True))["traces"].outcome == "skip"
    other = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    line = (await looked_over(tmp_path, traces=True, environment=other))["traces"]
    assert line.outcome == "fail" and "http/protobuf" in line.seen


async def test_what_nothing_is_asked_of_neither_passes_nor_fails(tmp_path: Path) -> None:
    lines = await looked_over(tmp_path)
    assert {name for name, line in lines.items() if line.outcome == "info"} == {"loaded", "versions"}
