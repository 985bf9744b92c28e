"""What a turn costs on this machine: a server of our own, a fake of the model's API and synthetic callers, for seconds.

Only the server's own processor time counts. Callers and model have processes of their own, but they share the machine,
so its times are rather too long; its processor time is not much affected. Calls stay in its memory: no Redis and no
Kafka is asked of anybody.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from ..blueprints import KEY
from ..deploy.machines import Machine
from ..errors import UsageError
from ..settings import Settings
from ..testing.callers import Plan, run_calls
from ..testing.fake_anthropic import FakeAnthropicProcess
from ..validation.machine import cores
from ..validation.spare import Spare, SpareError, started

__all__ = ["CALLS", "TURNS", "measured"]

CALLS: Final = 20
TURNS: Final = 8
PAUSE_S: Final = 0.3
TTFT_MS: Final = 50
"""Of the fake model: it is taken off the first frame again."""


async def measured(progress: Callable[[], None], *, keeps_facts: bool, speculates: bool) -> Machine:
    """Measure what a turn costs here.

    Args:
        progress: Is called after every turn; there are `CALLS` times `TURNS`.
        keeps_facts: The server writes its facts into a journal; nobody reads them there.
        speculates: It asks the model before it is asked.

    Raises:
        UsageError: This system does not tell the processor time of a process, or the server does not start.
    """
    _cpu_s(os.getpid())
    try:
        async with (
            FakeAnthropicProcess(ttft_ms=TTFT_MS, spacing_ms=15, deltas=40) as fake,
            _server(fake.url, keeps_facts=keeps_facts, speculates=speculates) as server,
        ):
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
        cores=cores(),
        turns=turns,
        cpu_ms=max(0.01, 1000 * cpu_s / turns),
        first_frame_ms=max(0.0, 1000 * median(tally.first_frame_s) - TTFT_MS),
    )


@asynccontextmanager
async def _server(model_url: str, *, keeps_facts: bool, speculates: bool) -> AsyncIterator[Spare]:
    """Run a server with no settings and no key of anybody's."""
    settings = Settings(port=0, model_url=model_url, log_level="error", speculate=speculates)
    with TemporaryDirectory(prefix="retell_ws-recommend-", ignore_cleanup_errors=True) as folder:
        if keeps_facts:
            settings = msgspec.structs.replace(settings, blueprint="events", http_port=0, data=folder, consume=False)
        async with started("serve", settings=settings, environment={KEY: "any"}) as server:
            yield server


def _cpu_s(pid: int) -> float:
    """Ask the system how much processor time a process has had, in seconds."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        raise UsageError("only Linux tells the processor time of a process: --no-measure leaves it out") from None
    fields = told.rpartition(")")[2].split()  # what stands before may hold blanks
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
