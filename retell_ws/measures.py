"""What a server counts and times, made from the facts of its calls while they last.

Each figure comes from one kind of fact, so that nothing is counted twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .control import Outcome, Refused, Seen
from .facts import (
    Fact,
    Interrupted,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    ToolFinished,
    TurnFailed,
    TurnMeasured,
    TurnSuperseded,
)
from .metrics import WAITS_S, WEBHOOKS, Metrics
from .views import FirstSentences

__all__ = ["Measures"]

REMEMBERED: Final = 1000
"""First sentences that `summary` looks back on."""

GREETING: Final = 0
"""The id of the greeting: nobody asked for it, and it says nothing about how long a caller waits."""


class Measures:
    """The figures of one server.

    Args:
        budget_s: What the first sentence is measured against.
        calls: Counts the calls attached now.
        live: Counts those and the ones whose redial is awaited; by default `calls`.
        is_read: Somebody may ask for `text`; without that only the figures of `summary` are kept, which costs a turn a
            tenth.
        store: Gives the figures of the store that servers share; None without one.
        outbox: Gives those of what takes the facts; None without it.
        traces: Gives those of what sends spans; None without it.
        draining: Tells whether new calls are refused.
        max_calls: How many calls there may be.
        build: What runs here: `version`, `blueprint` and `model`.
    """

    def __init__(
        self,
        budget_s: float,
        calls: Callable[[], int],
        *,
        live: Callable[[], int] | None = None,
        is_read: bool = True,
        store: Callable[[], Mapping[str, float]] | None = None,
        outbox: Callable[[], Mapping[str, float]] | None = None,
        traces: Callable[[], Mapping[str, float]] | None = None,
        draining: Callable[[], bool] = lambda: False,
        max_calls: int = 0,
        build: Mapping[str, str] | None = None,
    ) -> None:
        self._budget_s = budget_s
        self._is_read = is_read
        self._metrics = Metrics(
            budget_s,
            calls,
            store,
            outbox,
            live=live,
            traces=traces,
            draining=draining,
            max_calls=max_calls,
            build=build,
        )
        self._turns = self._within = self._over = 0
        self._latest: deque[float] = deque(maxlen=REMEMBERED)
        self._bounds_s = sorted({*WAITS_S, budget_s})
        self._classes = [0] * (len(self._bounds_s) + 1)

    def record(self, fact: Fact) -> None:
        """Count a fact. Takes some microseconds, and waits for nothing."""
        if type(fact) is TurnMeasured and fact.response_id != GREETING:
            self._sum_up(fact)
        if not self._is_read:
            return
        metrics = self._metrics
        metrics.facts[type(fact)].inc()
        match fact:
            case TurnMeasured():
                if fact.response_id != GREETING:
                    self._measured(fact)
            case TurnFailed():
                metrics.failures.count(fact.why)
            case TurnSuperseded() if fact.by is not None:
                metrics.interruptions["caller"].inc()
            case Interrupted():
                metrics.interruptions["agent"].inc()
            case ToolFinished():
                metrics.tools[fact.outcome].inc()
                metrics.tool.observe(fact.duration_s)
            case SpeculationStarted():
                metrics.speculations_started[fact.why].inc()
            case SpeculationAdopted():
                metrics.speculations_adopted.inc()
                metrics.head_start.inc(max(0.0, fact.head_start_s))
            case SpeculationDropped():
                metrics.speculations_dropped.inc()
                metrics.wasted_tokens.inc(max(0, fact.tokens))

    def late(self, seconds: float) -> None:
        """Note by how much the event loop was late."""
        if self._is_read:
            self._metrics.loop_stall.observe(seconds)

    def commanded(self, outcome: Outcome) -> None:
        """Count a command from outside."""
        if self._is_read and not isinstance(outcome, Seen):
            self._metrics.commands[outcome.kind if isinstance(outcome, Refused) else "done"].inc()

    def webhook(self, event: str, outcome: str) -> None:
        """Count a webhook of Retell's, by what it told and what came of it."""
        if self._is_read:
            self._metrics.webhooks.labels(event if event in WEBHOOKS else "other", outcome).inc()

    def text(self) -> bytes:
        """Write the figures down in the text format of Prometheus."""
        return self._metrics.text()

    def summary(self) -> dict[str, float]:
        """Give the figures a person asks for first; a share or percentile of nothing is left out.

        Returns:
            `turns`; `within_budget`, a share of them; and percentiles of the latest first sentences, in seconds.
        """
        figures: dict[str, float] = {"turns": self._turns}
        if judged := self._within + self._over:
            figures["within_budget"] = self._within / judged
        for percent, seconds in self._percentiles():
            figures[f"first_sentence_p{percent}_s"] = seconds
        return figures

    def first_sentences(self) -> FirstSentences:
        """Tell what callers have waited, for whoever looks on."""
        ranks = {f"p{percent}_ms": 1000 * seconds for percent, seconds in self._percentiles()}
        bounds_ms = tuple(round(1000 * bound, 3) for bound in self._bounds_s)
        return FirstSentences(bounds_ms, tuple(self._classes), self._within, self._over, **ranks)

    def _percentiles(self) -> Iterator[tuple[int, float]]:
        if ranked := sorted(self._latest):
            for percent in (50, 95, 99):  # the nearest rank: a time that was really measured
                yield percent, ranked[-(-len(ranked) * percent // 100) - 1]

    def _sum_up(self, turn: TurnMeasured) -> None:
        self._turns += 1
        if turn.first_sentence_s is not None:
            self._latest.append(turn.first_sentence_s)
            self._classes[bisect_left(self._bounds_s, turn.first_sentence_s)] += 1
        if (is_within := self._is_within(turn)) is not None:
            self._within += is_within
            self._over += not is_within

    def _is_within(self, turn: TurnMeasured) -> bool | None:
        """Judge a turn by the budget; None when there is nothing to judge."""
        if turn.first_sentence_s is not None:
            return turn.first_sentence_s <= self._budget_s
        # An apology is no answer; but who spoke on, or got no words, waited for none.
        return False if turn.outcome == "failed" else None

    def _measured(self, turn: TurnMeasured) -> None:
        metrics = self._metrics
        metrics.turns[turn.outcome].inc()
        if turn.first_sentence_s is not None:
            source = "cache" if turn.cached else "speculation" if turn.adopted else "model"
            metrics.first_sentence[source].observe(turn.first_sentence_s)
        if (is_within := self._is_within(turn)) is not None:
            metrics.budgeted_turns["within" if is_within else "over"].inc()
        built_s = turn.prompt_s  # in the fact each time is counted from the request, here from the stage before
        if built_s is not None and turn.decoded_s is not None:
            built_s -= turn.decoded_s
        for histogram, seconds in (
            (metrics.first_token, turn.first_token_s),
            (metrics.turn, turn.done_s),
            (metrics.stage["queued"], turn.queued_s),
            (metrics.stage["decoded"], turn.decoded_s),
            (metrics.stage["prompt"], built_s),
            (metrics.stage["connect"], turn.connect_s),
        ):
            if seconds is not None:
                histogram.observe(max(0.0, seconds))
        for counter, number in (
            (metrics.holding_phrases, turn.held),
            (metrics.attempts, turn.attempts),
            (metrics.hedged_turns, turn.hedged),
            (metrics.fallback_turns, turn.fallback),
            (metrics.cached_answers, turn.cached),
            (metrics.input_tokens["read"], turn.cache_read_tokens),
            (metrics.input_tokens["missed"], turn.input_tokens + turn.cache_write_tokens),
        ):
            if number > 0:  # a count of the provider's may be anything, and a counter refuses to go back
                counter.inc(number)
        if turn.cache_miss:
            metrics.prompt_cache_misses.count(turn.cache_miss)
