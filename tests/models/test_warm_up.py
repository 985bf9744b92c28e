"""Warm-ups of the prompt cache and reasons for its misses, through both clients, at the fake API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from retell_ws.models.anthropic import AnthropicModel
from retell_ws.models.anthropic_sdk import AnthropicSdkModel
from retell_ws.ports import End, Model
from retell_ws.request import Message, ModelRequest
from retell_ws.testing.fake_anthropic import FakeAnthropic
from retell_ws.tool import ToolSpec

pytestmark = pytest.mark.usefixtures("clean_loop")

TOOL = ToolSpec("book", "Book an appointment.", msgspec.Raw(b'{"type":"object","properties":{}}'))


def question(words: str, *earlier: Message, agent: str) -> ModelRequest:
    """Ask an agent of a name: no other test has filled the cache with its beginning."""
    return ModelRequest(
        system=f"You are {agent}. " + "Be brief and kind. " * 200,
        messages=(*earlier, Message("user", words)),
        max_tokens=100,
        tools=(TOOL,),
    )


@pytest_asyncio.fixture(params=[AnthropicModel, AnthropicSdkModel])
async def model(request: pytest.FixtureRequest, fake: FakeAnthropic) -> AsyncIterator[Model]:
    make: Callable[..., Model] = request.param
    made = await asyncio.to_thread(make, api_key="sk-ant-1", base_url=fake.url)
    yield made
    await made.aclose()


async def end_of(model: Model, request: ModelRequest) -> End:
    async with asyncio.timeout(10):
        deltas = [delta async for delta in model.stream(request)]
    assert isinstance(deltas[-1], End)
    return deltas[-1]


async def warm_ups(fake: FakeAnthropic) -> list[dict[str, Any]]:
    return [entry["body"] for entry in await fake.log() if entry["body"]["max_tokens"] == 0]


async def test_the_first_question_reads_what_the_warm_up_has_written(
    model: Model, fake: FakeAnthropic, request: pytest.FixtureRequest
) -> None:
    agent = request.node.name
    await model.warm(question("(nothing yet)", agent=agent))
    (body,) = await warm_ups(fake)
    assert "stream" not in body and "cache_control" not in body
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    usage = (await end_of(model, question("Hello?", agent=agent))).usage
    assert usage.cache_read_input_tokens > 800
    assert usage.cache_creation_input_tokens < 100 > usage.input_tokens


async def test_without_it_the_first_question_writes_and_the_next_one_reads(
    model: Model, fake: FakeAnthropic, request: pytest.FixtureRequest
) -> None:
    agent = request.node.name
    first = question("Hello?", agent=agent)
    usage = (await end_of(model, first)).usage
    assert usage.cache_read_input_tokens == 0 and usage.cache_creation_input_tokens > 800
    second = question("And then?", *first.messages, Message("assistant", "Yes."), agent=agent)
    assert (await end_of(model, second)).usage.cache_read_input_tokens > 800
    await model.warm(first)
    assert await warm_ups(fake) == [], "a question has filled the cache already"


async def test_another_call_of_the_agent_reads_the_part_that_they_share(
    model: Model, request: pytest.FixtureRequest
) -> None:
    agent = request.node.name
    await end_of(model, question("I am Ann. " * 300, agent=agent))
    usage = (await end_of(model, question("I am Bob. " * 300, agent=agent))).usage
    assert 800 < usage.cache_read_input_tokens < 1200


async def test_one_warm_up_at_a_time_and_one_for_all_calls_at_once(
    model: Model, fake: FakeAnthropic, request: pytest.FixtureRequest
) -> None:
    beginning = question("(nothing yet)", agent=request.node.name)
    await asyncio.gather(*[model.warm(beginning) for _ in range(20)])
    await model.warm(beginning)
    assert len(await warm_ups(fake)) == 1


async def test_a_short_prompt_is_not_warmed(model: Model, fake: FakeAnthropic) -> None:
    await model.warm(msgspec.structs.replace(question("(nothing yet)", agent="Ana"), system="You are Ana."))
    await model.warm()
    assert await warm_ups(fake) == []


@pytest.mark.parametrize("fault", ["529", "429", "401", "reset_before"])
async def test_a_warm_up_that_fails_is_nobody_s_affair(
    model: Model, fake: FakeAnthropic, fault: str, request: pytest.FixtureRequest
) -> None:
    beginning = question("(nothing yet)", agent=request.node.name)
    await fake.control(fault=fault)
    async with asyncio.timeout(5):
        await model.warm(beginning)
    await fake.control(reset=True)
    await fake.clear()
    await model.warm(beginning)
    # Who refuses one would refuse the next; where nobody answered, nothing is known.
    assert len(await warm_ups(fake)) == (fault == "reset_before")


async def test_a_warm_up_that_is_cancelled_closes_its_request_and_may_be_made_again(
    model: Model, fake: FakeAnthropic, request: pytest.FixtureRequest
) -> None:
    beginning = question("(nothing yet)", agent=request.node.name)
    await fake.control(fault="hang")
    warming = asyncio.create_task(model.warm(beginning))
    async with asyncio.timeout(5):
        while not await warm_ups(fake):
            pass  # each look is a request of its own
        warming.cancel()
        await asyncio.wait((warming,))
        while (await fake.log())[0]["ended"] is None:
            pass
    await fake.control(reset=True)
    await model.warm(beginning)
    assert len(await warm_ups(fake)) == 2


async def test_after_the_warm_up_two_questions_find_a_connection(fake: FakeAnthropic) -> None:
    model = AnthropicModel(api_key="sk-ant-1", base_url=fake.url)
    await model.warm(question("(nothing yet)", agent="nobody else"))
    assert (model.statistics().idle, model.statistics().opened) == (2, 2)
    await model.aclose()


# ------------------------------------------------------------------------ misses


async def test_a_conversation_that_grows_has_no_miss_and_ids_lead_from_one_request_to_the_next(
    model: Model, request: pytest.FixtureRequest
) -> None:
    agent = request.node.name
    talk: list[Message] = []
    previous_id = ""
    for number in range(4):
        asked = question(f"Question {number}?", *talk, agent=agent)
        end = await end_of(model, msgspec.structs.replace(asked, previous_id=previous_id))
        assert (end.cache_miss, end.message_id.startswith("msg_")) == ("", True)
        assert end.message_id != previous_id
        previous_id = end.message_id
        talk = [*asked.messages, Message("assistant", f"Answer {number}.")]


@pytest.mark.parametrize(
    ("changes", "miss"),
    [
        ({}, ""),
        ({"model": "claude-sonnet-5-5"}, "model_changed"),
        ({"system": "You are Eve."}, "system_changed"),
        ({"tools": ()}, "tools_changed"),
        ({"messages": (Message("user", "Something else?"),)}, "messages_changed"),
        ({"tool_choice": "none"}, "unavailable"),
        ({"previous_id": "msg_of_nobody"}, "previous_message_not_found"),
    ],
)
async def test_a_miss_has_its_reason(
    model: Model, changes: dict[str, object], miss: str, request: pytest.FixtureRequest
) -> None:
    first = question("Hello?", agent=request.node.name)
    previous_id = (await end_of(model, first)).message_id
    second = msgspec.structs.replace(first, **{"previous_id": previous_id, **changes})
    assert (await end_of(model, second)).cache_miss == miss


async def test_the_own_client_knows_how_long_it_waited_for_a_connection(fake: FakeAnthropic) -> None:
    model = AnthropicModel(api_key="sk-ant-1", base_url=fake.url)
    for _ in range(2):  # on a new connection, and on the one that was kept
        connect_s = (await end_of(model, question("Hello?", agent="timed"))).connect_s
        assert connect_s is not None and 0 <= connect_s < 5
    await model.aclose()
