"""Checks of `ping_pong`: the echo, its speed, and that nothing holds it up."""

from __future__ import annotations

import asyncio
from statistics import median

from .. import odd
from ..checking import Failed, Server, Severity, check, expect
from ..frames import Finding
from ..retell import FakeRetell
from .asking import QUESTION, answered, greeted, needs_pings

PINGS = 20


@check("§1.5", severity=Severity.SHOULD)
async def asks_for_pings(server: Server) -> str:
    """`config.auto_reconnect` is on: without it a half-dead line is noticed by nobody."""
    async with greeted(server) as retell:
        expect(retell.rules.options.auto_reconnect, "config.auto_reconnect is off or no config came")
        return "auto_reconnect is on"


@check("§1.5")
async def echoes_the_exact_timestamp(server: Server) -> str:
    """The echo carries Retell's own timestamp: another clock would turn the round trip into clock skew."""
    async with greeted(server) as retell:
        needs_pings(retell)
        for timestamp in (1, 1_790_000_000_123, 2**53 - 1):
            try:
                await retell.ping(timestamp, timeout_s=max(1.0, server.patience.pong_s))
            except TimeoutError:
                stray = [note.detail for note in retell.report.faults if note.finding is Finding.STRAY_PONG]
                raise Failed(f"no echo of {timestamp}; came instead: {stray[:1]}") from None
        return "three timestamps"


@check("§1.5")
async def one_pong_for_one_ping(server: Server) -> str:
    """Every ping is answered once, and no pong comes unasked."""
    async with greeted(server) as retell:
        needs_pings(retell)
        for _ in range(5):
            await _echo(server, retell)
        await retell.quiet(server.patience.settle_s)
        stray = [note.detail for note in retell.report.faults if note.finding is Finding.STRAY_PONG]
        expect(not stray, f"{len(stray)} pongs too many: {stray[:1]}")
        return "5 pings, 5 pongs"


@check("§1.5", alone=True)
async def pongs_come_at_once(server: Server) -> str:
    """An idle server echoes a ping without delay."""
    async with greeted(server) as retell:
        needs_pings(retell)
        took = sorted([await _echo(server, retell) for _ in range(PINGS)])
        return f"median {median(took) * 1000:.1f} ms, worst {took[-1] * 1000:.1f} ms of {PINGS}"


@check("§1.5", alone=True)
async def pongs_come_while_a_turn_runs(server: Server) -> str:
    """The reader never waits for an answer: pings are echoed while one is being made."""
    async with greeted(server) as retell:
        needs_pings(retell)
        response_id = await retell.request(QUESTION)
        exchange = retell.rules.exchanges[response_id]
        took = [await _echo(server, retell)]
        while not exchange.is_complete and len(took) < PINGS:
            await asyncio.sleep(0.05)  # the pace of the pings, so that they fall all over the turn
            took.append(await _echo(server, retell))
        await answered(server, retell, response_id)
        return f"{len(took)} pings, worst {max(took) * 1000:.1f} ms"


@check("§1.9", alone=True)
async def pongs_come_under_a_flood_of_updates(server: Server) -> str:
    """Two hundred transcript updates in one go do not keep a ping waiting."""
    async with greeted(server) as retell:
        needs_pings(retell)
        long_talk = odd.long_transcript(20_000)
        for _ in range(200):
            await retell.update(transcript=long_talk)
        took = await _echo(server, retell, limit_s=max(2.0, server.patience.pong_s))
        return f"echoed {took * 1000:.0f} ms after 200 updates of 20 kB"


async def _echo(server: Server, retell: FakeRetell, *, limit_s: float | None = None) -> float:
    limit_s = limit_s or server.patience.pong_s
    try:
        return await retell.ping(timeout_s=limit_s)
    except TimeoutError:
        raise Failed(f"no echo within {limit_s:g} s") from None
