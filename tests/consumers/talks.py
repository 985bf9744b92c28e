"""Entries of many calls, as they come to the archive: from sockets and webhooks, mixed, again, and out of order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from retell_ws.consumers.transcripts import Row, joined, row_of
from retell_ws.entries import Entry
from retell_ws.facts import CallStarted
from retell_ws.speech_facts import CallTranscript, Line, WebhookReceived

__all__ = ["MIDNIGHT", "call_id", "expected", "mixed", "retell", "row", "socket"]

MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC).timestamp()


def call_id(number: int) -> str:
    return f"call_{number:027x}"


def socket(number: int, at: float = MIDNIGHT + 43_200, *, epoch: int = 1, words: str = "Hello") -> Entry:
    """Make what the socket tells of a call in the end."""
    lines = (Line("agent", "Harbor Clinic.", start_s=0.5, end_s=1.5), Line("user", f"{words} {number}"))
    return Entry(
        id=f"t{number}-{epoch}",
        call_id=call_id(number),
        epoch=epoch,
        seq=9,
        at=at,
        server="s1",
        fact=CallTranscript(lines, 60.0, 3, call_type="phone_call", from_number="+49…"),
    )


def retell(number: int, at: float = MIDNIGHT + 43_200, *, event: str = "call_analyzed", words: str = "Bye") -> Entry:
    """Make what Retell's webhook tells of it."""
    call: dict[str, Any] = {
        "agent_id": "agent_1",
        "start_timestamp": int((at - 60) * 1000),
        "end_timestamp": int(at * 1000),
        "transcript_object": [
            {"role": "agent", "content": "Harbor Clinic."},
            {"role": "user", "content": f"Hello {number}"},
            {"role": "agent", "content": f"{words} {number}"},
        ],
    }
    return Entry(
        id=f"w{number}-{event}",
        call_id=call_id(number),
        epoch=0,
        seq=0,
        at=at + 5,
        server="s2",
        fact=WebhookReceived(event, call),
    )


def mixed(calls: int, *, seed: int = 1) -> list[Entry]:
    """Make the entries of so many calls that ended around midnight, more or less in order, some of them twice."""
    chance = random.Random(seed)
    found: list[tuple[float, Entry]] = []
    for number in range(calls):
        at = MIDNIGHT + (number - calls / 2) * 0.5
        some = [Entry(id=f"s{number}", call_id=call_id(number), epoch=1, seq=1, at=at, server="s1", fact=CallStarted())]
        if number % 5:
            some.append(socket(number, at + chance.uniform(0, 30)))
        if number % 7 == 0:
            some.append(socket(number, at + chance.uniform(0, 60), epoch=2, words="Hello again"))
        if number % 3 or not number % 5:
            some += [retell(number, at, event="call_ended"), retell(number, at)]
        some += chance.choices(some, k=chance.choice([0, 0, 1, 2]))
        found += [(at + chance.uniform(0, 20), entry) for entry in some]
    return [entry for _, entry in sorted(found, key=lambda one: one[0])]


def row(*entries: Entry) -> Row:
    """Make the row that a call must have after its entries."""
    return reduce(joined, [found for entry in entries if (found := row_of(entry)) is not None])


def expected(entries: Sequence[Entry]) -> dict[str, Row]:
    """Make the rows that all calls must have."""
    rows: dict[str, Row] = {}
    for entry in entries:
        if (found := row_of(entry)) is not None:
            rows[found.call_id] = joined(rows[found.call_id], found) if found.call_id in rows else found
    return rows
