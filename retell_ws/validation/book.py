"""Takes down what one topic sees. A check that raises, or takes too long, is a line like any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from ..errors import RetellWsError
from .line import Line, Outcome
from .spare import SpareError

__all__ = ["Book", "Entry", "Unchecked"]

LOOK: Final = "change that, or see in the log what stands still, and validate again with --only"

START: Final = "change that; `retell_ws serve` with the same agent and settings tells more"


class Unchecked(Exception):
    """Something is missing without which this cannot be checked.

    Args:
        why: What.
        advice: What to do to have it checked.
    """

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.advice = advice


class Entry:
    """What is known of one line. Each method says it anew; the last one counts.

    Attributes:
        outcome: How it ended; None while nobody has said.
        seen: What was seen.
        advice: What to do.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.seen = ""
        self.advice = ""

    def passes(self, seen: str) -> None:
        """It is as it should be."""
        self.outcome, self.seen, self.advice = "pass", seen, ""

    def warns(self, seen: str, advice: str) -> None:
        """It works, and should be otherwise."""
        self.outcome, self.seen, self.advice = "warn", seen, advice

    def fails(self, seen: str, advice: str) -> None:
        """It does not work."""
        self.outcome, self.seen, self.advice = "fail", seen, advice

    def skips(self, why: str, advice: str = "") -> None:
        """It cannot be checked."""
        self.outcome, self.seen, self.advice = "skip", why, advice


class Book:
    """The lines of one topic.

    Args:
        topic: Its name.
        write: Is given each line when it is known.
        begin: Is told of each that is looked at now.
    """

    def __init__(
        self, topic: str, write: Callable[[Line], None], begin: Callable[[str], None] = lambda name: None
    ) -> None:
        self.topic = topic
        self._write = write
        self._begin = begin

    def skips(self, name: str, why: str, advice: str = "") -> None:
        """Take down that something cannot be checked."""
        self._write(Line(topic=self.topic, name=name, outcome="skip", seen=why, advice=advice))

    def put(self, name: str, outcome: Outcome, seen: str, advice: str = "") -> None:
        """Take down what is known already."""
        self._write(Line(topic=self.topic, name=name, outcome=outcome, seen=seen, advice=advice))

    async def take(self, check: Callable[[], Awaitable[None]]) -> None:
        """Run the checks of the topic. What they raise between their lines is a line of its own."""
        try:
            await check()
        except RetellWsError as exc:
            self.put("what it takes", "fail", str(exc), LOOK)
        except Exception as exc:
            self.put("what it takes", "fail", f"the check broke off with {type(exc).__name__}", LOOK)

    @asynccontextmanager
    async def line(self, name: str, *, limit_s: float, advice: str = LOOK) -> AsyncIterator[Entry]:
        """Look at one thing in this block, which ends quietly whatever it raises.

        Args:
            name: What is looked at.
            limit_s: Seconds it may take.
            advice: What to do when it breaks off, or is not done in time.

        Yields:
            What is told of it.
        """
        self._begin(name)
        entry = Entry()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(limit_s) as limit:
                yield entry
            if entry.outcome is None:
                entry.fails("the check said nothing", "this is a bug of the check: please report it")
        except Unchecked as exc:
            entry.skips(f"could not be checked: {exc}", exc.advice)
        except SpareError as exc:  # before what is on trial has begun: no advice of the check's is about that
            entry.fails(str(exc), START)
        except RetellWsError as exc:  # our own words, which are made to be read
            entry.fails(str(exc), advice)
        except TimeoutError:
            waited = f"not done within {limit_s:g} s" if limit.expired() else "an answer did not come in time"
            entry.fails(waited, advice)
        except Exception as exc:  # of a driver, or a bug of ours: its text may quote a secret
            entry.fails(f"the check broke off with {type(exc).__name__}", advice)
        if entry.outcome is None:
            raise AssertionError("a line that ended has an outcome")
        self._write(
            Line(
                topic=self.topic,
                name=name,
                outcome=entry.outcome,
                seen=entry.seen,
                advice=entry.advice,
                took_s=round(time.perf_counter() - began, 3),
            )
        )
