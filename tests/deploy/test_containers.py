"""The container files say nothing that the command line, the settings or the other file do not know.

No container runs here: what is checked is that each name, flag, port and time in them is one of ours.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from retell_ws import calls, server
from retell_ws.__main__ import app
from retell_ws.deploy.proxies import configuration
from retell_ws.settings import Settings, load

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = files("retell_ws.deploy").joinpath("Dockerfile").read_text("utf-8")
TEXT = files("retell_ws.deploy").joinpath("compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVERS = {name: service for name, service in SERVICES.items() if name.startswith("server")}
THEIRS = {"ANTHROPIC_API_KEY", "RETELL_API_KEY"}


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def environment(service: dict[str, Any]) -> dict[str, str]:
    """What a container gets when nothing is set outside."""
    return {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value)) for name, value in service["environment"].items()}


def flags(words: list[str]) -> dict[str, str]:
    """Read `serve AGENT --a b --c d` as the command line does."""
    assert words[0] == "serve" and "serve" in app and words[1].endswith(".py")
    given = words[2:]
    return {name[2:].replace("-", "_"): value for name, value in zip(given[::2], given[1::2], strict=True)}


def test_there_are_three_equal_servers_with_a_store_and_a_proxy() -> None:
    assert sorted(SERVICES) == ["haproxy", "redis", "server1", "server2", "server3"]
    assert SERVERS["server1"] == SERVERS["server2"] == SERVERS["server3"]


def test_every_flag_and_variable_of_a_server_is_a_setting_of_ours() -> None:
    service = SERVERS["server1"]
    inside = environment(service)
    ours = {name: value for name, value in inside.items() if name.startswith("RETELL_WS_")}
    assert set(inside) - set(ours) == THEIRS
    assert {name.removeprefix("RETELL_WS_").lower() for name in ours} <= set(Settings.__struct_fields__)
    settings = load(flags(service["command"]), environment=inside)
    assert (settings.blueprint, settings.redis_url) == ("distributed", "redis://redis:6379/0")
    assert settings.host == settings.http_host == "0.0.0.0"


def test_no_secret_stands_in_the_file() -> None:
    for name in ("ANTHROPIC_API_KEY", "RETELL_API_KEY", "RETELL_WS_PATH_SECRET", "RETELL_WS_ADMIN_TOKEN"):
        assert SERVERS["server1"]["environment"][name] == f"${{{name}:-}}"


def test_the_ports_agree() -> None:
    service = SERVERS["server1"]
    settings = load(flags(service["command"]), environment=environment(service))
    assert service["expose"] == instructions("EXPOSE")[0].split() == [str(settings.port), str(settings.http_port)]
    assert SERVICES["haproxy"]["ports"] == ["${LISTEN:-127.0.0.1:8080}:8080"]
    (health,) = instructions("HEALTHCHECK")
    assert f"127.0.0.1:{settings.port}/livez" in health
    assert flags(json.loads(instructions("CMD")[-1]))["port"] == str(settings.port)


def test_the_proxy_s_configuration_is_what_the_command_writes() -> None:
    content = COMPOSE["configs"]["haproxy"]["content"]
    assert content == configuration("haproxy", [f"{name}:8080" for name in SERVERS], listen=":8080")
    assert "$" not in content, "Compose would put something in its place"
    assert SERVICES["haproxy"]["configs"][0]["source"] == "haproxy"


def test_a_server_has_the_time_it_takes_to_drain() -> None:
    service = SERVERS["server1"]
    settings = load(flags(service["command"]), environment=environment(service))
    longest = max(settings.drain_s, settings.drain_delay()) + 2 * calls.LAST_TURN_S + calls.SPREAD_S
    longest += calls.LASTING_S + calls.CLOSE_S + server.CLOSE_S
    assert int(service["stop_grace_period"].removesuffix("s")) > longest


def test_whoever_depends_on_something_waits_until_it_is_well() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name] or name in SERVERS, "a server's check is in its image"


def test_a_container_is_no_root_and_gets_the_agent_from_outside() -> None:
    (user,) = instructions("USER")
    assert int(user.partition(":")[0]) > 0
    service = SERVERS["server1"]
    (volume,) = service["volumes"]
    assert volume.endswith(f":{service['command'][1]}:ro")
    example = re.findall(r"AGENT:-(.*?)\}", volume)[0]
    assert (ROOT / "retell_ws" / "deploy" / example).resolve().is_file()


def test_what_the_image_is_built_from_is_there() -> None:
    build = SERVERS["server1"]["build"]
    context = (ROOT / "retell_ws" / "deploy" / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()
    for copied in instructions("COPY"):
        if not copied.startswith("--from"):
            assert all((ROOT / name).exists() for name in copied.split()[:-1])
