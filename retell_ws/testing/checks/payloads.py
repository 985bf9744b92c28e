"""Checks with odd payloads. After each the socket must be open and the next question answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import odd
from ..checking import Failed, Server, check, expect
from ..conversation import user
from ..retell import CallEnded, FakeRetell
from .asking import answered, asked, greeted

QUESTIONS_TRANSCRIPT = user("Hello, can you help me?")


@check("§2")
async def an_unknown_kind_is_ignored(server: Server) -> str:
    """A message of a kind nobody knows yet changes nothing."""
    return await _survives(server, [odd.unknown_kind()])


@check("§2")
async def unknown_fields_are_ignored(server: Server) -> str:
    """A request with fields nobody knows yet is answered."""
    return await _answers(server, QUESTIONS_TRANSCRIPT, extra=odd.unknown_fields())


@check("§1.9")
async def nulls_are_taken_as_absent(server: Server) -> str:
    """A request whose optional fields are null is answered."""
    return await _answers(server, QUESTIONS_TRANSCRIPT, extra=odd.nulls())


@check("§2.2")
async def call_details_may_be_sparse(server: Server) -> str:
    """A web call has no numbers and no direction, and any field but the call id may be missing or null."""
    details = {"from_number": None, "metadata": None, "retell_llm_dynamic_variables": None, "new_field": {"a": [1]}}
    async with greeted(server, details=details) as retell:
        await asked(server, retell)
        return "greeted and answered"


@check("§2")
async def bad_json_is_survived(server: Server) -> str:
    """Frames that are no JSON object, or no message, end nothing."""
    return await _survives(server, odd.BAD_JSON)


@check("§2")
async def wrong_types_are_survived(server: Server) -> str:
    """Known kinds with wrong or missing fields end nothing."""
    return await _survives(server, odd.wrong_types())


@check("§2")
async def deep_json_is_survived(server: Server) -> str:
    """JSON nested 50,000 deep ends nothing."""
    return await _survives(server, [odd.deep_json()])


@check("§1.9", alone=True)
async def a_transcript_of_a_megabyte_is_answered(server: Server) -> str:
    """The transcript of a long call gets through: a limit below it closes with 1009 and ends the call."""
    return await _answers(server, odd.long_transcript(1_000_000))


@check("§2.6")
async def an_empty_transcript_is_answered(server: Server) -> str:
    """The first request may come before anybody spoke."""
    return await _answers(server, [])


@check("§2.6")
async def trailing_spaces_are_answered(server: Server) -> str:
    """Agent text ends in blanks, and an utterance may be nothing else; model APIs refuse both."""
    return await _answers(server, odd.trailing_spaces())


@check("§2.6")
async def empty_caller_text_is_answered(server: Server) -> str:
    """The caller's last utterance may be empty."""
    return await _answers(server, user(""))


@check("§2.6")
async def unintelligible_audio_is_answered(server: Server) -> str:
    """`(unintelligible audio)` is asked about, not dropped."""
    return await _answers(server, user(odd.UNINTELLIGIBLE))


@check("§1.9")
async def unicode_is_answered(server: Server) -> str:
    """Scripts, emoji and control characters of all kinds are answered."""
    return await _answers(server, odd.unicode_text())


@check("§2.6")
async def consecutive_roles_are_answered(server: Server) -> str:
    """Several utterances of one party in a row, the agent's first, are answered."""
    return await _answers(server, odd.consecutive_roles())


@check("§2.7")
async def unknown_roles_are_answered(server: Server) -> str:
    """Roles nobody knows are skipped, and the caller behind them is answered."""
    return await _answers(server, odd.unknown_roles())


@check("§2.7")
async def tool_items_are_answered(server: Server) -> str:
    """Every documented item of `transcript_with_tool_calls` is read, whether it was asked for or not."""
    return await _answers(server, user("Is that done?"), extra={"transcript_with_tool_calls": odd.tool_items()})


@check("§2.6")
async def growing_text_is_answered_once(server: Server) -> str:
    """The caller's last utterance changes between requests; the last version is answered."""
    async with greeted(server) as retell:
        for n, text in enumerate(odd.growing()):
            await retell.request(text, grow=n > 0)
        await answered(server, retell, retell.rules.latest)
        return f"id {retell.rules.latest} answered"


async def _answers(server: Server, transcript: list[Any], *, extra: dict[str, Any] | None = None) -> str:
    """The odd request itself is answered, and so is an ordinary one after it."""
    async with greeted(server) as retell:
        try:
            answer = await answered(server, retell, await retell.request(transcript=transcript, extra=extra))
            await asked(server, retell)
        except CallEnded as exc:
            raise _closed(retell, exc) from None
        expect(retell.is_open, "the socket is closed")
        return f"{answer.frames} frames, {len(answer.text)} characters"


async def _survives(server: Server, frames: Iterable[str]) -> str:
    """After each of the odd frames an ordinary request is answered on the same socket."""
    async with greeted(server) as retell:
        sent = 0
        try:
            for frame in frames:
                await retell.send_raw(frame)
                sent += 1
            await asked(server, retell)
        except CallEnded as exc:
            raise _closed(retell, exc) from None
        except Failed as exc:
            raise Failed(f"after {sent} odd frames: {exc}") from None
        expect(retell.is_open, "the socket is closed")
        return f"answered after {sent} odd {'frame' if sent == 1 else 'frames'}"


def _closed(retell: FakeRetell, exc: CallEnded) -> Failed:
    return Failed(f"the server closed the socket ({retell.close_code}): {exc}")
