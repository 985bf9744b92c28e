"""Checks of a line that breaks: Retell redials the same URL with the same call id."""

from __future__ import annotations

import asyncio

from ..checking import Failed, Server, Skipped, check, expect
from ..dial import DialError
from ..frames import Finding
from ..retell import FakeRetell
from .asking import QUESTION, answered, asked, barrier, greeted

SAME = 20
"""Characters from which the same words twice in one answer are no coincidence."""


@check("§1.7.3")
async def the_greeting_is_not_repeated(server: Server) -> str:
    """After a redial the begin message is not spoken a second time."""
    async with greeted(server) as retell:
        await retell.drop()
        await _redial(retell)
        await barrier(server, retell)
        again = [note.detail for note in retell.report.faults if note.finding is Finding.GREETED_AGAIN]
        expect(not again, "".join(again[:1]))
        return "id 0 stays silent"


@check("§1.7.2")
async def config_is_sent_on_every_socket(server: Server) -> str:
    """The options of `config` count for one connection, so it comes again, and first."""
    async with greeted(server) as retell:
        options = retell.rules.options
        if not any((options.auto_reconnect, options.call_details, options.transcript_with_tool_calls)):
            raise Skipped("no config, or one with every option off")
        await retell.drop()
        await _redial(retell)
        await retell.quiet(server.patience.settle_s)
        expect(retell.rules.options == options, f"options after the redial: {retell.rules.options}")
        return "the same options again"


@check("§1.7.4")
async def an_open_id_is_completed_on_the_new_socket(server: Server) -> str:
    """A turn cut off in the middle goes on under its id, without repeating what was sent."""
    async with greeted(server) as retell:
        response_id = await retell.request(QUESTION)
        try:
            first = await retell.piece(response_id, at_least=SAME, timeout_s=server.patience.answer_s)
        except TimeoutError:
            raise Failed(f"id {response_id}: no text after {server.patience.answer_s:g} s") from None
        if retell.rules.current.is_complete:
            raise Skipped("the answer was whole before the line could be cut")
        await retell.drop()
        await _redial(retell)
        answer = await answered(server, retell, response_id)
        rest = answer.text[len(first) :].strip()
        head = first.strip()[: SAME - 1]  # a piece may end in the space that was counted
        expect(head not in rest, f"begins again: {head!r}…")
        return f"{len(first)} characters before the cut, {len(rest)} after"


@check("§1.7.1")
async def a_redialled_call_is_answered(server: Server) -> str:
    """After a redial the next request is answered, with the ids going on."""
    async with greeted(server) as retell:
        await asked(server, retell)
        await retell.drop()
        await _redial(retell)
        answer = await asked(server, retell)
        return f"id {answer.response_id} answered on the second socket"


@check("§1.7.5")
async def a_call_survives_a_while_away(server: Server) -> str:
    """The call is still known when the redial comes later."""
    async with greeted(server) as retell:
        await asked(server, retell)
        await retell.drop()
        await asyncio.sleep(server.patience.away_s)
        await _redial(retell)
        await barrier(server, retell)
        expect(not retell.rules.counts[Finding.GREETED_AGAIN], "the caller was greeted again")
        answer = await asked(server, retell)
        return f"id {answer.response_id} answered after {server.patience.away_s:g} s away"


@check("§1.7.1")
async def the_newest_socket_wins(server: Server) -> str:
    """Retell may redial before the server has noticed the break: the old socket gets nothing more."""
    async with greeted(server) as retell:
        await _redial(retell)  # the first line stays open
        await barrier(server, retell)
        before = retell.report.old_socket_frames
        await asked(server, retell)
        await retell.quiet(server.patience.settle_s)
        late = retell.report.old_socket_frames - before
        expect(not late, f"{late} frames on the old socket")
        return "the new socket is answered, the old one is silent"


@check("§1.7")
async def a_line_may_break_four_times(server: Server) -> str:
    """Retell redials up to four times in one call; it is served after each."""
    async with greeted(server) as retell:
        for _ in range(4):
            await retell.drop()
            await _redial(retell)
        await asked(server, retell)
        return "answered on the fifth socket"


async def _redial(retell: FakeRetell) -> None:
    try:
        await retell.redial()
    except DialError as exc:
        raise Failed(f"the redial was refused: {exc}") from None
