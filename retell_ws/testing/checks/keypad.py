"""Checks of keys the caller presses: they come in `transcript_with_tool_calls`, if the server asked for it."""

from __future__ import annotations

from typing import Any

from .. import odd
from ..checking import Server, Severity, Skipped, check, expect
from ..conversation import user
from .asking import QUESTION
from .hearing import Line, hearing

MANY = 500
"""Keys of a caller who holds one down, or of a machine at the other end."""


@check("§2.8")
async def pressed_keys_are_answered(server: Server) -> str:
    """A caller who presses keys instead of speaking is answered."""
    async with hearing(server) as line:
        _needs_keys(line)
        await line.says(QUESTION)
        await line.retell.press("2")
        answer = await line.answer(await line.retell.request())
        return f"{len(answer.text)} characters for one key"


@check("§2.8", severity=Severity.SHOULD)
async def keys_are_another_question(server: Server) -> str:
    """Keys after the same words are not taken for the same question: the answer is another one."""
    async with hearing(server) as line:
        _needs_keys(line)
        before = await line.says(QUESTION)
        heard = user(QUESTION)
        woven = [*heard, {"role": "dtmf", "digit": "2"}, {"role": "dtmf", "digit": "#"}]
        extra = {"transcript_with_tool_calls": woven}
        after = await line.answer(await line.retell.request(transcript=heard, extra=extra))
        same = " ".join(after.text.split()) == " ".join(before.text.split())
        expect(not same, "the answer to the words before is given again, word by word")
        return "another answer"


@check("§2.3")
async def keys_do_not_cancel_an_answer(server: Server) -> str:
    """A key pressed while an answer comes is an `update_only` like any other: the open id is completed."""
    async with hearing(server) as line:
        _needs_keys(line)
        response_id = await line.retell.request(QUESTION)
        await line.retell.press("2")
        answer = await line.answer(response_id)
        return f"answered with {answer.frames} frames"


@check("§2.7")
async def odd_keys_are_skipped(server: Server) -> str:
    """Items without a key, with something else in its place, or of unknown roles cost the caller no answer."""
    return await _woven(server, odd.keypad_items())


@check("§2.8")
async def many_keys_are_answered(server: Server) -> str:
    """Five hundred keys in a row are answered."""
    return await _woven(server, [{"role": "dtmf", "digit": str(n % 10)} for n in range(MANY)])


async def _woven(server: Server, items: list[Any]) -> str:
    """The caller's words with these items behind them are answered, and so is an ordinary question after."""
    async with hearing(server) as line:
        _needs_keys(line)
        heard = user("Hello, can you help me?")
        extra = {"transcript_with_tool_calls": [*heard, *items]}
        answer = await line.answer(await line.retell.request(transcript=heard, extra=extra))
        await line.says(QUESTION)
        return f"{len(answer.text)} characters for {len(items)} items"


def _needs_keys(line: Line) -> None:
    if not line.retell.rules.options.transcript_with_tool_calls:
        raise Skipped("config.transcript_with_tool_calls is off: the server is not told of keys")
