"""An outbound call that reminds of an appointment, and takes a yes, a no or another day for an answer.

Try it: retell_ws chat reminder.py --var customer_name=Bo --var "appointment=on Friday at ten"
"""

from __future__ import annotations

import msgspec

from retell_ws import Agent, Call, Lines, Reminders, serve

# Stands for the clinic's own system: what came of each call.
outcomes: dict[str, str] = {}


class State(msgspec.Struct):
    """What this call has come to. Each call has one of its own."""

    outcome: str = "not reached"


def greet(call: Call) -> str:
    """Greet with the dynamic variables the call was placed with, or without them."""
    name = call.variables.get("customer_name")
    when = call.variables.get("appointment")
    hello = f"Hello {name}" if name else "Hello"
    appointment = f"your appointment {when}" if when else "your appointment"
    return f"{hello}, this is Ana of Harbor Clinic. I am calling about {appointment}. Can you come?"


agent = Agent(
    "You are Ana of Harbor Clinic, and you have called to remind of an appointment. One short sentence at a time. "
    "Find out whether they can come, note it with the tools, then say goodbye.",
    greeting=greet,
    state=State,
    call_data=["customer_name", "appointment"],
    end_call=True,
    reminders=Reminders(after_s=6, times=2),
    lines=Lines(farewell="I cannot hear you, so I will try again later. Goodbye."),
)


# Those called may change their mind, and the last answer counts: it is noted in the call's own state, which is no side
# effect, and the clinic hears of it once, at the end.
@agent.tool(side_effect=False)
async def confirm(call: Call) -> str:
    """Note that they can come as planned."""
    call.state.outcome = "confirmed"
    return "Thank you, we look forward to seeing you."


@agent.tool(side_effect=False)
async def reschedule(call: Call, day: str) -> str:
    """Move the appointment to another day.

    Args:
        day: The day they chose.
    """
    call.state.outcome = f"moved to {day}"
    return f"I have moved your appointment to {day}."


@agent.tool(side_effect=False)
async def cancel(call: Call) -> str:
    """Cancel the appointment: they cannot come, and want no other day."""
    call.state.outcome = "cancelled"
    return "I have cancelled your appointment."


@agent.on_end
async def write_down(call: Call) -> None:
    """Tell the clinic what came of the call, whichever way it ended."""
    outcomes[call.id] = call.state.outcome


if __name__ == "__main__":
    serve(agent)
