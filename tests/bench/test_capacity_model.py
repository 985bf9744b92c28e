"""What so many calls need, from what one costs: by hand, and whatever the figures are."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.harness.capacity_model import CALLS, Assumed, Cost, Measured, Window, need, per_call_and_turn

MEASURED = Measured(
    facts=Cost(4, 5),
    journal_bytes=Cost(3000, 2000),
    kafka_bytes=Cost(1200, 600),
    redis_commands=Cost(10, 6),
    redis_cpu_ms=Cost(1, 0.5),
    cpu_ms=Cost(10, 2),
    consumer_cpu_ms={"analytics": 40.0, "escalation": 200.0},
)


def test_a_thousand_calls_by_hand() -> None:
    found = need(1000, MEASURED, Assumed(call_s=100, turn_s=10))
    # 10 calls and 100 turns a second.
    assert found.turns_s == 100
    assert found.facts_s == 540
    assert found.cores == pytest.approx(0.6)  # 300 ms a second, at half of a core
    assert found.servers == 1
    assert found.redis_commands_s == 700
    assert found.redis_cores == pytest.approx(0.12)
    assert found.kafka_mb_s == pytest.approx(0.072)
    assert found.kafka_gb == pytest.approx(0.072 * 86.4 * 7 * 3)
    assert found.journal_mb_outage == pytest.approx(0.23 * 600)
    assert found.transcripts_day == 864_000
    assert found.consumers == {"analytics": 1, "escalation": 1}
    assert found.partitions == 12


def test_many_calls_need_a_spare_server_and_a_partition_for_each_consumer() -> None:
    found = need(100_000, MEASURED, Assumed(call_s=100, turn_s=10))
    assert found.cores == pytest.approx(60)
    assert found.servers == 14  # a hundred workers of a thousand calls each, on thirteen servers, and one more
    assert found.consumers == {"analytics": 5, "escalation": 22}
    assert found.partitions == 22


def test_few_calls_need_one_of_everything() -> None:
    found = need(1, MEASURED, Assumed())
    assert (found.servers, found.consumers) == (1, {"analytics": 1, "escalation": 1})
    assert need(1, msgspec.structs.replace(MEASURED, consumer_cpu_ms={}), Assumed()).partitions == 12


@given(st.sampled_from(CALLS), st.integers(2, 50))
def test_it_is_a_straight_line(calls: int, times: int) -> None:
    one, many = need(calls, MEASURED, Assumed()), need(calls * times, MEASURED, Assumed())
    for name in (
        "turns_s",
        "facts_s",
        "cores",
        "redis_commands_s",
        "redis_cores",
        "kafka_mb_s",
        "kafka_gb",
        "transcripts_day",
    ):
        assert getattr(many, name) == pytest.approx(getattr(one, name) * times)
    assert many.servers >= one.servers
    assert many.partitions >= one.partitions


counts = st.integers(1, 10_000)
costs = st.floats(0, 1e6, allow_nan=False)


@given(counts, counts, counts, counts, costs, costs)
def test_calls_and_turns_are_told_apart(
    calls: int, turns: int, more_calls: int, more_turns: int, call: float, turn: float
) -> None:
    determinant = calls * more_turns - more_calls * turns
    assume(abs(determinant) > 0.01 * calls * more_turns)
    short = Window(calls, turns, calls * call + turns * turn)
    long = Window(more_calls, more_turns, more_calls * call + more_turns * turn)
    found = per_call_and_turn(short, long)
    scale = max(short.total, long.total, 1e-9)
    assert found.call * calls + found.turn * turns == pytest.approx(short.total, abs=1e-3 * scale)
    assert min(found.call, found.turn) >= 0


def test_noise_leaves_nothing_below_zero() -> None:
    assert per_call_and_turn(Window(10, 10, 9), Window(10, 100, 100)) == Cost(0.0, 1.0)
    assert per_call_and_turn(Window(10, 10, 100), Window(10, 100, 90)) == Cost(10.0, 0.0)
    with pytest.raises(ValueError, match="as many turns"):
        per_call_and_turn(Window(1, 5, 3), Window(2, 10, 3))


def test_nothing_measured_is_no_figure() -> None:
    unknown = msgspec.structs.replace(MEASURED, cpu_ms=Cost(0, 0))
    assert math.isclose(need(10, unknown, Assumed()).cores, 0)
