"""Checks of a caller who speaks into a goodbye or a transfer: Retell forgets the action, the server must not."""

from __future__ import annotations

from ..checking import Server, Severity, Skipped, check, expect
from .hearing import Line, hearing
from .wishing import hung_up, transferred

AGREEING = "Right, thanks."

STAYING = "No, wait, I have another question."


@check("§3.3", severity=Severity.SHOULD)
async def a_hang_up_the_caller_agrees_into_is_given_again(server: Server) -> str:
    """A "right, thanks" into the goodbye wipes the hang-up out, and nobody wants that: the next answer hangs up."""
    async with hearing(server) as line:
        await hung_up(line)
        return await _expect_again(line, "end_call")


@check("§3.3", severity=Severity.SHOULD)
async def a_transfer_the_caller_agrees_into_is_given_again(server: Server) -> str:
    """A "right, thanks" into "I will connect you" wipes the transfer out: the next answer hands the caller on."""
    async with hearing(server) as line:
        await transferred(line)
        return await _expect_again(line, "transfer_number")


@check("§3.3")
async def a_caller_who_stays_is_answered(server: Server) -> str:
    """Who has another question while the agent says goodbye gets an answer, and not the hang-up."""
    async with hearing(server) as line:
        try:
            await hung_up(line)
        except Skipped:
            await transferred(line)
        answer = await line.says(STAYING)
        kinds = line.actions(answer.response_id) & {"end_call", "transfer_number"}
        expect(not kinds, f"id {answer.response_id} leaves all the same, with {', '.join(kinds)}")
        expect(answer.text.strip(), f"id {answer.response_id} says nothing")
        return f"answered with {len(answer.text)} characters"


async def _expect_again(line: Line, kind: str) -> str:
    answer = await line.says(AGREEING)
    expect(kind in line.actions(answer.response_id), f"id {answer.response_id} has no {kind}: it is lost")
    return f"id {answer.response_id} has it again"
