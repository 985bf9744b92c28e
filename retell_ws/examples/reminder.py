"""An outbound call that reminds of an appointment, and takes a yes, a no, or another day."""

from __future__ import annotations

from retell_ws import Agent, Call, Reminders, serve

ANSWERS: dict[str, str] = {}
"""What came of each call, by its id; stands here for the clinic's own system."""


def greet(call: Call) -> str:
    """Begin with what the call was placed with: `customer_name` and `appointment` are its dynamic variables."""
    name = call.variables.get("customer_name", "")
    when = call.variables.get("appointment", "this week")
    hello = f"Hello {name}" if name else "Hello"
    return f"{hello}, this is Ana of Harbor Clinic. You have an appointment {when}. Will you come?"


agent = Agent(
    "You are Ana of Harbor Clinic and you called to remind of an appointment. One short sentence at a time. "
    "Find out whether they come, confirm or move it with the tools, then say goodbye.",
    greeting=greet,
    call_data=["customer_name", "appointment"],
    end_call=True,
    reminders=Reminders(after_s=6, times=2),
)


@agent.tool
async def confirm(call: Call) -> str:
    """Note that they come as planned."""
    ANSWERS[call.id] = "comes"
    return "Thank you, I have noted that you will come."


@agent.tool
async def reschedule(call: Call, day: str) -> str:
    """Move the appointment to another day.

    Args:
        day: the day
    """
    ANSWERS[call.id] = f"moved to {day}"
    return f"I have moved your appointment to {day}."


@agent.on_end
async def write_down(call: Call) -> None:
    """Leave no call without an answer."""
    ANSWERS.setdefault(call.id, "no answer")


if __name__ == "__main__":
    serve(agent)
