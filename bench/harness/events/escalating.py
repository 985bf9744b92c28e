"""Callers who want a human: from the moment they have said so to the frame that hands them on."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Final

import msgspec

from bench.harness.faults.words import Question
from retell_ws.testing import CallEnded, DialError, FakeRetell

__all__ = ["FIRST", "PHRASE", "RULES", "Waited", "escalate"]

PHRASE: Final = "I want to speak to a human"

RULES: Final = """
[[rule]]
name = "asks for a human"
when = {{ phrases = ["speak to a human"] }}
then = [{{ action = "transfer", to = "{to}", say = "I will connect you now." }}]
"""

FIRST: Final = 500_000
"""Number of the first of these calls: none of the others has it."""

LONGEST_S: Final = 10.0


class Waited(msgspec.Struct, frozen=True):
    """One of these calls.

    Attributes:
        number: Its number.
        waited_ms: From the request to the transfer, in milliseconds; None when it did not come within ten seconds.
        to: The number they were handed on to.
    """

    number: int
    waited_ms: float | None
    to: str = ""


class _Frame(msgspec.Struct):
    transfer_number: str | None = None


_frame = msgspec.json.Decoder(_Frame)


async def escalate(url: str, count: int, *, at_once: int, seed: int, progress: Callable[[float], None]) -> list[Waited]:
    """Let so many people call, ask something, and then ask for a human.

    Args:
        url: What Retell is given.
        count: How many.
        at_once: How many of them at the same time.
        seed: Of the names of their calls.
        progress: Is told how far it is, from 0 to 1.
    """
    found: list[Waited] = []
    numbers = itertools.count(FIRST)

    async def slot(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while (number := next(numbers)) < FIRST + count:
            found.append(await _call(url, number, seed))
            progress(len(found) / count)

    async with asyncio.TaskGroup() as tasks:
        for place in range(at_once):
            tasks.create_task(slot(place * 1.5 / at_once))
    return found


async def _call(url: str, number: int, seed: int) -> Waited:
    transfers: list[tuple[float, str]] = []

    def heard(text: str) -> None:
        if (to := _frame.decode(text).transfer_number) is not None:
            transfers.append((time.monotonic(), to))

    retell = FakeRetell(
        url,
        call_id=f"call_{number:06d}_{seed:015x}",
        # A cold transfer is for phone calls only.
        details={"call_type": "phone_call", "start_timestamp": round(time.time() * 1000)},
        reminder_max_count=0,
        on_frame=heard,
    )
    try:
        async with retell:
            await retell.greeting()
            await retell.ask(Question(number, 1, 6).text)
            asked_at = time.monotonic()
            await retell.request(f"{Question(number, 2, 18).text}. {PHRASE}")
            await retell.until(lambda: bool(transfers), timeout_s=LONGEST_S)
    except (CallEnded, DialError, TimeoutError):
        if not transfers:
            return Waited(number, None)
    at, to = transfers[0]
    return Waited(number, (at - asked_at) * 1000, to)
