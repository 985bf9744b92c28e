"""The clinic, called: how to test an agent that books.

Where the test says nothing of the model the scripted one answers, which finds out what a tool needs and calls it. Where
it matters what the model chose, the test writes that down, one step for each time the model is asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from retell_ws.examples import clinic
from retell_ws.examples.clinic import Appointment, Diary, agent
from retell_ws.testing import Calling, Use

BO, ANN = "+14155550101", "+14155550102"


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """A diary for each test alone: the same way a fake takes the place of the clinic's real system."""
    diary = Diary()
    monkeypatch.setattr(clinic, "diary", diary)
    return diary


# -- what a caller can do


async def test_a_caller_books(calling: Calling, diary: Diary) -> None:
    async with calling(agent, details={"from_number": BO}) as caller:
        assert "Which day" in (await caller.says("I would like to book.")).text
        assert "name" in (await caller.says("Tuesday, please.")).text
        answer = await caller.says("Bo")
        assert "You are booked for Tuesday at ten, Bo." in answer.text
        assert caller.tools == [("book", {"day": "Tuesday", "name": "Bo"})]
    assert diary.booked == {BO: Appointment("Tuesday", "ten", "Bo")}
    assert diary.free["Tuesday"] == []


async def test_a_day_that_is_full_leads_to_another_one(calling: Calling, diary: Diary) -> None:
    async with calling(agent, details={"from_number": BO}) as caller:
        answer = await caller.says("Book Thursday for me, my name is Bo.")
        assert "We are full on Thursday." in answer.text
        await caller.says("Then Friday.")
        assert [run.successful for run in caller.runs] == [False, True]
    assert diary.booked[BO] == Appointment("Friday", "four", "Bo")


async def test_a_caller_hears_the_free_times(calling: Calling) -> None:
    async with calling(agent) as caller:
        answer = await caller.says("Which times are free on Monday?")
        assert answer.text.startswith("On Monday you could come at nine or at eleven.")


async def test_a_caller_cancels_and_the_time_is_free_again(calling: Calling, diary: Diary) -> None:
    async with calling(agent, details={"from_number": BO}) as caller:
        await caller.says("Book Wednesday, my name is Bo.")
        assert diary.free["Wednesday"] == []
        await caller.says("I have to cancel my appointment.")
        assert "Your appointment on Wednesday at two is cancelled." in caller.heard
    assert diary.booked == {} and diary.free["Wednesday"] == ["two"]


async def test_a_caller_is_handed_on_to_the_nurse(calling: Calling) -> None:
    async with calling(agent) as caller:
        await caller.says("Could I talk to the nurse?")
        assert [(action.kind, action.value) for action in caller.actions] == [("transfer_number", "+14155550142")]
        assert await caller.ended() == "call_transfer"


async def test_a_caller_says_goodbye_and_the_agent_hangs_up(calling: Calling) -> None:
    async with calling(agent) as caller:
        assert (await caller.says("No thanks, bye.")).text == "Thank you. Goodbye!"
        assert await caller.ended() == "agent_hangup"


async def test_a_caller_who_is_silent_is_asked_once_and_left_politely(calling: Calling) -> None:
    async with calling(agent) as caller:
        assert (await caller.says_nothing()).text == "Are you still there?"
        assert (await caller.says_nothing()).text == agent.lines.farewell
        assert await caller.ended() == "agent_hangup"


# -- what must never happen


async def test_nobody_cancels_what_somebody_else_booked(calling: Calling, diary: Diary) -> None:
    diary.booked[ANN] = Appointment("Tuesday", "ten", "Ann")
    steps = [Use("cancel"), "I cannot find any.", Use("cancel", number=ANN), "I cannot do that."]
    async with calling(agent, steps, details={"from_number": BO}) as caller:
        await caller.says("This is Ann. Cancel my appointment.")
        await caller.says(f"My number is {ANN}. Cancel it!")
        assert [run.successful for run in caller.runs] == [False], "and the second had an argument there is none of"
    assert ANN in diary.booked


async def test_a_web_call_knows_only_what_was_booked_in_it(calling: Calling, diary: Diary) -> None:
    web = {"call_type": "web_call", "direction": None, "from_number": None, "to_number": None}
    async with calling(agent, details=web) as caller:
        await caller.says("Book Friday, my name is Bo.")
    async with calling(agent, details=web) as caller:
        await caller.says("Cancel my appointment.")
        assert "There is no appointment" in caller.heard
    assert [kept.name for kept in diary.booked.values()] == ["Bo"]


async def test_a_caller_who_speaks_into_the_booking_is_booked_once(
    calling: Calling, diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    really_book = diary.book

    async def slowly(*booking: Any) -> Appointment:
        begun.set()
        await may_end.wait()
        return await really_book(*booking)

    monkeypatch.setattr(diary, "book", slowly)
    # The model chooses the tool again when it is asked again, as models do.
    steps = [Use("book", day="Monday", name="Bo"), Use("book", day="Monday", name="Bo"), "You are booked."]
    async with calling(agent, steps, details={"from_number": BO}) as caller:
        assert "One moment" in await caller.begins("Monday, for Bo.")
        await begun.wait()
        await caller.speaks("Hello? Did you hear me?")
        may_end.set()
        assert (await caller.hears()).text.endswith("You are booked.")
        assert caller.tools == [("book", {"day": "Monday", "name": "Bo"})]
    assert diary.booked == {BO: Appointment("Monday", "nine", "Bo")}
    assert diary.free["Monday"] == ["eleven"]


async def test_a_caller_with_an_appointment_gets_no_second_one(calling: Calling, diary: Diary) -> None:
    steps = [Use("book", day="Monday", name="Bo"), "Booked.", Use("book", day="Friday", name="Bo"), "You have one."]
    async with calling(agent, steps, details={"from_number": BO}) as caller:
        await caller.says("Monday, for Bo.")
        await caller.says("And Friday!")
        assert caller.runs[1].result == "You already have an appointment, on Monday at nine."
    assert diary.free["Friday"] == ["four"]


async def test_of_two_callers_one_gets_the_last_time(calling: Calling, diary: Diary) -> None:
    async with calling(agent, details={"from_number": BO}) as bo, calling(agent, details={"from_number": ANN}) as ann:
        await bo.says("Book Tuesday, my name is Bo.")
        assert "We are full on Tuesday." in (await ann.says("Book Tuesday, my name is Ann.")).text
    assert [kept.name for kept in diary.booked.values()] == ["Bo"]


async def test_booked_cancelled_and_booked_again_is_booked(calling: Calling, diary: Diary) -> None:
    steps: list[Any] = [Use("book", day="Tuesday", name="Bo"), "Booked.", Use("cancel"), "Cancelled."]
    async with calling(agent, [*steps, *steps, *steps[:2]], details={"from_number": BO}) as caller:
        for said in ("Book Tuesday.", "Cancel it.", "No, I want it after all.", "Or rather not.", "Yes, I do."):
            await caller.says(said)
        assert [name for name, _ in caller.tools] == ["book", "cancel", "book", "cancel", "book"]
    assert diary.booked == {BO: Appointment("Tuesday", "ten", "Bo")}
