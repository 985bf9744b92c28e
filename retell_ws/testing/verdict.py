"""What synthetic callers heard, held against a latency budget. No I/O."""

from __future__ import annotations

import math

import msgspec

from .callers import Plan, Tally

__all__ = ["Figures", "Verdict", "judge"]


class Figures(msgspec.Struct, frozen=True):
    """Percentiles of one time, in milliseconds; None when nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None
    count: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the callers found, and whether it is good enough.

    Attributes:
        passed: No turn failed, and p95 of the first sentence keeps the budget.
    """

    url: str
    calls: int
    turns: int
    budget_ms: int
    first_frame_ms: Figures
    first_sentence_ms: Figures
    pong_ms: Figures
    failed: int
    failures: dict[str, int]
    passed: bool


def judge(plan: Plan, tally: Tally, budget_ms: int) -> Verdict:
    """Hold what was heard against the budget."""
    sentence = _figures(tally.first_sentence_s)
    failed = tally.failures.total()
    return Verdict(
        url=plan.url,
        calls=plan.calls,
        turns=plan.turns,
        budget_ms=budget_ms,
        first_frame_ms=_figures(tally.first_frame_s),
        first_sentence_ms=sentence,
        pong_ms=_figures(tally.pong_s),
        failed=failed,
        failures=dict(tally.failures),
        passed=not failed and sentence.p95 is not None and sentence.p95 <= budget_ms,
    )


def _figures(seconds: list[float]) -> Figures:
    ordered = sorted(seconds)

    def nearest_rank(percent: float) -> float | None:
        if not ordered:
            return None
        return 1000 * ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    return Figures(nearest_rank(50), nearest_rank(95), nearest_rank(99), nearest_rank(100), len(ordered))
