"""How many calls a machine can have, out of what one turn costs on it, and how many machines calls need."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from ..settings import Settings

__all__ = ["BUSY", "MOST_CALLS", "TURN_EVERY_S", "Capacity", "Machine", "capacity"]

TURN_EVERY_S: Final = 10.0
"""A caller asks a question every ten seconds, as in `bench.capacity`."""

BUSY: Final = 0.5
"""How busy a core may be: beyond it the slowest turns wait for each other."""


MOST_CALLS: Final = Settings().max_calls
"""Calls at once that a process takes, unless it is told to take more."""


class Machine(msgspec.Struct, frozen=True):
    """What was measured on a machine.

    Attributes:
        cores: So many of its cores we may use.
        turns: So many were measured.
        cpu_ms: Of the server, for one turn.
        first_frame_ms: p50 from the request to the first frame, the fake model's own time taken off; None: not known.
    """

    cores: int
    turns: int
    cpu_ms: float
    first_frame_ms: float | None = None


class Capacity(msgspec.Struct, frozen=True):
    """What follows from it. Derived, not measured.

    Attributes:
        calls_per_core: Calls at once for which one core is half busy.
        calls_here: The same for the processes that can share them, one a core, each of `MOST_CALLS` at most.
        machines: Of this kind, for the calls that are wanted, with the one to spare.
    """

    calls_per_core: int
    calls_here: int
    machines: int


def capacity(machine: Machine, calls: int, *, shared: bool, several: bool) -> Capacity:
    """Derive how many calls a machine can have, and how many machines calls need.

    Args:
        machine: What was measured.
        calls: How many are wanted at once.
        shared: Processes share their calls, so that each core can have one; otherwise one process has them all.
        several: There is one server more than needed, to take the calls of another one.
    """
    per_core = max(1, math.floor(BUSY * TURN_EVERY_S * 1000 / machine.cpu_ms))
    here = min(per_core, MOST_CALLS) * (machine.cores if shared else 1)
    return Capacity(per_core, here, math.ceil(calls / here) + several)
