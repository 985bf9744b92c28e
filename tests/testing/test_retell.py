"""FakeRetell does to a server what Retell does: dials, pings, redials, speaks, interrupts, reminds, hangs up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from retell_ws.errors import UsageError
from retell_ws.testing.acceptance import Action
from retell_ws.testing.dial import DialError, DialPolicy, call_url
from retell_ws.testing.frames import Finding
from retell_ws.testing.retell import CallEnded, FakeRetell, Superseded

from .servers import GREETING, PIECES, Scripted

ANSWER = "".join(PIECES)
KEEPALIVE = {"auto_reconnect": True, "call_details": False, "transcript_with_tool_calls": False}


class Peer:
    """A server whose every word the test says itself."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.paths: list[str] = []
        self.accepted = 0

    async def handle(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        self.paths.append(ws.request.path)
        self.accepted += 1
        await self.sockets.put(ws)
        try:
            async for data in ws:
                await self.got.put(json.loads(data))
        except ConnectionClosed:
            pass

    async def next(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while (message := await self.got.get())["interaction_type"] != kind:
                pass
        return message


@asynccontextmanager
async def _peer() -> AsyncIterator[tuple[Peer, str]]:
    peer = Peer()
    async with serve(peer.handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2) as server:
        yield peer, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/llm"


async def _send(ws: ServerConnection, kind: str, **fields: Any) -> None:
    await ws.send(json.dumps({"response_type": kind, **fields}))


async def _say(ws: ServerConnection, number: int, text: str, *, complete: bool = True, **more: Any) -> None:
    await _send(ws, "response", response_id=number, content=text, content_complete=complete, **more)


async def test_a_call_is_greeted_asked_and_answered() -> None:
    server = Scripted()
    async with server.running() as url, FakeRetell(url, details={"agent_id": "a"}) as retell:
        assert await retell.greeting() == GREETING
        answer = await retell.ask("I need an appointment.")
        assert (answer.response_id, answer.text, answer.action) == (1, ANSWER, None)
        assert answer.frames == len(PIECES) + 1
        assert 0 < answer.first_frame_s <= answer.first_sentence_s <= answer.total_s
        await retell.ask("Tuesday.")
        details = [m for m in server.received if m["interaction_type"] == "call_details"]
        assert details[0]["call"] == {"call_id": retell.call_id, "agent_id": "a"}
    report = retell.report
    assert report.faults == () and report.stale == 0 and report.unclosed == ()
    assert report.completions == {0: 1, 1: 1, 2: 1}
    assert report.disconnection_reason == "user_hangup"


async def test_the_transcript_holds_what_was_heard() -> None:
    server = Scripted()
    async with server.running() as url, FakeRetell(url) as retell:
        await retell.greeting()
        await retell.ask("Hello.")
        await retell.ask("Tuesday.")
    last = [m for m in server.received if m["interaction_type"] == "response_required"][-1]
    heard = [(item["role"], item["content"]) for item in last["transcript"]]
    assert heard == [("agent", GREETING), ("user", "Hello."), ("agent", ANSWER), ("user", "Tuesday.")]
    assert last["transcript"][1]["words"][0].keys() == {"word", "start", "end"}


async def test_speculative_ids_grow_one_utterance_and_the_last_is_answered() -> None:
    server = Scripted()
    async with server.running() as url, FakeRetell(url) as retell:
        await retell.greeting()
        last = await retell.speculate("I need it on Tuesday.", ids=3, gap_s=0.01)
        with pytest.raises(Superseded):
            await retell.answer(1)
        assert (await retell.answer(last)).text == ANSWER
    requests = [m for m in server.received if m["interaction_type"] == "response_required"]
    assert [m["response_id"] for m in requests] == [1, 2, 3]
    assert [m["transcript"][-1]["content"] for m in requests] == ["I", "I need it", "I need it on Tuesday."]
    assert {len(m["transcript"]) for m in requests} == {2}


async def test_the_agent_is_revealed_word_by_word_and_cut_by_a_barge_in() -> None:
    words: list[str] = []
    async with _peer() as (peer, url):
        third = asyncio.Event()

        def spoken(word: str) -> None:
            words.append(word)
            if len(words) == 3:
                third.set()

        async with FakeRetell(url, speed=20, on_word=spoken) as retell:
            ws = await peer.sockets.get()
            await _say(ws, 0, "one two three four five six seven eight nine ten. ", end_call=True)
            begins = await peer.next("update_only")
            assert begins["turntaking"] == "agent_turn"
            assert begins["transcript"][0]["content"] == "one "
            assert (await peer.next("update_only"))["transcript"][0]["content"] == "one two "
            await third.wait()
            await retell.request("Stop.")
            request = await peer.next("response_required")
            said = "".join(words)
            assert [item["content"] for item in request["transcript"]] == [said, "Stop."]
            assert said.startswith("one two three ") and "ten" not in said
            await _say(ws, 1, "Yes?")
            await retell.answer(1)
            await retell.spoken(1)
            assert retell.disconnection_reason is None  # the hang-up went with the speech that was cut


async def test_the_caller_can_speak_word_by_word() -> None:
    async with _peer() as (peer, url), FakeRetell(url, caller_speed=100) as retell:
        await retell.request("Hi there you")
        updates = [await peer.next("update_only") for _ in range(3)]
        assert [m["transcript"][-1]["content"] for m in updates] == ["Hi", "Hi there", "Hi there you"]
        assert [m.get("turntaking") for m in updates] == ["user_turn", None, None]


async def test_pings_are_sent_once_they_are_asked_for_and_echoes_are_measured() -> None:
    async with Scripted().running() as url, FakeRetell(url, ping_s=0.02) as retell:
        await retell.greeting()
        for _ in range(3):
            assert await retell.ping() < 2
        assert len(retell.report.rtt_ms) >= 3 and retell.report.median_rtt_ms
    assert Finding.STRAY_PONG not in retell.report.counts


async def test_a_server_that_stops_echoing_is_redialled_twice_and_then_lost() -> None:
    async with _peer() as (peer, url), FakeRetell(url, ping_s=0.02, pong_limit_s=0.08) as retell:
        for _ in range(3):
            await _send(await peer.sockets.get(), "config", config=KEEPALIVE)
        assert await retell.ended() == "error_llm_websocket_lost_connection"
        assert peer.accepted == 3
        assert set(peer.paths) == {f"/llm/{retell.call_id}"}


async def test_without_auto_reconnect_nothing_is_pinged() -> None:
    async with _peer() as (peer, url), FakeRetell(url, ping_s=0.01, pong_limit_s=0.02) as retell:
        await _say(await peer.sockets.get(), 0, "Hello.")
        await retell.quiet(0.1)
        assert retell.is_open
    kinds = {peer.got.get_nowait()["interaction_type"] for _ in range(peer.got.qsize())}
    assert kinds == {"update_only"}


async def test_a_drop_without_a_close_frame_is_redialled_four_times() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        for _ in range(5):
            (await peer.sockets.get()).transport.abort()
        assert await retell.ended() == "error_llm_websocket_runtime"
        assert peer.accepted == 5


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, "agent_hangup"),
        (1001, "error_llm_websocket_runtime"),
        (1011, "error_llm_websocket_runtime"),
        (4000, "error_llm_websocket_runtime"),
    ],
)
async def test_a_close_code_ends_the_call(code: int, reason: str) -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        await (await peer.sockets.get()).close(code)
        assert await retell.ended() == reason
        assert retell.close_code == code
        assert peer.accepted == 1
        with pytest.raises(CallEnded, match=reason):
            await retell.answer(0)
        with pytest.raises(CallEnded, match=reason):
            await retell.request("Hello?")


