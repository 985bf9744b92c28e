"""Asks the model for the common openings before a caller does, and again before the answers grow old."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from .agent import Agent
from .answer_file import AnswerFile, KeptAnswer, Opening, steps
from .answers import granted, opening, refusal, scope_of, unspeakable
from .ear import Ear
from .errors import ModelError
from .prompt import build
from .recall import RecallingModel
from .request import ModelRequest
from .settings import Settings
from .speech import Pieces

__all__ = ["Warmed", "Warming"]

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Requests at one time: callers come first."""

BEFORE: Final = 0.8
"""Of an answer's time, after which it is renewed; the rest is for the asking."""

AGAIN_S: Final = 60.0
"""Seconds after which what failed is tried again."""


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one opening.

    Attributes:
        opening: What the caller says.
        heard: The same with the agent's answers in between; empty when it was not asked.
        text: The answer, as the model gave it.
        tokens: Of the answer.
        why_not: Why it is not kept; empty when it is.
        is_failure: Another try may find it.
    """

    opening: Opening
    heard: tuple[str, ...] = ()
    text: str = ""
    tokens: int = 0
    why_not: str = ""
    is_failure: bool = False


class Warming:
    """Fills the cache for an agent whose answers may be kept.

    Args:
        model: Whose answers are kept.
        agent: Who answers.
        settings: The model's name, and how long an answer may take.
    """

    def __init__(self, model: RecallingModel, agent: Agent, settings: Settings) -> None:
        self._model = model
        self._agent = agent
        self._settings = settings
        self._scope = scope_of(agent, settings.model_name)

    async def ask(
        self, openings: Sequence[Opening], told: Callable[[Warmed], None] = lambda warmed: None
    ) -> list[Warmed]:
        """Ask the model for the answers to openings, a few at a time. It never raises for the model's sake.

        Args:
            openings: The openings; what leads up to one is asked first, and its answer kept as well.
            told: Is told of each answer when it is there.
        """
        asked: dict[Opening, Warmed] = {}
        free = asyncio.Semaphore(AT_ONCE)

        async def one(step: Opening) -> None:
            async with free:
                asked[step] = await self._ask(step, asked.get(step[:-1]))
            told(asked[step])

        for level in steps(openings):
            async with asyncio.TaskGroup() as tasks:
                for step in level:
                    asked[step] = Warmed(opening=step)  # in the order of the file
                    tasks.create_task(one(step))
        return list(asked.values())

    async def _ask(self, step: Opening, before: Warmed | None) -> Warmed:
        heard = step
        if before is not None:
            if before.why_not:
                failed = before.is_failure
                return Warmed(opening=step, why_not="the answer before it is not kept", is_failure=failed)
            heard = (*before.heard, self._spoken(before.text), step[-1])
        request = self._request(heard)
        if isinstance(request, str):
            return Warmed(opening=step, why_not=request)
        try:
            async with asyncio.timeout(self._settings.turn_s):
                learnt = await self._model.learn(request)
        except (ModelError, TimeoutError) as exc:
            why = str(exc) or "it took too long"
            return Warmed(opening=step, why_not=f"the model failed: {why}", is_failure=True)
        return Warmed(opening=step, heard=heard, text=learnt.text, tokens=learnt.tokens, why_not=learnt.why_not)

    def _request(self, heard: Sequence[str]) -> ModelRequest | str:
        """Ask as a call would, right after the greeting; or say why its answer would not be kept."""
        question = opening(self._agent, heard)
        if self._agent.cache is None or (why := refusal(self._agent.cache, question)):
            return why or "the agent does not allow it"
        return build(self._agent, question, cache_scope=granted(self._scope, self._agent.cache, question))

    def _spoken(self, text: str) -> str:
        """Give an answer as the caller hears it, and as Retell gives it back."""
        pieces = Pieces(Ear(self._agent.lines.link))
        return (pieces.feed(text) + pieces.close()).strip()

    async def put(self, found: AnswerFile) -> int:
        """Keep answers that were found before; those of another agent or model are refused with a warning.

        Returns:
            How many were kept.
        """
        kept = 0
        for answer in found.answers:
            request = self._request(answer.heard)
            if isinstance(request, ModelRequest) and answer.scope == self._scope and not unspeakable(answer.text):
                if answer.model == self._model.asked(request):
                    await self._model.keep(request, answer.text)
                    kept += 1
        if refused := len(found.answers) - kept:
            logger.warning(
                "%d of %d answers in the file are of another agent or model, or may not be kept: left out; "
                "`retell_ws answers warm` finds them anew",
                refused,
                len(found.answers),
            )
        return kept

    def to_keep(self, warmed: Sequence[Warmed], now: float) -> list[KeptAnswer]:
        """Make what is written to a file."""
        return [
            KeptAnswer(
                heard=one.heard,
                text=one.text,
                scope=self._scope,
                model=self._model.asked(build(self._agent, opening(self._agent, one.heard))),
                created_at=now,
            )
            for one in warmed
            if not one.why_not
        ]

    @asynccontextmanager
    async def going_on(self, found: Sequence[Opening] | AnswerFile) -> AsyncIterator[None]:
        """Fill the cache beside the block, at once and whenever the answers are about to grow old."""
        task = asyncio.create_task(self._go_on(found))
        task.add_done_callback(_over)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def _go_on(self, found: Sequence[Opening] | AnswerFile) -> None:
        ttl_s = self._agent.cache.ttl_s if self._agent.cache is not None else 0.0
        while True:
            due_s = BEFORE * ttl_s
            if isinstance(found, AnswerFile):
                kept, of = await self.put(found), len(found.answers)
            else:
                warmed = await self.ask(found)
                kept, of = sum(not one.why_not for one in warmed), len(warmed)
                if any(one.is_failure for one in warmed):
                    due_s = min(due_s, AGAIN_S)
                for why, count in Counter(one.why_not for one in warmed if one.why_not).items():
                    logger.warning("%d × an answer is not kept ahead: %s", count, why)
            logger.info("%d of %d answers are ready in the cache", kept, of)
            await asyncio.sleep(due_s)


def _over(task: asyncio.Task[None]) -> None:
    """Tell when it failed: the server goes on without it."""
    if not task.cancelled() and (exc := task.exception()) is not None:
        logger.error("answers are not asked ahead any more: %s", type(exc).__name__)
        logger.debug("answers are not asked ahead any more", exc_info=exc)
