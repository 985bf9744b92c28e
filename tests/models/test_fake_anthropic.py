"""The fake API itself: what benches and tests lean on must hold."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from retell_ws.models.scripted import reply
from retell_ws.request import Message
from retell_ws.testing.fake_anthropic import FakeAnthropic, FakeAnthropicProcess
from retell_ws.testing.fake_anthropic_events import words
from retell_ws.testing.first_tokens import FirstTokens


async def ask(
    fake: FakeAnthropic, body: object = None, *, method: str = "POST", path: str = "/v1/messages", key: str = "k"
) -> tuple[str, bytes]:
    """Send one request by hand; returns the head and, with chunks put together, the body."""
    parts = urlsplit(fake.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    data = msgspec.json.encode(body) if body is not None else b""
    fields = f"authorization: Bearer {key}\r\n" if key else ""
    writer.write(f"{method} {path} HTTP/1.1\r\n{fields}content-length: {len(data)}\r\n\r\n".encode() + data)
    try:
        async with asyncio.timeout(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if "chunked" in head:
                answer = b""
                while size := int(await reader.readline(), 16):
                    answer += await reader.readexactly(size)
                    await reader.readexactly(2)
            else:
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                answer = b"" if method == "HEAD" else await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()
    return head, answer


def body(**more: object) -> dict[str, object]:
    return {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "Hi"}], **more}


def events(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for event in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        found.append((name.removeprefix("event: "), msgspec.json.decode(data.removeprefix("data: "))))
    return found


async def test_an_answer_has_the_api_s_events_in_the_api_s_order(fake: FakeAnthropic) -> None:
    await fake.control(deltas=3)
    head, stream = await ask(fake, body())
    assert head.startswith("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream")
    assert "request-id: req_" in head
    found = events(stream)
    assert [name for name, _ in found] == [
        "message_start", "content_block_start", "ping", *["content_block_delta"] * 3,
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert all(data["type"] == name for name, data in found)
    assert found[0][1]["message"]["usage"]["output_tokens"] == 1
    assert found[-2][1]["usage"]["output_tokens"] == 3


async def test_the_scripted_reply_is_what_it_says_by_default(fake: FakeAnthropic) -> None:
    _, stream = await ask(fake, body())
    texts = [data["delta"]["text"] for name, data in events(stream) if name == "content_block_delta"]
    assert "".join(texts) == reply([Message("user", "Hi")])


async def test_a_text_is_said_when_one_is_given(fake: FakeAnthropic) -> None:
    await fake.control(text="As you like.")
    _, stream = await ask(fake, body(messages=[{"role": "user", "content": [{"type": "text", "text": "blocks"}]}]))
    texts = [data["delta"]["text"] for name, data in events(stream) if name == "content_block_delta"]
    assert texts == ["As ", "you ", "like."]


CALL = {"tool": "book", "input": {"day": "next Monday", "name": "Ann Grüße"}}
BOOK = {
    "name": "book",
    "description": "Book an appointment.",
    "input_schema": {"type": "object", "properties": {"day": {}, "name": {}}, "required": ["day", "name"]},
}


def blocks_of(stream: bytes) -> list[tuple[str, Any]]:
    """Put the blocks of an answer together as a client does: texts, and calls with their pieces of input."""
    found: list[tuple[str, Any]] = []
    for name, data in events(stream):
        match name:
            case "content_block_start":
                assert data["index"] == len(found)
                block = data["content_block"]
                if block["type"] == "tool_use":
                    assert block["input"] == {} and block["id"].startswith("toolu_")
                found.append((block.get("name", ""), []))
            case "content_block_delta":
                assert data["index"] == len(found) - 1
                found[-1][1].append(data["delta"].get("text", data["delta"].get("partial_json")))
            case "content_block_stop":
                assert data["index"] == len(found) - 1
    return found


def reason(stream: bytes) -> str:
    (end,) = [data for name, data in events(stream) if name == "message_delta"]
    found: str = end["delta"]["stop_reason"]
    return found


async def test_blocks_are_answered_as_given_with_input_in_pieces_the_first_one_empty(fake: FakeAnthropic) -> None:
    await fake.control(blocks=[{"text": "Let me see."}, CALL, {"tool": "end_call"}])
    _, stream = await ask(fake, body(max_tokens=99))
    text, call, bare = blocks_of(stream)
    assert text == ("", ["Let ", "me ", "see."])
    name, (first, *pieces) = call
    assert (name, first) == ("book", "") and len(pieces) > 2
    assert msgspec.json.decode("".join(pieces)) == CALL["input"]
    assert bare == ("end_call", [""])
    assert reason(stream) == "tool_use"
    names = [name for name, _ in events(stream)]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names.count("content_block_start") == names.count("content_block_stop") == 3


async def test_ids_of_calls_are_unlike_unless_given(fake: FakeAnthropic) -> None:
    await fake.control(blocks=[CALL, CALL, {**CALL, "id": "toolu_mine"}])
    ids = [
        data["content_block"]["id"]
        for _ in range(2)
        for name, data in events((await ask(fake, body(max_tokens=99)))[1])
        if name == "content_block_start"
    ]
    assert len(set(ids)) == 5
    assert ids[2] == ids[5] == "toolu_mine"


async def test_answers_are_given_one_by_one_and_then_what_it_says_otherwise(fake: FakeAnthropic) -> None:
    await fake.control(answers=[[CALL], None, [{"text": "Done."}], []], text="As ever.")
    await ask(fake, body(max_tokens=0, stream=False))
    said = [blocks_of((await ask(fake, body(max_tokens=99)))[1]) for _ in range(5)]
    ever = [("", ["As ", "ever."])]
    assert said[0][0][0] == "book"
    assert said[1:] == [ever, [("", ["Done."])], [], ever]


async def test_the_scripted_model_calls_the_request_s_tools(fake: FakeAnthropic) -> None:
    asked = body(max_tokens=99, tools=[BOOK], messages=[{"role": "user", "content": "Book me in for today, I'm Bob"}])
    (call,) = blocks_of((await ask(fake, asked))[1])
    assert (call[0], msgspec.json.decode("".join(call[1]))) == ("book", {"day": "today", "name": "Bob"})
    ((nothing, _),) = blocks_of((await ask(fake, {**asked, "tool_choice": {"type": "none"}}))[1])
    assert nothing == ""
    result = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "book", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Booked."}]},
    ]
    ((_, texts),) = blocks_of((await ask(fake, {**asked, "messages": result}))[1])
    assert "".join(texts).startswith("Booked.")
    foreign = [{"role": "user", "content": [{"type": "image"}]}]
    assert blocks_of((await ask(fake, {**asked, "messages": foreign}))[1])[0][0] == ""


@pytest.mark.parametrize(
    ("fault", "written", "stop_reason"),
    [
        ("tool_max_tokens", '{"day": "next Monday", "name": "Ann ', "max_tokens"),
        ("tool_no_input", "", "max_tokens"),
        ("tool_bad_json", '{"day": "next Monday", "name": "Ann Grüße"]', "tool_use"),
    ],
)
async def test_faults_of_tools_strike_the_first_call(
    fake: FakeAnthropic, fault: str, written: str, stop_reason: str
) -> None:
    await fake.control(blocks=[{"text": "Hm."}, CALL], fault=fault)
    _, stream = await ask(fake, body(max_tokens=99))
    text, call = blocks_of(stream)
    assert (text, call[0], "".join(call[1])) == (("", ["Hm."]), "book", written)
    assert reason(stream) == stop_reason
    assert [name for name, _ in events(stream)][-3:] == ["content_block_stop", "message_delta", "message_stop"]
    await fake.control(blocks=[{"text": "Hm."}])
    assert blocks_of((await ask(fake, body()))[1]) == [("", ["Hm."])]


@pytest.mark.parametrize("input_", [CALL["input"], {}])
async def test_a_connection_may_be_cut_inside_a_call(fake: FakeAnthropic, input_: object) -> None:
    await fake.control(blocks=[{"text": "Hm."}, {"tool": "book", "input": input_}], fault="tool_cut")
    with pytest.raises(ValueError, match="invalid literal"):  # no size of a next chunk
        await ask(fake, body(max_tokens=99))
    (entry,) = await fake.log()
    assert entry["deltas_sent"] >= 2


async def test_max_tokens_may_fall_into_a_call(fake: FakeAnthropic) -> None:
    await fake.control(blocks=[CALL, {"text": "Hm."}])
    _, stream = await ask(fake, body(max_tokens=3))
    ((_, pieces),) = blocks_of(stream)
    assert len(pieces) == 3 and reason(stream) == "max_tokens"


async def test_a_call_is_never_stamped(fake: FakeAnthropic) -> None:
    await fake.control(blocks=[CALL], stamp=True)
    ((_, pieces),) = blocks_of((await ask(fake, body(max_tokens=99)))[1])
    assert pieces[0] == ""


async def test_an_answer_longer_than_max_tokens_is_cut_there(fake: FakeAnthropic) -> None:
    await fake.control(deltas=9)
    for max_tokens, reason, count in ((4, "max_tokens", 4), (9, "end_turn", 9)):
        _, stream = await ask(fake, body(max_tokens=max_tokens))
        answer = events(stream)
        (end,) = [data for name, data in answer if name == "message_delta"]
        assert (end["delta"]["stop_reason"], end["usage"]["output_tokens"]) == (reason, count)
        assert len([name for name, _ in answer if name == "content_block_delta"]) == count


async def test_the_first_delta_is_stamped_and_the_log_has_the_same_times(fake: FakeAnthropic) -> None:
    await fake.control(stamp=True, deltas=2, ttft_ms=30)
    _, stream = await ask(fake, body())
    texts = [data["delta"]["text"] for name, data in events(stream) if name == "content_block_delta"]
    received, written = (int(number) for number in texts[0].removeprefix("@").split(","))
    (entry,) = await fake.log()
    assert (entry["received_ns"], entry["first_delta_ns"]) == (received, written)
    assert written - received >= 29e6
    assert texts[1].strip().isascii()


async def test_the_log_tells_what_was_asked_without_the_key(fake: FakeAnthropic) -> None:
    await ask(fake, body(), key="secret")
    (entry,) = await fake.log()
    assert entry["headers"]["authorization"] == hashlib.sha256(b"Bearer secret").hexdigest()[:16]
    assert entry["body"] == body()
    assert (entry["ended"], entry["path"]) == ("done", "/v1/messages")
    assert entry["closed_ns"] >= entry["first_delta_ns"] >= entry["received_ns"]
    await fake.clear()
    assert await fake.log() == []


async def test_faults_are_played_one_by_one_and_then_the_default(fake: FakeAnthropic) -> None:
    await fake.control(faults=["529", None], fault="401")
    statuses = [(await ask(fake, body()))[0].split()[1] for _ in range(3)]
    assert statuses == ["529", "200", "401"]


async def test_warming_the_prompt_cache_gives_an_empty_message(fake: FakeAnthropic) -> None:
    head, answer = await ask(fake, body(max_tokens=0, stream=False))
    message = msgspec.json.decode(answer)
    assert head.startswith("HTTP/1.1 200 OK")
    assert (message["content"], message["usage"]["output_tokens"]) == ([], 0)


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "kind"),
    [
        ("POST", "/v1/messages", "", "401", "authentication_error"),
        ("GET", "/", "k", "404", "not_found_error"),
        ("POST", "/v1/other", "k", "404", "not_found_error"),
    ],
)
async def test_what_the_api_refuses_is_refused(
    fake: FakeAnthropic, method: str, path: str, key: str, status: str, kind: str
) -> None:
    head, answer = await ask(fake, body(), method=method, path=path, key=key)
    assert head.split()[1] == status
    assert msgspec.json.decode(answer)["error"]["type"] == kind


async def test_a_body_that_is_no_request_is_refused(fake: FakeAnthropic) -> None:
    head, _ = await ask(fake, ["no", "request"])
    assert head.split()[1] == "400"


async def test_a_head_request_gets_no_body(fake: FakeAnthropic) -> None:
    head, _ = await ask(fake, method="HEAD", path="/")
    assert head.split()[1] == "404"


@pytest.mark.parametrize(
    "changes",
    [
        {"fault": "unheard of"},
        {"faults": ["x"]},
        {"speed": 3},
        {"ttft_ms": "soon"},
        {"blocks": [{"text": ""}]},
        {"blocks": [{"text": "a", "tool": "b"}]},
        {"answers": [[{}]]},
    ],
)
async def test_a_control_it_does_not_know_changes_nothing(fake: FakeAnthropic, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        await fake.control(**changes)
    assert (await ask(fake, body()))[0].split()[1] == "200"


async def test_the_process_takes_its_options_and_stops_with_its_block() -> None:
    async with FakeAnthropicProcess(text="Hi.", ttft_ms=1, stamp=False, fault=None) as fake:
        assert b'"Hi."' in (await ask(fake, body()))[1]
    with pytest.raises(OSError):
        await ask(fake, body())


async def test_a_process_that_cannot_start_says_so() -> None:
    with pytest.raises(RuntimeError):
        async with FakeAnthropicProcess(fault="unheard of"):
            raise AssertionError("it cannot have started")


def test_canned_words_make_sentences_that_end() -> None:
    for count in (1, 5, 40, 1000):
        said = words(count)
        assert len(said) == count
        assert said[-1].endswith(".")
        lengths = [len(sentence.split()) for sentence in "".join(said).split(".")[:-2]]
        assert all(8 <= length <= 12 for length in lengths)
    assert words(0) == ()


async def test_a_distribution_gives_the_same_words_the_same_time_and_hangs_send_nothing_but_pings(
    fake: FakeAnthropic,
) -> None:
    tokens = {"p50_s": 0.02, "p95_s": 0.04, "slow": 0, "hangs": 0}
    await fake.control(first_tokens=tokens, deltas=1)
    await ask(fake, body())
    await fake.clear()
    await ask(fake, body(messages=[{"role": "user", "content": "Other words"}]))
    (entry,) = await fake.log()
    drawn = FirstTokens(p50_s=0.02, p95_s=0.04, slow=0, hangs=0).draw(
        b"m", b'{"role":"user","content":"Other words"}', b"0"
    )
    assert drawn is not None
    assert drawn <= (entry["first_delta_ns"] - entry["received_ns"]) / 1e9 + 0.002  # timers may be a millisecond early
    assert entry["input_tokens"] > 0
    # A few requests hang: among these few words there are some that do, and always the same ones.
    await fake.control(first_tokens={"p50_s": 0.02, "p95_s": 0.04, "slow": 0, "hangs": 0.04, "seed": 1}, ping_ms=20)
    hanging = FirstTokens(p50_s=0.02, p95_s=0.04, slow=0, hangs=0.04)
    asked = next(
        f"words {count}"
        for count in range(1000)
        if hanging.draw(b"m", b'{"role":"user","content":"words %d"}' % count, b"0") is None
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(fake, body(messages=[{"role": "user", "content": asked}]))
    assert (await fake.totals()).hung == 1


async def test_warming_requests_do_not_wait_for_the_first_token(fake: FakeAnthropic) -> None:
    await fake.control(first_tokens={"p50_s": 30, "p95_s": 60})
    head, _ = await ask(fake, body(max_tokens=0, stream=False))
    assert head.startswith("HTTP/1.1 200 OK")
    assert (await fake.totals()).warm_ups == 1


async def test_of_several_texts_the_same_words_always_get_the_same_one(fake: FakeAnthropic) -> None:
    texts = [f"Answer {letter}." for letter in "abcdefgh"]
    await fake.control(texts=texts)
    said: dict[str, str] = {}
    for asked in ("Hi", "What are your hours?", "Where are you?", "May I come?"):
        for _ in range(2):
            _, stream = await ask(fake, body(messages=[{"role": "user", "content": asked}]))
            pieces = [data["delta"]["text"] for name, data in events(stream) if name == "content_block_delta"]
            assert said.setdefault(asked, "".join(pieces)) == "".join(pieces)
    assert len(set(said.values())) > 1
    assert set(said.values()) <= set(texts)


async def test_totals_add_up_what_was_asked_and_written(fake: FakeAnthropic) -> None:
    await fake.control(deltas=3)
    before = await fake.totals()
    await ask(fake, body())
    await ask(fake, body(max_tokens=0, stream=False))
    await fake.control(fault="529")
    await ask(fake, body())
    after = await fake.totals()
    assert after.requests - before.requests == 3
    assert after.streamed - before.streamed == 2
    assert after.warm_ups - before.warm_ups == 1
    assert after.refused - before.refused == 1
    assert after.output_tokens - before.output_tokens == 3
    assert after.input_tokens > before.input_tokens


async def test_a_twin_is_a_request_in_the_words_of_one_that_runs_past_the_opening(fake: FakeAnthropic) -> None:
    await fake.control(deltas=2, ttft_ms=150)
    turns = [{"role": role, "content": f"{count}"} for count, role in enumerate(("user", "assistant") * 2)]
    later = [*turns, {"role": "user", "content": "And then?"}]
    before = await fake.totals()
    await asyncio.gather(ask(fake, body(messages=later)), ask(fake, body(messages=later, model="another")))
    await ask(fake, body(messages=later))
    await asyncio.gather(ask(fake, body()), ask(fake, body()))
    after = await fake.totals()
    assert after.twins - before.twins == 1
    assert after.beyond_openings - before.beyond_openings == 3


async def test_output_nobody_waited_for_is_counted_apart(fake: FakeAnthropic) -> None:
    await fake.control(deltas=100, ttft_ms=10, spacing_ms=10)
    before = await fake.totals()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.15):
            await ask(fake, body(max_tokens=200))
    after = before
    async with asyncio.timeout(5):
        while after.peer_closed == before.peer_closed:  # the fake learns of it from its socket
            after = await fake.totals()
    assert after.peer_closed - before.peer_closed == 1
    assert 0 < after.unheard_tokens - before.unheard_tokens == after.output_tokens - before.output_tokens < 100


async def test_faults_may_be_those_of_some_models_alone(fake: FakeAnthropic) -> None:
    await fake.control(faults=["529", "500"], fault_models=["ill"])
    for model, status in (("well", 200), ("ill", 529), ("well", 200), ("ill", 500), ("ill", 200)):
        head, _ = await ask(fake, body(model=model))
        assert head.startswith(f"HTTP/1.1 {status} "), model


async def test_a_429_says_when_to_come_back(fake: FakeAnthropic) -> None:
    await fake.control(fault="429", retry_after_s=90)
    head, _ = await ask(fake, body())
    assert "\r\nretry-after: 90\r\n" in head


async def test_a_stream_of_no_token_is_refused_as_the_api_does(fake: FakeAnthropic) -> None:
    head, _ = await ask(fake, body(max_tokens=0))
    assert head.startswith("HTTP/1.1 400 ")


def usage(stream: bytes) -> dict[str, Any]:
    ((name, start), *_) = events(stream)
    assert name == "message_start"
    found: dict[str, Any] = start["message"]["usage"]
    return found


MARK = {"cache_control": {"type": "ephemeral"}}


async def test_the_prompt_cache_keeps_what_is_marked_and_long_enough(fake: FakeAnthropic) -> None:
    def prompt(*said: str, **more: object) -> dict[str, object]:
        system = [{"type": "text", "text": "Be kind to everyone. " * 200, **MARK}]
        messages = [{"role": ("user", "assistant")[n % 2], "content": words} for n, words in enumerate(said)]
        return body(model="keeps", system=system, messages=messages, **more)

    short = usage((await ask(fake, body(system=[{"type": "text", "text": "Be kind.", **MARK}], **MARK)))[1])
    assert (short["cache_read_input_tokens"], short["cache_creation_input_tokens"]) == (0, 0)
    plain = usage((await ask(fake, body(system="Be kind. " * 400)))[1])
    assert (plain["cache_read_input_tokens"], plain["cache_creation_input_tokens"]) == (0, 0)
    long = "A long story. " * 100
    first, second, third, other = [
        usage((await ask(fake, asked))[1])
        for asked in (
            prompt(long, **MARK),
            prompt(long, "Yes.", "And?", **MARK),
            prompt(long, "Yes.", "And?", "Well.", "Go on."),
            prompt("Another one. " * 100, **MARK),
        )
    ]
    written = first["cache_creation_input_tokens"]
    assert first["cache_read_input_tokens"] == 0 and written > 1300
    assert second["cache_read_input_tokens"] == written and 0 < second["cache_creation_input_tokens"] < 50
    assert 1000 < third["cache_read_input_tokens"] < written, "without the mark at the end only the instructions"
    assert other["cache_read_input_tokens"] == third["cache_read_input_tokens"]
    for counted in (first, second, third, other):
        assert all(tokens >= 0 for tokens in counted.values() if isinstance(tokens, int))


async def test_what_the_cache_cannot_read_is_refused(fake: FakeAnthropic) -> None:
    head, _ = await ask(fake, body(diagnostics=7))
    assert head.startswith("HTTP/1.1 400 ")


async def test_without_diagnostics_nothing_is_remembered(fake: FakeAnthropic) -> None:
    def miss(stream: bytes) -> object:
        return events(stream)[0][1]["message"]["diagnostics"]

    _, first = await ask(fake, body())
    previous = events(first)[0][1]["message"]["id"]
    assert miss(first) is None
    _, second = await ask(fake, body(diagnostics={"previous_message_id": previous}))
    assert miss(second) == {"cache_miss_reason": {"type": "previous_message_not_found"}}
    previous = events(second)[0][1]["message"]["id"]
    _, third = await ask(fake, body(diagnostics={"previous_message_id": previous}))
    assert miss(third) is None
    _, fourth = await ask(fake, body(diagnostics={"previous_message_id": previous}, system="New."))
    assert miss(fourth) == {"cache_miss_reason": {"type": "system_changed", "cache_missed_input_tokens": 7}}
