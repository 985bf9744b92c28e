"""What a set-up is to be: out of what is asked for, what was asked for before, and the settings there. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ..errors import UsageError
from ..settings import Settings
from .files import HTTP_ABOVE, Blueprint, Wanted
from .proxies import Proxy, host_and_port
from .redis_url import without_password

__all__ = ["NONE", "REDIS", "Options", "next_setup"]

NONE: Final = "none"
"""What an option says that is to be empty."""

FIRST_PORT: Final = 8081
SERVERS: Final = 3
REDIS: Final = "redis://127.0.0.1:6379/0"
LISTEN: Final = ":8080"
LISTEN_TLS: Final = ":443"
LISTEN_BESIDE: Final = ":8090"
"""Where the proxy listens when the server that was there has the usual port."""

_PORTS: Final = {"port": "port", "second_port": "http_port"}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for now; None: nothing was said. The names are those of `Wanted`."""

    agent: str | None = None
    servers: int | None = None
    port: int | None = None
    proxy: Proxy | Literal["none"] | None = None
    listen: str | None = None
    tls: str | None = None
    domain: str | None = None
    image: str | None = None
    redis_url: str | None = None
    kafka: str | None = None
    leaving: str | None = None

    def asked(self) -> dict[str, Any]:
        """Give what was said, `none` as empty."""
        said = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return {name: "" if value == NONE and name != "proxy" else value for name, value in said.items()}


def next_setup(
    blueprint: Blueprint,
    folder: str,
    command: str,
    options: Options,
    *,
    before: Wanted | None,
    own: Mapping[str, Any],
    earlier: Mapping[str, Wanted] = {},
) -> Wanted:
    """Find what a set-up is to be.

    Args:
        blueprint: Which one.
        folder: Where its files are.
        command: Our command line.
        options: What was asked for now.
        before: What was asked for the last time; None: nothing.
        own: The settings that stand in the folder.
        earlier: What was asked for the last time of each blueprint that was there before.

    Raises:
        UsageError: It is of no form that can be.
    """
    asked = options.asked()
    if asked.get("leaving"):
        if blueprint == "single":
            raise UsageError("--leaving: nobody joins a server in `single`; several share calls in `distributed`")
        host_and_port(asked["leaving"], "--leaving")
    was = before if before is not None and (before.blueprint == blueprint or blueprint != "single") else None
    last = before if before is not None and before.blueprint == blueprint else earlier.get(blueprint)
    kafka = str(asked.get("kafka", ""))
    if blueprint == "events" and "kafka" not in asked:
        kafka = _kafka(before, last, own)
    servers = asked["servers"] if "servers" in asked else _servers(blueprint, kafka, was, last)
    redis_url = _redis_url(blueprint, asked, was, last, own, needed=blueprint == "distributed" or servers > 1)
    old = _in_memory(before, own) if blueprint != "single" else ""
    joins = bool(old) and (before is None or before.blueprint != blueprint or bool(redis_url))
    leaving = asked.get("leaving", old if joins else "" if was is None else was.leaving)
    stays = before is not None and not joins and (before.blueprint == blueprint or bool(before.redis_url and redis_url))
    found: dict[str, Any] = {
        "agent": f"{folder}/agent.py" if before is None else before.agent,
        "port": before.port if before is not None and stays else _next_port(before, leaving, servers),
        "proxy": "haproxy" if before is None else before.proxy,
        "listen": _listen(asked, leaving) if before is None else before.listen,
        "tls": "" if before is None else before.tls,
        "domain": "" if before is None else before.domain,
        "image": "retell_ws" if before is None else before.image,
        "second_port": 0,
    }
    if blueprint == "single":  # its ports stand in the settings; those of others in their commands
        found |= {name: own[key] for name, key in _PORTS.items() if isinstance(own.get(key), int)}
        if found["second_port"] == asked.get("port", found["port"]) + HTTP_ABOVE:
            found["second_port"] = 0
    wanted = Wanted(
        **{**found, **asked, "servers": servers, "redis_url": redis_url, "kafka": kafka, "leaving": leaving},
        blueprint=blueprint,
        folder=folder,
        command=command,
        drain_s=_number(own.get("drain_s"), Settings().drain_s),
    )
    if leaving in wanted.addresses():
        raise UsageError(f"--port: the server that leaves has {leaving}: the others need ports of their own")
    return wanted


def _kafka(before: Wanted | None, last: Wanted | None, own: Mapping[str, Any]) -> str:
    if before is not None and before.blueprint == "events":
        return before.kafka
    return str(own.get("kafka_bootstrap") or ("" if last is None else last.kafka))


def _servers(blueprint: Blueprint, kafka: str, was: Wanted | None, last: Wanted | None) -> int:
    if was is not None and (was.blueprint == blueprint or was.servers > 1):
        return was.servers
    if blueprint == "single" or (blueprint == "events" and not kafka):
        return 1
    return SERVERS if last is None else last.servers


def _redis_url(
    blueprint: Blueprint,
    asked: Mapping[str, Any],
    was: Wanted | None,
    last: Wanted | None,
    own: Mapping[str, Any],
    *,
    needed: bool,
) -> str:
    if blueprint == "single":
        return ""
    found = asked.get("redis_url") or (was.redis_url if was else "") or without_password(str(own.get("redis_url", "")))
    return str(found) or (last.redis_url if last else "") or (REDIS if needed else "")


def _in_memory(before: Wanted | None, own: Mapping[str, Any]) -> str:
    """Give where the only server is whose calls are in its memory; empty when there is none, or none is known."""
    if before is not None:
        return "" if before.redis_url else before.addresses()[0]
    if own and own.get("blueprint", "single") == "single":
        return f"127.0.0.1:{own.get('port', Settings().port)}"
    return ""


def _next_port(before: Wanted | None, leaving: str, servers: int) -> int:
    """Give the first of ports that those who run now do not have."""
    if before is not None:
        return before.port + before.servers
    port = int(leaving.rpartition(":")[2] or 0)
    return port + 1 if FIRST_PORT <= port < FIRST_PORT + servers else FIRST_PORT


def _listen(asked: Mapping[str, Any], leaving: str) -> str:
    usual = LISTEN_TLS if asked.get("tls") else LISTEN
    return LISTEN_BESIDE if leaving.endswith(usual) else usual


def _number(value: object, default: float) -> float:
    return value if isinstance(value, int | float) else default
