"""Answers from the cache what may be, and lets many callers who ask the same at once share one generation.

It stands before the model as a model of its own, so a turn does not know of it. `answers.py` has the theory: what may
be kept, and why nobody hears what is another's.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec

from .answers import VERSION, Answer, fits, key_of, problem, unspeakable
from .errors import ModelBroken, ModelError, ModelUnavailable
from .ports import AnswerStore, Asked, Delta, End, Rest, Text, ToolCall, TurnModel, no_rest, unasked
from .request import ModelRequest

__all__ = ["Learnt", "RecallStatistics", "RecallingModel"]

logger = logging.getLogger(__name__)

MAX_FLIGHTS: Final = 256
"""Generations that may be shared at one time; a request beyond them goes to the model by itself."""

STUCK_S: Final = 3.0
"""Seconds without a delta after which nobody joins a generation any more. Each turn gives up by its own deadlines; with
callers coming all the time, one that hangs would never be without followers, and each of them would join in vain."""

CLOSE_S: Final = 5.0
"""Seconds that generations which are cut off may take to end."""


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking the model for an answer to keep.

    Attributes:
        text: The answer.
        tokens: Of it, as the provider counted.
        why_not: Why it is not kept; empty when it is.
    """

    text: str
    tokens: int
    why_not: str


class RecallStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked since the start, of what may be kept.

    Attributes:
        hits: Answered from the store.
        shared: Answered by a generation that another caller had begun.
        misses: The model was asked.
        refused: Values in the store that were not what they should be.
        flights: Generations that are under way.
    """

    hits: int
    shared: int
    misses: int
    refused: int
    flights: int


class _Flight:
    """One generation that several callers follow.

    Args:
        key: Of its answer.

    Attributes:
        deltas: All of it so far.
        told_at: When the last of it came, in the loop's time.
        error: Why it broke off.
        end: Its end, once it has come.
        is_over: Nothing more comes.
        followers: Who listens.
        joined: How many ever did; the first of them bears the cost.
        learnt: What came of it.
    """

    __slots__ = (
        "_news",
        "deltas",
        "end",
        "error",
        "followers",
        "is_over",
        "joined",
        "key",
        "learnt",
        "task",
        "told_at",
    )

    def __init__(self, key: str, now: float) -> None:
        self.key = key
        self.told_at = now
        self.deltas: list[Delta] = []
        self.error: ModelError | None = None
        self.end: End | None = None
        self.is_over = False
        self.followers = 0
        self.joined = 0
        self.learnt: Learnt | None = None
        self.task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def add(self, delta: Delta, now: float) -> None:
        self.deltas.append(delta)
        self.told_at = now
        if isinstance(delta, End):
            self.end = delta
        self._tell()

    def finish(self, error: ModelError | None) -> None:
        if not self.is_over:
            self.is_over, self.error = True, error
            self._tell()

    async def news(self) -> None:
        """Wait for more; call it only when all there is was taken."""
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()  # who waits has the old one

    def text(self) -> str:
        return "".join([delta.text for delta in self.deltas if isinstance(delta, Text)])

    def why_not(self) -> str:
        """Say why it is not kept; empty when it is."""
        if self.error is not None:
            return f"the model failed: {self.error.kind or type(self.error).__name__}"
        if self.end is None:
            return "it has no end"
        if self.end.stop_reason != "end_turn":
            return f"it ended in {self.end.stop_reason}"
        if any(isinstance(delta, ToolCall) for delta in self.deltas):
            return "it calls tools"
        if self.end.fallback:
            return "another model has answered"
        return unspeakable(self.text())


class RecallingModel:
    """Implements `ports.TurnModel` before another one, which it owns.

    A request without a `cache_scope` goes straight through. One with it is looked up; on a miss the model is asked
    once, by a task of this object's, however many callers ask the same meanwhile, and each follows it from its
    beginning. When nobody follows any more it is stopped: what `Model.stream` promises of closing holds here too, a
    guess at what the caller will have said costs no more than it would without a cache, and no generation outlasts
    the deadlines of the turns that want it.

    Args:
        model: Who is asked.
        store: Where answers are kept.
        secret: Of the keys; servers that share a store share it.
        ttl_s: Seconds an answer is given to others.
        model_name: The model asked, where a request names none.
        clock: The time in seconds since the epoch, the same for all servers that share a store.
    """

    def __init__(
        self,
        model: TurnModel,
        store: AnswerStore,
        *,
        secret: bytes,
        ttl_s: float,
        model_name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._store = store
        self._secret = secret
        self._ttl_s = ttl_s
        self._model_name = model_name
        self._clock = clock
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._hits = self._shared = self._misses = self._refused = 0

    @property
    def name(self) -> str:
        """The name of the model before which it stands."""
        return self._model.name

    def statistics(self) -> RecallStatistics:
        """Tell what was asked since the start."""
        return RecallStatistics(
            hits=self._hits,
            shared=self._shared,
            misses=self._misses,
            refused=self._refused,
            flights=len(self._flights),
        )

    def asked(self, request: ModelRequest) -> str:
        """Name who answers a request: the client and the model."""
        return f"{self._model.name}/{request.model or self._model_name}"

    def stream(
        self, request: ModelRequest, rest: Rest = no_rest, asked: Asked = unasked
    ) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `ports.TurnModel.stream`.

        Of a generation that several follow, the one that began it is told what is asked.
        """
        return self._recall(request, rest, asked) if fits(request) else self._model.stream(request, rest, asked)

    async def _recall(self, request: ModelRequest, rest: Rest, asked: Asked) -> AsyncGenerator[Delta, None]:
        key = key_of(self._secret, request, self.asked(request))
        if (answer := await self._look_up(key, request)) is not None:
            self._hits += 1
            yield Text(answer.text)
            yield End(model=answer.answered_by, source="cache")
            return
        flight = self._under_way(key, request, asked)
        deltas = self._model.stream(request, rest, asked) if flight is None else self._follow(flight, rest)
        # Not `async for` alone: a generator that is dropped in the middle would be closed by nobody.
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def _look_up(self, key: str, request: ModelRequest) -> Answer | None:
        answer = await self._store.get(key)
        if answer is None:
            return None
        now, asked = self._clock(), self.asked(request)
        if wrong := problem(answer, key=key, scope=request.cache_scope, model=asked, now=now):
            self._refused += 1
            logger.warning("a value in the answer cache is not what its key says (%s): left out", wrong)
            return None
        return answer if now - answer.created_at < self._ttl_s else None

    # ------------------------------------------------------------------------ one generation for all

    def _under_way(self, key: str, request: ModelRequest, asked: Asked = unasked) -> _Flight | None:
        """Find the generation that may be joined, or begin one; None when there are too many."""
        now = asyncio.get_running_loop().time()
        flight = self._flights.get(key)
        if flight is not None and now - flight.told_at < STUCK_S:
            return flight
        self._misses += 1
        if len(self._tasks) >= MAX_FLIGHTS or self._is_closed:
            return None
        flight = self._flights[key] = _Flight(key, now)
        flight.task = asyncio.create_task(self._fly(flight, request, asked))
        self._tasks.add(flight.task)
        flight.task.add_done_callback(partial(self._flown, flight))
        return flight

    async def _fly(self, flight: _Flight, request: ModelRequest, asked: Asked) -> None:
        now = asyncio.get_running_loop().time
        try:
            async with aclosing(self._model.stream(request, no_rest, asked)) as deltas:
                async for delta in deltas:
                    flight.add(delta, now())
            flight.finish(None)
        except ModelError as exc:
            self._forget(flight)  # first: who asks again because it failed wants another one
            flight.finish(exc)
        # The followers have all of it by now, and a caller who comes meanwhile still finds the flight.
        text, end, why_not = flight.text(), flight.end or End(), flight.why_not()
        if not why_not:
            await self._put(flight.key, request, text, end.model)
        flight.learnt = Learnt(text=text, tokens=end.usage.output_tokens, why_not=why_not)

    async def _put(self, key: str, request: ModelRequest, text: str, answered_by: str) -> None:
        answer = Answer(
            version=VERSION,
            key=key,
            scope=request.cache_scope,
            model=self.asked(request),
            created_at=self._clock(),
            text=text,
            answered_by=answered_by,
        )
        await self._store.put(key, answer, ttl_s=self._ttl_s)

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _flown(self, flight: _Flight, task: asyncio.Task[None]) -> None:
        # Here, and not at the end of `_fly`: a task that is cancelled before its first step comes to none of its lines.
        self._tasks.discard(task)
        self._forget(flight)
        flight.finish(ModelBroken("the shared answer was given up"))
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("a shared answer failed: %s", type(exc).__name__)
            logger.debug("a shared answer failed", exc_info=exc)

    async def _follow(self, flight: _Flight, rest: Rest) -> AsyncGenerator[Delta, None]:
        is_first, given = not flight.joined, 0
        flight.joined += 1
        flight.followers += 1
        self._shared += not is_first
        try:
            while True:
                while given < len(flight.deltas):
                    delta = flight.deltas[given]
                    given += 1
                    yield delta if is_first or not isinstance(delta, End) else _unpaid(delta)
                if flight.is_over:
                    break
                if (pause := rest()) > 0:
                    await asyncio.sleep(pause)
                if given == len(flight.deltas) and not flight.is_over:
                    await flight.news()
        finally:
            flight.followers -= 1
            if not flight.followers and flight.end is None and not flight.is_over and flight.task is not None:
                # Nobody follows: cut it off. Who asks the same from now on begins a new one.
                self._forget(flight)
                flight.task.cancel()
        if flight.error is not None:
            # A copy for each: one exception that many tasks raise would gather all their frames.
            raise copy.copy(flight.error) from None

    # ------------------------------------------------------------------------ ahead of the callers

    async def learn(self, request: ModelRequest) -> Learnt:
        """Ask the model, though an answer may be kept already, and keep what it says.

        Raises:
            ModelError: It failed.
        """
        if not fits(request):
            raise ValueError("the answer to such a request is never kept")
        key = key_of(self._secret, request, self.asked(request))
        flight = self._under_way(key, request)
        if flight is None or flight.task is None:
            raise ModelUnavailable("too many answers are under way")
        async with aclosing(self._follow(flight, no_rest)) as deltas:
            async for _ in deltas:
                pass
        await asyncio.wait((flight.task,))
        if flight.learnt is None:
            raise ModelBroken("the shared answer was given up")
        return flight.learnt

    async def keep(self, request: ModelRequest, text: str) -> None:
        """Keep an answer that was found before, and is good for this request."""
        key = key_of(self._secret, request, self.asked(request))
        await self._put(key, request, text, "")

    # ------------------------------------------------------------------------ the rest of a model

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have a connection ready; see `ports.Model.warm`."""
        await self._model.warm(request)

    async def aclose(self) -> None:
        """Cut off what is shared, and close the model; see `ports.Model.aclose`."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        await self._model.aclose()


def _unpaid(end: End) -> End:
    """Tell the end of an answer to a caller for whom no model was asked."""
    return End(end.stop_reason, model=end.model, source="cache")
