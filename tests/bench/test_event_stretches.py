"""Two stretches of load tell what a call and what a turn costs."""

from __future__ import annotations

import pytest

from bench.harness.capacity_model import Cost
from bench.harness.events.stretches import Stretch, measured_by

CPU = {"analytics": 0.1, "archive": 0.05}
"""Milliseconds of each consumer for a fact."""


def lasting(calls: int, turns: int) -> Stretch:
    """Give a stretch in which a turn costs half of what a call does, in everything."""
    times = calls + turns // 2
    return Stretch(
        calls=calls,
        turns=turns,
        facts=4 * times,
        journal_bytes=3000 * times,
        kafka_bytes=1000 * times,
        redis_commands=10 * times,
        redis_cpu_ms=1.0 * times,
        cpu_ms=5.0 * times,
        consumer_cpu_ms={name: cpu_ms * 4 * times for name, cpu_ms in CPU.items()},
    )


SHORT, LONG = lasting(10, 20), lasting(12, 140)


def test_calls_and_turns_are_told_apart_figure_by_figure() -> None:
    found = measured_by(SHORT, LONG, cpu_per_turn_ms=2.0)
    wanted = {"facts": 4, "journal_bytes": 3000, "kafka_bytes": 1000, "redis_commands": 10, "redis_cpu_ms": 1}
    for name, call in wanted.items():
        cost: Cost = getattr(found, name)
        assert cost.call == pytest.approx(call), name
        assert cost.turn == pytest.approx(call / 2), name
    # A turn's CPU is measured with a model that is asked over HTTP.
    assert found.cpu_ms.call == pytest.approx(5)
    assert found.cpu_ms.turn == 2.0


def test_a_consumers_cpu_is_that_of_a_thousand_facts_over_both() -> None:
    found = measured_by(SHORT, LONG, cpu_per_turn_ms=2.0)
    assert found.consumer_cpu_ms == pytest.approx({"analytics": 100.0, "archive": 50.0})
