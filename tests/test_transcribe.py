"""Transcripts as they are kept, and when a call has one: over sockets, once, and with the words last heard."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from retell_ws.agent import Agent
from retell_ws.facts import CallEnded, CallMoved, CallStarted, Detached, Resumed
from retell_ws.handle import Call
from retell_ws.server import Server
from retell_ws.speech_facts import CallerSaid, CallTranscript, Line
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import ToxicProxy
from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.retell import FakeRetell
from retell_ws.transcribe import callers_words, transcribed
from retell_ws.transcript import Question, Utterance
from retell_ws.wire import CallInfo

from .machine import place_of
from .puppet import GREETING, Puppet
from .taken import Put, Taken, telling
from .waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

ENDED = CallEnded(turns=3, duration_s=41.5)


def said(*lines: tuple[str, str | None]) -> tuple[Utterance, ...]:
    return tuple(Utterance(role, content) for role, content in lines)


def heard(items: Any) -> Raw:
    return Raw(msgspec.json.encode(items))


# ---------------------------------------------------------------------------- what was said


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        (said(), ""),
        (said(("agent", "Hello.")), ""),
        (said(("user", "Hi.")), "Hi."),
        (said(("user", "No."), ("agent", "Hello."), ("user", " I need "), ("user", "a doctor. ")), "I need a doctor."),
        (said(("agent", "Press."), ("dtmf", "12"), ("user", None), ("user", " "), ("user", "done")), "12 done"),
        (said(("user", "Hi."), ("agent", "")), ""),
    ],
)
def test_the_callers_words_are_those_since_the_agent_spoke(transcript: tuple[Utterance, ...], words: str) -> None:
    assert callers_words(transcript) == words


def test_a_transcript_is_written_down_as_it_was_heard() -> None:
    items = [
        {"role": "agent", "content": "Hello.", "words": [{"word": "Hello.", "start": 0.5, "end": 0.9}]},
        {
            "role": "user",
            "content": "Book me Monday.",
            "words": [{"word": "Book", "start": 1.5, "end": 1.6}, {"word": "Monday.", "start": 2.0, "end": 2.25}],
        },
        {"role": "tool_call_invocation", "tool_call_id": "t", "name": "book", "arguments": '{"day":"Monday"}'},
        {"role": "tool_call_result", "tool_call_id": "t", "content": "Booked.", "successful": True},
        {"role": "dtmf", "digit": "5", "content": "ignored"},
        {"role": "dtmf"},
        {"role": "injected", "content": "Be brief.", "time_sec": 4.5},
        {"role": "user", "content": None, "words": None},
        {"role": "user", "content": "Odd.", "words": [{"word": "Odd."}, 5]},
        "no item",
    ]
    assert transcribed(heard(items), None, None, ENDED, agent_left=False) == CallTranscript(
        (
            Line("agent", "Hello.", start_s=0.5, end_s=0.9),
            Line("user", "Book me Monday.", start_s=1.5, end_s=2.25),
            Line("tool_call_invocation", '{"day":"Monday"}', name="book"),
            Line("tool_call_result", "Booked."),
            Line("dtmf", "5"),
            Line("dtmf"),
            Line("injected", "Be brief.", start_s=4.5),
            Line("user"),
            Line("user", "Odd."),
        ),
        duration_s=41.5,
        turns=3,
    )


def test_what_retell_told_of_the_call_stands_with_it() -> None:
    details = CallInfo(
        call_id="call_1",
        call_type="phone_call",
        direction="inbound",
        agent_id="agent_1",
        from_number="+14155550123",
        to_number="+14155550199",
    )
    written = transcribed(heard([]), None, details, ENDED, agent_left=True)
    assert written == CallTranscript(
        (), 41.5, 3, True, "phone_call", "inbound", "agent_1", "+14155550123", "+14155550199"
    )


def test_without_a_transcript_the_last_question_is_what_is_known() -> None:
    question = Question("response", said(("agent", "Hello."), ("user", "Hi."), ("user", None)))
    written = transcribed(None, question, None, ENDED, agent_left=False)
    assert written.lines == (Line("agent", "Hello."), Line("user", "Hi."), Line("user"))
    assert transcribed(heard([]), question, None, ENDED, agent_left=False).lines == ()
    assert transcribed(None, None, None, ENDED, agent_left=False).lines == ()


# ---------------------------------------------------------------------------- when


PHONE = {
    "call_type": "phone_call",
    "direction": "inbound",
    "agent_id": "agent_1",
    "from_number": "+14155550123",
    "to_number": "+14155550199",
}


def ordered(puts: list[Put]) -> None:
    """See that the facts of each hold of a call are numbered without a gap."""
    seen: dict[tuple[str, int], int] = {}
    for put in puts:
        hold = put.call_id, put.epoch
        assert put.seq == seen.get(hold, 0) + 1 and put.epoch > 0
        seen[hold] = put.seq


async def ended(taken: Taken) -> CallTranscript:
    await until(lambda: bool(taken.of(CallTranscript)))
    (transcript,) = taken.of(CallTranscript)
    assert isinstance(transcript, CallTranscript)
    return transcript


async def test_a_call_is_told_with_its_words() -> None:
    taken = Taken()
    async with telling(facts=taken, grace_s=0.1) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1", details=PHONE) as retell:
            await retell.greeting()
            asked = await retell.request("Are you open?")
            stream = await puppet.asked(1)
            stream.say("Yes, until six.")
            stream.end()
            await retell.answer(asked)
            second = await retell.request("Good.")
            stream = await puppet.asked(2)
            stream.say("Bye.")
            stream.end()
            await retell.answer(second)
        transcript = await ended(taken)
    assert taken.of(CallerSaid) == [
        CallerSaid(asked, "response", "Are you open?"),
        CallerSaid(second, "response", "Good."),
    ]
    assert [(line.role, line.text.strip()) for line in transcript.lines][:3] == [
        ("agent", GREETING),
        ("user", "Are you open?"),
        ("agent", "Yes, until six."),
    ]
    (over,) = taken.of(CallEnded)
    assert (transcript.turns, transcript.duration_s, transcript.agent_left) == (over.turns, over.duration_s, False)
    assert (transcript.call_type, transcript.direction, transcript.agent_id) == ("phone_call", "inbound", "agent_1")
    assert (transcript.from_number, transcript.to_number) == ("+14155550123", "+14155550199")
    assert isinstance(taken.puts[0].fact, CallStarted)
    assert [type(put.fact) for put in taken.puts[-2:]] == [CallEnded, CallTranscript]
    assert len({put.epoch for put in taken.puts}) == 1
    ordered(taken.puts)


async def test_words_that_came_without_a_request_are_in_it() -> None:
    taken = Taken()
    async with telling(facts=taken, grace_s=0.1) as (server, _):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            items = [
                {"role": "agent", "content": GREETING},
                {"role": "user", "content": "Never mind.", "words": [{"word": "Never", "start": 1.5, "end": 2}]},
            ]
            await retell.send_raw(json.dumps({"interaction_type": "update_only", "transcript": items}))
            await retell.ping()
        transcript = await ended(taken)
    assert transcript.lines == (Line("agent", GREETING), Line("user", "Never mind.", start_s=1.5, end_s=2.0))
    assert transcript.turns == 0 and not taken.of(CallerSaid)


async def test_a_reminder_has_no_words() -> None:
    taken = Taken()
    async with telling(facts=taken) as (server, puppet), FakeRetell(server.url, reminder_max_count=0) as retell:
        await retell.greeting()
        await retell.send_raw(
            json.dumps(
                {
                    "interaction_type": "reminder_required",
                    "response_id": 1,
                    "transcript": [{"role": "user", "content": "Hi."}, {"role": "agent", "content": "Hello."}],
                }
            )
        )
        (await puppet.asked(1)).end()
        assert taken.of(CallerSaid) == [CallerSaid(1, "reminder")]


async def test_a_redial_makes_no_second_transcript() -> None:
    taken = Taken()
    async with telling(facts=taken, grace_s=0.3) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            asked = await retell.request("Are you open?")
            stream = await puppet.asked(1)
            await retell.drop()
            await until(lambda: bool(taken.of(Detached)))
            await retell.redial()
            stream.say("Yes.")
            stream.end()
            await retell.answer(asked)
        transcript = await ended(taken)
        assert transcript.lines[1].text == "Are you open?"
    assert len(taken.of(CallTranscript)) == 1, "nor one at the server's end"
    ordered(taken.puts)


async def test_that_the_agent_left_is_told() -> None:
    ana = Agent("You are Ana.", greeting=GREETING)

    @ana.tool(side_effect=False)
    async def leave(call: Call) -> str:
        """Leave."""
        call.end("Goodbye.")
        return "Said."

    taken = Taken()
    async with telling(facts=taken, agent=ana, grace_s=0.1) as (server, puppet):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            asked = await retell.request("That is all.")
            stream = await puppet.asked(1)
            stream.call("leave")
            stream.end("tool_use")
            await retell.answer(asked)
        transcript = await ended(taken)
    assert transcript.agent_left


async def test_calls_that_end_with_the_server_are_told_whole() -> None:
    taken = Taken()
    async with telling(facts=taken) as (server, puppet):
        retell = FakeRetell(server.url, redials=False)
        await retell.__aenter__()
        try:
            await retell.greeting()
            await retell.request("Are you open?")
            await puppet.asked(1)
            await server.__aexit__(None, None, None)
            transcript = await ended(taken)
            assert [line.text for line in transcript.lines] == [GREETING, "Are you open?"]
        finally:
            await retell.__aexit__(None, None, None)


# ---------------------------------------------------------------------------- calls that move


class Two:
    """Two servers that share a store, a balancer before them, and what each told."""

    def __init__(self, balancer: ToxicProxy) -> None:
        self.balancer = balancer
        self.servers: list[Server] = []
        self.models: list[Puppet] = []
        self.taken: list[Taken] = []

    def call(self) -> FakeRetell:
        policy = DialPolicy(attempts=20, timeout_s=5, pause_s=0.02)
        url = f"ws://{self.balancer.address}/llm-websocket"
        return FakeRetell(url, call_id="call_1", details=PHONE, dial_policy=policy, reminder_max_count=0)

    async def move(self, retell: FakeRetell) -> None:
        """Break the line, and let the redial reach the second server."""
        self.balancer.target = place_of(self.servers[1].address)
        self.balancer.cut()
        await until(lambda: bool(self.taken[1].of(Resumed)))
        await until(lambda: retell.is_open)


@asynccontextmanager
async def two_servers(**settings: Any) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        made = Two(await stack.enter_async_context(ToxicProxy("127.0.0.1", 0)))
        store = None
        for name in ("first", "second"):
            store = MemoryCallStore(lambda: 0.0, name=name, beside=store, is_shared=True)
            taken = Taken()
            served = telling(facts=taken, store=store, **settings)
            server, model = await stack.enter_async_context(served)
            made.servers.append(server)
            made.models.append(model)
            made.taken.append(taken)
        made.balancer.target = place_of(made.servers[0].address)
        yield made


async def asked_once(two: Two, retell: FakeRetell) -> None:
    await retell.greeting()
    asked = await retell.request("Are you open?")
    stream = await two.models[0].asked(1)
    stream.say("Yes.")
    stream.end()
    await retell.answer(asked)


async def test_a_call_that_moved_is_told_by_its_last_server() -> None:
    async with two_servers(grace_s=0.5) as two:
        async with two.call() as retell:
            await asked_once(two, retell)
            await two.move(retell)
            asked = await retell.request("Good.")
            stream = await two.models[1].asked(1)
            stream.say("Bye.")
            stream.end()
            await retell.answer(asked)
        transcript = await ended(two.taken[1])
        await until(lambda: bool(two.taken[0].of(CallMoved)))
    first, second = two.taken
    assert not first.of(CallTranscript) and not first.of(CallEnded)
    assert [said.text for said in first.of(CallerSaid)] == ["Are you open?"]
    assert [said.text for said in second.of(CallerSaid)] == ["Good."]
    assert [line.text.strip() for line in transcript.lines][:4] == [GREETING, "Are you open?", "Yes.", "Good."]
    assert transcript.turns == 2 and transcript.call_type == "phone_call"
    assert {put.epoch for put in first.puts} < {put.epoch for put in first.puts + second.puts}
    assert max(put.epoch for put in first.puts) < min(put.epoch for put in second.puts)
    ordered(first.puts)
    ordered(second.puts)


async def test_a_last_server_that_heard_nothing_tells_what_the_memo_knows() -> None:
    async with two_servers(grace_s=0.5) as two:
        async with two.call() as retell:
            await asked_once(two, retell)
            await two.move(retell)
        transcript = await ended(two.taken[1])
    assert [(line.role, line.text) for line in transcript.lines] == [("agent", GREETING), ("user", "Are you open?")]
    assert transcript.turns == 1 and transcript.from_number == "+14155550123"
    assert not two.taken[0].of(CallTranscript) and not two.taken[1].of(CallerSaid)


async def test_without_a_bus_nothing_with_speech_is_made() -> None:
    async with telling(facts=None, grace_s=0.1) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            asked = await retell.request("Hi.")
            (await puppet.asked(1)).end()
            await retell.answer(asked)
        await until(lambda: server.statistics().get("call_ended", 0) == 1)
        assert not {"caller_said", "call_transcript"} & set(server.statistics())
