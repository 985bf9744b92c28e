"""What a validation reports: one line for each thing that was looked at, and a verdict over all of them. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from ..plural import many

__all__ = ["TOPICS", "Latency", "Line", "Outcome", "Report", "Topic", "by_topic"]

Outcome: TypeAlias = Literal["pass", "warn", "fail", "skip", "info"]

Topic: TypeAlias = Literal[
    "settings",
    "keys",
    "redis",
    "kafka",
    "conformance",
    "latency",
    "failover",
    "draining",
    "cache",
    "events",
    "webhooks",
    "retell",
]

TOPICS: Final[Mapping[str, str]] = {
    "settings": "what was asked for, and whether it fits together",
    "keys": "the keys of the model's provider and of Retell",
    "redis": "where calls are kept",
    "kafka": "where facts go",
    "conformance": "Retell's protocol, as Retell would speak it",
    "latency": "first sentences against the budget, with several callers",
    "failover": "a server is killed while it speaks",
    "draining": "a server is told to stop while it speaks",
    "cache": "answers without the model",
    "events": "facts of a call, from the socket to the archive",
    "webhooks": "what Retell tells afterwards",
    "retell": "the agent as it is registered with Retell",
}
"""What is looked at, in this order."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        topic: One of `TOPICS`.
        name: What it is.
        outcome: `pass`; `warn`: it works, and should be otherwise; `fail`; `skip`: it could not be checked; `info`: it
            is told, and there is nothing to check.
        seen: What was measured, or why it could not be checked.
        advice: What to do about it; empty when nothing is to be done.
        took_s: Seconds it took.
    """

    topic: str
    name: str
    outcome: Outcome
    seen: str
    advice: str = ""
    took_s: float = 0.0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What synthetic callers measured.

    Attributes:
        callers: How many at once.
        budget_ms: What first sentences were held against.
        p50_ms: Half of the first sentences came no later.
        p95_ms: Nor did 95 of a hundred.
        p99_ms: Nor did 99.
        of: Whose time it is.
        sentences_ms: Each first sentence, in order of length.
    """

    callers: int
    budget_ms: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    of: str
    sentences_ms: Sequence[float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as `--json` prints it. It holds no secret.

    Attributes:
        at: When it began, in seconds since 1970.
        took_s: Seconds for all of it.
        agent: Who answered.
        blueprint: The blueprint.
        url: The server that was checked beside the spare ones, without its secret; empty when there was none.
        only: The topics that were asked for; none means all.
        versions: Of Python and of the packages that matter.
        machine: What it ran on.
        settings: Names of the settings that are not the defaults.
        lines: What was looked at.
        latency: What was measured; None when it was not.
    """

    at: float
    took_s: float
    agent: str
    blueprint: str
    url: str = ""
    only: Sequence[str] = ()
    versions: Mapping[str, str] = {}
    machine: Mapping[str, str] = {}
    settings: Sequence[str] = ()
    lines: Sequence[Line] = ()
    latency: Latency | None = None

    def count(self, outcome: Outcome) -> int:
        """Tell how many lines have an outcome."""
        return Counter(line.outcome for line in self.lines)[outcome]

    @property
    def is_proved(self) -> bool:
        """Whether something was looked at and nothing failed. What could not be checked does not count against it."""
        return bool(self.count("pass")) and not self.count("fail")

    @property
    def verdict(self) -> str:
        """The verdict, in one sentence."""
        if failed := self.count("fail"):
            return f"{many(failed, 'thing does', 'things do')} not work"
        if not self.count("pass"):
            return "Nothing could be checked"
        if warned := self.count("warn"):
            return f"It works, and {many(warned, 'thing')} should be otherwise"
        return "All that could be checked works" if self.count("skip") else "Everything works"

    @property
    def counts(self) -> str:
        """How many lines passed, and so on, in words."""
        words: tuple[tuple[Outcome, str], ...] = (
            ("pass", "passed"),
            ("fail", "failed"),
            ("warn", "warned"),
            ("skip", "not checked"),
        )
        return ", ".join(f"{count} {word}" for outcome, word in words if (count := self.count(outcome)))


def by_topic(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Sort lines by topic, in the order of `TOPICS`; topics without a line are left out."""
    found = {topic: [line for line in lines if line.topic == topic] for topic in TOPICS}
    return {topic: of for topic, of in found.items() if of}
