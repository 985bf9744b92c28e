"""Which Kafka brokers are, as far as a client can know.

They tell no client their version, and those of 4.0 and later not even by their configuration. What they tell is which
requests they take, and in which forms; a new form comes with a release.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .librdkafka import ClientLog

__all__ = ["ApiLog"]

RELEASES: Final = (
    ("ListOffsets", 11, "4.2"),
    ("Fetch", 18, "4.1"),
    ("ListOffsets", 10, "4.0"),
    ("Fetch", 17, "3.9"),
    ("Fetch", 16, "3.7"),
    ("Fetch", 15, "3.5"),
    ("Fetch", 13, "3.1"),
)
"""The newest first: a request, its newest form, and the release that brought it (`MetadataVersion` of Kafka's)."""

_TAKEN: Final = re.compile(r"ApiKey (\w+) \(\d+\) Versions \d+\.\.(\d+)")


class ApiLog(ClientLog):
    """The log of a client that writes there what each broker takes."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: dict[str, int] = {}

    def asked_for(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Set a client so that it writes that."""
        return {**config, "debug": ",".join(filter(None, (config.get("debug", ""), "feature")))}

    def log(self, level: int, text: str, *values: Any) -> None:
        """See `ClientLog.log`."""
        if values and values[0] == "APIVERSION":
            if taken := _TAKEN.search(str(values[-1])):
                name, newest = taken[1], int(taken[2])
                self._newest[name] = min(newest, self._newest.get(name, newest))  # of several brokers the oldest counts
            return
        super().log(level, text, *values)

    @property
    def release(self) -> str:
        """The release of Kafka that the oldest broker is at least, as `4.1`; empty when that is not known."""
        return next((release for name, newest, release in RELEASES if self._newest.get(name, -1) >= newest), "")
