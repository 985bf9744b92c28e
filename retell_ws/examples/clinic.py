"""A clinic's receptionist: looks up free times, books, and cancels what the caller booked."""

from __future__ import annotations

from typing import Literal

from retell_ws import Agent, Call, Reminders, ToolError, serve

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]

FREE: dict[Day, list[str]] = {
    "Monday": ["nine", "eleven"],
    "Tuesday": ["ten"],
    "Wednesday": ["two"],
    "Friday": ["four"],
}
BOOKED: dict[str, tuple[Day, str, str]] = {}
"""By the caller's number; both stand here for the clinic's own system."""

agent = Agent(
    "You are Ana, the receptionist of Harbor Clinic, on the phone. Answer in one or two short sentences. "
    "Offer free times, ask for the name, book. Say that something was booked or cancelled only when the tool said so.",
    greeting="Harbor Clinic, this is Ana. How can I help you?",
    transfers={"the nurse": "+14155550142"},
    end_call=True,
    reminders=Reminders(times=1),
)


@agent.tool(side_effect=False)
def free_times(day: Day) -> list[str]:
    """Find the free times of a day.

    Args:
        day: the day
    """
    return FREE.get(day, [])


@agent.tool(say="One moment, I will book that.")
async def book(call: Call, day: Day, name: str) -> str:
    """Book the first free time of a day.

    Args:
        day: the day
        name: the caller's name
    """
    if not FREE.get(day):
        raise ToolError(f"There is nothing free on {day}.")
    time = FREE[day].pop(0)
    BOOKED[_caller(call)] = (day, time, name)
    return f"You are booked for {day} at {time}, {name}."


@agent.tool
async def cancel(call: Call) -> str:
    """Cancel the caller's appointment."""
    booked = BOOKED.pop(_caller(call), None)
    if booked is None:
        raise ToolError("There is no appointment under the number this call comes from.")
    day, time, _ = booked
    FREE[day].insert(0, time)
    return f"Your appointment on {day} at {time} is cancelled."


def _caller(call: Call) -> str:
    # Who calls is what the telephone network says, never what the caller or the model says.
    return call.caller.number or call.id


if __name__ == "__main__":
    serve(agent)
