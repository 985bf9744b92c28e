"""What of a folder's settings its pods in Kubernetes are given, and what they cannot be given, with the reason. No I/O.

A pod has its own ports, its own volume and no file of this machine's, and 127.0.0.1 is the pod itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ..loopback import is_loopback
from ..settings import Settings

__all__ = ["ARCHIVE", "BROKERS", "Pods", "for_pods", "is_this_machine", "reached"]

BROKERS: Final = "kafka:9092"
"""Where pods look for Kafka when its brokers are this machine's: a Service that somebody has to make."""

ARCHIVE: Final = r"s3://[A-Za-z0-9._/-]+"
"""An archive that the manifests can name."""

_OF_THE_MANIFESTS: Final = frozenset(
    ("blueprint", "host", "port", "http_host", "http_port", "redis_url", "kafka_bootstrap", "consume", "control_url")
)
_SECRET: Final = frozenset(("path_secret", "admin_token"))
_FILES: Final = frozenset(("kafka_config", "rules", "answers_file"))
_URLS: Final = frozenset(("model_url", "retell_url"))


class Pods(msgspec.Struct, frozen=True):
    """What pods are given.

    Attributes:
        settings: Settings as the environment has them, by name.
        left_out: Settings that they are not given, with the reason.
    """

    settings: dict[str, str] = {}
    left_out: dict[str, str] = {}


def for_pods(settings: Settings, named: Collection[str]) -> Pods:
    """Find what pods are given.

    Args:
        settings: The settings of the folder.
        named: Those that stand in its file; the others are as they are by default, in a pod too.
    """
    given: dict[str, str] = {}
    left_out: dict[str, str] = {}
    usual = Settings()
    for name in named:
        value = getattr(settings, name)
        if name in _OF_THE_MANIFESTS or (name == "data" and settings.blueprint == "events"):
            continue
        if value in ("", None):
            if getattr(usual, name):
                left_out[name] = "the environment of a pod cannot say that it is empty"
        elif why := _unfit(name, str(value), settings):
            left_out[name] = why
        else:
            given[name] = str(value)
    return Pods(given, left_out)


def _unfit(name: str, value: str, settings: Settings) -> str:
    """Tell why a pod cannot have it; empty when it can."""
    if name in _SECRET:
        return "it belongs into the Secret"
    if name in _FILES:
        return "a pod does not have this machine's files"
    if name == "workers":
        return "a pod is one process, and there are more pods" if settings.workers > 1 else ""
    if name in ("data", "archive"):
        if settings.blueprint != "events":
            return "without Kafka pods keep no facts"
        if not value.startswith("s3://"):
            return "a pod does not have this machine's files"
        return "" if re.fullmatch(ARCHIVE, value) else "there are characters in it that no manifest has"
    if name in _URLS:
        parts = urlsplit(value)
        if parts.username or parts.password:
            return "it holds a user or a password"
        return "a pod does not reach this machine by it" if is_loopback(parts.hostname or "") else ""
    return ""


def reached(brokers: str) -> str:
    """Give where pods find Kafka.

    Args:
        brokers: `HOST:PORT` with commas; empty: there is none.
    """
    return BROKERS if brokers and is_this_machine(brokers) else brokers


def is_this_machine(place: str) -> bool:
    """Tell whether no pod reaches it: a URL, or brokers of which one is named as this machine names itself."""
    if "://" in place:
        parts = urlsplit(place)
        return parts.scheme == "unix" or is_loopback(parts.hostname or "")
    return any(is_loopback(each.rpartition(":")[0]) for each in place.split(","))