async def test_a_close_without_a_code_is_an_open_error() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        ws = await peer.sockets.get()
        ws.transport.write(b"\x88\x00")  # RFC 6455 §5.5.1: a close frame without a body
        assert await retell.ended() == "error_llm_websocket_open"


async def test_a_binary_frame_is_closed_with_1007() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        ws = await peer.sockets.get()
        await ws.send(b"\x00")
        assert await retell.ended() == "error_llm_websocket_corrupt_payload"
        await ws.wait_closed()
        assert ws.close_code == 1007
        assert retell.report.counts == {"binary": 1}


async def test_the_agent_hangs_up_after_its_last_word() -> None:
    words: list[str] = []
    async with _peer() as (peer, url), FakeRetell(url, speed=50, on_word=words.append) as retell:
        await _say(await peer.sockets.get(), 0, "Goodbye and thank you.", end_call=True)
        assert await retell.ended() == "agent_hangup"
        assert "".join(words) == "Goodbye and thank you."


async def test_a_transfer_ends_the_call_and_digits_do_not() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        ws = await peer.sockets.get()
        await _say(ws, 0, "", digit_to_press="2")
        await retell.greeting()
        await retell.request("Transfer me.")
        await _say(ws, 1, "One moment. ", transfer_number="+14155550123")
        assert (await retell.answer(1)).action == Action("transfer_number", "+14155550123")
        assert await retell.ended() == "call_transfer"
        assert retell.report.digits == "2"


