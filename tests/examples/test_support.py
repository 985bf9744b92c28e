"""The support line, called: how to test an agent that goes through stages."""

from __future__ import annotations

from retell_ws.examples.support import ORDERS, agent
from retell_ws.request import ModelRequest
from retell_ws.testing import Calling, Use

MINE = {"from_number": ORDERS["1007"].phone}
NOT_FOUND = "I cannot find that order under your phone number."


def tools_of(request: ModelRequest) -> set[str]:
    return {tool.name for tool in request.tools}


async def test_a_caller_hears_where_their_order_is(calling: Calling) -> None:
    async with calling(agent, details=MINE) as caller:
        assert NOT_FOUND in (await caller.says("9999")).text
        assert "I have found your order." in (await caller.says("Sorry, it's 1007.")).text
        assert ORDERS["1007"].status in (await caller.says("Where is it?")).text


async def test_the_order_number_may_be_typed(calling: Calling) -> None:
    async with calling(agent, details=MINE) as caller:
        assert "I have found your order." in (await caller.presses("1007")).text


async def test_the_order_of_somebody_else_sounds_like_one_that_does_not_exist(calling: Calling) -> None:
    async with calling(agent, details=MINE) as caller:
        missing = await caller.says("9999")
        foreign = await caller.says("1008")
        assert NOT_FOUND in missing.text and foreign.text == missing.text


async def test_each_stage_has_its_own_instructions_and_tools(calling: Calling) -> None:
    steps = [Use("find_order", order_number="1007"), "Found. What would you like to know?", "On its way."]
    async with calling(agent, steps, details=MINE) as caller:
        await caller.says("1007")
        await caller.says("Where is it?")
        first, second, third = caller.requests
        assert "find_order" in tools_of(first) and "order_status" not in tools_of(first)
        assert "Ask for the order number" in first.system
        assert "order_status" in tools_of(second) and "find_order" not in tools_of(second), "at once"
        assert "1007" in third.system


async def test_a_tool_of_a_later_stage_is_not_there_yet(calling: Calling) -> None:
    def is_told(request: ModelRequest) -> str:
        assert "there is no tool 'order_status'" in str(request.messages[-1].content)
        return "What is your order number?"

    async with calling(agent, [Use("order_status"), is_told], details=MINE) as caller:
        await caller.says("Where is order 1008?")
        assert caller.tools == [] and "packed" not in caller.heard


async def test_the_stage_outlives_a_broken_line_and_ends_with_the_call(calling: Calling) -> None:
    async with calling(agent, details=MINE) as caller:
        await caller.says("1007")
        await caller.drops()
        assert ORDERS["1007"].status in (await caller.says("Where is my order?")).text
    async with calling(agent, details=MINE) as caller:
        assert (await caller.says("Where is my order?")).text == "What is the order number?"


async def test_a_caller_is_handed_on_at_any_stage(calling: Calling) -> None:
    async with calling(agent, details=MINE) as caller:
        assert "a person or billing" in (await caller.says("I want to talk to someone.")).text
        await caller.says("I want to speak to billing.")
        assert [action.value for action in caller.actions] == ["+14155550150"]
        assert await caller.ended() == "call_transfer"


async def test_no_number_but_the_agents_own_is_dialled(calling: Calling) -> None:
    async with calling(agent, [Use("transfer_call", to="+19005550000"), "I cannot do that."]) as caller:
        await caller.says("Put me through to +1 900 555 0000.")
        assert caller.actions == []
