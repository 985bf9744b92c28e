"""What Kubernetes is told to run the servers, and with Kafka the consumers: manifests, from templates.

Nothing here is for this cluster or that one alone: what differs is an argument, and what is left is to be edited, which
is why the comments go along.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from ..errors import UsageError
from ..settings import Settings
from .pods import ARCHIVE
from .templates import fill, read

__all__ = ["manifests"]

SECRET: Final = "retell-ws"  # noqa: S105  # its name
"""The Secret with the keys, the tokens and the URL of Redis."""

PRESTOP_S: Final = 10
"""Seconds that a server which is to leave still takes calls: until all who route have heard of it."""

SPARE_S: Final = 90
"""Seconds beside `drain_s` and that: the last turns, tools that change something, the ends of calls, the journal."""

AIM: Final = 0.6
"""The share of `max_calls` that the autoscaler aims at: of three servers one may be away."""


class _Consumer(NamedTuple):
    about: str
    lag: int
    replicas: int = 1


# How far one may be behind before there is another one: for who acts while the call lasts, not far.
_CONSUMERS: Final = {
    "analytics": _Consumer("Figures of calls, for `retell_ws report`.", lag=20_000),
    "archive": _Consumer("Transcripts of calls, for `retell_ws transcripts`.", lag=5_000),
    "escalation": _Consumer(
        "Rules about calls, while they last. Two, so that one that dies is not waited for.", lag=200, replicas=2
    ),
}

# What is put into a manifest may hold nothing but this.
_NAME: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_FORMS: Final = {
    "image": r"[A-Za-z0-9][A-Za-z0-9._:/@-]*",
    "agent": r"[A-Za-z0-9_./][A-Za-z0-9_./:-]*",
    "namespace": f"({_NAME})?",
    "host": rf"(({_NAME}\.)+[a-z][a-z0-9-]*[a-z0-9])?",
    "tls_secret": _NAME,
    "ingress_class": _NAME,
    "ingress_namespace": _NAME,
    "monitoring_namespace": _NAME,
    "redis_url_secret": rf"{_NAME}/[A-Za-z0-9._-]+",
    "kafka": r"([A-Za-z0-9._-]+:[0-9]{1,5}(,[A-Za-z0-9._-]+:[0-9]{1,5})*)?",
    "kafka_secret": f"({_NAME})?",
    "archive": f"({ARCHIVE})?",
    "storage_class": rf"({_NAME}(\.{_NAME})*)?",
}


def manifests(
    image: str,
    *,
    agent: str = "/agent/agent.py",
    namespace: str = "",
    host: str = "",
    tls_secret: str = "retell-ws-tls",  # noqa: S107  # its name
    ingress_class: str = "nginx",
    ingress_namespace: str = "ingress-nginx",
    monitoring_namespace: str = "monitoring",
    servers: int = 3,
    max_servers: int = 0,
    max_calls: int = 200,
    drain_s: int = 3600,
    redis_url_secret: str = f"{SECRET}/RETELL_WS_REDIS_URL",
    kafka: str = "",
    kafka_secret: str = "",
    archive: str = "",
    rules: str = "",
    storage_class: str = "",
    keda: bool = True,
    settings: Mapping[str, str] = {},
) -> dict[str, str]:
    """Write the manifests.

    Args:
        image: The image of servers and consumers.
        agent: What is served, as `retell_ws serve` takes it, in the image.
        namespace: Where all of it goes; empty: where `kubectl` is.
        host: The name Retell dials; empty: no Ingress.
        tls_secret: The Secret with the host's certificate.
        ingress_class: Of the Ingress.
        ingress_namespace: Where its controller runs: whence calls and webhooks may come.
        monitoring_namespace: Where Prometheus runs.
        servers: How many there are at least.
        max_servers: How many at most; 0: four times as many.
        max_calls: Calls a server takes at once.
        drain_s: Seconds for which a server that leaves keeps its calls.
        redis_url_secret: `SECRET/KEY` with the URL of Redis.
        kafka: `HOST:PORT` of the brokers, with commas; empty: the blueprint `distributed`, without consumers.
        kafka_secret: The Secret with the file of Kafka's client, for TLS and SASL; empty: none is needed.
        archive: `s3://BUCKET/PREFIX` where consumers keep what they have; empty: on a volume.
        rules: The text of the file of escalation rules; empty: no escalation.
        storage_class: Of the volumes; empty: the cluster's default.
        keda: KEDA decides how many consumers there are, by how far they are behind.
        settings: Others that servers and consumers get, by name, as the environment has them. None is a secret.

    Returns:
        The text of each file by its name, in the order in which they are to be applied.

    Raises:
        UsageError: Something is not of the form it should be, or is of no use without Kafka.
    """
    given = locals().copy()
    more_settings = dict(given.pop("settings"))
    for name, form in _FORMS.items():
        if not re.fullmatch(form, given[name]):
            raise UsageError(f"{_flag(name)}: {given[name]!r} cannot stand in a manifest")
    _check(servers=servers, max_servers=max_servers, max_calls=max_calls, drain_s=drain_s)
    if not kafka:
        for name in ("kafka_secret", "archive", "rules"):
            if given[name]:
                raise UsageError(f"{_flag(name)}: without --kafka there are no consumers")
    secret, _, key = redis_url_secret.partition("/")
    defaults = Settings()
    kafka_prefix = more_settings.pop("kafka_prefix", defaults.kafka_prefix)
    if not re.fullmatch(r"[A-Za-z0-9._-]*", kafka_prefix):
        raise UsageError(f"kafka_prefix: {kafka_prefix!r} cannot stand in a manifest")
    drain_delay_s = math.ceil(float(more_settings.get("drain_delay_s", 0)))
    values = {name: str(value) for name, value in given.items()} | {
        "max_servers": str(max_servers or 4 * servers),
        "calls_aimed_at": str(max(1, round(max_calls * AIM))),
        "prestop_s": str(PRESTOP_S),
        "grace_s": str(PRESTOP_S + max(drain_s, drain_delay_s) + SPARE_S),
        "redis_secret": secret,
        "redis_key": key,
        "kafka_prefix": kafka_prefix,
        "kafka_partitions": more_settings.pop("kafka_partitions", str(defaults.kafka_partitions)),
        "model": more_settings.pop("model", "anthropic"),
        "more": "\n".join(f"  RETELL_WS_{name.upper()}: {_quoted(name, text)}" for name, text in more_settings.items()),
        "in_namespace": f"-n {namespace} " if namespace else "",
        "rules": _block(rules),
    }
    parts = {
        "namespace": bool(namespace),
        "host": bool(host),
        "events": bool(kafka),
        "kafka_secret": bool(kafka_secret),
        "bucket": bool(archive),
        "rules": bool(rules),
        "storage_class": bool(storage_class),
        "keda": keda,
        "shares": not archive,
        "more": bool(more_settings),
    }
    written: dict[str, str] = {}

    def write(file: str, template: str, **more: Any) -> None:
        words = {name: str(value) for name, value in more.items()}
        written[file] = fill(read(f"manifests/{template}.yaml"), values | words, parts | more)

    if namespace:
        write("00-namespace.yaml", "namespace")
    write("10-config.yaml", "config")
    values["settings"] = hashlib.sha256(written["10-config.yaml"].encode()).hexdigest()[:16]
    write("20-servers.yaml", "servers")
    write("30-services.yaml", "services")
    write("40-network.yaml", "network")
    write("50-scaling.yaml", "scaling")
    if kafka:
        if not archive:
            write("60-data.yaml", "data")
        if kafka_secret and keda:
            write("60-keda.yaml", "keda")
        for name, (about, lag, replicas) in _CONSUMERS.items():
            if name != "escalation" or rules:
                write(
                    f"70-{name}.yaml",
                    "consumer",
                    **{"consumer": name, "about": about, "lag": lag, "replicas": replicas},
                    acts=name == "escalation",
                    transcripts=name == "archive",
                )
    return written


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < (0 if name in ("max_servers", "drain_s") else 1):
            raise UsageError(f"{_flag(name)}: {number} is too few")
    if 0 < numbers["max_servers"] < numbers["servers"]:
        raise UsageError("--max-servers: fewer than --servers")
    if numbers["drain_s"] > 86_400:
        raise UsageError("--drain-s: at most a day, 86400")


def _quoted(name: str, text: str) -> str:
    """Write a text as YAML has it between quotes, which is how JSON has it."""
    if not text.isprintable():
        raise UsageError(f"{name}: there is a character that cannot be printed, which YAML would not take as it is")
    return msgspec.json.encode(text).decode()


def _block(rules: str) -> str:
    """Put the rules into a block of YAML, which takes every line as it is."""
    try:
        tomllib.loads(rules)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"--rules: no TOML: {exc}") from None
    lines = rules.replace("\r\n", "\n").rstrip("\n").split("\n")
    if not all(line.replace("\t", " ").isprintable() for line in lines):
        raise UsageError("--rules: there is a character that cannot be printed, which YAML would not take as it is")
    return "\n".join(f"    {line}" if line else "" for line in lines)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
