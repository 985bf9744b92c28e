"""What is said of settings by looking at them alone."""

from __future__ import annotations

from typing import Any

import pytest

from retell_ws.settings import Settings, load
from retell_ws.validation.settled import Machine, Told, changed, is_for_retell, told

SECRET = "abcdefgh-IJKLMNOP_0123"
ROOMY = Machine(files=1_000_000)


def found(name: str, machine: Machine = ROOMY, **settings: Any) -> list[Told]:
    return [one for one in told(Settings(**settings), machine) if one.name == name]


def the(name: str, machine: Machine = ROOMY, **settings: Any) -> Told:
    (one,) = found(name, machine, **settings)
    return one


def test_usual_settings_are_as_they_should_be() -> None:
    assert {one.outcome for one in told(Settings(), ROOMY)} == {"info", "pass", "skip"}
    assert the("loaded").outcome == "info" and "all the defaults" in the("loaded").seen


def test_settings_that_were_given_are_named_and_their_values_are_not() -> None:
    settings = Settings(path_secret=SECRET, max_calls=7)
    assert changed(settings) == ["path_secret", "max_calls"]
    everything = " ".join(one.seen + one.advice for one in told(settings, ROOMY))
    assert "max_calls" in everything and SECRET not in everything


def test_what_a_blueprint_brings_is_not_named_as_given() -> None:
    assert changed(load({"blueprint": "events"}, environment={})) == ["blueprint"]
    assert changed(load({"blueprint": "events", "http_port": 9000}, environment={})) == ["blueprint", "http_port"]
    assert changed(load({"http_port": 8081}, environment={})) == ["http_port"]


@pytest.mark.parametrize(
    ("settings", "url", "is_for"),
    [
        ({}, "", False),
        ({}, "ws://127.0.0.1:8080/llm-websocket", False),
        ({}, "wss://voice.example.com/llm-websocket", True),
        ({"host": "0.0.0.0"}, "", True),
        ({"http_host": "0.0.0.0"}, "", True),
        ({"path_secret": SECRET}, "", True),  # behind a proxy it listens on loopback, too
    ],
)
def test_a_server_is_for_retell_when_others_reach_it_or_it_has_a_secret(
    settings: dict[str, Any], url: str, is_for: bool
) -> None:
    assert is_for_retell(Settings(**settings), url) is is_for


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"redis_url": "redis://h"}, "redis_url"),
        ({"kafka_bootstrap": "h:9092"}, "kafka_bootstrap"),
        ({"blueprint": "events"}, "redis_url"),
        ({"rules": "rules.toml"}, "rules"),
        ({"admin_token": SECRET}, "admin_token"),
        ({"answers_file": "f", "answer_cache": False}, "answers_file"),
        ({"retell_agent_ids": "agent_1"}, "retell_agent_ids"),
    ],
)
def test_what_contradicts_is_told_with_what_to_say_instead(settings: dict[str, Any], word: str) -> None:
    one = the("what fits together", **settings)
    assert one.outcome == "warn" and word in one.seen and one.advice


def test_two_contradictions_are_two_lines() -> None:
    assert len(found("what fits together", admin_token=SECRET, retell_agent_ids="a")) == 2


def test_an_address_for_everybody_wants_a_secret() -> None:
    assert the("who may call", host="0.0.0.0").outcome == "fail"
    assert the("who may call", host="0.0.0.0", verify_calls=True).outcome == "warn"
    assert the("who may call", host="0.0.0.0", path_secret=SECRET).outcome == "pass"
    assert "two" in the("who may call", path_secret=f"{SECRET},{SECRET}x").seen
    assert the("who may call", host="localhost").outcome == "pass"
    assert "a proxy before it" in the("who may call", host="localhost").seen


@pytest.mark.parametrize(
    ("url", "settings", "outcome"),
    [
        ("wss://voice.example.com/llm-websocket", {}, "fail"),
        ("wss://voice.example.com/llm-websocket/", {"verify_calls": True}, "warn"),
        ("wss://voice.example.com/llm-websocket", {"path_secret": SECRET}, "pass"),
        (f"wss://voice.example.com/llm-websocket/{SECRET}", {}, "pass"),  # it has one that these settings do not say
        (f"wss://ana:{SECRET}@voice.example.com:8443/llm-websocket", {}, "fail"),
        ("ws://127.0.0.1:8080/llm-websocket", {}, "pass"),
    ],
)
def test_a_server_on_loopback_that_others_reach_by_a_proxy_wants_a_secret(
    url: str, settings: dict[str, Any], outcome: str
) -> None:
    (one,) = (one for one in told(Settings(**settings), ROOMY, url) if one.name == "who may call")
    assert one.outcome == outcome and SECRET not in one.seen
    assert (outcome == "pass") or ("whoever finds voice.example.com" in one.seen and one.advice)


def test_the_second_port_is_for_few() -> None:
    name = "the second port"
    assert the(name).outcome == "skip"
    assert the(name, http_port=8081).outcome == "pass"
    assert "nobody" in the(name, http_port=8081).seen
    assert "token" in the(name, http_port=8081, admin_token=SECRET).seen
    assert the(name, http_port=8081, http_host="0.0.0.0").outcome == "warn"
    assert the(name, http_port=8081, admin_token=SECRET, path_secret=SECRET).outcome == "fail"


def test_calls_need_time_to_end() -> None:
    assert the("time to drain", drain_s=1.0).outcome == "warn"
    assert "120 s" in the("time to drain", drain_s=60.0).seen


def test_many_calls_need_many_files() -> None:
    assert the("open files", Machine(files=1024)).outcome == "warn"
    assert the("open files", Machine(files=1024), max_calls=100).outcome == "pass"


def test_packages_are_asked_for_by_what_the_settings_need() -> None:
    bare = Machine(files=1_000_000, missing=frozenset({"redis", "kafka", "analytics"}))
    assert the("packages", bare).outcome == "pass"
    one = the("packages", bare, blueprint="events", redis_url="redis://h", kafka_bootstrap="h:1")
    assert one.outcome == "fail" and "retell-ws[redis,kafka,analytics]" in one.advice


def test_traces_need_a_package() -> None:
    bare = Machine(files=1_000_000, missing=frozenset({"otel"}))
    assert the("packages", bare).outcome == "pass"
    one = the("packages", bare, traces=True)
    assert one.outcome == "fail" and "retell-ws[otel]" in one.advice


def test_a_log_at_debug_is_not_for_every_day() -> None:
    assert not found("the log")
    assert the("the log", log_level="debug").outcome == "warn"
