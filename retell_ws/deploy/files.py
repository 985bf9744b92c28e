"""What a blueprint consists of: its settings, and the files of whatever runs it. No I/O but that of templates.

On one machine servers listen on 127.0.0.1, one port after the other, and a proxy is before them: also before the only
server of `single`, so that it can be joined by others while it has calls.
"""

from __future__ import annotations

import math
import re
from importlib.resources import files as resources
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..errors import UsageError
from .containers import compose_files, dockerfile
from .kubernetes import manifests
from .pods import Pods, reached
from .proxies import TEMPLATES, Certificate, Proxy, configuration
from .redis_url import has_password
from .settings_file import Value
from .templates import fill, read

__all__ = ["BARRED", "HTTP_ABOVE", "MUST", "Blueprint", "Wanted", "file_of", "files", "settings"]

Blueprint: TypeAlias = Literal["single", "distributed", "events"]

HTTP_ABOVE: Final = 10_000
"""How far the second port of a server is above that of its calls: `1` before the number, which systemd can do."""

MUST: Final = frozenset({"blueprint"})
"""Settings that are the blueprint: whatever stands there goes."""

BARRED: Final[dict[Blueprint, dict[str, str]]] = {
    "single": {
        "redis_url": "`single` keeps its calls in memory",
        "workers": "`single` is one process: it has the calls in its memory",
        "kafka_bootstrap": "only `events` hands facts on to Kafka",
    },
    "distributed": {
        "kafka_bootstrap": "only `events` hands facts on to Kafka",
        "port": "each server is given its own",
        "http_port": "each server is given its own",
    },
    "events": {"port": "each server is given its own", "http_port": "each server is given its own"},
}
"""Settings that contradict a blueprint, with the reason."""

_PATH: Final = re.compile(r"/[A-Za-z0-9._/+-]+")
_BROKERS: Final = re.compile(r"[A-Za-z0-9._-]+:[0-9]{1,5}(,[A-Za-z0-9._-]+:[0-9]{1,5})*")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        blueprint: Which one.
        folder: Where the files are, an absolute path.
        agent: The agent's file, an absolute path.
        command: Our command line, an absolute path.
        servers: How many.
        port: Of the first server's calls.
        second_port: Of `single`, when it is not `HTTP_ABOVE` its first one; otherwise 0.
        proxy: What is before the servers.
        listen: Where it listens, `HOST:PORT` or `:PORT`.
        tls: Its certificate, as `Certificate.named` reads it; empty: none.
        domain: The name Retell dials; empty: nobody says.
        image: The image of containers.
        redis_url: Where calls are kept; empty: in the memory of the only server.
        kafka: `HOST:PORT` of the brokers, with commas; empty: facts stay in the journal.
        leaving: `HOST:PORT` of a server of `single` that still has calls; empty: none.
        drain_s: For how long a server that leaves keeps its calls.
        has_own_data: The owner's settings say where facts are kept.
    """

    blueprint: Blueprint
    folder: str
    agent: str
    command: str
    servers: int
    port: int
    second_port: int
    proxy: Proxy | Literal["none"]
    listen: str
    tls: str
    domain: str
    image: str
    redis_url: str
    kafka: str
    leaving: str
    drain_s: float
    has_own_data: bool = False

    def __post_init__(self) -> None:
        program = self.command.removesuffix(" -m retell_ws")
        for flag, path in (("--into", self.folder), ("--agent", self.agent), ("retell_ws", program)):
            if not _PATH.fullmatch(path):
                raise UsageError(f"{flag}: {path!r} can stand in no unit of systemd: a path is of A-Za-z0-9._/+-")
        if not 1 <= self.servers <= 100:
            raise UsageError(f"--servers: {self.servers} is not within 1 and 100")
        last = HTTP_ABOVE - self.servers  # the port of the last server has four digits, too
        if not 1024 <= self.port <= last:
            most = "" if self.servers == 1 else f", the most for {self.servers} servers"
            raise UsageError(
                f"--port: {self.port} is not within 1024 and {last}{most}: "
                "a second port has the same number with a 1 before it"
            )
        if self.blueprint == "single" and self.servers > 1:
            raise UsageError("--servers: `single` is one server; several share their calls in `distributed`")
        if self.blueprint == "events" and self.servers > 1 and not self.kafka:
            raise UsageError("--servers: without --kafka facts are on one machine's disk, for one server: --servers 1")
        if self.blueprint != "events" and self.kafka:
            raise UsageError("--kafka: only `events` hands facts on to Kafka")
        if self.kafka and not _BROKERS.fullmatch(self.kafka):
            raise UsageError(f"--kafka: {self.kafka!r} is not HOST:PORT")
        if has_password(self.redis_url):
            raise UsageError("--redis-url: a password stands in retell_ws.env alone, as RETELL_WS_REDIS_URL")
        needs_redis = self.blueprint == "distributed" or self.servers > 1
        if (needs_redis or self.redis_url) and not re.fullmatch(r"(rediss?|unix)://[!-~]+", self.redis_url):
            raise UsageError("--redis-url: redis://HOST:PORT, rediss://… or unix://…")

    def ports(self) -> tuple[int, ...]:
        """Give the ports of calls of the servers."""
        return tuple(range(self.port, self.port + self.servers))

    def addresses(self) -> tuple[str, ...]:
        """Give where the servers take calls."""
        return tuple(f"127.0.0.1:{port}" for port in self.ports())

    def second_addresses(self) -> tuple[str, ...]:
        """Give where the servers have their second ports."""
        return tuple(f"127.0.0.1:{self.second_port or port + HTTP_ABOVE}" for port in self.ports())

    def serving(self) -> tuple[str, ...]:
        """Give the command of each server."""
        first = f"{self.command} serve {self.agent} --config {self.folder}/retell_ws.toml"
        is_theirs = self.has_own_data and self.servers == 1  # several cannot write one journal
        data = "" if is_theirs else f"{self.folder}/retell_ws-data"
        return tuple(first + self._more(str(port), data) for port in self.ports())

    def kept(self) -> str:
        """Give the folder of what the consumers keep: without Kafka that of the only server."""
        return f"{self.folder}/retell_ws-data/{'kept' if self.kafka else self.port}"

    def has_manifests(self) -> bool:
        """Tell whether it can run in Kubernetes: calls are in Redis, and facts, where they are kept, go to Kafka."""
        return self.blueprint == "distributed" or bool(self.kafka)

    def units(self) -> tuple[str, ...]:
        """Give the names of the servers under systemd."""
        return ("retell_ws",) if self.blueprint == "single" else tuple(f"retell_ws@{port}" for port in self.ports())

    def stop_s(self) -> int:
        """Give the seconds a server that is told to stop may take: `drain_s`, the last turns, what is still written."""
        return round(self.drain_s) + (90 if self.blueprint == "events" else 60)

    def unit(self) -> dict[str, str]:
        """Give what is put into the template of the servers' unit."""
        return {
            "folder": self.folder,
            "agent": self.agent,
            "command": self.command,
            "units": " ".join(self.units()),
            "stop_s": str(self.stop_s()),
            "more": self._more("%i", "/var/lib/retell_ws"),
        }

    def _more(self, port: str, data: str) -> str:
        """Give the flags in which servers differ."""
        if self.blueprint == "single":
            return ""
        http = f"1{port}" if port == "%i" else str(int(port) + HTTP_ABOVE)
        journal = f" --data {data}/{port}" if data and self.blueprint == "events" else ""
        return f" --port {port} --http-port {http}{journal}"


