"""The headers of a fact on Kafka: CloudEvents 1.0, in the binary mode of its binding for Kafka. No I/O.

Others sort and route by them without a look at the fact. They hold no speech: the fact itself is the message's value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeAlias

from ..entries import VERSION

__all__ = ["Headers", "headers_of"]

Headers: TypeAlias = list[tuple[str, str | bytes | None]]
"""As Kafka's client takes them; ours are all bytes."""

FIXED: Final[Headers] = [
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/retell_ws"),
    ("content-type", b"application/json"),
]


def headers_of(entry_id: str, kind: str, call_id: str, at: float) -> Headers:
    """Write the headers of a fact.

    Args:
        entry_id: The entry's.
        kind: The fact's name.
        call_id: The entry's.
        at: When it happened, in seconds since 1970.
    """
    return [
        *FIXED,
        ("ce_id", entry_id.encode()),
        ("ce_type", f"retell_ws.{kind}.v{VERSION}".encode()),
        ("ce_subject", call_id.encode()),
        ("ce_time", _rfc3339(at)),
    ]


def _rfc3339(at: float) -> bytes:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
