"""The load process: one plan from stdin, progress and the result as JSON lines on stdout. It starts no server.

It is a process of its own so that its CPU time and pauses are nobody else's, and so that it can sit on a core.
"""

from __future__ import annotations

import gc
import os
import sys

import msgspec
import uvloop

from bench.harness import barging, floor, idling, machine, paced, recalling, spoken
from bench.harness.plans import Answer, Barging, Floor, Idle, Paced, Plan, Progress, Recalling, Spoken

_encode = msgspec.json.Encoder().encode


def tell(answer: Answer) -> None:
    """Write one line."""
    sys.stdout.buffer.write(_encode(answer) + b"\n")
    sys.stdout.buffer.flush()


async def carry_out(plan: Plan) -> Answer:
    """Do what the plan's type says."""

    def progress(done: float) -> None:
        tell(Progress(done))

    match plan:
        case Paced():
            return await paced.run(plan, progress)
        case Floor():
            return await floor.run(plan, progress)
        case Barging():
            return await barging.run(plan, progress)
        case Idle():
            return await idling.run(plan, progress)
        case Spoken():
            return await spoken.run(plan, progress)
        case Recalling():
            return await recalling.run(plan, progress)


def main() -> None:
    """Read the plan, carry it out, tell."""
    plan: Plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    machine.raise_file_limit()
    plan.pids["load"] = os.getpid()
    # The process lives for one plan; a pass of the collector would show up as the server's latency.
    gc.disable()
    tell(uvloop.run(carry_out(plan)))


if __name__ == "__main__":
    main()
