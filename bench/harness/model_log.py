"""What the fake model remembers of each request, matched with the words of the call that asked. It asks no server."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

__all__ = ["Entry", "Generations", "match", "take"]

_WORDS = re.compile(rb"This is what I say in turn \d+ of call \w+\.")


class Entry(msgspec.Struct, frozen=True):
    """One request as FakeAnthropic logged it; times are `time.monotonic_ns`.

    Attributes:
        deltas_sent: Pieces of text it wrote.
        ended: `done`, `peer_closed`, or None while it runs.
        closed_ns: When it ended.
        body: The request.
    """

    deltas_sent: int = 0
    ended: str | None = None
    closed_ns: int | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class Generations(msgspec.Struct, frozen=True):
    """What became of the superseded requests at the model.

    Attributes:
        closed_ns: Superseding request sent → socket closed, for each that was cut.
        ran_on: Answers written to their end after they had been superseded.
        over: Answers that had ended before they were superseded.
        unseen: Superseded requests that never reached the model.
        deltas: Pieces written for superseded requests.
    """

    closed_ns: list[int]
    ran_on: int
    over: int
    unseen: int
    deltas: int


def take(url: str) -> list[Entry]:
    """Read the log of the fake model and empty it."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", "/log")
        entries = msgspec.json.decode(connection.getresponse().read(), type=list[Entry])
        connection.request("DELETE", "/log")
        connection.getresponse().read()
    finally:
        connection.close()
    return entries


def match(superseded: Mapping[str, int], entries: Sequence[Entry]) -> Generations:
    """Match superseded requests with what the model saw of them.

    Args:
        superseded: Words of each, and when the next request was sent (monotonic ns).
        entries: The model's log.
    """
    closed: list[int] = []
    ran_on = over = deltas = 0
    seen: set[str] = set()
    for entry in entries:
        found = _WORDS.search(bytes(entry.body))
        words = found.group().decode() if found else ""
        if words not in superseded:
            continue
        seen.add(words)
        deltas += entry.deltas_sent
        if entry.closed_ns is None:
            ran_on += 1
            continue
        after = entry.closed_ns - superseded[words]
        if entry.ended == "peer_closed":
            closed.append(max(0, after))
        elif after > 0:
            ran_on += 1
        else:
            over += 1
    return Generations(closed_ns=closed, ran_on=ran_on, over=over, unseen=len(superseded) - len(seen), deltas=deltas)
