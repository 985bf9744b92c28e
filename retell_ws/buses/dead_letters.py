"""What is put on the topic of dead letters: an entry nobody could take, as it came, and why. No I/O."""

from __future__ import annotations

from typing import Final

from .cloud_events import Headers

__all__ = ["MAX_BYTES", "letter_of"]

MAX_BYTES: Final = 256 * 1024
"""Bytes of an entry that are kept here: what is too large for one topic must fit into this one."""

MAX_WHY: Final = 500

CUT: Final = ("content-type", b"application/octet-stream")


def letter_of(data: bytes, headers: Headers, *, why: str, by: str) -> tuple[bytes, Headers]:
    """Write a dead letter.

    Args:
        data: What could not be taken.
        headers: Of it, as far as they are known.
        why: In words that hold no speech.
        by: The consumer, or `bus`.

    Returns:
        Its value, which is the beginning of `data`, and its headers; `dead_bytes` tells how much there was.
    """
    own: Headers = [
        ("dead_why", why[:MAX_WHY].encode()),
        ("dead_by", by.encode()),
        ("dead_bytes", str(len(data)).encode()),
    ]
    if len(data) <= MAX_BYTES:
        return data, [*headers, *own]
    return data[:MAX_BYTES], [*(pair for pair in headers if pair[0] != CUT[0]), CUT, *own]
