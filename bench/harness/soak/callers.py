"""People who call, talk for some seconds and are gone, in every way in which calls go. A process of its own.

python -m bench.harness.soak.callers --url ws://127.0.0.1:8080/llm-websocket --per-minute 500 --seconds 3600 --seed 7

It prints one line of JSON in the end: how many calls there were, by kind, and how they went.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

import cyclopts
import msgspec
import uvloop

from bench.harness.machine import raise_file_limit
from retell_ws.testing import CallEnded, DialError, DialPolicy, FakeRetell, Superseded
from retell_ws.testing.odd import BAD_JSON, deep_json, unknown_kind, wrong_types

KINDS = {
    "hangs up": 30,
    "speaks into answers": 20,
    "books": 15,
    "says goodbye": 5,
    "is handed on": 5,
    "redials": 10,
    "drops": 5,
    "sends rubbish": 5,
    "leaves at once": 2,
    "is no call": 3,
}
"""What calls do, with their shares in percent."""

AT_ONCE = 400
"""Calls that may be on: were the server to stand still, the callers should not fall over instead."""

PATIENCE_S = 20.0

QUESTIONS = (
    "What are your hours?",
    "Where can I park?",
    "Do I need to bring anything?",
    "Is there a doctor in on Saturday?",
    "Can you check the status of my appointment for Bo?",
)

EXPECTED = ("user_hangup", "agent_hangup", "call_transfer")
"""Retell's words for calls that ended as somebody wanted."""

WRONG = ("lost", "late", "refused", "held back")
"""What must not happen to a call."""


class Callers:
    """Lets people call at a steady rate, whether or not the server keeps up.

    Args:
        url: What Retell is given.
        per_minute: How many calls begin in a minute.
        seed: Of everything that is drawn.

    Attributes:
        counts: Calls by kind, `turns`, and what went wrong, whose names begin with one of `WRONG`.
    """

    def __init__(self, url: str, per_minute: float, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._url = url
        self._every_s = 60 / per_minute
        self._seed = seed
        self._on = 0

    async def call_for(self, seconds: float) -> None:
        """Have them call for so long, and wait until the last one has hung up."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(seconds / self._every_s)):
                await asyncio.sleep(max(0.0, began + number * self._every_s - time.monotonic()))
                if self._on >= AT_ONCE:
                    self.counts["held back"] += 1
                    continue
                tasks.create_task(self._caller(random.Random(f"{self._seed}:{number}")))

    async def _caller(self, chance: random.Random) -> None:
        (kind,) = chance.choices([*KINDS], [*KINDS.values()])
        self.counts[kind] += 1
        self._on += 1
        try:
            if kind == "is no call":
                await self._knock(chance)
            else:
                await self._call(kind, chance)
        except DialError:
            self.counts[f"refused: {kind}"] += 1
        except TimeoutError:
            self.counts[f"late: {kind}"] += 1
        finally:
            self._on -= 1

    async def _call(self, kind: str, chance: random.Random) -> None:
        retell = FakeRetell(
            self._url,
            details={"call_type": "phone_call", "from_number": "+14155550199", "to_number": "+14155550100"},
            dial_policy=DialPolicy(),
            reminder_max_count=0,
        )
        async with retell:
            try:
                if kind != "leaves at once":
                    await retell.greeting(timeout_s=PATIENCE_S)
                    await self._talk(retell, kind, chance)
            except CallEnded as ended:
                if (why := str(ended)) not in EXPECTED:
                    self.counts[f"lost: {kind}, {why}"] += 1

    async def _talk(self, retell: FakeRetell, kind: str, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 3)):
            await self._ask(retell, chance.choice(QUESTIONS), chance)
            match kind:
                case "speaks into answers":
                    await retell.piece(await retell.request("And one more thing,"), timeout_s=PATIENCE_S)
                    await self._ask(retell, "no, never mind. When do you open?", chance)
                case "redials":
                    await retell.request(chance.choice(QUESTIONS))
                    await retell.redial()
                    await retell.answer(retell.rules.latest, timeout_s=PATIENCE_S)
                case "sends rubbish":
                    for text in (*chance.sample(BAD_JSON, 3), unknown_kind(), *wrong_types(), deep_json(1_000)):
                        await retell.send_raw(text)
        match kind:
            case "books":
                await self._ask(retell, "Book me in on Monday. My name is Bo.", chance)
            case "says goodbye":
                await self._leave(retell, "That is all, goodbye.", chance)
            case "is handed on":
                await self._leave(retell, "I want to speak to the nurse.", chance)
            case "drops":
                await retell.request(chance.choice(QUESTIONS))
                await retell.drop()

    async def _leave(self, retell: FakeRetell, words: str, chance: random.Random) -> None:
        """Ask for the end of the call; ask again where the model failed just then."""
        for _ in range(6):
            await self._ask(retell, words, chance)
            with suppress(TimeoutError):
                await retell.ended(timeout_s=2.0)
                return
        raise TimeoutError

    async def _ask(self, retell: FakeRetell, words: str, chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0.1, 0.8))
        self.counts["turns"] += 1
        try:
            await retell.ask(words, timeout_s=PATIENCE_S)
        except Superseded:
            self.counts["asked again"] += 1

    async def _knock(self, chance: random.Random) -> None:
        """Come to the port of the calls with something else: silence, a browser, rubbish, and go without a word."""
        parts = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(
                chance.choice(
                    (
                        b"",
                        b"GET /",
                        b"\x16\x03\x01\x02\x00\x01\x00",
                        b"GET /llm-websocket/x HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"POST /llm-websocket/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nrubbish",
                        b"GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n",
                    )
                )
            )
            await asyncio.sleep(chance.uniform(0, 1))
        finally:
            writer.transport.abort()


def main(*, url: str, per_minute: float, seconds: float, seed: int) -> None:
    """Call.

    Args:
        url: What Retell is given.
        per_minute: How many calls begin in a minute.
        seconds: For how long.
        seed: Of everything that is drawn.
    """
    raise_file_limit()
    callers = Callers(url, per_minute, seed)
    uvloop.run(callers.call_for(seconds))
    sys.stdout.buffer.write(msgspec.json.encode(callers.counts) + b"\n")


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    app()
