"""A server is told to stop while it speaks: it takes no new call, and the live one comes to its end."""

from __future__ import annotations

from itertools import count
from typing import Final

from ..testing.dial import DialError, DialPolicy
from ..testing.retell import FakeRetell
from .book import Book
from .hearing import compared
from .probe import QUESTION
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 45.0

LONGEST_S: Final = 20.0
"""Of `drain_s`, as far as we wait."""

ONCE: Final = DialPolicy(attempts=1)

ADVICE: Final = "report it as a bug, with the log of a server that is told to stop"


async def check(setup: Setup, book: Book) -> None:
    """Stop a spare server in the middle of a sentence."""
    settings = setup.settings
    if not settings.drain_s:
        book.skips("a live call ends", "--drain-s 0: calls are not waited for", "give calls time to end: --drain-s 60")
        return
    async with (
        book.line("a live call ends", limit_s=LIMIT_S, advice=ADVICE) as line,
        setup.probing("draining", drain_s=min(settings.drain_s, LONGEST_S), drain_delay_s=0.0) as spare,
    ):
        async with FakeRetell(spare.url, call_id=setup.call_id("drained"), dial_policy=ONCE) as retell:
            await retell.greeting()
            asked = await retell.request(QUESTION)
            await retell.piece(asked)
            spare.leave()
            refused = await _refused(spare.url, setup.call_id("late"))
            answer = await retell.answer(asked)
        status = await spare.ended()
        heard = compared(f"You said: {QUESTION}. Is that right?", answer.text)
        if refused != 503:
            line.fails(f"a new call got {refused or 'no answer'}, and not 503", ADVICE)
        elif not heard.is_whole or retell.report.sockets > 1:
            line.fails(f"the live call did not hear its answer to the end: {answer.text!r}", ADVICE)
        elif status:
            line.fails(f"the server ended with status {status}", ADVICE)
        else:
            line.passes(
                "a new call got 503, the live one heard its sentence to the end, the server ended with status 0"
            )


async def _refused(url: str, call_id: str) -> int | None:
    """Dial until a server that has been told to stop refuses; give the status, None when it is gone."""
    for number in count():
        try:  # another call each time: one that it knows gets in
            async with FakeRetell(url, call_id=f"{call_id}_{number}", dial_policy=ONCE, redials=False):
                pass
        except DialError as exc:
            return exc.status
    raise AssertionError("it counts for ever")
