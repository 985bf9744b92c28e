"""The breaker: a test per row of its table, and its promises under any sequence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from retell_ws.breaker import AT_LEAST, IN_A_ROW, LONGEST_S, PROBE_S, WINDOW_S, Breaker


def opened(at: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(IN_A_ROW):
        breaker.failed(at, asked_at=at)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them_be_one() -> None:
    breaker = Breaker()
    for _ in range(IN_A_ROW - 1):
        breaker.failed(1, asked_at=1)
    breaker.succeeded(1, asked_at=1)
    for _ in range(IN_A_ROW - 1):
        breaker.failed(1, asked_at=1)
    assert breaker.state(1) == "closed" and breaker.lets_through(1)
    breaker.failed(1, asked_at=1)
    assert breaker.state(1) == "open" and not breaker.lets_through(1)


@pytest.mark.parametrize(("at_s", "state"), [((0, 0), "open"), ((0, WINDOW_S - 1), "open"), ((0, WINDOW_S), "closed")])
def test_half_of_enough_requests_within_the_window_open_it(at_s: tuple[float, float], state: str) -> None:
    breaker = Breaker()
    for number in range(AT_LEAST):
        now = at_s[number >= AT_LEAST - 2]
        if number % 2:
            breaker.failed(now, asked_at=now)
        else:
            breaker.succeeded(now, asked_at=now)
        assert number == AT_LEAST - 1 or breaker.state(now) == "closed"
    assert breaker.state(at_s[1]) == state


def test_less_than_half_never_opens_it() -> None:
    breaker = Breaker()
    for number in range(1000):
        if number % 5 in (1, 3):
            breaker.failed(number / 50, asked_at=0)
        else:
            breaker.succeeded(number / 50, asked_at=0)
        assert breaker.lets_through(number / 50)


def test_half_open_it_lets_one_request_through_every_five_seconds() -> None:
    breaker = opened(100)
    assert breaker.state(100 + PROBE_S - 0.1) == "open"
    assert breaker.state(100 + PROBE_S) == "half-open"
    assert [breaker.lets_through(100 + PROBE_S + late) for late in (0, 0, 1, PROBE_S - 0.1)] == [True] + [False] * 3
    assert breaker.lets_through(100 + 2 * PROBE_S)


def test_a_probe_that_fails_keeps_it_open_and_one_that_ends_well_closes_it() -> None:
    breaker = opened(100)
    assert breaker.lets_through(105)
    breaker.failed(107, asked_at=105)
    assert not breaker.lets_through(111.9) and breaker.lets_through(112)
    breaker.succeeded(113, asked_at=112)
    assert breaker.state(113) == "closed"
    for _ in range(IN_A_ROW - 1):  # and what was before is forgotten
        breaker.failed(113, asked_at=113)
    assert breaker.state(113) == "closed"


def test_what_was_asked_before_it_opened_neither_closes_it_nor_keeps_it_open() -> None:
    breaker = opened(100)
    breaker.succeeded(101, asked_at=99)
    breaker.failed(104, asked_at=99)
    assert (breaker.state(104.9), breaker.state(105)) == ("open", "half-open")


@pytest.mark.parametrize(("retry_after_s", "until_s"), [(2, 2), (90, 90), (1e9, LONGEST_S)])
def test_a_refusal_that_says_when_to_come_back_opens_it_for_so_long(retry_after_s: float, until_s: float) -> None:
    breaker = Breaker()
    breaker.failed(0, asked_at=0, retry_after_s=retry_after_s)
    assert not breaker.lets_through(until_s - 0.1)
    assert breaker.lets_through(until_s) and not breaker.lets_through(until_s)


def test_a_shorter_wish_shortens_no_longer_one_and_a_closed_breaker_remembers_none() -> None:
    breaker = Breaker()
    breaker.failed(0, asked_at=0, retry_after_s=90)
    breaker.failed(1, asked_at=0, retry_after_s=2)
    breaker.failed(1, asked_at=1)
    assert not breaker.lets_through(89)
    breaker.succeeded(30, asked_at=20)  # it was asked because all others were away, and answered
    breaker.failed(31, asked_at=31, retry_after_s=2)
    assert breaker.lets_through(33)


def test_a_refusal_without_a_time_is_one_failure() -> None:
    breaker = Breaker()
    breaker.failed(0, asked_at=0, retry_after_s=0)
    assert breaker.state(0) == "closed"


class AnyTraffic(RuleBasedStateMachine):
    """Whatever happens: it lets probes through at their pace, and closes only by an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 0.0
        self.asked: list[float] = []
        self.probe = -PROBE_S

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        state = self.breaker.state(self.now)
        through = self.breaker.lets_through(self.now)
        assert through == (state != "open")
        if state == "half-open":
            assert self.now - self.probe >= PROBE_S
            self.probe = self.now
        if through:
            self.asked.append(self.now)

    @rule()
    def succeed(self) -> None:
        if self.asked:
            self.breaker.succeeded(self.now, asked_at=self.asked.pop(0))

    @rule(retry_after_s=st.none() | st.floats(0, 1000), times=st.integers(1, 6))
    def fail(self, retry_after_s: float | None, times: int) -> None:
        was = self.breaker.state(self.now)
        for asked_at in self.asked[:times]:
            self.breaker.failed(self.now, asked_at=asked_at, retry_after_s=retry_after_s)
        del self.asked[:times]
        assert was == "closed" or self.breaker.state(self.now) != "closed"

    @rule()
    def give_up(self) -> None:
        self.asked.clear()

    @invariant()
    def it_does_not_stay_away_for_ever(self) -> None:
        assert self.breaker.state(self.now + LONGEST_S) != "open"


TestAnyTraffic = AnyTraffic.TestCase


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_its_memory_is_bounded(times: list[float]) -> None:
    breaker = Breaker()
    for now in sorted(times):
        breaker.succeeded(now, asked_at=now)
        assert len(breaker._seconds) <= WINDOW_S
