"""One answer out of several requests: a second one when the first is slow, another model when one fails. Never more:
an answer costs at most one second request, and each model is otherwise asked once.

    slow     no content by the deadline (`first_tokens.py`) → the same request once more, when the budget has one left
             (`hedge_budget.py`); whichever speaks first is read, the others are closed at that moment
    lost     no content after `LOST_S` all the same → the next model beside it, and a failure in its breaker's eyes
    failed   before any content → the next model, at once; a second request that is under way is waited for instead
    refused  (`ModelRejected`: the key, the request) → passed on: it would be refused again
    later    after the first content every fault is passed on as it is: no word is said twice, and the turn closes with
             its phrase

A model that fails is passed over for a while (`breaker.py`). When all are, the first one is asked all the same: it may
answer, and nobody is left in silence. What is raised in the end is the first failure: its kind is what went wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from math import inf
from typing import Final

import msgspec

from .attempt import Attempt
from .breaker import Breaker, BreakerState
from .errors import ModelError, ModelRateLimited, ModelRejected
from .first_tokens import FirstTokens
from .hedge_budget import HedgeBudget
from .ports import Asked, Delta, End, Model, Rest, Why, no_rest, unasked
from .request import ModelRequest

__all__ = ["RaceStatistics", "RacingModel"]

logger = logging.getLogger(__name__)

MAX_MODELS: Final = 32
"""Models of which something is remembered; an agent's `before_model` may name any."""

LATE_S: Final = 0.05
"""Seconds by which a deadline may be late before it is taken for a loop that stood still: the answer may lie in the
socket, and a second request would be spent for nothing."""

LOST_S: Final = 2.5
"""Seconds without content after which a model counts as failing and the next one is asked as well: one answer in fifty
of a model that is well, and every one of a model on which everything hangs."""

HOPELESS_S: Final = 5.0
"""Seconds without content after which a request that is given up counts as failed: a provider on which everything hangs
must not look as healthy as one that nobody waits for."""


class RaceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the requests so far.

    Attributes:
        requests: Answers that were asked for.
        hedges: Second requests made because the first was slow.
        hedges_won: Those of them that answered first.
        fallbacks: Answers for which another model than theirs was asked.
        breakers: The state of each model that was asked, by its name.
        deadlines_s: After how many seconds without content each is asked a second time.
    """

    requests: int
    hedges: int
    hedges_won: int
    fallbacks: int
    breakers: dict[str, BreakerState]
    deadlines_s: dict[str, float]


class _Known:
    """What is known of one model."""

    __slots__ = ("breaker", "first_tokens")

    def __init__(self, first_tokens: FirstTokens) -> None:
        self.breaker = Breaker()
        self.first_tokens = first_tokens


class _Answer:
    """One answer in the making."""

    __slots__ = (
        "asked",
        "closing",
        "failure",
        "is_late",
        "is_probe",
        "lost_at",
        "models",
        "news",
        "request",
        "rest",
        "running",
        "timer",
        "waiting",
        "was_late",
        "winner",
    )

    def __init__(self, request: ModelRequest, rest: Rest, asked: Asked, models: Iterator[str]) -> None:
        self.request = request
        self.models = models  # those to ask, one by one
        self.timer: asyncio.TimerHandle | None = None  # for when something is to be done about a slow one
        self.was_late = False  # the timer
        self.waiting: asyncio.Timeout | None = None  # for the only attempt, in the caller's task
        self.news = asyncio.Event()  # of an attempt with a task
        self.rest = rest
        self.asked = asked
        self.is_late = False  # something was done about a model that is slow, if anything could be
        self.lost_at = 0.0  # when something is done about one that stays silent
        self.is_probe = False  # the last request was made to find out whether a model is back
        self.running: list[Attempt] = []  # those without content
        self.winner: Attempt | None = None
        self.failure: ModelError | None = None  # the first one
        self.closing: list[asyncio.Task[None]] = []


class RacingModel:
    """Implements `ports.TurnModel` with a client.

    Args:
        model: The client that is asked; closed with this one.
        model_name: The model it asks where a request names none.
        fallback_model: The model asked when the first one fails; empty for none.
        hedge: Whether a slow request is made a second time.
        first_tokens: Makes the deadlines of a model.

    Attributes:
        model: The client that is asked, for what wants no race.
    """

    def __init__(
        self,
        model: Model,
        *,
        model_name: str,
        fallback_model: str = "",
        hedge: bool = True,
        first_tokens: Callable[[], FirstTokens] = FirstTokens,
    ) -> None:
        self.model = model
        self._model_name = model_name
        self._fallback_model = fallback_model
        self._hedge = hedge
        self._first_tokens = first_tokens
        self._budget = HedgeBudget()
        self._known: dict[str, _Known] = {}
        self._requests = self._hedges = self._hedges_won = self._fallbacks = 0
        self._closing: set[asyncio.Task[None]] = set()  # losers, for a step or two of the loop

    @property
    def name(self) -> str:
        """The client's name."""
        return self.model.name

    def stream(
        self, request: ModelRequest, rest: Rest = no_rest, asked: Asked = unasked
    ) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `ports.TurnModel.stream`."""
        if not self._hedge and len(self._names(request)) == 1:
            self._requests += 1
            asked("first")
            return self.model.stream(request, rest)
        return self._race(request, rest, asked)

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have a connection ready; see `ports.Model.warm`."""
        await self.model.warm(request)

    async def aclose(self) -> None:
        """Close every connection; see `ports.Model.aclose`."""
        await self.model.aclose()
        if self._closing:
            await asyncio.wait(self._closing)

    def statistics(self) -> RaceStatistics:
        """Count what was asked for and what came of it."""
        now = asyncio.get_running_loop().time()
        return RaceStatistics(
            requests=self._requests,
            hedges=self._hedges,
            hedges_won=self._hedges_won,
            fallbacks=self._fallbacks,
            breakers={name: known.breaker.state(now) for name, known in self._known.items()},
            deadlines_s={name: known.first_tokens.deadline_s for name, known in self._known.items()},
        )

    # ------------------------------------------------------------------------ one answer

    async def _race(self, request: ModelRequest, rest: Rest, asked: Asked) -> AsyncGenerator[Delta, None]:
        self._requests += 1
        self._budget.earn()
        answer = _Answer(request, rest, asked, self._to_ask(request))
        try:
            delta = await self._first(answer)
            winner = answer.winner
            if winner is None or delta is None:
                return  # it stopped without an end, which no model may do: the turn's affair
            yield self._ended(delta, answer) if type(delta) is End else delta
            try:
                async for delta in winner.stream:
                    if type(delta) is End:
                        delta = self._ended(delta, answer)
                    yield delta
            except ModelError as exc:
                self._failed(winner, exc)
                raise
        finally:
            answer.failure = None  # a cycle otherwise: the failure leads to a frame, and that to the answer
            await self._let_go(answer)

    async def _first(self, answer: _Answer) -> Delta | None:
        """Wait for the first delta of whichever attempt has one, which is the winner then."""
        self._begin(answer, next(answer.models), "first")
        try:
            while answer.running:
                only = answer.running[0]
                over = await (self._alone(answer, only) if not only.is_racing else self._of_several(answer))
                answer.running.remove(over)
                try:
                    delta = over.result()
                except ModelError as exc:
                    if isinstance(exc, ModelRejected) and over.name == self._named(answer.request):
                        raise
                    self._failed(over, exc)
                    answer.failure = answer.failure or exc
                else:
                    self._won(answer, over, delta)
                    return delta
                if not answer.running and (name := next(answer.models, None)) is not None:
                    self._begin(answer, name, "failed")
        finally:
            self._set_timer(answer, None)
        if answer.failure is None:
            raise AssertionError("some model is always asked")
        raise answer.failure

    async def _alone(self, answer: _Answer, attempt: Attempt) -> Attempt:
        """Wait for an attempt in the caller's own task.

        A task of its own would take three more steps of the loop, for which the caller would wait. One that joins it
        later has a task, and ends this waiting when it speaks first. The end of the waiting closes the stream, and what
        that takes is waited for: with our own client nothing.
        """
        try:
            async with asyncio.timeout(None) as answer.waiting:
                await attempt.first()
            return attempt
        except TimeoutError:
            if answer.waiting is None or not answer.waiting.expired():
                raise  # what no model may raise goes its way
        finally:
            answer.waiting = None
        answer.running.remove(attempt)
        self._given_up(attempt)  # the end of the waiting has closed it
        return await self._of_several(answer)

    async def _of_several(self, answer: _Answer) -> Attempt:
        """Wait until one of those that have tasks has its first delta or failed."""
        while True:
            answer.news.clear()
            for attempt in answer.running:
                if attempt.race().done():
                    return attempt
            await answer.news.wait()

    def _told(self, answer: _Answer, attempt: Attempt) -> None:
        """An attempt with a task has its first delta or failed."""
        answer.news.set()
        if answer.waiting is not None and attempt.has_spoken:
            answer.waiting.reschedule(self._now())

    def _set_timer(self, answer: _Answer, due: float | None) -> None:
        if answer.timer is not None:
            answer.timer.cancel()
        loop = asyncio.get_running_loop()
        answer.timer = None if due is None else loop.call_at(due, self._is_due, answer, due)

    def _is_due(self, answer: _Answer, due: float) -> None:
        if not answer.was_late and self._now() >= due + LATE_S:
            answer.was_late = True
            again = self._now() + LATE_S
            answer.timer = asyncio.get_running_loop().call_at(again, self._is_due, answer, again)
        else:
            answer.was_late = False
            self._begin_another(answer, max(due, self._now()))  # a timer may be early, by less than a millisecond

    # ------------------------------------------------------------------------ whom to ask

    def _named(self, request: ModelRequest) -> str:
        return request.model or self._model_name

    def _names(self, request: ModelRequest) -> tuple[str, ...]:
        first = self._named(request)
        return (first, self._fallback_model) if self._fallback_model not in ("", first) else (first,)

    def _to_ask(self, request: ModelRequest) -> Iterator[str]:
        """Give the models one by one; each next one when those before it have failed."""
        names = self._names(request)
        is_any = False
        for name in names:
            if self._of(name).breaker.lets_through(self._now()):
                is_any = True
                yield name
        if not is_any:
            yield names[0]

    def _begin(self, answer: _Answer, name: str, why: Why) -> None:
        """Ask a model, and see to it that something is done when it is slow."""
        if name != self._named(answer.request):
            self._fallbacks += 1
        now, known = self._now(), self._of(name)
        answer.is_probe = known.breaker.state(now) != "closed"
        self._ask(answer, name, now, why)
        names = self._names(answer.request)
        answer.lost_at = now + LOST_S if name != names[-1] else inf  # behind the last one there is nobody
        slow_at = now + known.first_tokens.deadline_s if self._hedge and not answer.is_late else inf
        self._set_timer(answer, _due(min(slow_at, answer.lost_at)))

    def _begin_another(self, answer: _Answer, now: float) -> None:
        """Do something about a slow model.

        A model that is being tried out gets one request and not two. Who happened to get it should not have to wait
        for it, so it is raced by the next model.
        """
        is_late, answer.is_late = answer.is_late, True
        why: Why = "failed"
        if answer.is_probe:
            why = "slow"
        elif not is_late and self._hedge and now < answer.lost_at:
            if self._budget.take():
                self._hedges += 1
                self._ask(answer, answer.running[-1].name, now, "slow", is_hedge=True)
            self._set_timer(answer, _due(answer.lost_at))
            return
        else:
            self._budget.take()  # it is one more request, too
            self._silent(answer.running[0])
        answer.lost_at = inf
        if (name := next(answer.models, None)) is not None:
            self._begin(answer, name, why)

    def _ask(self, answer: _Answer, name: str, now: float, why: Why, *, is_hedge: bool = False) -> None:
        request = answer.request
        if name != (request.model or self._model_name):
            request = msgspec.structs.replace(request, model=name)
        answer.asked(why)
        attempt = Attempt(self.model, request, answer.rest, name=name, is_hedge=is_hedge, now=now)
        if answer.running:
            attempt.race().add_done_callback(lambda _: self._told(answer, attempt))
        answer.running.append(attempt)

    # ------------------------------------------------------------------------ what came of it

    def _won(self, answer: _Answer, winner: Attempt, delta: Delta | None) -> None:
        answer.winner = winner
        self._hedges_won += winner.is_hedge
        if delta is not None and type(delta) is not End:
            self._of(winner.name).first_tokens.took(self._now() - winner.asked_at)
        for loser in answer.running:
            self._given_up(loser)
            loser.stop()
            closing = asyncio.get_running_loop().create_task(loser.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            answer.closing.append(closing)
        answer.running.clear()

    def _ended(self, end: End, answer: _Answer) -> End:
        winner = answer.winner
        if winner is not None:
            self._of(winner.name).breaker.succeeded(self._now(), asked_at=winner.asked_at)
        if winner is None or winner.name == self._named(answer.request):
            return end
        return msgspec.structs.replace(end, fallback=True)

    def _failed(self, attempt: Attempt, error: ModelError) -> None:
        if isinstance(error, ModelRejected):
            return  # it is well: what was asked of it is not
        now, breaker = self._now(), self._of(attempt.name).breaker
        was = breaker.state(now)
        breaker.failed(
            now,
            asked_at=attempt.asked_at,
            retry_after_s=error.retry_after_s if isinstance(error, ModelRateLimited) else None,
        )
        if was == "closed" and breaker.state(now) != "closed":
            instead = f"; {self._fallback_model} is asked" if self._fallback_model not in ("", attempt.name) else ""
            logger.warning("the model %s is passed over for a while%s: %s", attempt.name, instead, error)

    def _silent(self, attempt: Attempt) -> None:
        """Note that an attempt has said nothing for too long; should it win yet, its end makes that good."""
        if not attempt.is_silent:
            attempt.is_silent = True
            self._of(attempt.name).breaker.failed(self._now(), asked_at=attempt.asked_at)

    def _given_up(self, attempt: Attempt) -> None:
        """Note that nobody waits for an attempt any more, which has said nothing yet."""
        now, known = self._now(), self._of(attempt.name)
        known.first_tokens.took_longer_than(now - attempt.asked_at)
        if now - attempt.asked_at >= HOPELESS_S:
            self._silent(attempt)

    async def _let_go(self, answer: _Answer) -> None:
        """Close what is left, all of it before anything is waited for."""
        for attempt in answer.running:
            if not attempt.is_over:
                self._given_up(attempt)
            attempt.stop()
        for attempt in answer.running:
            await attempt.close()
        if answer.winner is not None:
            await answer.winner.close()
        if answer.closing:
            await asyncio.wait(answer.closing)

    def _of(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known(self._first_tokens())
            if len(self._known) > MAX_MODELS:
                lasting = (self._model_name, self._fallback_model)
                del self._known[next(old for old in self._known if old not in lasting)]
        return known

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _due(at: float) -> float | None:
    return None if at == inf else at
