"""The container files of a blueprint for a folder of somebody's own, made out of those of this package.

The package's files are for its own folder, three servers and one image that Compose builds. Here they become files for
any folder and number of servers; what they say of a server stands in them alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from .proxies import configuration
from .templates import read

__all__ = ["OLD_SERVER", "compose_files", "dockerfile"]

CALLS: Final = 8080
HTTP: Final = 8081

OLD_SERVER: Final = "server"
"""The service of `single`: called otherwise than those of several servers, so that it runs on beside them."""

_NAMES: Final = ("server1", "server2", "server3")
_WAITED_FOR: Final = "      {name}: {{condition: service_healthy}}\n"
_MOUNTED: Final = "    - ./retell_ws.toml:/etc/retell_ws/retell_ws.toml:ro\n"
_CONFIG: Final = "    RETELL_WS_CONFIG: /etc/retell_ws/retell_ws.toml\n"
_BUILD: Final = "  build:\n    context: ../..\n    dockerfile: retell_ws/deploy/Dockerfile\n"
_RETELL_KEY: Final = "    RETELL_API_KEY: ${RETELL_API_KEY:-}\n"
_WEBHOOK_KEY: Final = "    RETELL_WEBHOOK_KEY: ${RETELL_WEBHOOK_KEY:-}\n"
_DRAINS: Final = (
    "RETELL_WS_DRAIN_S, then the last turns, then what is still to be written.\n"
    "  # With another RETELL_WS_DRAIN_S it is to be another one, here and in compose.events.yaml.\n"
)
_REDIS_URL: Final = "    RETELL_WS_REDIS_URL: ${RETELL_WS_REDIS_URL:-redis://redis:6379/0}\n"


def dockerfile(*, stop_s: int) -> str:
    """Give the file of the image, the package's own.

    Args:
        stop_s: Seconds a server that is told to stop may take.
    """
    return _replaced(read("Dockerfile"), "docker stop -t 120", f"docker stop -t {stop_s}")


def compose_files(
    blueprint: str, *, servers: int, image: str, agent: str, leaving: bool, stop_s: int
) -> dict[str, str]:
    """Write the Compose files: for `events` two, the second one on top of the first.

    Args:
        blueprint: Which one.
        servers: How many; `single` has one.
        image: The image of servers and consumers.
        agent: The agent's file, as Compose finds it.
        leaving: The server of `single` still has calls.
        stop_s: Seconds a server that is told to stop may take.

    Returns:
        The text of each file by its name.
    """
    names = (OLD_SERVER,) if blueprint == "single" else tuple(f"server{n + 1}" for n in range(servers))
    old = f"{OLD_SERVER}:{CALLS}" if leaving else ""
    text = _common(read("compose.yaml"), names, image, agent, stop_s)
    if blueprint == "single":
        text = _without_redis(text)
    calls, http = ([f"{name}:{port}" for name in names] for port in (CALLS, HTTP))
    gateway = configuration("haproxy", calls, listen=f":{CALLS}", http=http, leaving=old)
    text = _with_proxy(_with_webhooks(text), gateway)
    if blueprint != "events":
        return {"compose.yaml": text}
    more = _with_proxy(_events(read("compose.events.yaml"), names, image, stop_s), gateway)
    return {"compose.yaml": text, "compose.events.yaml": more}


def _common(text: str, names: Sequence[str], image: str, agent: str, stop_s: int) -> str:
    text = _headed(
        text,
        f"# {'One server' if len(names) == 1 else f'{len(names)} servers that share their calls'}, and HAProxy before. "
        "Docker Compose 2.23.1 or newer. Written by `retell_ws blueprint apply`.\n"
        "#   docker compose up --wait\n"
        "# Secrets come from the environment, or from a file: --env-file retell_ws.env\n",
    )
    text = _replaced(text, "  image: retell_ws\n" + _BUILD, f"  image: {image}\n")
    text = _replaced(text, "${AGENT:-../examples/receptionist.py}", f"${{AGENT:-{agent}}}")
    text = _replaced(text, ":/agent/agent.py:ro\n", f":/agent/agent.py:ro\n{_MOUNTED}")
    text = _replaced(text, _REDIS_URL, _REDIS_URL + _CONFIG)
    for variable, value in (("MAX_CALLS", 200), ("DRAIN_S", 60)):  # the file of settings says them
        text = _replaced(text, f"${{RETELL_WS_{variable}:-{value}}}", f"${{RETELL_WS_{variable}:-}}")
    text = _replaced(text, _DRAINS, "drain_s, then the last turns, then what is still to be written.\n")
    text = _replaced(text, "stop_grace_period: 120s\n", f"stop_grace_period: {stop_s}s\n")
    text = _replaced(
        text,
        "".join(f"  {name}: *server\n" for name in _NAMES),
        "".join(f"  {name}: *server\n" for name in names),
    )
    return _replaced(
        text,
        "".join(_WAITED_FOR.format(name=name) for name in _NAMES),
        "".join(_WAITED_FOR.format(name=name) for name in names),
    )


def _without_redis(text: str) -> str:
    text = _replaced(text, "RETELL_WS_BLUEPRINT: distributed", "RETELL_WS_BLUEPRINT: single")
    text = _replaced(text, _REDIS_URL, "")
    text = _replaced(text, "  depends_on:\n    redis: {condition: service_healthy}\n", "")
    start, end = text.index("  redis:\n    image:"), text.index(f"  {OLD_SERVER}: *server\n")
    return text[:start] + text[end:]


def _with_webhooks(text: str) -> str:
    """Let the servers verify webhooks, and ask the proxy how it is itself: it passes on nothing but calls and them."""
    text = _replaced(text, _RETELL_KEY, _RETELL_KEY + _WEBHOOK_KEY)
    return _replaced(text, f"http://127.0.0.1:{CALLS}/readyz", f"http://127.0.0.1:{CALLS}/livez")


def _events(text: str, names: Sequence[str], image: str, stop_s: int) -> str:
    text = _headed(
        text,
        "# What `events` has more than compose.yaml: Kafka, the consumers, and a proxy that takes Retell's webhooks\n"
        "# as well as its calls. Written by `retell_ws blueprint apply`.\n"
        "#   export COMPOSE_FILE=compose.yaml:compose.events.yaml\n"
        "#   docker compose up --wait\n"
        "#   docker compose run --rm analytics report --json\n"
        "#   RULES=./rules.toml docker compose --profile escalation up --wait      acts on rules as well\n",
    )
    build = "x-build: &build\n  context: ../..\n  dockerfile: retell_ws/deploy/Dockerfile\n  args: {EXTRAS: events}\n\n"
    text = _replaced(text, build, "")
    text = _replaced(text, "  image: retell_ws\n  build: *build\n", f"  image: {image}\n")
    text = _replaced(text, "  build: *build\n", "")
    text = _replaced(text, "stop_grace_period: 150s ", f"stop_grace_period: {stop_s}s ")
    server = '  {name}:\n    <<: *server\n    volumes: ["journal{number}:/data"]\n'
    for form in (server, "  journal{number}:\n"):
        there = "".join(form.format(name=name, number=n) for n, name in enumerate(_NAMES, start=1))
        text = _replaced(
            text, there, "".join(form.format(name=name, number=n) for n, name in enumerate(names, start=1))
        )
    return text


def _headed(text: str, head: str) -> str:
    """Put other words before the first name."""
    return f"{head}\n{text[text.index('name: retell_ws') :]}"


def _with_proxy(text: str, proxy: str) -> str:
    """Put another configuration of the proxy into the block at the end."""
    at = text.index("    content: |\n") + len("    content: |\n")
    start = text.rindex("\n", 0, text.rindex("    # What this writes:", 0, at)) + 1
    return f"{text[:start]}    content: |\n{textwrap.indent(proxy, ' ' * 6)}"


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise AssertionError(f"the package's file has no {old!r} any more")
    return text.replace(old, new)
