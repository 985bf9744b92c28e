"""The agent of the soak bench: it books, looks up, hands on, hangs up; and on SIGUSR1 it tells what is in its process.

Only the process itself knows its tasks, its sessions and its objects, so it is asked from outside, and answers with a
line in the file that `SOAK_TOLD` names. It counts; it collects no garbage, which would change what is measured.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from typing import Literal

import msgspec

from retell_ws import Agent
from retell_ws.session import Session

TOLD = "SOAK_TOLD"


class Notes(msgspec.Struct):
    """What the agent keeps of a call."""

    booked: str = ""


agent = Agent(
    "You are Ana, the receptionist of Harbor Clinic. Answer in one or two short sentences.",
    greeting="Harbor Clinic, this is Ana. How can I help?",
    transfers={"the nurse": "+14155550142"},
    end_call=True,
    state=Notes,
)


@agent.tool(say="One moment, I will book that.")
async def book(day: Literal["Monday", "Tuesday"], name: str) -> str:
    """Book an appointment."""
    await asyncio.sleep(0.05)
    return f"You are booked for {day}, {name}."


@agent.tool(side_effect=False)
def check_status(name: str) -> str:
    """Look up an appointment. A plain function: it runs in a thread."""
    return f"There is nothing booked for {name}."


def tell(*_: object) -> None:
    """Write down what is in this process now."""
    objects = gc.get_objects()
    counts = {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "objects": len(objects),
        "sessions": sum(type(thing) is Session for thing in objects),
    }
    del objects
    descriptor = os.open(os.environ[TOLD], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(counts) + b"\n")
    finally:
        os.close(descriptor)


if TOLD in os.environ:
    # Not through the loop, which does not run yet. uvloop lets Python's own handlers run between two rounds.
    signal.signal(signal.SIGUSR1, tell)
