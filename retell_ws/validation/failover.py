"""A server is killed while it speaks, and the call goes on with another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from ..testing.dial import DialPolicy
from ..testing.retell import FakeRetell
from ..testing.toxics import ToxicProxy
from .book import Book, Entry
from .hearing import Heard, compared
from .probe import GREETING, QUESTION
from .setup import Setup
from .spare import Spare

__all__ = ["Crash", "check", "judge", "watch"]

LIMIT_S: Final = 45.0

HEARD: Final = 24
"""Characters that are heard before the crash: some words, and not yet the sentence."""

SLOW_S: Final = 2.0
"""A silence that callers notice as one."""

NEXT_S: Final = 6.0
"""Seconds for the next word, and then for the last one. Nobody is on the line any more after that."""

REDIAL: Final = DialPolicy(attempts=20, timeout_s=2.0, pause_s=0.05)
"""Sooner than Retell's own, which is not what is measured."""


class Crash(msgspec.Struct, frozen=True):
    """What a caller heard of one.

    Attributes:
        greeted: What they were greeted with, over both servers.
        answer: The answer under way, held against the whole one.
        silence_s: Seconds from the crash to the next word; None when none came.
        faults: What the second server did wrong by the protocol.
    """

    greeted: str
    answer: Heard
    silence_s: float | None
    faults: tuple[str, ...]


async def check(setup: Setup, book: Book) -> None:
    """Kill a spare server in the middle of a sentence, and listen to the other one."""
    name = "the next word follows"
    if not setup.settings.is_shared():
        book.skips(
            name,
            "calls are in the memory of one server: when it dies, Retell redials, the caller is greeted again, and the "
            "talk goes on from Retell's transcript",
            "to keep calls through a crash: --blueprint distributed --redis-url redis://host:6379",
        )
        return
    async with (
        book.line(
            name, limit_s=LIMIT_S, advice="see that Redis can be reached and written: the lines of `redis`"
        ) as line,
        setup.probing("first") as first,
        setup.probing("second") as second,
    ):
        judge(line, await _crash(setup, first, second))


async def _crash(setup: Setup, first: Spare, second: Spare) -> Crash:
    async with FakeRetell(second.url, call_id=setup.call_id("whole")) as retell:
        await retell.greeting()
        whole = (await retell.ask(QUESTION)).text
    async with ToxicProxy("127.0.0.1", first.port) as proxy:

        def kill() -> None:
            proxy.target = ("127.0.0.1", second.port)  # as a balancer that sees it at once
            first.kill()

        url = second.url.replace(f":{second.port}/", f":{proxy.port}/", 1)
        return await watch(url, setup.call_id("crash"), whole, kill)


async def watch(url: str, call_id: str, whole: str, kill: Callable[[], None]) -> Crash:
    """Ask, and have the server killed while it answers.

    Args:
        url: Of what stands before both servers.
        call_id: The call.
        whole: The answer as it is without a crash.
        kill: Kills the one that speaks.
    """
    async with FakeRetell(url, call_id=call_id, redial_policy=REDIAL) as retell:
        await retell.greeting()
        asked = await retell.request(QUESTION)
        before = len(await retell.piece(asked, at_least=HEARD))
        kill()
        killed = time.perf_counter()
        await retell.until(lambda: retell.report.sockets > 1, timeout_s=NEXT_S)
        # What was on its way to us is no word of the second server's.
        before = max(before, retell.rules.exchanges[asked].length)
        silence_s = None
        with suppress(TimeoutError):
            await retell.piece(asked, at_least=before + 1, timeout_s=NEXT_S)
            silence_s = time.perf_counter() - killed
            await retell.answer(asked, timeout_s=NEXT_S)
        return Crash(
            retell.rules.exchanges[0].text,
            compared(whole, retell.rules.exchanges[asked].text),
            silence_s,
            tuple(str(note.finding) for note in retell.report.faults),
        )


def judge(line: Entry, crash: Crash) -> None:
    """Say what is to be said of a crash."""
    if crash.greeted.count(GREETING) != 1:
        times = crash.greeted.count(GREETING)
        line.fails(f"the caller was greeted {times} times", "the second server does not know the call: see `redis`")
    elif crash.silence_s is None:
        line.fails(
            f"the answer did not go on within {NEXT_S:g} s", "the second server does not know the call: see `redis`"
        )
    elif crash.answer.twice:
        line.fails(f"heard twice, or wrongly: {' '.join(crash.answer.twice)!r}", "see `redis`, and report it as a bug")
    elif len(crash.answer.missing) > 1:
        line.fails(f"never heard: {' '.join(crash.answer.missing)!r}", "see `redis`, and report it as a bug")
    elif crash.faults:
        line.fails(f"the second server broke the protocol: {', '.join(crash.faults)}", "report it as a bug")
    elif crash.silence_s > SLOW_S:
        line.warns(
            f"every word was heard once, but the next one came after {crash.silence_s:.1f} s",
            "see how long Redis takes, and whether this machine is busy",
        )
    elif crash.answer.missing:  # written down, not yet sent: the one word that a crash can take with it
        line.passes(
            f"greeted once, no word twice, the one under way lost, the next after {1000 * crash.silence_s:.0f} ms"
        )
    else:
        line.passes(
            f"greeted once, every word heard once, the next one {1000 * crash.silence_s:.0f} ms after the crash"
        )
