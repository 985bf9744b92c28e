"""Checks of how sockets end: any close code of the server's ends the call, so none may come by itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from .. import odd
from ..checking import Failed, Server, Severity, check, expect
from ..dial import DialPolicy, dial
from ..line import Line
from ..retell import FakeRetell
from .asking import QUESTION, asked, begun, connected, greeted


@check("§1.6")
async def the_server_does_not_hang_up_by_itself(server: Server) -> str:
    """After a turn the socket stays open: 1000 would hang up on the caller, anything else is an error."""
    async with greeted(server) as retell:
        await asked(server, retell)
        await retell.quiet(3 * server.patience.settle_s)
        await _expect_open(retell)
        return "open"


@check("§1.6")
async def garbage_is_no_reason_to_close(server: Server) -> str:
    """Forty frames of garbage in a row are not answered with 1000 or 1011."""
    async with greeted(server) as retell:
        frames = (*odd.BAD_JSON, *odd.wrong_types(), odd.unknown_kind())
        for n in range(40):
            await retell.send_raw(frames[n % len(frames)])
        await retell.quiet(server.patience.settle_s)
        await _expect_open(retell)
        return "open after 40 frames"


@check("§1.6", alone=True)
async def a_drop_in_a_turn_leaves_the_server_serving(server: Server) -> str:
    """Callers that vanish in the middle of an answer do not keep the next one from being served."""
    for _ in range(3):
        async with greeted(server) as retell:
            await retell.request(QUESTION)
            await retell.drop()
    async with greeted(server) as retell:
        await asked(server, retell)
        return "the fourth call was answered"


@check("§1.4", alone=True)
async def an_abandoned_handshake_is_survived(server: Server) -> str:
    """Connections that never ask for an upgrade, or only half, cost the next call nothing."""
    async with connected(server) as retell:
        await begun(server, retell)
        host, port = retell.peer
    half = b"GET /llm-websocket/call_x HTTP/1.1\r\nUpgrade: websocket\r\n"
    for data in (b"", half, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", b"\x00" * 64):
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(data)
            writer.transport.abort()
    async with greeted(server) as retell:
        await asked(server, retell)
        return "served after 4 abandoned connections"


@check("§1.6", severity=Severity.SHOULD)
async def a_close_is_returned(server: Server) -> str:
    """When Retell closes, the server closes its half at once, so that the connection is freed."""
    async with connected(server) as retell:
        url = retell.url
        await begun(server, retell)
    line = Line(await dial(url, policy=DialPolicy(attempts=1)))
    started = asyncio.get_running_loop().time()
    await line.close(1000)
    took = asyncio.get_running_loop().time() - started
    line.abort()
    expect(took < 1.0, f"the close was not returned within {took:.1f} s")
    return f"closed after {took * 1000:.0f} ms"


async def _expect_open(retell: FakeRetell) -> None:
    if not retell.is_open:
        with suppress(TimeoutError):  # the close frame is there, the rest of the handshake may take its time
            await retell.ended(timeout_s=3.0)
        raise Failed(f"the server closed with {retell.close_code}: {retell.disconnection_reason}")