async def test_what_is_not_carried_out_can_be_spoken_into() -> None:
    async with _peer() as (peer, url), FakeRetell(url, acts=False) as retell:
        ws = await peer.sockets.get()
        await _say(ws, 0, "Goodbye.", end_call=True)
        await retell.greeting()
        await retell.request("Wait.")
        assert (await peer.next("response_required"))["transcript"][0]["content"] == "Goodbye."
        assert retell.is_open and retell.disconnection_reason is None


async def test_something_heard_can_be_waited_for_until_the_call_ends() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        ws = await peer.sockets.get()
        await _send(ws, "tool_call_invocation", tool_call_id="tc_1", name="book", arguments="{}")
        await retell.until(lambda: "tc_1" in retell.rules.tools, timeout_s=5)
        with pytest.raises(TimeoutError):
            await retell.until(lambda: False, timeout_s=0.01)
        await ws.close(1000)
        with pytest.raises(CallEnded, match="agent_hangup"):
            await retell.until(lambda: False, timeout_s=5)


async def test_silence_is_reminded_of_as_update_agent_says() -> None:
    async with _peer() as (peer, url), FakeRetell(url, reminder_trigger_ms=60_000) as retell:
        ws = await peer.sockets.get()
        await _send(ws, "update_agent", agent_config={"reminder_trigger_ms": 30, "reminder_max_count": 2})
        await _say(ws, 0, "Hello.")
        for number in (1, 2):
            reminder = await peer.next("reminder_required")
            assert reminder["response_id"] == number
            await _say(ws, number, "Are you there?")
        await retell.answer(2)
        await retell.quiet(0.15)
        assert retell.rules.latest == 2  # no third one


async def test_no_reminder_comes_while_an_answer_is_open() -> None:
    async with _peer() as (peer, url), FakeRetell(url, reminder_trigger_ms=20) as retell:
        await _say(await peer.sockets.get(), 0, "One moment. ", complete=False)
        await retell.piece(0)
        await retell.quiet(0.1)
        assert retell.rules.latest == 0


async def test_an_interruption_is_spoken_and_cancels_the_answer() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        ws = await peer.sockets.get()
        await _say(ws, 0, "Let me see. ", complete=False)
        await _send(ws, "agent_interrupt", interrupt_id=1, content="We close now.", content_complete=True)
        await _say(ws, 0, "Found it.")
        await retell.quiet(0.05)
        assert [item["content"] for item in retell.conversation.utterances] == ["Let me see. ", "We close now."]
        assert retell.report.counts == {"cancelled": 1}