def settings(wanted: Wanted) -> dict[str, Value]:
    """Give the settings of a blueprint that are not what they are by default, and the blueprint itself."""
    found: dict[str, Value] = {"blueprint": wanted.blueprint}
    if wanted.blueprint == "single":
        found |= {"port": wanted.port, "http_port": wanted.second_port or wanted.port + HTTP_ABOVE}
    if wanted.redis_url:
        found["redis_url"] = wanted.redis_url
    if wanted.kafka:
        found["kafka_bootstrap"] = wanted.kafka
    if wanted.blueprint == "events":  # each server is given its own, those who read what was kept are not
        found["data"] = wanted.kept()
    return found


def file_of(proxy: Proxy) -> str:
    """Give the name of a proxy's file."""
    return TEMPLATES[proxy]


def files(wanted: Wanted, pods: Pods) -> dict[str, str]:
    """Write the files of a blueprint, all but that of its settings.

    Args:
        wanted: What is wanted.
        pods: What of its settings pods are given.

    Returns:
        The text of each by its path in the folder.

    Raises:
        UsageError: Something is not of the form it should be.
    """
    is_single, is_events = wanted.blueprint == "single", wanted.blueprint == "events"
    found = {
        "retell_ws.env.example": fill(read("example.env"), {}, {"redis": not is_single, "events": is_events}),
        "Dockerfile": dockerfile(stop_s=wanted.stop_s()),
    }
    inside = wanted.agent.startswith(f"{wanted.folder}/")
    found |= compose_files(
        wanted.blueprint,
        servers=wanted.servers,
        image=wanted.image,
        agent=f".{wanted.agent.removeprefix(wanted.folder)}" if inside else wanted.agent,
        leaving=bool(wanted.leaving),
        stop_s=wanted.stop_s(),
    )
    if wanted.proxy != "none":
        found[file_of(wanted.proxy)] = configuration(
            wanted.proxy,
            wanted.addresses(),
            listen=wanted.listen,
            http=wanted.second_addresses(),
            tls=Certificate.named(wanted.tls) if wanted.tls else None,
            domain=wanted.domain if wanted.proxy == "caddy" and not wanted.tls else "",
            leaving=wanted.leaving,
        )
    unit = "retell_ws.service" if is_single else "retell_ws@.service"
    found[unit] = fill(read("server.service"), wanted.unit(), {"instances": not is_single})
    if is_events:
        found["rules.toml"] = resources("retell_ws.examples").joinpath("rules.toml").read_text("utf-8")
        if wanted.kafka:
            found["retell_ws-consume@.service"] = fill(read("consumer.service"), wanted.unit(), {})
    if wanted.has_manifests():
        found |= {f"kubernetes/{name}": text for name, text in _kubernetes(wanted, pods).items()}
    return found


def _kubernetes(wanted: Wanted, pods: Pods) -> dict[str, str]:
    given = dict(pods.settings)
    numbers: dict[str, Any] = {}  # by default the manifests have others than a server alone
    if "max_calls" in given:
        numbers["max_calls"] = int(given.pop("max_calls"))
    if "drain_s" in given:
        numbers["drain_s"] = math.ceil(float(given.pop("drain_s")))
    return manifests(
        wanted.image,
        host=wanted.domain,
        servers=max(2, wanted.servers),
        kafka=reached(wanted.kafka),
        archive=given.pop("archive", ""),
        settings=given,
        **numbers,
    )
