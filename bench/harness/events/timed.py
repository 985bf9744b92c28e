"""`retell_ws`, with a clock around the one function that takes a fact: what a call pays for each, in its own process.

python -m bench.harness.events.timed FILE serve …

The nanoseconds of each fact go to FILE at the end, eight bytes each. The clock itself costs some tens of them, which
are in the figures.
"""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from time import perf_counter_ns

from retell_ws.__main__ import main
from retell_ws.entries import AnyFact
from retell_ws.outbox import Outbox

__all__ = ["read"]


def read(path: Path) -> array[int]:
    """Read what such a process has written; nothing when it took no fact."""
    found = array("Q")
    if path.exists():
        found.frombytes(path.read_bytes())
    return found


def _timing(taken: array[int]) -> None:
    put = Outbox.put

    def timed(self: Outbox, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        began = perf_counter_ns()
        put(self, call_id, epoch, seq, fact)
        taken.append(perf_counter_ns() - began)

    Outbox.put = timed  # type: ignore[method-assign]


if __name__ == "__main__":
    where, took = Path(sys.argv.pop(1)), array("Q")
    _timing(took)
    try:
        main()
    finally:
        where.write_bytes(took.tobytes())
