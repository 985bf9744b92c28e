"""What pods are given of a folder's settings: all that mean the same there, and no secret; what is left out is said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from retell_ws.deploy.pods import BROKERS, Pods, for_pods, is_this_machine, reached
from retell_ws.settings import Settings, load
from tests.test_settings import ODD


def given(**own: Any) -> Pods:
    return for_pods(msgspec.convert({"blueprint": "distributed", "redis_url": "redis://r", **own}, Settings), own)


def left_out(**own: Any) -> str:
    """The reason why a pod is not given the only setting."""
    found = given(**own)
    assert not found.settings
    ((name, why),) = found.left_out.items()
    assert own[name] or name == "fallback_model"
    return why


def test_what_stands_in_the_file_has_the_same_meaning_in_a_pod() -> None:
    own = {"max_calls": 50, "model_name": "claude-x", "speculate": False, "budget_ms": 900, "drain_s": 0.5}
    found = given(**own)
    assert set(found.settings) == set(own) and not found.left_out
    inside = {f"RETELL_WS_{name.upper()}": value for name, value in found.settings.items()}
    settings = load(environment=inside)
    assert {name: getattr(settings, name) for name in own} == own


def test_every_setting_is_given_or_is_the_manifests_or_is_told() -> None:
    settings = msgspec.convert({"blueprint": "distributed", "redis_url": "redis://r", **ODD}, Settings, strict=False)
    found = for_pods(settings, Settings.__struct_fields__)
    missing = set(Settings.__struct_fields__) - found.settings.keys() - found.left_out.keys()
    assert not found.settings.keys() & found.left_out.keys()
    of_the_manifests = {"blueprint", "host", "port", "http_host", "http_port", "redis_url", "kafka_bootstrap"}
    assert of_the_manifests <= missing <= {*of_the_manifests, "consume", "control_url"} | empty(settings)


def empty(settings: Settings) -> set[str]:
    return {name for name in Settings.__struct_fields__ if getattr(settings, name) in ("", None)}


def test_secrets_go_elsewhere() -> None:
    for name in ("path_secret", "admin_token"):
        assert "Secret" in left_out(**{name: "a" * 16})
    assert "password" in left_out(model_url="https://ana:hunter2@gateway.example")
    assert "password" in left_out(retell_url="https://hunter2@gateway.example")


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"rules": "/opt/a/rules.toml"}, "files"),
        ({"kafka_config": "kafka.properties"}, "files"),
        ({"answers_file": "openings.txt"}, "files"),
        ({"blueprint": "events", "archive": "/srv/kept"}, "files"),
        ({"blueprint": "events", "archive": "s3://ana:hunter2@b/kept"}, "characters"),
        ({"archive": "s3://b"}, "no facts"),
        ({"data": "/srv/data"}, "no facts"),
        ({"workers": 4}, "one process"),
        ({"model_url": "http://127.0.0.1:9000"}, "does not reach"),
        ({"retell_url": "http://localhost:9100"}, "does not reach"),
        ({"fallback_model": ""}, "empty"),
    ],
)
def test_what_a_pod_cannot_have_is_told_with_the_reason(own: dict[str, Any], why: str) -> None:
    assert why in left_out(**own)


def test_what_a_pod_has_anyway_needs_no_words() -> None:
    assert given(port=9000, http_host="0.0.0.0", rules="", model_url="https://gateway.example", workers=1) == Pods(
        {"model_url": "https://gateway.example", "workers": "1"}
    )
    assert given(blueprint="events", data="/srv/data", archive="s3://b/p") == Pods({"archive": "s3://b/p"})


def test_brokers_of_this_machine_are_looked_for_elsewhere() -> None:
    for here in ("127.0.0.1:9092", "localhost:9092", "k:1,127.0.0.1:2"):
        assert reached(here) == BROKERS
    for there in ("k:9092", "10.0.0.1:1,k:2", ""):
        assert reached(there) == there


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("redis://127.0.0.1:6379/0", True),
        ("rediss://ana@localhost", True),
        ("unix:///run/redis.sock", True),
        ("redis://store:6379", False),
        ("redis://[::1]:6379", True),
    ],
)
def test_a_store_of_this_machine_is_none_of_a_pod_s(url: str, here: bool) -> None:
    assert is_this_machine(url) is here