async def test_after_a_drop_a_redial_continues_the_open_answer() -> None:
    async with Scripted(gap_s=0.03).running() as url, FakeRetell(url) as retell:
        await retell.greeting()
        number = await retell.request("Hello.")
        await retell.piece(number)
        await retell.drop()
        assert not retell.is_open
        await retell.redial()
        answer = await retell.answer(number)
        assert answer.text.startswith(PIECES[0]) and answer.text.endswith(PIECES[-1])
        assert retell.report.sockets == 2 and retell.report.faults == ()
        assert retell.report.counts == {"closed_again": 1}


async def test_frames_on_a_replaced_socket_are_counted_and_not_believed() -> None:
    async with _peer() as (peer, url), FakeRetell(url) as retell:
        old = await peer.sockets.get()
        await retell.redial()
        new = await peer.sockets.get()
        await _say(old, 0, "From the old one.")
        await retell.quiet(0.05)
        await _say(new, 0, "From the new one.")
        assert await retell.greeting() == "From the new one."
        assert retell.report.old_socket_frames == 1


async def test_a_server_that_never_answers_is_a_timeout() -> None:
    async with _peer() as (_, url), FakeRetell(url) as retell:
        with pytest.raises(TimeoutError):
            await retell.ask("Hello?", timeout_s=0.05)
        assert retell.report.unclosed == (1,)


async def test_a_server_that_does_not_read_is_dropped_and_holds_up_nothing() -> None:
    async with _peer() as (peer, url), FakeRetell(url, redials=False, send_timeout_s=0.2) as retell:
        ws = await peer.sockets.get()
        ws.transport.pause_reading()
        async with asyncio.timeout(20):
            while retell.is_open:
                await retell.update(extra={"padding": "x" * 1_000_000})
        assert await retell.ended() == "error_llm_websocket_runtime"


async def test_dialling_is_tried_three_times_with_a_pause() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    tries = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, sock=listener):
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/llm"
        retell = FakeRetell(url, dial_policy=DialPolicy(attempts=3, pause_s=0.01))
        with pytest.raises(DialError, match="503") as caught:
            await retell.__aenter__()
    assert caught.value.status == 503 and tries == 3
    assert retell.disconnection_reason == "error_llm_websocket_open"


async def test_a_server_that_does_not_accept_in_time_is_a_failed_dial() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/llm"
        with pytest.raises(DialError, match=r"within 0\.05 s"):
            await FakeRetell(url, dial_policy=DialPolicy(attempts=1, timeout_s=0.05)).__aenter__()


async def test_a_failed_redial_is_a_lost_connection() -> None:
    server = Scripted("refuses_redials")
    async with server.running() as url:
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=1)) as retell:
            await retell.drop()
            with pytest.raises(DialError):
                await retell.redial()
            assert retell.disconnection_reason == "error_llm_websocket_lost_connection"


async def test_an_assertion_in_the_body_comes_out_bare() -> None:
    async with _peer() as (_, url):
        with pytest.raises(KeyError, match="mine"):
            async with FakeRetell(url):
                raise KeyError("mine")


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("ws://h/llm", "ws://h/llm/call_1"),
        ("https://h:8443/llm/", "wss://h:8443/llm/call_1"),
        ("http://h?tenant=a", "ws://h/call_1?tenant=a"),
        ("wss://h/llm/secret?token=t#x", "wss://h/llm/secret/call_1?token=t"),
    ],
)
def test_the_call_id_goes_to_the_end_of_the_path(url: str, full: str) -> None:
    assert call_url(url, "call_1") == full


@pytest.mark.parametrize("url", ["", "host:8080/llm", "ftp://h/llm", "ws:///llm", "ws://h:port/llm", "ws://[/llm"])
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError):
        call_url(url, "call_1")
