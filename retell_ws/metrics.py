"""The metrics a server shows, by name, label and bounds, in the text format of Prometheus.

A label never takes a value from a call: its values are listed here, or, where others choose the word, there is room for
a few and the rest are `other`. So a server shows as many series after a million calls as after ten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .control import Why
from .facts import Fact
from .webhooks import EVENTS

__all__ = ["WAITS_S", "WEBHOOKS", "Metrics", "Words"]

WAITS_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0),
)
"""Bounds for what a caller waits for. The budgets of all blueprints are among them, so their shares are exact."""

STAGES_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Bounds for the stages that are ours, which should take next to nothing."""

STALLS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

LASTS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0)
"""Bounds for what takes its time: whole turns, tools."""

ROOM: Final = 16
"""Words a label has room for where others choose them: the provider, whose errors and reasons may change."""

WEBHOOKS: Final = frozenset((*EVENTS, "unread"))
"""The events that a webhook is counted under, beside `other`; `unread` when nobody knows what it tells."""

BUILD: Final = ("version", "blueprint", "model")
"""What a build is told by."""

_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,40}")


class Metrics:
    """One server's metrics, in a registry of its own: two servers in one process do not mix.

    Args:
        budget_s: What the first sentence is measured against.
        calls: Counts the calls attached now; asked whenever the metrics are.
        live: Counts those and the ones whose redial is awaited; by default `calls`.
        store: Gives the figures of the store that servers share (`ports.CallStore.figures`); None without one.
        outbox: Gives those of what takes the facts (`outbox.Outbox.figures`); None without it.
        traces: Gives those of what sends spans (`tracing.Tracing.figures`); None without it.
        draining: Tells whether new calls are refused.
        max_calls: How many calls there may be.
        build: What runs here: `version`, `blueprint` and `model`.

    Attributes are the metrics; one with a label is a mapping from the label's values.
    """

    def __init__(
        self,
        budget_s: float,
        calls: Callable[[], int],
        store: Callable[[], Mapping[str, float]] | None = None,
        outbox: Callable[[], Mapping[str, float]] | None = None,
        *,
        live: Callable[[], int] | None = None,
        traces: Callable[[], Mapping[str, float]] | None = None,
        draining: Callable[[], bool] = lambda: False,
        max_calls: int = 0,
        build: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = CollectorRegistry()
        if store is not None:
            self._registry.register(_StoreFigures(store))
        if outbox is not None:
            self._registry.register(_OutboxFigures(outbox))
        if traces is not None:
            self._registry.register(_TraceFigures(traces))
        about = "What runs here; always 1."
        running = Gauge("retell_ws_build_info", about, list(BUILD), registry=self._registry)
        running.labels(*((build or {}).get(name, "") for name in BUILD)).set(1)
        gauge = Gauge("retell_ws_draining", "1 while new calls are refused.", registry=self._registry)
        gauge.set_function(lambda: float(draining()))
        gauge = Gauge("retell_ws_max_calls", "How many calls there may be.", registry=self._registry)
        gauge.set(max_calls)
        gauge = Gauge("retell_ws_calls", "Calls attached now.", registry=self._registry)
        gauge.set_function(calls)
        about = "Calls with somebody on the line, or about to be again: a redial is awaited."
        gauge = Gauge("retell_ws_live_calls", about, registry=self._registry)
        gauge.set_function(live or calls)
        gauge = Gauge("retell_ws_budget_seconds", "What a first sentence is measured against.", registry=self._registry)
        gauge.set(budget_s)
        waits = sorted({*WAITS_S, budget_s})
        about = "From Retell's request to the answer's first whole sentence on its socket, by what answered."
        self.first_sentence = self._times("first_sentence", about, waits, source=("model", "speculation", "cache"))
        about = "Turns whose first sentence came within the budget, or over it, or never."
        self.budgeted_turns = self._counts("budgeted_turns", about, budget=("within", "over"))
        self.first_token = self._time("first_token", "From the request to the model's first text.", waits)
        about = "What comes before the model: waiting to be read, decoding, building the prompt, getting a connection."
        self.stage = self._times("stage", about, STAGES_S, stage=("queued", "decoded", "prompt", "connect"))
        self.turn = self._time("turn", "From the request to the last frame.", LASTS_S)
        about = "Requests of Retell's, by how their turn ended."
        self.turns = self._counts("turns", about, outcome=("finished", "failed", "superseded"))
        self.failures = self._words("failures", "Turns that ended in one of the agent's lines, by what failed.", "why")
        self.holding_phrases = self._count("holding_phrases", "Holding phrases said.")
        self.attempts = self._count("attempts", "Requests to a model for turns, whatever came of them.")
        self.hedged_turns = self._count("hedged_turns", "Turns whose model was asked once more, being slow.")
        self.fallback_turns = self._count("fallback_turns", "Turns that another model than the agent's has answered.")
        self.cached_answers = self._count("cached_answers", "Answers from the cache.")
        about = "Times the provider's prompt cache missed, by reason."
        self.prompt_cache_misses = self._words("prompt_cache_misses", about, "reason")
        self.input_tokens = self._counts("input_tokens", "Tokens of the prompts.", prompt_cache=("read", "missed"))
        about = "Times the model was asked before Retell asked, by what made the caller's words look finished."
        self.speculations_started = self._counts("speculations_started", about, why=("sentence_end", "quiet"))
        self.speculations_adopted = self._count("speculations_adopted", "Speculations that became the answer.")
        self.speculations_dropped = self._count("speculations_dropped", "Speculations in vain.")
        self.wasted_tokens = self._count("speculation_wasted_tokens", "Tokens spent in vain; an estimate.")
        about = "Seconds by which adopted speculations were ahead of the request."
        self.head_start = self._count("speculation_head_start_seconds", about)
        about = "Times the talk was broken into: by the caller, or by the agent speaking unasked."
        self.interruptions = self._counts("interruptions", about, by=("caller", "agent"))
        outcomes = ("done", "refused", "failed", "late", "repeated", "unknown", "withdrawn")
        self.tools = self._counts("tools", "Tools the model called, by what came of it.", outcome=outcomes)
        about = "Commands to calls from outside that this server was asked for, by what came of them."
        self.commands = self._counts("commands", about, outcome=("done", *get_args(Why)))
        about = "Retell's webhooks, by what they told and what came of them."
        self.webhooks = Counter("retell_ws_webhooks", about, ["event", "outcome"], registry=self._registry)
        self.tool = self._time("tool", "From a tool's call to what came of it.", LASTS_S)
        about = "By how much the event loop was late for a timer that looks all the time: what every call waited for."
        self.loop_stall = self._time("loop_stall", about, STALLS_S)
        tags = {kind: str(kind.__struct_config__.tag) for kind in get_args(Fact)}
        facts = self._counts("facts", "Everything that happened, by kind.", fact=tags.values())
        self.facts: Mapping[type[Fact], Counter] = {kind: facts[tag] for kind, tag in tags.items()}

    def text(self) -> bytes:
        """Write all of them down, in a millisecond or two."""
        return generate_latest(_WithoutBirthdays(self._registry))

    def _count(self, name: str, about: str) -> Counter:
        return Counter(f"retell_ws_{name}", about, registry=self._registry)

    def _counts(self, name: str, about: str, **label: Iterable[str]) -> Mapping[str, Counter]:
        ((named, values),) = label.items()
        counter = Counter(f"retell_ws_{name}", about, [named], registry=self._registry)
        return {value: counter.labels(value) for value in values}

    def _words(self, name: str, about: str, label: str) -> Words:
        return Words(Counter(f"retell_ws_{name}", about, [label], registry=self._registry))

    def _time(self, name: str, about: str, bounds: Iterable[float]) -> Histogram:
        return Histogram(f"retell_ws_{name}_seconds", about, registry=self._registry, buckets=tuple(bounds))

    def _times(self, name: str, about: str, bounds: Iterable[float], **label: Iterable[str]) -> Mapping[str, Histogram]:
        ((named, values),) = label.items()
        name = f"retell_ws_{name}_seconds"
        histogram = Histogram(name, about, [named], registry=self._registry, buckets=tuple(bounds))
        return {value: histogram.labels(value) for value in values}


class Words:
    """A counter whose label has values that others choose: the first few that are words, and `other`."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._known = {"other": counter.labels("other")}

    def count(self, word: str) -> None:
        """Count one."""
        known = self._known.get(word)
        if known is None:
            if len(self._known) > ROOM or not _WORD.fullmatch(word):
                known = self._known["other"]
            else:
                known = self._known[word] = self._counter.labels(word)
        known.inc()


class _StoreFigures(Collector):
    """What a shared store has counted itself, read when the metrics are."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        about = "Writes to the store of calls: written, refused because another server has the call, or failed."
        writes = CounterMetricFamily("retell_ws_store_writes", about, labels=["outcome"])
        for outcome in ("written", "refused", "failed"):
            writes.add_metric([outcome], figures[outcome])
        yield writes
        about = "1 while the store of calls cannot be reached."
        yield GaugeMetricFamily("retell_ws_store_degraded", about, figures["degraded"])


class _OutboxFigures(Collector):
    """What became of the facts, as the outbox has counted itself."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        about = "Facts: put by the calls of this process, and written to the journal."
        facts = CounterMetricFamily("retell_ws_journal_facts", about, labels=["step"])
        for step in ("recorded", "written"):
            facts.add_metric([step], figures[step])
        yield facts
        about = "Facts that this process gave up for want of room, by weight."
        dropped = CounterMetricFamily("retell_ws_journal_dropped", about, labels=["weight"])
        for weight in ("metric", "event", "kept"):
            dropped.add_metric([weight], figures[f"dropped_{weight}"])
        yield dropped
        for name, figure, about in (
            ("journal_queued", "queued", "Facts that are still to be written to the journal."),
            (
                "journal_waiting",
                "waiting",
                "Entries of the journal, of all processes, for somebody to read.",
            ),
            ("journal_bytes", "waiting_bytes", "Bytes in use of the journal."),
            ("journal_oldest_seconds", "oldest_s", "Age of its oldest entry."),
            ("journal_degraded", "degraded", "1 while the journal is not written, or takes too much room."),
        ):
            yield GaugeMetricFamily(f"retell_ws_{name}", about, figures[figure])
        if "relayed" in figures:
            about = "Facts that the bus has acknowledged to this process, and those that failed and are sent again."
            relayed = CounterMetricFamily("retell_ws_bus_facts", about, labels=["outcome"])
            relayed.add_metric(["acknowledged"], figures["relayed"])
            relayed.add_metric(["failed"], figures["bus_failed"])
            yield relayed
            about = "1 while the bus acknowledges nothing."
            yield GaugeMetricFamily("retell_ws_bus_degraded", about, figures["bus_degraded"])


class _TraceFigures(Collector):
    """What became of the spans, as what sends them has counted itself."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures()
        about = "Spans: taken by the collector, not taken by it, or given up for want of room."
        spans = CounterMetricFamily("retell_ws_spans", about, labels=["outcome"])
        for outcome in ("sent", "failed", "dropped"):
            spans.add_metric([outcome], figures[outcome])
        yield spans


class _WithoutBirthdays(Collector):
    """The metrics without the time each was made at, which the library adds as series that nobody looks at.

    It can be told to leave them out, but only for everybody in the process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
