"""Checks of tools: the caller hears nothing of them but words, and what they did is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec

from ...wire import Response, ToolCallInvocation, ToolCallResult
from ..checking import Failed, Server, Severity, Skipped, check, expect
from ..conversation import utterance
from ..dial import DialError
from ..frames import Finding
from .asking import barrier, needs_pings
from .hearing import Line, hearing
from .wishing import ANOTHER, effect, tool_called

PINGS = 40


@check("§3.3")
async def a_tool_leaves_no_silence(server: Server) -> str:
    """While a tool runs, and after it, words keep coming, until the id it was called for is completed."""
    async with hearing(server) as line:
        response_id = await tool_called(line)
        exchange = line.retell.rules.exchanges[response_id]
        limit_s = server.patience.answer_s
        while not exchange.is_complete:
            length = exchange.length

            def goes_on(since: int = length) -> bool:
                return exchange.is_complete or exchange.length > since

            if not await line.until(goes_on, timeout_s=limit_s):
                raise Failed(f"id {response_id}: nothing for {limit_s:g} s after a tool was called, and no completion")
        said_something = exchange.text.strip() or exchange.action is not None
        expect(said_something, f"id {response_id} called a tool and was completed without a word")
        return f"id {response_id} was completed with {exchange.length} characters"


@check("§3.3", severity=Severity.SHOULD)
async def the_caller_is_told_what_came_of_it(server: Server) -> str:
    """After the result of a tool there are words under the same id, and not only the holding phrase before."""
    async with hearing(server) as line:
        response_id = await tool_called(line)
        answer = await line.answer(response_id)
        told: str | None = None
        for one in line.heard:
            match one.message:
                case ToolCallResult() if one.latest == response_id and one.is_open:
                    told = ""
                case Response(response_id=number, content=content) if number == response_id and told is not None:
                    told += content
        if told is None:
            raise Skipped("the answer does not wait for the tool")
        expect(told.strip() or answer.action is not None, f"the result is followed by nothing, after {answer.text!r}")
        return f"{len(told)} characters after the result"


@check("§4.3.5")
async def an_id_with_tools_is_completed_once(server: Server) -> str:
    """Tools in an answer change nothing: it is completed once, and no text of it follows."""
    async with hearing(server) as line:
        response_id = await tool_called(line)
        await line.answer(response_id)
        await line.all_results()
        await barrier(server, line.retell)
        count = line.retell.report.completions[response_id]
        expect(count == 1, f"id {response_id} was completed {count} times")
        late = line.retell.rules.counts[Finding.AFTER_COMPLETION]
        expect(not late, f"{late} frames of id {response_id} after its completion")
        return "one completion"


@check("§3.3", severity=Severity.SHOULD)
async def words_around_a_tool_stay_apart(server: Server) -> str:
    """Pieces are joined raw, so a space stands between what is said before a tool and after it."""
    async with hearing(server) as line:
        response_id = await tool_called(line)
        await line.answer(response_id)
        before, breaks, met = "", False, 0
        for one in line.heard:
            match one.message:
                case Response(response_id=number, content=content) if number == response_id and content:
                    if breaks and before:
                        met += 1
                        apart = before[-1].isspace() or content[0].isspace()
                        expect(apart, f"{before[-20:]!r} runs into {content[:20]!r}")
                    before, breaks = content, False
                case ToolCallInvocation() | ToolCallResult() if one.latest == response_id:
                    breaks = True
        if not met:
            raise Skipped("nothing was said before the tool, or nothing after it")
        return "a space between"


@check("§4.1")
async def a_superseded_tool_is_not_spoken_of(server: Server) -> str:
    """What a tool finds out for an older id is not said under that id, however late it comes."""
    async with hearing(server) as line:
        await tool_called(line)
        await line.says("Sorry, one moment: are you open today?")
        await line.until(lambda: len(line.results) >= len(line.invocations), timeout_s=server.patience.answer_s)
        await barrier(server, line.retell)
        stale = [note.detail for note in line.retell.report.faults if note.finding is Finding.STALE]
        expect(not stale, f"{len(stale)} stale frames: {stale[:1]}")
        return f"0 stale frames, {line.retell.report.crossed} crossed on the wire"


@check("§4.6", severity=Severity.SHOULD)
async def a_tool_runs_once_when_asked_again(server: Server) -> str:
    """A booking that is asked for again in the same words, under the next id, is made once."""
    return await _once(server, more="")


@check("§4.6", severity=Severity.SHOULD)
async def a_tool_runs_once_for_a_sentence_that_grows(server: Server) -> str:
    """A caller who adds a word of thanks while the booking is made gets one booking, not two."""
    return await _once(server, more=" Thank you very much.")


@check("§3.5")
async def a_tool_call_id_is_used_once(server: Server) -> str:
    """Every tool call has an id of its own: records of two with one id cannot be told apart."""
    async with hearing(server) as line:
        await line.answer(await tool_called(line))
        with suppress(Skipped):  # one booking may be all they do
            await line.answer(await tool_called(line, said=ANOTHER))
        await line.all_results()
        ids = Counter(call.tool_call_id for call in line.invocations)
        twice = [name for name, count in ids.items() if count > 1]
        expect(not twice, f"the id {twice[0] if twice else ''!r} was used {max(ids.values())} times")
        return f"{len(ids)} calls, {len(ids)} ids"


@check("§3.5")
async def tool_arguments_are_a_json_object(server: Server) -> str:
    """`arguments` is a string that holds a JSON object, even when a tool takes none."""
    async with hearing(server) as line:
        await line.answer(await tool_called(line))
        for call in line.invocations:
            try:
                msgspec.json.decode(call.arguments, type=dict[str, Any])
            except msgspec.DecodeError:
                raise Failed(f"the arguments of {call.name} are {call.arguments[:40]!r}") from None
        return f"{len(line.invocations)} read"


@check("§3.5", severity=Severity.SHOULD)
async def a_tool_call_gets_its_result(server: Server) -> str:
    """Every invocation is followed by one result, and every result names an invocation."""
    async with hearing(server) as line:
        await line.answer(await tool_called(line))
        await line.all_results()
        return _expect_no_stray_result(line)


@check("§3.5", severity=Severity.SHOULD)
async def a_superseded_tool_gets_its_result(server: Server) -> str:
    """What a tool did is recorded although the caller went on speaking."""
    async with hearing(server) as line:
        await tool_called(line)
        await line.says("Sorry, one moment: are you open today?")
        await line.all_results()
        return _expect_no_stray_result(line)


@check("§1.7.4")
async def a_turn_with_a_tool_outlives_its_socket(server: Server) -> str:
    """A line that breaks while a tool runs is redialled, and the id is completed on the new socket."""
    async with hearing(server) as line:
        response_id = await tool_called(line)
        if line.retell.rules.exchanges[response_id].is_complete:
            raise Skipped("the answer was whole before the line could be cut")
        await line.retell.drop()
        try:
            await line.retell.redial()
        except DialError as exc:
            raise Failed(f"the redial was refused: {exc}") from None
        answer = await line.answer(response_id)
        return f"id {response_id} was completed with {len(answer.text)} characters"


@check("§1.5", alone=True)
async def pongs_come_while_a_tool_runs(server: Server) -> str:
    """A tool holds up no ping: it neither blocks the loop nor is it awaited by the reader."""
    async with hearing(server) as line:
        needs_pings(line.retell)
        limit_s = server.patience.pong_s
        exchange = line.retell.rules.exchanges[await tool_called(line)]
        took: list[float] = []
        while not took or (not exchange.is_complete and len(took) < PINGS):
            if took:
                await asyncio.sleep(0.05)  # the pace of the pings, so that they fall all over the tool's time
            try:
                took.append(await line.retell.ping(timeout_s=limit_s))
            except TimeoutError:
                raise Failed(f"no echo within {limit_s:g} s") from None
        return f"{len(took)} pings, worst {max(took) * 1000:.1f} ms"


async def _once(server: Server, *, more: str) -> str:
    async with hearing(server) as line:
        await tool_called(line, effect)
        # Retell asks again before it has spoken: the transcript ends where it did, or with the words that were added.
        utterances = line.retell.conversation.utterances
        last = max(n for n, one in enumerate(utterances) if one["role"] == "user")
        heard = [*utterances[:last], utterance("user", utterances[last]["content"] + more)]
        await line.answer(await line.retell.request(transcript=heard))
        await line.all_results()
        done: dict[tuple[str, bytes], list[str]] = {}
        for call in line.invocations:
            result = line.results[call.tool_call_id]
            if effect(call) and result.successful is not False:
                done.setdefault((call.name, _canonical(call)), []).append(result.content)
        for (name, _), results in done.items():
            expect(len(results) == 1, f"{name} ran {len(results)} times with the same arguments: {results[:2]}")
        return f"{len(line.invocations)} {'call' if len(line.invocations) == 1 else 'calls'}, none done twice"


def _canonical(call: ToolCallInvocation) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(call.arguments), order="deterministic")
    except msgspec.DecodeError:
        return call.arguments.encode()


def _expect_no_stray_result(line: Line) -> str:
    stray = line.retell.rules.counts[Finding.STRAY_RESULT]
    expect(not stray, f"{stray} results without an invocation of their own")
    return f"{len(line.invocations)} called, {len(line.results)} ended"
