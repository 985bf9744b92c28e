"""One call over real sockets on the loopback: greeting, pings, redials, watchdogs, and peers that misbehave."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
import pytest

from retell_ws.handle import Call
from retell_ws.server import Server
from retell_ws.session import Session
from retell_ws.testing.retell import FakeRetell

from .puppet import GREETING, serving
from .raw import deaf, masked

pytestmark = pytest.mark.usefixtures("clean_loop")

CALL = "call_1"


async def test_a_caller_is_greeted_and_answered() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        assert await retell.greeting() == GREETING
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, ", "until six.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes, until six."
        assert retell.report.faults == ()


async def test_a_superseded_turn_closes_the_models_stream() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("I need")
        first = await puppet.asked(1)
        second_id = await retell.request("I need a doctor", grow=True)
        second = await puppet.asked(2)
        await asyncio.wait_for(first.closed.wait(), 2)
        first.say("too late")
        second.say("Of course.")
        second.end()
        assert (await retell.answer(second_id)).text == "Of course."
        assert retell.report.stale == 0


async def test_a_reask_in_the_same_words_goes_on_with_the_same_stream() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("I need a doctor")
        stream = await puppet.asked(1)
        second_id = await retell.request("I need a doctor.", grow=True)
        await puppet.facts.wait("turn_reasked")
        stream.say("Of ", "course.")
        stream.end()
        assert (await retell.answer(second_id)).text == "Of course."
        assert len(puppet.streams) == 1


async def test_pings_are_echoed_while_a_turn_waits_for_the_model() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        await retell.request("hm")
        await puppet.asked(1)
        assert await retell.ping(1790000000123, timeout_s=1) < 1


async def test_a_redial_continues_the_open_answer_without_repeating_a_word() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url, call_id=CALL) as retell:
        assert await retell.greeting() == GREETING
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, ")
        assert await retell.piece(asked) == "Yes, "
        await retell.drop()
        stream.say("until ", "six. ")
        await puppet.facts.wait("detached")
        await retell.redial()
        stream.say("Bye.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes, until six. Bye."
        assert retell.report.faults == ()


async def test_an_answer_that_ends_while_the_line_is_down_follows_on_the_next() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url, call_id=CALL) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        await retell.drop()
        await puppet.facts.wait("detached")
        stream.say("Yes.")
        stream.end()
        await puppet.facts.wait("turn_finished")
        await retell.redial()
        assert (await retell.answer(asked)).text == "Yes."


async def test_a_request_repeated_after_a_redial_is_answered_from_its_start() -> None:
    frames: list[str] = []
    async with serving() as (server, puppet), FakeRetell(server.url, call_id=CALL, on_frame=frames.append) as retell:
        await retell.greeting()
        asked = await retell.request("Are you open?")
        stream = await puppet.asked(1)
        stream.say("Yes, until six.")
        stream.end()
        await retell.answer(asked)
        await retell.drop()
        await retell.redial()
        again = {"interaction_type": "response_required", "response_id": asked}
        transcript = [{"role": "agent", "content": GREETING}, {"role": "user", "content": "Are you open?"}]
        frames.clear()
        await retell.send_raw(msgspec.json.encode({**again, "transcript": transcript}).decode())
        await puppet.facts.wait("turn_reasked")
        await retell.ping()
        assert sum("Yes, until six." in frame for frame in frames) == 1


async def test_an_ended_call_is_freed_without_the_cycle_collector() -> None:
    async with serving(grace_s=0.05) as (server, puppet):
        async with FakeRetell(server.url, call_id=CALL) as retell:
            await retell.greeting()
            asked = await retell.request("Are you open?")
            stream = await puppet.asked(1)
            stream.say("Yes.")
            stream.end()
            await retell.answer(asked)
            gc.collect()
            gc.disable()
            try:
                (session,) = [o for o in gc.get_objects() if isinstance(o, Session) and o.call_id == CALL]
                freed = weakref.ref(session)
                del session
                await retell.hang_up()
                await puppet.facts.wait("call_ended")
                await retell.quiet(0.05)
                await asyncio.sleep(0)
                assert freed() is None
            finally:
                gc.enable()


async def test_a_request_that_comes_with_the_end_of_its_socket_is_answered_on_the_next() -> None:
    async with serving() as (server, puppet):
        async with FakeRetell(server.url, call_id=CALL, redials=False) as retell:
            await retell.request("I need")
            (await puppet.asked(1)).say("Well ")
            await retell.piece(1)
            # One turn of the loop brings a word of the model's, the newer request and the end of the socket.
            puppet.streams[0].say("you know ")
            last_message(server, 2, "I need a doctor")
            stream = await puppet.asked(2)
            stream.say("Of course.")
            stream.end()
            await puppet.facts.wait("turn_finished")
        await answered_on_the_next(server, 2, "Of course.")


async def test_a_reask_that_comes_with_the_end_of_its_socket_is_answered_on_the_next() -> None:
    async with serving() as (server, puppet):
        async with FakeRetell(server.url, call_id=CALL, redials=False) as retell:
            asked = await retell.request("I need a doctor")
            stream = await puppet.asked(1)
            stream.say("Of course.")
            stream.end()
            await retell.answer(asked)
            last_message(server, 2, "I need a doctor")
            await puppet.facts.wait("turn_reasked")
        await answered_on_the_next(server, 2, "Of course.")


def last_message(server: Server, response_id: int, words: str) -> None:
    """Let a request and the loss of its socket arrive in one turn of the loop."""
    (session,) = server._calls._sessions.values()
    assert session._line.peer is not None
    connection = session._line.peer._connection
    transcript = [{"role": "user", "content": words}]
    request = {"interaction_type": "response_required", "response_id": response_id, "transcript": transcript}
    connection.data_received(masked(msgspec.json.encode(request)))
    connection.transport.abort()


async def answered_on_the_next(server: Server, response_id: int, text: str) -> None:
    async with FakeRetell(server.url, call_id=CALL) as retell:
        retell.rules.asked(response_id, 0.0)
        assert (await retell.answer(response_id, timeout_s=5)).text == text


async def test_the_newer_socket_of_a_call_wins() -> None:
    async with serving() as (server, puppet):
        async with FakeRetell(server.url, call_id=CALL, redials=False) as older:
            await older.greeting()
            async with FakeRetell(server.url, call_id=CALL) as newer:
                assert await newer.greeting() == ""
                await older.ended()
                asked = await newer.request("hello?")
                stream = await puppet.asked(1)
                stream.say("Hello.")
                stream.end()
                assert (await newer.answer(asked)).text == "Hello."
                assert older.close_code == 1006
                assert server.statistics()["calls"] == 1


async def test_a_call_nobody_redials_ends_after_the_grace_time() -> None:
    async with serving(grace_s=0.1) as (server, puppet):
        async with FakeRetell(server.url, call_id=CALL) as retell:
            await retell.greeting()
        await puppet.facts.wait("call_ended")
        assert server.statistics()["sessions"] == 0
        async with FakeRetell(server.url, call_id=CALL) as retell:
            assert await retell.greeting() == GREETING


async def test_a_greeting_that_is_a_function_waits_for_the_details() -> None:
    def greet(call: Call) -> str:
        return f"Hello {call.variables['name']}, {call.from_number}."

    details = {"from_number": "+14155550101", "retell_llm_dynamic_variables": {"name": "Dana"}}
    async with serving(greeting=greet) as (server, _), FakeRetell(server.url, details=details) as retell:
        assert await retell.greeting() == "Hello Dana, +14155550101."


async def test_a_greeting_that_is_a_function_does_not_wait_for_ever() -> None:
    async def greet(call: Call) -> AsyncIterator[str]:
        yield "Hello "
        yield str(call.variables.get("name", "there."))

    async with serving(greeting=greet, details_wait_ms=50) as (server, _), FakeRetell(server.url) as retell:
        assert await retell.greeting(timeout_s=2) == "Hello there."


async def test_a_socket_whose_keepalive_falls_silent_is_dropped() -> None:
    async with serving(silence_s=0.3) as (server, _):
        async with FakeRetell(server.url, ping_s=None, redials=False) as retell:
            await retell.greeting()
            await retell.ping()
            assert await retell.ended(timeout_s=3) == "error_llm_websocket_runtime"
            assert retell.close_code == 1006


async def test_a_socket_that_never_pings_is_left_alone() -> None:
    async with serving(silence_s=0.1) as (server, puppet), FakeRetell(server.url, ping_s=None) as retell:
        await retell.greeting()
        await retell.quiet(0.4)
        asked = await retell.request("still there?")
        stream = await puppet.asked(1)
        stream.say("Yes.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes."


async def test_rubbish_closes_nothing_and_is_counted() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        for rubbish in ("", "{", "[]", '{"interaction_type":"ping_pong","timestamp":"now"}', "[" * 100_000, b"\x00"):
            await retell.send_raw(rubbish)
        asked = await retell.request("hello?")
        stream = await puppet.asked(1)
        stream.say("Hello.")
        stream.end()
        assert (await retell.answer(asked)).text == "Hello."
        assert server.statistics()["bad_message"] == 6


async def test_a_peer_that_stops_reading_is_dropped() -> None:
    async with serving(send_ms=200) as (server, puppet):
        _, writer = await deaf(f"{server.address}/{CALL}")

        async def ask() -> None:
            for number in range(1, 60):
                words = [{"role": "user", "content": str(number)}]
                request = {"interaction_type": "response_required", "response_id": number, "transcript": words}
                writer.write(masked(msgspec.json.encode(request)))
                (await puppet.asked(number)).say(*(["word " * 300] * 40))  # 60 KB of each: more than the sockets hold

        asking = asyncio.create_task(ask())
        await puppet.facts.wait("detached")  # before the last of them, or after
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        writer.close()


async def test_a_peer_that_asks_and_does_not_read_cannot_fill_the_memory() -> None:
    async with serving(send_ms=60_000) as (server, puppet):
        _, writer = await deaf(f"{server.address}/call_1")

        def request(number: int) -> bytes:
            words = [{"role": "user", "content": "hello"}]
            kind = "response_required"
            return masked(msgspec.json.encode({"interaction_type": kind, "response_id": number, "transcript": words}))

        writer.write(request(1))
        stream = await puppet.asked(1)
        stream.say(*["word " * 250] * 40)  # 50 KB
        stream.end()
        await puppet.facts.wait("turn_finished")
        for number in range(2, 400):  # the same words: the whole answer once more for each
            writer.write(request(number))
        await puppet.facts.wait("detached")
        writer.close()


async def test_a_burst_of_requests_warms_one_connection() -> None:
    async with serving() as (server, puppet):
        warming, most = 0, 0

        async def warm(request: object = None) -> None:
            nonlocal warming, most
            warming += 1
            most = max(most, warming)
            await asyncio.sleep(0.05)
            warming -= 1

        puppet.warm = warm  # type: ignore[method-assign]
        async with FakeRetell(server.url, call_id=CALL) as retell:
            await retell.greeting()
            for number in range(50):
                await retell.request(f"and {number}?")
            await retell.ping()
        assert most == 1
