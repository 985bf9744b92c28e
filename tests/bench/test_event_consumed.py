"""What consumers made of the facts: each way in which it can be wrong is seen."""

from __future__ import annotations

from bench.harness.events.consumed import ARCHIVED, TOTALS, expected, judge_archive, judge_totals
from bench.harness.events.known import Known, Totals


def call(number: int, *, ended: bool = True) -> Known:
    nothing: frozenset[int] = frozenset()
    return Known(number=number, asked={}, answered=nothing, superseded=nothing, whole=True, ended=ended)


CALLS = {1: call(1), 2: call(2), 3: call(3, ended=False)}


def archived(*numbers: int) -> list[str]:
    return [f"call_{number:06d}_abc" for number in numbers]


def test_each_call_archived_once_passes() -> None:
    assert list(judge_archive(CALLS, archived(2, 1))) == []
    # Of one that had not ended for certain nobody can say, but that it must not stand there twice.
    assert list(judge_archive(CALLS, archived(1, 2, 3))) == []


def test_a_call_that_is_missing_twice_there_or_nobodys_is_seen() -> None:
    for rows, number in ((archived(2), 1), (archived(1, 1, 2), 1), (archived(1, 2, 3, 3), 3), (archived(1, 2, 9), 9)):
        (violation,) = judge_archive(CALLS, rows)
        assert (violation.check, violation.call) == (ARCHIVED, number)


def test_totals_must_be_equal() -> None:
    wanted = expected(Totals(calls=9, ended=9, turns=40, answered=30, superseded=10, tools=7), crossed=2)
    assert wanted == {"calls": 9, "turns": 40, "tools": 7, "barge_ins": 8}
    assert list(judge_totals(wanted, {**wanted, "more": 3})) == []
    for name in wanted:
        for wrong in ({**wanted, name: wanted[name] + 1}, {key: n for key, n in wanted.items() if key != name}):
            (violation,) = judge_totals(wanted, wrong)
            assert violation.check == TOTALS and violation.detail.startswith(name)
