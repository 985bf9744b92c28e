"""What happened in a run, row by row, as those saw it who were there. It judges nothing.

Rows of calls are written by the load generator, rows of side effects by the tool itself, rows of faults by whoever
brought them about. A history can be kept as JSON lines and judged again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Event", "Row", "read_rows", "write_rows"]

Event = Literal[
    "began",
    "open",
    "gone",
    "asked",
    "frame",
    "finding",
    "hung_up",
    "ended",
    "ran",
    "fault",
    "stale_write",
]
"""began: a call is about to dial. open: a socket was accepted. gone: it broke, or the call is over. asked: a request
left. frame: text came on the newest socket. finding: what `testing.acceptance` has against a frame. hung_up: the caller
hangs up. ended: with Retell's reason in `text`. ran: a side effect, its key in `text`. fault: one was brought about:
`kill`, `stop`, `term` or `cut` in `text`. stale_write: a server wrote for a call it had lost."""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened.

    Attributes:
        t: When, in seconds of the system's monotonic clock, which all processes share.
        event: What; see `Event`.
        call: The call's number; -1 when it is of none.
        response_id: Of a request or a frame.
        server: The server concerned, when it is known.
        text: The words, the key, the reason.
        complete: The frame completes its id.
    """

    t: float
    event: Event
    call: int = -1
    response_id: int = -1
    server: str = ""
    text: str = ""
    complete: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Row)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a history as JSON lines."""
    path.write_bytes(b"".join(_encoder.encode(row) + b"\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """Read a history. A last line that was not written to its end, by a process that was killed, is left out.

    Raises:
        msgspec.DecodeError: Another line is no row.
    """
    return [_decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1] if line]
