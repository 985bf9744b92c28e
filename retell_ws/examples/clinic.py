"""A clinic's receptionist: tells the free times, books, cancels what the caller booked, and hands on to the nurse.

Try it: retell_ws chat clinic.py --from-number +14155550123
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from retell_ws import Agent, Call, Reminders, ToolError, serve

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]


class Appointment(NamedTuple):
    day: Day
    time: str
    name: str


class Diary:
    """Stands for the clinic's own system: all calls share it, and a restart empties it."""

    def __init__(self) -> None:
        self.booked: dict[str, Appointment] = {}
        self.free: dict[Day, list[str]] = {
            "Monday": ["nine", "eleven"],
            "Tuesday": ["ten"],
            "Wednesday": ["two"],
            "Thursday": [],
            "Friday": ["four"],
        }

    async def book(self, caller: str, day: Day, name: str) -> Appointment:
        if kept := self.booked.get(caller):
            raise ToolError(f"You already have an appointment, on {kept.day} at {kept.time}.")
        if not self.free[day]:
            raise ToolError(f"We are full on {day}. Would another day suit you?")
        self.booked[caller] = Appointment(day, self.free[day].pop(0), name)
        return self.booked[caller]

    async def cancel(self, caller: str) -> Appointment:
        if caller not in self.booked:
            raise ToolError("There is no appointment under the number you are calling from.")
        kept = self.booked.pop(caller)
        self.free[kept.day].insert(0, kept.time)
        return kept


diary = Diary()

agent = Agent(
    "You are Ana, the receptionist of Harbor Clinic, on the phone. Answer in one or two short sentences. "
    "To book, find out the day and the name. Say that something was booked or cancelled only when the tool said so. "
    "Leave medical questions to the nurse.",
    greeting="Harbor Clinic, this is Ana. How can I help you?",
    transfers={"the nurse": "+14155550142"},
    end_call=True,
    reminders=Reminders(times=1),
)


@agent.tool(side_effect=False)
async def free_times(day: Day) -> str:
    """Tell which times are free on a day."""
    times = diary.free[day]
    return f"On {day} you could come at {' or at '.join(times)}." if times else f"We are full on {day}."


@agent.tool(say="One moment, I will book that.", resets=["cancel"])
async def book(call: Call, day: Day, name: str) -> str:
    """Book the first free time of a day; each caller may have one appointment."""
    kept = await diary.book(caller_of(call), day, name)
    return f"You are booked for {kept.day} at {kept.time}, {kept.name}."


@agent.tool(resets=["book"])  # the same booking once more is a new one after this
async def cancel(call: Call) -> str:
    """Cancel the caller's appointment."""
    kept = await diary.cancel(caller_of(call))
    return f"Your appointment on {kept.day} at {kept.time} is cancelled."


def caller_of(call: Call) -> str:
    """Tell callers apart by what the telephone network says, never by what they, or the model, say."""
    return call.caller.number or call.id  # a web call has no number: it knows what was booked in it, nothing else


if __name__ == "__main__":
    serve(agent)
