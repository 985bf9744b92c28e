"""Checks with many calls at once."""

from __future__ import annotations

import asyncio
from statistics import median

from ..checking import Failed, Server, check, expect
from ..frames import Finding
from ..report import Answer, CallReport
from .asking import asked, greeted


@check("§1.1", alone=True)
async def a_crowd_is_answered(server: Server) -> str:
    """Fifty calls at once are all greeted and answered."""
    results = await asyncio.gather(
        *(_one(server, turns=1) for _ in range(server.patience.calls)), return_exceptions=True
    )
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise Failed(f"{len(failed)} of {len(results)} calls failed; the first: {failed[0]}")
    firsts = sorted(result[0].first_frame_s for result in results if not isinstance(result, BaseException))
    return f"{len(firsts)} calls, first frame: median {median(firsts) * 1000:.0f} ms, worst {firsts[-1] * 1000:.0f} ms"


@check("§3.3", alone=True)
async def calls_do_not_mix(server: Server) -> str:
    """Calls that run at once and stand at different ids get only their own frames."""
    results = await asyncio.gather(*(_one(server, turns=turns) for turns in (1, 2, 3)), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise Failed(str(result))
        report = result[1]
        strange = [note.detail for note in report.faults if note.finding in (Finding.NEVER_ASKED, Finding.STALE)]
        expect(not strange, f"{len(strange)} frames of ids of other calls: {strange[:1]}")
    return "3 calls, no strange frame"


async def _one(server: Server, *, turns: int) -> tuple[Answer, CallReport]:
    async with greeted(server) as retell:
        for _ in range(turns):
            answer = await asked(server, retell)
        await retell.quiet(server.patience.settle_s)
        return answer, retell.report
