"""Answers one question: prompt, model, `call.say`, socket. One turn is one task, and it never raises.

The words "is this still wanted?" are asked of the call machine for each piece, and the frame it gives is written
with no await in between; so cancelling a turn is thrift, never correctness, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from inspect import isawaitable
from typing import Final

from .actions import StartTurn
from .agent import Agent
from .errors import ModelError
from .line import Line
from .patience import Patience
from .ports import End, Model, Text
from .prompt import build
from .settings import Settings
from .speech import MAX_PIECE, Pieces, split
from .transcript import Question

__all__ = ["Turn"]

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.02
"""The beat on which rests end, in seconds: a rest is shorter than the time to gather by less than that."""

ENDED_WELL: Final = frozenset({"end_turn", "stop_sequence", "max_tokens"})
"""Stop reasons after which what was said is an answer. Any other one gets an apology: nobody is left in silence."""


class Turn:
    """One generation.

    Args:
        start: What the machine asked for.
        line: Where the words go.
        agent: Who speaks.
        model: Who finds the words.
        settings: The deadlines.
    """

    __slots__ = (
        "_agent",
        "_deadline",
        "_gathering",
        "_generation",
        "_is_full",
        "_line",
        "_loop",
        "_look",
        "_model",
        "_patience",
        "_pieces",
        "_question",
        "_spoke",
    )

    def __init__(self, start: StartTurn, *, line: Line, agent: Agent, model: Model, settings: Settings) -> None:
        self._generation = start.generation
        self._question = start.question
        self._line = line
        self._agent = agent
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._patience = Patience(settings, self._loop.time())
        self._pieces = Pieces()
        self._spoke = False  # the model's or the greeting's own words, not one of our lines
        self._is_full = False  # the peer is slow to read
        self._deadline: asyncio.Timeout | None = None
        self._look: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None  # runs while words are gathered

    async def run(self) -> None:
        """Answer, or say why not; in every case the id is completed, unless it is no longer asked for."""
        try:
            async with asyncio.timeout(None) as self._deadline:
                self._watch()
                if self._question is None:
                    await self._greet()
                else:
                    await self._answer(self._question)
        except TimeoutError:
            self._fail("timeout")
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            self._fail("error")  # not ours: something that a function of the agent's waited for was cancelled
        except ModelError as exc:
            logger.warning("the model failed: %s", exc, extra={"call_id": self._line.call.call_id})
            self._fail(exc.kind or type(exc).__name__)
        except Exception:
            # The one place where anything may arrive: the agent's own functions run in here.
            logger.exception("a turn failed", extra={"call_id": self._line.call.call_id})
            self._fail("error")
        finally:
            for timer in (self._look, self._gathering):
                if timer is not None:
                    timer.cancel()
            # A cancelled task keeps its exception, and that its frames: through the deadline they would lead back to
            # the task, and every barge-in would leave a cycle for the collector.
            self._deadline = None

    async def _answer(self, question: Question) -> None:
        ended = False
        async with aclosing(self._model.stream(build(self._agent, question), self._rest)) as deltas:
            async for delta in deltas:
                match delta:
                    case Text(text=text):
                        self._take(text)
                        if self._is_full:
                            await self._room()
                    case End(stop_reason=reason):
                        # The stream is still read to its own end: then its connection can serve again.
                        self._finish(reason)
                        ended = True
        if not ended:
            self._fail("no_end")

    async def _greet(self) -> None:
        greeting = self._agent.greeting
        if isinstance(greeting, str):
            raise AssertionError("the machine says a text itself")
        words = greeting(self._line.view)
        if isawaitable(words):
            words = await words
        if isinstance(words, AsyncIterator):
            async for piece in words:
                self._take(_text(piece))
                self._rest()
                if self._is_full:
                    await self._room()
        else:
            self._take(_text(words))
        self._end(self._gathered())

    # ------------------------------------------------------------------------ words

    def _take(self, text: str) -> None:
        """Say the next piece of the answer, or hold it a moment."""
        if not text:
            return
        self._spoke = True
        self._patience.progressed(self._loop.time())
        if piece := self._pieces.feed(text):
            self._say(piece)
        elif self._gathering is None:
            self._gathering = self._loop.call_later(self._pieces.gather_s, self._say_gathered)

    async def _room(self) -> None:
        """Slow down with a peer that is slow to read."""
        self._is_full = False
        await self._line.room()

    def _rest(self) -> float:
        """Say what was gathered, as the model has no more at the moment; and tell it how long it may gather."""
        if not self._pieces.is_spoken:
            return 0.0
        self._say_gathered()
        # Rests end on a common beat, so that one wake-up serves many calls: it costs more than the reading itself.
        return self._pieces.gather_s - self._loop.time() % BEAT_S

    def _say_gathered(self) -> None:
        self._say(self._gathered())

    def _gathered(self) -> str:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        return self._pieces.take()

    def _say(self, text: str) -> None:
        for piece in (text,) if len(text) <= MAX_PIECE else split(text):
            if piece and self._line.say(self._generation, piece):
                self._is_full = True

    # ------------------------------------------------------------------------ ends

    def _finish(self, reason: str) -> None:
        if reason == "refusal":
            self._fail(reason)
        elif not self._spoke:
            self._fail("empty" if reason in ENDED_WELL else reason)
        elif reason not in ENDED_WELL:
            self._fail(reason)
        else:
            rest = self._gathered()
            self._end(f"{rest} {self._agent.lines.cut}" if reason == "max_tokens" else rest)

    def _end(self, rest: str) -> None:
        self._line.finish(self._generation, self._loop.time(), rest)

    def _fail(self, why: str) -> None:
        lines = self._agent.lines
        if self._question is None:
            words = lines.greeting
        elif why == "refusal":
            words = lines.refusal
        else:
            words = lines.closing if self._spoke else lines.apology
        self._say_gathered()
        self._line.fail(self._generation, self._loop.time(), why, words)

    # ------------------------------------------------------------------------ patience

    def _watch(self) -> None:
        self._look = self._loop.call_at(self._patience.next_look, self._judge)

    def _judge(self) -> None:
        match self._patience.verdict(self._loop.time()):
            case "wait":
                self._watch()
            case "hold" if self._question is not None:
                self._say(f"{self._agent.lines.holding} ")
                self._watch()
            case why:
                # The words first: what is waited for may not let itself be cancelled. A greeting is not waited for
                # as long as an answer: nobody has spoken yet (protocol §4.4).
                self._fail("slow_greeting" if why == "hold" else why)
                if self._deadline is not None:
                    self._deadline.reschedule(self._loop.time())


def _is_cancelled() -> bool:
    task = asyncio.current_task()  # no variable of `run`, whose frame a cancelled task keeps
    return task is None or task.cancelling() > 0


def _text(piece: object) -> str:
    if not isinstance(piece, str):
        raise TypeError(f"the greeting gave {type(piece).__name__} where it should give text")
    return piece
