"""The reminder, which calls by itself: how to test an outbound agent, its silence, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from retell_ws.examples import reminder
from retell_ws.examples.reminder import agent
from retell_ws.request import ModelRequest
from retell_ws.testing import Calling, Use

OUTBOUND: dict[str, Any] = {
    "direction": "outbound",
    "retell_llm_dynamic_variables": {"customer_name": "Bo", "appointment": "on Friday at ten"},
}


@pytest.fixture(autouse=True)
def outcomes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    outcomes: dict[str, str] = {}
    monkeypatch.setattr(reminder, "outcomes", outcomes)
    return outcomes


async def test_it_greets_with_what_the_call_was_placed_with(calling: Calling) -> None:
    async with calling(agent, details=OUTBOUND) as caller:
        assert caller.heard == (
            "Hello Bo, this is Ana of Harbor Clinic. I am calling about your appointment on Friday at ten. "
            "Can you come?"
        )


async def test_it_greets_without_it_too(calling: Calling) -> None:
    async with calling(agent, details={"direction": "outbound"}) as caller:
        assert caller.heard == (
            "Hello, this is Ana of Harbor Clinic. I am calling about your appointment. Can you come?"
        )


async def test_the_model_is_told_of_the_appointment(calling: Calling) -> None:
    def knows(request: ModelRequest) -> str:
        assert "on Friday at ten" in request.messages[0].text
        return "On Friday at ten."

    async with calling(agent, [knows], details=OUTBOUND) as caller:
        await caller.says("When was it again?")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (["Yes."], "confirmed"),
        (["No.", "Thursday"], "moved to Thursday"),
        (["Could I come another day?", "next Monday"], "moved to next Monday"),
        (["Please cancel it."], "cancelled"),
        (["Yes.", "Oh, I need another day", "Monday"], "moved to Monday"),
        (["Who is this?"], "not reached"),
    ],
)
async def test_what_was_answered_is_written_down_when_the_call_is_over(
    calling: Calling, outcomes: dict[str, str], said: list[str], outcome: str
) -> None:
    async with calling(agent, details=OUTBOUND) as caller:
        for words in said:
            await caller.says(words)
        assert outcomes == {}, "not before"
        await caller.says("Goodbye.")
        assert await caller.ended() == "agent_hangup"
    assert list(outcomes.values()) == [outcome]


async def test_the_last_answer_counts(calling: Calling, outcomes: dict[str, str]) -> None:
    steps = [Use("confirm"), "Good.", Use("reschedule", day="Monday"), "Moved.", Use("confirm"), "As it was, then."]
    async with calling(agent, steps, details=OUTBOUND) as caller:
        for words in ("Yes.", "Or rather Monday.", "No, leave it as it is."):
            await caller.says(words)
    assert list(outcomes.values()) == ["confirmed"]


async def test_a_silent_line_is_left_after_two_reminders(calling: Calling, outcomes: dict[str, str]) -> None:
    async with calling(agent, details=OUTBOUND) as caller:
        for _ in range(2):
            assert (await caller.says_nothing()).text == "Are you still there?"
        farewell = await caller.says_nothing()
        assert farewell.text == "I cannot hear you, so I will try again later. Goodbye."
        assert await caller.ended() == "agent_hangup"
    assert list(outcomes.values()) == ["not reached"]


async def test_whoever_hangs_up_is_written_down_too(calling: Calling, outcomes: dict[str, str]) -> None:
    async with calling(agent, details=OUTBOUND) as caller:
        await caller.says("Yes.")
        await caller.hangs_up()
    assert list(outcomes.values()) == ["confirmed"]
