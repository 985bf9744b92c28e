"""Our own server passes the conformance suite, every check of it."""

from __future__ import annotations

import asyncio

from retell_ws.agent import Agent
from retell_ws.agent_file import load
from retell_ws.blueprints import running
from retell_ws.handle import Call
from retell_ws.reminders import Reminders
from retell_ws.settings import load as load_settings
from retell_ws.testing.checking import Outcome, Patience
from retell_ws.testing.conformance import Report, run

TOOL_S = 0.1
"""Long enough for a caller, or a broken line, to come into it."""


def desk() -> Agent:
    """An agent that can do everything the suite asks for."""
    agent = Agent(
        "You are Ana, the receptionist of Harbor Clinic.",
        greeting="Harbor Clinic, this is Ana. How can I help you?",
        transfers={"the nurse": "+14155550142"},
        end_call=True,
        keypad=True,
        reminders=Reminders(times=1),
    )
    booked: list[str] = []

    @agent.tool(say="One moment, I will book that.")
    async def book(day: str, name: str) -> str:
        """Book an appointment.

        Args:
            day: the day
            name: the caller's name
        """
        await asyncio.sleep(TOOL_S)
        booked.append(name)
        return f"You are booked for {day}, number {len(booked)}."

    @agent.tool
    async def press(call: Call, number: int) -> str:
        """Press a key.

        Args:
            number: the key
        """
        call.press(str(number))
        return "It is pressed."

    return agent


async def conformance(agent: Agent, *only: str, **more: object) -> Report:
    settings = load_settings(
        {"port": 0, "model": "scripted", "scripted_ttft_ms": 20, "scripted_spacing_ms": 10, **more}, environment={}
    )
    async with running(agent, settings) as server:
        return await run(server.url, only=only, patience=Patience(pong_s=1.0, settle_s=0.15, away_s=0.3))


def outcomes(report: Report, *but: Outcome) -> dict[str, str]:
    return {result.name: result.seen for result in report.results if result.outcome not in but}


async def test_our_server_passes_every_check() -> None:
    assert outcomes(await conformance(desk()), Outcome.PASSED) == {}


async def test_it_passes_them_when_it_asks_the_model_ahead() -> None:
    report = await conformance(desk(), speculate=True, speculation_percent=1000, speculation_tokens=10**9)
    assert outcomes(report, Outcome.PASSED) == {}


async def test_an_agent_without_tools_is_asked_for_none() -> None:
    report = await conformance(load("retell_ws.examples.receptionist"))
    assert outcomes(report, Outcome.PASSED, Outcome.SKIPPED) == {}
    skipped = {result.topic for result in report.results if result.outcome is Outcome.SKIPPED}
    assert skipped == {"tools", "actions", "spoken_into", "keypad"}


async def test_the_clinic_passes_every_check_of_what_it_does() -> None:
    report = await conformance(load("retell_ws.examples.clinic"), "tools", "actions", "spoken_into")
    assert set(outcomes(report, Outcome.PASSED)) == {"pressed-digits-are-keys"}, "it calls no machines"
