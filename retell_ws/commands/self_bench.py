"""What a turn costs on this machine: a server of our own, a fake of the model's API and synthetic callers, for seconds.

Only the server's own processor time counts. Callers and model have processes of their own, but they share the machine,
so its times are rather too long; its processor time is not much affected.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from ..blueprints import KEY
from ..deploy.machines import Machine
from ..errors import UsageError
from ..settings import Settings
from ..testing.callers import Plan, run_calls
from ..testing.fake_anthropic import FakeAnthropicProcess
from ..validation.spare import Spare, SpareError, started

__all__ = ["CALLS", "TURNS", "measured"]

CALLS: Final = 20
TURNS: Final = 8
PAUSE_S: Final = 0.3
TTFT_MS: Final = 50
"""Of the fake model: it is taken off the first frame again."""


async def measured(progress: Callable[[], None]) -> Machine:
    """Measure what a turn costs here.

    Args:
        progress: Is called after every turn; there are `CALLS` times `TURNS`.

    Raises:
        UsageError: This system does not tell the processor time of a process, or the server does not start.
    """
    _cpu_s(os.getpid())
    try:
        async with FakeAnthropicProcess(ttft_ms=TTFT_MS, spacing_ms=15, deltas=40) as fake, _server(fake.url) as server:
            plan = Plan(url=server.url, calls=CALLS, turns=1, pause_s=PAUSE_S, turn_s=15)
            await run_calls(plan, lambda: None)  # what is done once is done
            before = _cpu_s(server.pid)
            tally = await run_calls(msgspec.structs.replace(plan, turns=TURNS), progress)
            cpu_s = _cpu_s(server.pid) - before
    except SpareError as exc:
        raise UsageError(f"{exc}; --no-measure leaves the measurement out") from None
    turns = len(tally.first_frame_s)
    if not turns or tally.failures:
        raise UsageError("the synthetic callers were not answered: --no-measure leaves the measurement out")
    return Machine(
        cores=os.cpu_count() or 1,
        turns=turns,
        cpu_ms=max(0.01, 1000 * cpu_s / turns),
        first_frame_ms=max(0.0, 1000 * median(tally.first_frame_s) - TTFT_MS),
    )


def _server(model_url: str) -> AbstractAsyncContextManager[Spare]:
    """Run a server with no settings and no key of anybody's."""
    settings = Settings(port=0, model_url=model_url, log_level="error")
    return started("serve", settings=settings, environment={KEY: "any"})


def _cpu_s(pid: int) -> float:
    """Ask the system how much processor time a process has had, in seconds."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        raise UsageError("only Linux tells the processor time of a process: --no-measure leaves it out") from None
    fields = told.rpartition(")")[2].split()  # what stands before may hold blanks
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
