"""The containers of `events` on top of the others: what they say is known to the command line and the settings.

No container runs here. The two files are put together as Compose does it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from retell_ws import calls, consuming, outbox, scribe, server
from retell_ws.__main__ import app
from retell_ws.deploy.proxies import configuration
from retell_ws.settings import Settings, load
from tests.deploy.test_containers import COMPOSE, DOCKERFILE, ROOT, environment, flags

yaml = pytest.importorskip("yaml")

TEXT = files("retell_ws.deploy").joinpath("compose.events.yaml").read_text("utf-8")
ADDED: dict[str, Any] = yaml.safe_load(TEXT)
CONSUMERS = ("analytics", "archive", "escalation")

NOT_OURS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "RETELL_WS_WEBHOOK_SECRET"}


def together(first: Any, second: Any) -> Any:
    """Put two Compose files together: maps by key, lists one behind the other, of the rest the second."""
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: together(first[key], second[key]) for key in first.keys() & second.keys()}
        # What is run, and how it is asked how it is, is replaced as a whole.
        return {
            **first,
            **second,
            **{key: second[key] if key in ("command", "test") else shared[key] for key in shared},
        }
    return [*first, *second] if isinstance(first, list) and isinstance(second, list) else second


WHOLE: dict[str, Any] = together(COMPOSE, ADDED)
SERVICES: dict[str, Any] = WHOLE["services"]
SERVERS = {name: service for name, service in SERVICES.items() if name.startswith("server")}


def targets(service: dict[str, Any]) -> dict[str, str]:
    """Give what is mounted, by where."""
    # Compose's own `${NAME:-default}` has a colon as well.
    mounts = (re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":") for volume in service["volumes"])
    return {mount[1]: mount[0] for mount in mounts}


def test_it_is_all_of_the_other_file_with_kafka_and_the_consumers() -> None:
    assert set(SERVICES) == {*COMPOSE["services"], "kafka", *CONSUMERS}
    assert SERVICES["escalation"]["profiles"] == ["escalation"], "without rules it has nothing to do"
    assert WHOLE["name"] == COMPOSE["name"]


def test_every_variable_is_a_setting_and_all_agree_about_them() -> None:
    found = {}
    for name in (*SERVERS, *CONSUMERS):
        inside = environment(SERVICES[name])
        ours = {each for each in inside if each.startswith("RETELL_WS_")} - NOT_OURS
        assert {each.removeprefix("RETELL_WS_").lower() for each in ours} <= set(Settings.__struct_fields__)
        found[name] = load(environment=inside)
    assert {each.blueprint for each in found.values()} == {"events"}
    assert (
        len({each.redis_url for each in found.values()}) == len({each.kafka_bootstrap for each in found.values()}) == 1
    )
    assert not any(each.starts_consumers() for each in found.values())
    for name, settings in found.items():
        assert settings.data_folder() in targets(SERVICES[name]), "what must be kept is on a volume"
    assert found["escalation"].rules in targets(SERVICES["escalation"])


def test_servers_have_journals_of_their_own_and_consumers_keep_things_together() -> None:
    journals = [targets(service)["/data"] for service in SERVERS.values()]
    assert len(set(journals)) == len(SERVERS)
    kept = {targets(SERVICES[name])["/data"] for name in CONSUMERS}
    assert kept == {"kept"}
    assert {*journals, *kept, "kafka"} == set(WHOLE["volumes"])
    assert "/data" in DOCKERFILE and "-o 10001" in DOCKERFILE, "a new volume has the image's owner"


def test_our_command_line_takes_what_consumers_run() -> None:
    for name in CONSUMERS:
        command, *arguments = SERVICES[name]["command"]
        assert (command, arguments) == ("consume", [name])
        run, bound, _ = app.parse_args([command, *arguments], exit_on_error=False, print_error=False)
        assert run.__name__ == "consume" and bound.args == (name,)


def test_no_secret_stands_in_the_file() -> None:
    for name in CONSUMERS:
        for variable, value in SERVICES[name]["environment"].items():
            if variable in NOT_OURS:
                assert value == f"${{{variable}:-}}"
    assert "ANTHROPIC_API_KEY" not in SERVICES["escalation"]["environment"]


def test_the_image_has_the_packages_of_events() -> None:
    for name in (*SERVERS, *CONSUMERS):
        build = SERVICES[name]["build"]
        assert build["args"] == {"EXTRAS": "events"}
        assert (ROOT / build["dockerfile"]).is_file()
        assert SERVICES[name]["image"] == SERVERS["server1"]["image"]
    assert "ARG EXTRAS=redis" in DOCKERFILE and '".[$EXTRAS]"' in DOCKERFILE
    assert re.search(r"^events = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_the_gateway_s_configuration_is_what_the_command_writes() -> None:
    content = WHOLE["configs"]["haproxy"]["content"]
    calls_at, http_at = ([f"{name}:{port}" for name in SERVERS] for port in (8080, 8081))
    assert content == configuration("haproxy", calls_at, listen=":8080", http=http_at)
    assert "$" not in content, "Compose would put something in its place"
    assert SERVICES["haproxy"]["healthcheck"]["test"][-1].endswith("/livez")
    settings = load(flags(SERVERS["server1"]["command"]), environment=environment(SERVERS["server1"]))
    assert (settings.port, settings.http_port) == (8080, 8081)


def test_whoever_depends_on_something_waits_until_it_is_well() -> None:
    for name in (*SERVERS, *CONSUMERS):
        assert {"kafka", "redis"} <= set(SERVICES[name]["depends_on"])
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name] or name in SERVERS


def test_kafka_is_found_where_it_says_it_is() -> None:
    kafka = SERVICES["kafka"]["environment"]
    address = kafka["KAFKA_ADVERTISED_LISTENERS"].partition("://")[2]
    assert environment(SERVERS["server1"])["RETELL_WS_KAFKA_BOOTSTRAP"] == address == "kafka:9092"
    assert SERVICES["kafka"]["healthcheck"]["test"][-1] == address.partition(":")[2]
    assert targets(SERVICES["kafka"]) == {kafka["KAFKA_LOG_DIRS"]: "kafka"}
    listeners = re.findall(r"(\w+)://", kafka["KAFKA_LISTENERS"])
    assert {kafka["KAFKA_CONTROLLER_LISTENER_NAMES"], kafka["KAFKA_INTER_BROKER_LISTENER_NAME"]} == set(listeners)
    assert set(re.findall(r"(\w+):PLAINTEXT", kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"])) == set(listeners)


def test_a_container_can_do_little_and_has_time_to_end() -> None:
    for name in CONSUMERS:
        service = SERVICES[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["healthcheck"] == {"disable": True}, "the image's asks for a server"
    settings = load(environment=environment(SERVERS["server1"]))
    longest = max(settings.drain_s, settings.drain_delay()) + 2 * calls.LAST_TURN_S + calls.SPREAD_S
    longest += calls.LASTING_S + calls.CLOSE_S + server.CLOSE_S + scribe.LAST_TRY_S + outbox.LEAVE_S + consuming.LEAVE_S
    assert int(SERVERS["server1"]["stop_grace_period"].removesuffix("s")) > longest
