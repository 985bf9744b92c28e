"""The answer cache: the second caller who asks the same is answered without the model."""

from __future__ import annotations

from typing import Final

from ..answers import unfit
from ..testing.retell import FakeRetell
from .book import Book
from .second_port import asking
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 30.0

QUESTION: Final = "What are your hours?"

TTFT_MS: Final = 400
"""The scripted model's, so that it shows who has answered."""

CACHED: Final = "retell_ws_cached_answers_total"


async def check(setup: Setup, book: Book) -> None:
    """Ask the same in two calls."""
    name = "the same question twice"
    if not setup.settings.answer_cache:
        book.skips(name, "--no-answer-cache: it is off", "leave that out")
        return
    if why := unfit(setup.agent):
        book.skips(name, f"nothing of this agent's is kept: {why}")
        return
    async with (
        book.line(name, limit_s=LIMIT_S, advice="see Agent(cache=...), and the lines of `redis`") as line,
        setup.served("cache", model="scripted", scripted_ttft_ms=TTFT_MS, speculate=False) as spare,
        asking(spare.http) as port,
    ):
        answers = []
        for number in range(2):
            async with FakeRetell(spare.url, call_id=setup.call_id(f"cache{number}")) as retell:
                await retell.greeting()
                answers.append(await retell.ask(QUESTION))
        first, second = answers
        seen = f"{1000 * first.first_sentence_s:.0f} ms, then {1000 * second.first_sentence_s:.1f} ms"
        if not await port.count(CACHED):
            line.fails(f"the second caller's answer came from the model: {seen}", "see Agent(cache=...): its bounds")
        elif first.text != second.text:
            line.fails("the second caller heard another answer", "report it as a bug")
        elif second.first_sentence_s * 1000 > TTFT_MS / 2:
            line.warns(
                f"an answer from the cache took as long as one from the model: {seen}", "see `redis`: round trip"
            )
        else:
            line.passes(f"the second caller heard it without the model: {seen}")
