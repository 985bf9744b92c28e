"""Many spoken calls at once, one after the other in each line, and perhaps an outage of the model. Judges nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from bench.harness import machine
from bench.harness.conversations import conversation
from bench.harness.plans import Spoken, SpokenResult
from bench.harness.socket import dial
from bench.harness.spoken_call import SpokenCall, Tally
from retell_ws.testing.fake_anthropic_process import FakeAnthropic

__all__ = ["run"]

AFTER_OUTAGE_S: Final = 3.0
"""How long callers speak on after an outage."""


async def run(plan: Spoken, progress: Callable[[float], None]) -> SpokenResult:
    """Carry out the plan.

    Args:
        plan: What to do.
        progress: Is told how far it is, from 0 to 1.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    model = FakeAnthropic(plan.model_url)
    numbers = iter(range(plan.conversations))
    before, began = machine.sample(plan.pids), loop.time()
    async with asyncio.TaskGroup() as tasks:
        lines = [
            tasks.create_task(_line(plan, tally, numbers, plan.spread_s * line / plan.calls))
            for line in range(plan.calls)
        ]
        outage = tasks.create_task(_outage(plan, tally, model)) if plan.outage_s else None
        while not all(line.done() for line in lines):
            await asyncio.wait(lines, timeout=0.5)
            done = (loop.time() - began) / (plan.outage_after_s + plan.outage_s) if plan.outage_s else 0.0
            progress(min(1.0, done or len({turn.number for turn in tally.turns}) / plan.conversations))
        if outage is not None:
            outage.cancel()
    after = machine.sample(plan.pids)
    return SpokenResult(
        turns=tally.turns,
        lost=tally.lost,
        asked=tally.asked,
        updates=tally.updates,
        model=await model.totals(),
        cost=machine.cost(before, after),
        wall_s=loop.time() - began,
    )


async def _line(plan: Spoken, tally: Tally, numbers: Iterator[int], after_s: float) -> None:
    """One telephone line: call after call, until there are no more conversations."""
    await asyncio.sleep(after_s)
    for number in numbers:
        if tally.stopping:
            return
        whole = conversation(plan.seed, number)
        call = SpokenCall(msgspec.structs.replace(whole, turns=whole.turns[: plan.turns]), tally, hurry=plan.hurry)
        try:
            call.socket = await dial(plan.url, f"call_bench_{number:05}", call)
        except OSError:
            tally.lost += 1
            continue
        await call.over
        call.close()


async def _outage(plan: Spoken, tally: Tally, model: FakeAnthropic) -> None:
    await asyncio.sleep(plan.outage_after_s)
    await model.control(fault="529")
    tally.outage = True
    await asyncio.sleep(plan.outage_s)
    tally.outage = False
    await model.control(fault=None)
    await asyncio.sleep(AFTER_OUTAGE_S / plan.hurry)
    tally.stopping = True
