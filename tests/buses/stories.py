"""What happens in calls, as the journal has it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from retell_ws.entries import AnyFact, Entry, encode, weight_of
from retell_ws.errors import BusError
from retell_ws.facts import ToolStarted
from retell_ws.ports import Bus, Written

__all__ = ["drain", "entry_of", "in_order", "told", "written"]


def entry_of(number: int, *, call: str = "call_1", fact: AnyFact | None = None) -> Entry:
    """Make the entry of a call's fact.

    Args:
        number: Which of the call's facts it is.
        call: The call.
        fact: What happened.
    """
    return Entry(
        id=f"{call}/1/{number}",
        call_id=call,
        epoch=1,
        seq=number,
        at=1_790_000_000.25 + number,
        server="here",
        fact=fact or ToolStarted(f"tool {number}"),
    )


def written(position: int, entry: Entry, *, data: bytes | None = None) -> Written:
    """Give an entry as the journal does."""
    return Written(
        position=position,
        id=entry.id,
        call_id=entry.call_id,
        kind=entry.kind,
        weight=weight_of(entry.fact),
        at=entry.at,
        data=encode(entry) if data is None else data,
    )


def told(count: int, *, calls: int = 20, first: int = 0) -> list[Written]:
    """Give what happened in some calls at once, in turns."""
    return [
        written(number + 1, entry_of(number // calls + 1, call=f"call_{number % calls}"))
        for number in range(first, first + count)
    ]


def drain(bus: Bus, count: int, limit_s: float = 30.0) -> list[int]:
    """Wait for so many acknowledgements; what the bus is refused meanwhile is raised."""
    found: list[int] = []
    deadline = time.monotonic() + limit_s
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} were acknowledged"
        found += bus.acknowledged(0.5)
    return found


def refused(bus: Bus, limit_s: float = 20.0) -> str:
    """Wait until the bus is refused, and give its words."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            assert not bus.acknowledged(0.5)
        except BusError as exc:
            return str(exc)
    raise AssertionError("nobody refuses anything")


def in_order(entries: Iterable[Entry]) -> dict[str, Sequence[int]]:
    """Give the numbers of each call's facts, as a reader has them who passes over what it has seen.

    A call whose facts came out of order fails the test.
    """
    seen: set[str] = set()
    found: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        if entry.id not in seen:
            seen.add(entry.id)
            found[entry.call_id].append(entry.seq)
    for call, numbers in found.items():
        assert numbers == sorted(numbers), f"{call} is out of order"
    return dict(found)
