"""What can be told of settings by looking at them: what contradicts, what is unsafe, what the machine lacks. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..loopback import is_loopback
from ..route import PREFIX
from ..settings import Settings, usual
from .line import Outcome

__all__ = ["Machine", "Told", "changed", "host_of", "is_for_retell", "open_to_all", "told"]

FILES_A_CALL: Final = 3
"""Retell's socket, and the model's connection with a spare one."""

FILES: Final = 256
"""That a server has open whatever its calls do."""

BRIEF_S: Final = 5.0
"""Of `drain_s`, below which few sentences come to their end."""

STOP_S: Final = 60.0
"""Beyond `drain_s`, for calls to move one after the other and for the last facts."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What it runs on, as far as settings ask for it.

    Attributes:
        files: Files that a process may have open, once it has raised its limit.
        missing: Extras whose packages are not installed.
    """

    files: int
    missing: frozenset[str] = frozenset()


class Told(NamedTuple):
    """A finding; see `line.Line`."""

    name: str
    outcome: Outcome
    seen: str
    advice: str = ""


def changed(settings: Settings) -> list[str]:
    """Name the settings that are not the defaults, nor what their blueprint brings. Their values may be secrets."""
    brought = msgspec.structs.replace(usual(settings.blueprint), blueprint=Settings().blueprint)
    return [name for name in Settings.__struct_fields__ if getattr(settings, name) != getattr(brought, name)]


def is_for_retell(settings: Settings, url: str = "") -> bool:
    """Tell whether Retell is meant to reach a server: by an address that others reach, or by a secret in the path.

    Args:
        settings: Its settings.
        url: Where it is said to be; empty when nobody says.
    """
    hosts = [settings.host, settings.http_host, *([urlsplit(url).hostname or ""] if url else [])]
    return bool(settings.path_secret) or not all(map(is_loopback, hosts))


def told(settings: Settings, machine: Machine, url: str = "") -> list[Told]:
    """Say what can be said of settings on a machine.

    Args:
        settings: The settings.
        machine: The machine.
        url: Where the server is said to be; empty when nobody says.
    """
    names = changed(settings)
    listed = f"{len(names)} not the defaults: {', '.join(names)}" if names else "all the defaults"
    return [
        Told("loaded", "info", f"blueprint {settings.blueprint}; {listed}"),
        *_contradictions(settings),
        _call_port(settings, url),
        *_second_port(settings),
        _draining(settings),
        _files(settings, machine),
        _packages(settings, machine),
        *_logs(settings),
    ]


def _contradictions(settings: Settings) -> Iterator[Told]:
    found = []
    if settings.redis_url and settings.blueprint == "single":
        found.append(("redis_url is left out: `single` keeps its calls in memory", "say --blueprint distributed"))
    if settings.kafka_bootstrap and settings.blueprint != "events":
        found.append((f"kafka_bootstrap: `{settings.blueprint}` is not made for Kafka", "say --blueprint events"))
    if settings.blueprint == "events" and not settings.redis_url:
        found.append(("no redis_url: calls are in memory, and are lost with their process", "say --redis-url"))
    if settings.rules and not settings.data_folder():
        found.append(("rules: no facts are kept, so no rule can ever act", "say --blueprint events, or --data"))
    if settings.admin_token and settings.http_port is None:
        found.append(("admin_token is left out: there is no second port", "say --http-port 8081"))
    if settings.answers_file and not settings.answer_cache:
        found.append(("answers_file is left out: the answer cache is off", "leave out --no-answer-cache"))
    if settings.retell_agent_ids and not settings.verify_calls:
        found.append(("retell_agent_ids is left out: calls are not verified", "say --verify-calls"))
    for seen, advice in found:
        yield Told("what fits together", "warn", seen, advice)
    if not found:
        yield Told("what fits together", "pass", "no setting contradicts another one")


def open_to_all(name: str, where: str, *, verifies: bool) -> Told:
    """Say that anybody can speak to the agent.

    Args:
        name: Of the line.
        where: At which address.
        verifies: Retell is asked about calls.
    """
    return Told(
        name,
        "warn" if verifies else "fail",
        f"whoever finds {where} can speak to the agent: Retell signs nothing on its socket"
        + ("; calls it does not know get words, and no side effect" if verifies else ""),
        "RETELL_WS_PATH_SECRET=$(openssl rand -hex 24), and the same in the URL that Retell has",
    )


def host_of(parts: SplitResult) -> str:
    """Give host and port of a URL, without the user and password that may stand before them."""
    return parts.netloc.rpartition("@")[2]


def _call_port(settings: Settings, url: str) -> Told:
    name = "who may call"
    if settings.path_secret:
        count = len(settings.path_secrets())
        return Told(name, "pass", f"whoever knows the secret path{' (two, while they change)' if count > 1 else ''}")
    if not is_loopback(settings.host):
        return open_to_all(name, f"{settings.host}:{settings.port}", verifies=settings.verify_calls)
    parts = urlsplit(url)
    if url and not is_loopback(parts.hostname or "") and parts.path.rstrip("/").endswith(PREFIX):
        return open_to_all(name, host_of(parts), verifies=settings.verify_calls)
    # What is only tried out here has no proxy, and a proxy here may be one that nobody else reaches.
    return Told(
        name, "pass", f"whoever reaches {settings.host}, without a secret, and whoever reaches a proxy before it"
    )


def _second_port(settings: Settings) -> Iterator[Told]:
    name = "the second port"
    if settings.http_port is None:
        yield Told(name, "skip", "there is none: no metrics, no webhooks, no moving of calls", "say --http-port 8081")
    elif settings.admin_token and settings.admin_token in settings.path_secret.split(","):
        yield Told(
            name,
            "fail",
            "admin_token is the path secret: whoever sees Retell's URL can move calls",
            "make another one: openssl rand -hex 24",
        )
    elif not is_loopback(settings.http_host):
        yield Told(
            name,
            "warn",
            f"it listens on {settings.http_host}: whoever reaches it reads the metrics",
            "let only the proxy and Prometheus reach it; of the outside it wants /webhook alone (`retell_ws proxy`)",
        )
    else:
        who = "whoever has the token" if settings.admin_token else "nobody"
        yield Told(name, "pass", f"it listens on {settings.http_host} alone; {who} may move calls")


def _draining(settings: Settings) -> Told:
    name = "time to drain"
    if settings.drain_s < BRIEF_S:
        return Told(
            name,
            "warn",
            f"drain_s is {settings.drain_s:g}: at each deployment calls are cut off",
            "say --drain-s 60 or more; a call of minutes that may move (`distributed`) needs no more",
        )
    stop_s = settings.drain_s + STOP_S
    return Told(
        name,
        "pass",
        f"calls have {settings.drain_s:g} s after SIGTERM; whatever stops the server has to wait {stop_s:g} s "
        "(TimeoutStopSec, stop_grace_period, terminationGracePeriodSeconds)",
    )


def _files(settings: Settings, machine: Machine) -> Told:
    name, wanted = "open files", FILES_A_CALL * settings.max_calls + FILES
    if machine.files < wanted:
        return Told(
            name,
            "warn",
            f"{machine.files} are allowed here; {settings.max_calls} calls may need {wanted}",
            f"LimitNOFILE=65536 in the unit, `ulimit -n {wanted}` in a shell, or a lower --max-calls",
        )
    return Told(name, "pass", f"{machine.files} are allowed, {settings.max_calls} calls need {wanted} at most")


def _packages(settings: Settings, machine: Machine) -> Told:
    wanted = {
        "redis": settings.is_shared(),
        "kafka": bool(settings.kafka_bootstrap),
        "analytics": bool(settings.data_folder()),
        "otel": settings.traces,
    }
    missing = [extra for extra, is_wanted in wanted.items() if is_wanted and extra in machine.missing]
    if missing:
        return Told(
            "packages",
            "fail",
            f"what these settings need is not installed: {', '.join(missing)}",
            f"pip install 'retell-ws[{','.join(missing)}]'",
        )
    return Told("packages", "pass", "what these settings need is installed")


def _logs(settings: Settings) -> Iterator[Told]:
    if settings.log_level == "debug":
        yield Told(
            "the log",
            "warn",
            "at debug it quotes what functions of the agent's raise, which may hold speech",
            "say --log-level info",
        )
