"""The file that `kafka_config` names: settings of Kafka's client, for TLS and passwords. No I/O.

A line is `name=value`, in the names of librdkafka; lines that begin with `#` are passed over. Nothing of a value is
ever quoted: it may be a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import SettingsError

__all__ = ["line_of", "parse"]

OURS: Final[Mapping[str, str]] = {
    "bootstrap.servers": "it is --kafka-bootstrap",
    "metadata.broker.list": "it is --kafka-bootstrap",
    "group.id": "it is --kafka-prefix with the name of the consumer",
    **dict.fromkeys(
        (
            "acks",
            "request.required.acks",
            "enable.idempotence",
            "enable.gapless.guarantee",
            "transactional.id",
            "retries",
            "message.send.max.retries",
            "message.timeout.ms",
            "delivery.timeout.ms",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "enable.auto.commit",
            "auto.commit.enable",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "group.protocol",
            "partition.assignment.strategy",
            "isolation.level",
            "enable.partition.eof",
            "go.delivery.reports",
            "delivery.report.only.error",
        ),
        "facts would be lost, or come out of order",
    ),
}
"""What no file may set, and why."""


def parse(text: str, name: str) -> dict[str, str]:
    """Read such a file.

    Args:
        text: What is in it.
        name: The file's, for what is said of it.

    Raises:
        SettingsError: A line is none, is there twice, or sets what is ours to set. Its words name the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        where = f"kafka_config: {name}, line {number}"
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        key, is_pair, value = (part.strip() for part in line.partition("="))
        if not is_pair or not key or not all(letter.isalnum() or letter in "._-" for letter in key):
            raise SettingsError(f"{where}: this is no name=value")
        if key in found:
            raise SettingsError(f"{where}: {key} is there twice")
        if key in OURS:
            raise SettingsError(f"{where}: {key} cannot be set here: {OURS[key]}")
        if key.endswith("_cb") or key in ("opaque", "logger", "default.topic.config"):
            raise SettingsError(f"{where}: {key} is no setting that a file can hold")
        found[key] = value
    return found


def line_of(text: str, key: str) -> int | None:
    """Find the line that sets something; None when none does."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.partition("=")[0].strip() == key and "=" in line:
            return number
    return None
