"""How many calls a machine can have, out of what one turn costs on it, and how many machines calls need."""

from __future__ import annotations

import math
from typing import Final

import msgspec

__all__ = ["BUSY", "TURN_EVERY_S", "Capacity", "Machine", "capacity"]

TURN_EVERY_S: Final = 10.0
"""A caller asks a question every ten seconds, as in `bench.capacity`."""

BUSY: Final = 0.5
"""How busy a core may be: beyond it the slowest turns wait for each other."""


class Machine(msgspec.Struct, frozen=True):
    """What was measured on a machine.

    Attributes:
        cores: It has so many.
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
        calls_here: The same for all cores of the machine.
        machines: Of this kind, for the calls that are wanted, with one to spare where calls are shared.
    """

    calls_per_core: int
    calls_here: int
    machines: int


def capacity(machine: Machine, calls: int, *, shared: bool) -> Capacity:
    """Derive how many calls a machine can have, and how many machines calls need.

    Args:
        machine: What was measured.
        calls: How many are wanted at once.
        shared: One server more than needed can be had, to take the calls of another one.
    """
    per_core = max(1, math.floor(BUSY * TURN_EVERY_S * 1000 / machine.cpu_ms))
    here = per_core * machine.cores
    return Capacity(per_core, here, math.ceil(calls / here) + shared)
