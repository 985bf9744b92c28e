"""One body of tests for every implementation of `ports.Model`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeAlias

import msgspec
import pytest
import pytest_asyncio

from retell_ws.errors import ModelBroken, ModelError, ModelRateLimited, ModelRejected, ModelUnavailable, SettingsError
from retell_ws.models.anthropic import AnthropicModel
from retell_ws.models.anthropic_sdk import AnthropicSdkModel
from retell_ws.models.scripted import GOODBYE, ScriptedModel, pieces, reply
from retell_ws.ports import WRITING, Delta, End, Model, Text, ToolCall
from retell_ws.request import Message, ModelRequest
from retell_ws.testing.fake_anthropic import FakeAnthropic
from retell_ws.tool import ToolSpec

from .parts import whole

pytestmark = pytest.mark.usefixtures("clean_loop")

KEY = "sk-ant-very-secret"
ANTHROPIC: dict[str, Callable[..., Model]] = {
    "anthropic": AnthropicModel,
    "anthropic-sdk": AnthropicSdkModel,
}
Outcome: TypeAlias = type[ModelError] | str
"""The error a stream raises, or the `stop_reason` of its `End`."""


TOOLS = (
    ToolSpec(
        "book",
        "Book an appointment.",
        msgspec.Raw(
            b'{"type":"object","properties":{"day":{"type":"string"},"name":{"type":"string"}},'
            b'"required":["day","name"]}'
        ),
    ),
    ToolSpec("end_call", "End the call.", msgspec.Raw(b'{"type":"object","properties":{}}')),
)
BOOKING = "Book me in for Monday, my name is Bob"
CALLS = [
    {"text": "One moment. "},
    {"tool": "book", "input": {"day": "Monday", "name": "Bob"}},
    {"tool": "book", "input": {"day": "Tuesday", "name": "Ann Grüße"}},
    {"text": "So."},
]


def request(words: str = "I want to book an appointment") -> ModelRequest:
    return ModelRequest(system="You are Ana.", messages=(Message("user", words),), max_tokens=200)


async def deltas_of(model: Model, words: str = "I want to book an appointment") -> list[Delta]:
    async with asyncio.timeout(10), aclosing(model.stream(request(words))) as deltas:
        return whole([delta async for delta in deltas])


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


@pytest_asyncio.fixture(params=ANTHROPIC)
async def anthropic_model(request: pytest.FixtureRequest, fake: FakeAnthropic) -> AsyncIterator[Model]:
    # In a thread, because making a client reads certificates from the disk: it is meant for the start.
    model = await asyncio.to_thread(ANTHROPIC[request.param], api_key=KEY, base_url=fake.url, read_timeout_s=0.4)
    yield model
    await model.aclose()


@pytest_asyncio.fixture(params=[*ANTHROPIC, "scripted"])
async def model(request: pytest.FixtureRequest, fake: FakeAnthropic) -> AsyncIterator[Model]:
    name = request.param
    model: Model
    if name == "scripted":
        model = ScriptedModel(ttft_ms=10, spacing_ms=2)
    else:
        model = await asyncio.to_thread(ANTHROPIC[name], api_key=KEY, base_url=fake.url)
    assert model.name == name
    yield model
    await model.aclose()


# -- every model


async def test_a_stream_gives_its_text_in_order_and_then_exactly_one_end(model: Model) -> None:
    deltas = await deltas_of(model)
    *texts, end = deltas
    assert isinstance(end, End) and end.stop_reason == "end_turn" and end.usage.output_tokens == len(texts)
    assert all(isinstance(delta, Text) and delta.text for delta in texts)
    assert [delta.text for delta in texts if isinstance(delta, Text)] == pieces(reply(request().messages))


async def test_streams_at_one_time_do_not_mix(model: Model) -> None:
    words = [f"My number is {number}" for number in range(20)]
    answers = await asyncio.gather(*(deltas_of(model, word) for word in words))
    assert [said(answer) for answer in answers] == [f"You said: {word}. Is that right?" for word in words]


async def test_a_stream_closed_half_way_leaves_the_model_usable(model: Model) -> None:
    async with aclosing(model.stream(request())) as deltas:
        await anext(deltas)
    assert isinstance((await deltas_of(model))[-1], End)


async def test_a_stream_cancelled_while_it_waits_leaves_the_model_usable(model: Model, fake: FakeAnthropic) -> None:
    await fake.control(deltas=1000)  # on a busy machine ten words may all have come before the cancel does
    started = asyncio.Event()

    async def listen() -> None:
        async with aclosing(model.stream(request())) as deltas:
            async for _ in deltas:
                started.set()

    task = asyncio.create_task(listen())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await fake.control(reset=True)
    assert isinstance((await deltas_of(model))[-1], End)


async def test_warming_twice_and_before_any_stream_is_fine(model: Model) -> None:
    await model.warm()
    await model.warm()
    assert isinstance((await deltas_of(model))[-1], End)


async def test_closing_the_model_breaks_open_streams_and_refuses_new_ones(model: Model, fake: FakeAnthropic) -> None:
    await fake.control(spacing_ms=2000)  # there is more to come, whenever we get to close it
    async with aclosing(model.stream(request())) as deltas:
        await anext(deltas)
        await model.aclose()
        with pytest.raises(ModelBroken):
            async with asyncio.timeout(5):
                async for _ in deltas:
                    pass
    with pytest.raises(ModelUnavailable):
        await deltas_of(model)
    await model.aclose()
    await model.warm()


def tool_request(words: str) -> ModelRequest:
    return msgspec.structs.replace(request(words), tools=TOOLS)


async def test_a_call_comes_whole_and_the_end_says_that_a_tool_is_wanted(model: Model) -> None:
    async with asyncio.timeout(10), aclosing(model.stream(tool_request(BOOKING))) as stream:
        call, end = whole([delta async for delta in stream])
    assert isinstance(call, ToolCall) and call.id and call.name == "book"
    assert msgspec.json.decode(call.arguments) == {"day": "Monday", "name": "Bob"}
    assert isinstance(end, End) and end.stop_reason == "tool_use"


async def test_words_before_a_call_come_before_it(model: Model) -> None:
    async with asyncio.timeout(10), aclosing(model.stream(tool_request("Bye"))) as stream:
        *texts, call, end = whole([delta async for delta in stream])
    assert said(texts) == GOODBYE and len(texts) == len(pieces(GOODBYE))
    assert isinstance(call, ToolCall) and (call.name, call.arguments or "{}") == ("end_call", "{}")
    assert isinstance(end, End) and end.stop_reason == "tool_use"


async def test_no_two_calls_have_one_id(model: Model) -> None:
    ids = []
    for _ in range(3):
        async with asyncio.timeout(10), aclosing(model.stream(tool_request(BOOKING))) as stream:
            ids += [delta.id async for delta in stream if isinstance(delta, ToolCall)]
    assert len(ids) == len(set(ids)) == 3


async def test_a_model_that_may_call_nothing_speaks(model: Model) -> None:
    asked = msgspec.structs.replace(tool_request(BOOKING), tool_choice="none")
    async with asyncio.timeout(10), aclosing(model.stream(asked)) as stream:
        *texts, end = [delta async for delta in stream]
    assert texts and all(isinstance(delta, Text) for delta in texts)
    assert isinstance(end, End) and end.stop_reason == "end_turn"


# -- models with a provider


async def test_calls_and_texts_come_in_the_order_of_their_blocks(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await fake.control(blocks=CALLS)
    deltas = await deltas_of(anthropic_model)
    assert [(delta.name, delta.arguments) for delta in deltas if isinstance(delta, ToolCall)] == [
        ("book", '{"day": "Monday", "name": "Bob"}'),
        ("book", '{"day": "Tuesday", "name": "Ann Grüße"}'),
    ]
    assert [type(delta) for delta in deltas] == [Text, Text, ToolCall, ToolCall, Text, End]


async def test_closing_a_stream_inside_a_call_closes_the_provider_s(
    anthropic_model: Model, fake: FakeAnthropic
) -> None:
    await fake.control(blocks=[{"text": "Hm."}, {"tool": "book", "input": {"note": "word " * 2000}}], spacing_ms=5)
    async with aclosing(anthropic_model.stream(request())) as deltas:
        assert await anext(deltas) == Text("Hm.")
        for _ in range(4):
            assert await anext(deltas) is WRITING
    await ended(fake, lambda how: how == "peer_closed")
    (entry,) = await fake.log()
    assert entry["deltas_sent"] < 200


@pytest.mark.parametrize(
    ("fault", "outcome", "arguments"),
    [
        ("tool_cut", ModelBroken, []),
        ("tool_max_tokens", "max_tokens", ['{"day": "Monday", "name"']),
        ("tool_no_input", "max_tokens", [""]),
        ("tool_bad_json", "tool_use", ['{"day": "Monday", "name": "Bob"]', '{"day": "Tuesday", "name": "Ann Grüße"}']),
        ("slicer", "tool_use", ['{"day": "Monday", "name": "Bob"}', '{"day": "Tuesday", "name": "Ann Grüße"}']),
    ],
)
async def test_what_goes_wrong_inside_a_call_is_handed_on_as_it_came(
    anthropic_model: Model, fake: FakeAnthropic, fault: str, outcome: Outcome, arguments: list[str]
) -> None:
    await fake.control(blocks=CALLS, faults=[fault])
    deltas: list[Delta] = []
    how: Outcome
    try:
        async with asyncio.timeout(10), aclosing(anthropic_model.stream(request())) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 -- what came before an error must be kept
    except ModelError as exc:
        how = type(exc)
    else:
        assert isinstance(deltas[-1], End)
        how = deltas[-1].stop_reason
    assert how == outcome
    assert said(deltas).startswith("One moment. ")
    assert [delta.arguments for delta in deltas if isinstance(delta, ToolCall)] == arguments
    await fake.control(blocks=None)
    assert said(await deltas_of(anthropic_model)) == reply(request().messages)


@pytest.mark.parametrize(
    ("fault", "outcome", "texts"),
    [
        ("429", ModelRateLimited, False),
        ("529", ModelUnavailable, False),
        ("500", ModelUnavailable, False),
        ("401", ModelRejected, False),
        ("slow_head", ModelUnavailable, False),
        ("hang", ModelUnavailable, False),
        ("reset_before", ModelUnavailable, False),
        ("reset", ModelBroken, True),
        ("cut", ModelBroken, True),
        ("stall", ModelBroken, True),
        ("error_event", ModelBroken, True),
        ("no_message_stop", ModelBroken, True),
        ("refusal", "refusal", True),
        ("max_tokens", "max_tokens", True),
        ("slow_first", "end_turn", True),
        ("slicer", "end_turn", True),
        ("burst", "end_turn", True),
    ],
)
async def test_every_fault_ends_as_it_should_and_the_next_stream_is_whole(
    anthropic_model: Model, fake: FakeAnthropic, fault: str, outcome: Outcome, texts: bool
) -> None:
    await fake.control(faults=[fault], fault_s=5.0 if fault == "slow_head" else 0.05, ping_ms=50)
    deltas: list[Delta] = []
    ended: Outcome
    try:
        async with asyncio.timeout(10), aclosing(anthropic_model.stream(request())) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 -- what came before an error must be kept
    except ModelError as exc:
        ended = type(exc)
        assert KEY not in f"{exc!r} {exc.__dict__}"
        assert not any(isinstance(delta, End) for delta in deltas)
    else:
        assert isinstance(deltas[-1], End)
        ended = deltas[-1].stop_reason
    assert ended == outcome
    assert bool(said(deltas)) == texts
    assert said(await deltas_of(anthropic_model)) == reply(request().messages)


async def test_pings_without_text_keep_a_stream_open_until_it_is_closed(
    anthropic_model: Model, fake: FakeAnthropic
) -> None:
    await fake.control(fault="pings_only", ping_ms=50)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.8), aclosing(anthropic_model.stream(request())) as stream:
            await anext(stream)
    await ended(fake, lambda entry: entry == "peer_closed")


async def test_a_refusal_carries_what_the_api_said(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await fake.control(fault="429")
    with pytest.raises(ModelRateLimited) as caught:
        await deltas_of(anthropic_model)
    error = caught.value
    assert (error.status, error.kind, error.retry_after_s) == (429, "rate_limit_error", 2.0)
    assert error.request_id is not None and error.request_id.startswith("req_")
    assert error.retriable


async def test_an_error_event_carries_its_kind_and_the_request_id(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await fake.control(fault="error_event")
    with pytest.raises(ModelBroken) as caught:
        await deltas_of(anthropic_model)
    assert caught.value.kind == "overloaded_error"
    assert caught.value.request_id is not None and caught.value.request_id.startswith("req_")


async def test_closing_a_stream_closes_the_provider_s_at_once(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await fake.control(deltas=1000, spacing_ms=5)
    async with aclosing(anthropic_model.stream(request())) as deltas:
        for _ in range(3):
            await anext(deltas)
        closed_ns = time.monotonic_ns()
    await ended(fake, lambda how: how == "peer_closed")
    (entry,) = await fake.log()
    assert entry["closed_ns"] - closed_ns < 250e6  # 1 ms as measured; the rest is the machine's
    assert entry["deltas_sent"] < 100


async def test_cancelling_before_the_head_closes_the_provider_s_stream(
    anthropic_model: Model, fake: FakeAnthropic
) -> None:
    await fake.control(fault="hang")
    task = asyncio.create_task(deltas_of(anthropic_model))
    await logged(fake)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended(fake, lambda how: how == "peer_closed")


async def test_one_connection_serves_turn_after_turn(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await fake.control(faults=[None, "429", None, "529", "max_tokens", None])
    for _ in range(6):
        try:
            await deltas_of(anthropic_model)
        except ModelError:
            pass
    assert len({entry["connection"] for entry in await fake.log()}) == 1


async def test_taking_no_more_after_the_end_still_spares_the_connection(
    anthropic_model: Model, fake: FakeAnthropic
) -> None:
    for _ in range(3):
        async with aclosing(anthropic_model.stream(request())) as deltas:
            async for delta in deltas:
                if isinstance(delta, End):
                    break
    assert len({entry["connection"] for entry in await fake.log()}) == 1


async def test_a_warmed_connection_is_the_one_used(anthropic_model: Model, fake: FakeAnthropic) -> None:
    await anthropic_model.warm()
    await deltas_of(anthropic_model)
    await deltas_of(anthropic_model)
    assert len({entry["connection"] for entry in await fake.log()}) == 1


async def test_a_host_that_is_not_there_makes_the_model_unavailable_but_warming_says_nothing(
    unused_tcp_port: int,
) -> None:
    for make in ANTHROPIC.values():
        model = await asyncio.to_thread(make, api_key=KEY, base_url=f"http://127.0.0.1:{unused_tcp_port}")
        await model.warm()
        with pytest.raises(ModelUnavailable):
            await deltas_of(model)
        await model.aclose()


@pytest.mark.parametrize("make", ANTHROPIC.values())
def test_a_key_or_url_that_cannot_be_used_is_refused_without_being_shown(
    make: Callable[..., Model],
) -> None:
    for key in ("", "secret\n", "secr\u00e9t"):
        with pytest.raises(SettingsError) as caught:
            make(api_key=key)
        assert "secr" not in str(caught.value)
    with pytest.raises(SettingsError):
        make(api_key=KEY, base_url="api.example.com")


async def test_the_key_is_in_no_repr(anthropic_model: Model) -> None:
    assert KEY not in repr(anthropic_model)


async def logged(fake: FakeAnthropic) -> None:
    """Wait until a request has arrived."""
    async with asyncio.timeout(5):
        while True:
            if await fake.log():
                return


async def ended(fake: FakeAnthropic, how: Callable[[object], bool]) -> None:
    """Wait until the last request has ended in a way."""
    async with asyncio.timeout(5):
        while True:
            log = await fake.log()
            if log and how(log[-1]["ended"]):
                return
