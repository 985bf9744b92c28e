"""What waits to be written: in order, bounded, and the least important given up first."""

from __future__ import annotations

import threading
from collections import deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from retell_ws.backlog import Backlog
from retell_ws.entries import Weight

METRIC, EVENT, KEPT = Weight


def filled(*weights: Weight, room: int = 3, kept_room: int = 5) -> Backlog[int]:
    backlog: Backlog[int] = Backlog(room, kept_room)
    for number, weight in enumerate(weights):
        backlog.put(weight, number)
    return backlog


def test_what_came_first_goes_first_whatever_it_weighs() -> None:
    backlog = filled(KEPT, METRIC, EVENT)
    assert backlog.take(2) == [0, 1]
    assert backlog.take(2) == [2]
    assert backlog.take(2) == []


def test_the_oldest_of_the_least_weight_makes_room() -> None:
    backlog = filled(EVENT, METRIC, METRIC, EVENT, KEPT, KEPT, EVENT, METRIC)
    # 3 takes the place of 1, 4 that of 2, 5 that of 0; for 6 and 7 there is nothing lighter left.
    assert backlog.take(9) == [3, 4, 5]
    assert backlog.dropped == [3, 2, 0]


def test_a_metric_finds_no_room_among_others() -> None:
    backlog = filled(KEPT, EVENT, METRIC)
    assert not backlog.put(METRIC, 9)
    assert backlog.take(9) == [0, 1, 2]


def test_what_is_kept_finds_room_beyond_it_up_to_a_bound() -> None:
    backlog = filled(*[KEPT] * 6)
    assert backlog.take(9) == [0, 1, 2, 3, 4]
    assert backlog.dropped == [0, 0, 1]


class Waiting(RuleBasedStateMachine):
    """Against a plain list that follows the policy in so many words."""

    ROOM, KEPT_ROOM = 4, 7

    def __init__(self) -> None:
        super().__init__()
        self.backlog: Backlog[int] = Backlog(self.ROOM, self.KEPT_ROOM)
        self.model: list[tuple[int, Weight]] = []
        self.dropped = [0, 0, 0]
        self.number = 0

    @rule(weight=st.sampled_from(list(Weight)))
    def put(self, weight: Weight) -> None:
        self.number += 1
        taken = self.backlog.put(weight, self.number)
        if len(self.model) >= self.ROOM:
            lighter = sorted((entry[1], entry[0]) for entry in self.model if entry[1] < weight)
            if lighter:
                self.model.remove((lighter[0][1], lighter[0][0]))
                self.dropped[lighter[0][0]] += 1
            elif weight != KEPT or len(self.model) >= self.KEPT_ROOM:
                self.dropped[weight] += 1
                assert not taken
                return
        assert taken
        self.model.append((self.number, weight))

    @rule(limit=st.integers(0, 5))
    def take(self, limit: int) -> None:
        assert self.backlog.take(limit) == [number for number, _ in self.model[:limit]]
        del self.model[:limit]

    @invariant()
    def it_is_bounded_and_counts_what_it_gave_up(self) -> None:
        assert len(self.backlog) == len(self.model) <= self.KEPT_ROOM
        assert self.backlog.dropped == self.dropped


TestWaiting = Waiting.TestCase


def test_two_threads_lose_nothing_and_keep_the_order() -> None:
    backlog: Backlog[int] = Backlog(200, 300)
    total = 30_000
    taken: list[int] = []
    ended = threading.Event()

    def put() -> None:
        for number in range(total):
            backlog.put(Weight(number % 3), number)
        ended.set()

    putting = threading.Thread(target=put)
    putting.start()
    while not ended.is_set() or len(backlog):
        taken += backlog.take(50)
    putting.join()
    assert taken == sorted(set(taken))
    assert len(taken) + sum(backlog.dropped) == total


class _Overtaken(Backlog[int]):
    """Between a look at the oldest and its taking, the other thread drops it."""

    def __init__(self) -> None:
        super().__init__(3, 5)
        self.metrics = _Row(self)
        self._rows = (self.metrics, *self._rows[1:])


class _Row(deque[tuple[int, int]]):
    def __init__(self, backlog: Backlog[int]) -> None:
        super().__init__()
        self.backlog = backlog
        self.overtakes = 0

    def popleft(self) -> tuple[int, int]:
        if self.overtakes:
            self.overtakes -= 1
            self.backlog.put(KEPT, 99)
        return super().popleft()


def test_a_fact_that_makes_room_while_it_is_taken_disturbs_no_order() -> None:
    backlog = _Overtaken()
    for number, weight in enumerate((METRIC, EVENT, METRIC)):
        backlog.put(weight, number)
    backlog.metrics.overtakes = 1
    assert backlog.take(9) + backlog.take(9) == [1, 2, 99]
    assert backlog.dropped == [1, 0, 0]


def test_the_last_fact_that_makes_room_while_it_is_taken_is_not_taken() -> None:
    backlog = _Overtaken()
    for number, weight in enumerate((METRIC, EVENT, EVENT)):
        backlog.put(weight, number)
    backlog.metrics.overtakes = 1
    assert backlog.take(9) + backlog.take(9) == [1, 2, 99]
    backlog.put(METRIC, 3)
    assert backlog.take(9) == [3]
