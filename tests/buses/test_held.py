"""What a bus holds: bounded, in order, and given again from the first that has not arrived."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from retell_ws.buses.held import Held
from retell_ws.ports import Written

from .stories import entry_of, written


def row(position: int, size: int = 10) -> Written:
    return written(position, entry_of(position), data=b"x" * size)


def test_it_takes_so_many_and_no_more() -> None:
    held = Held(2, 1000)
    assert [held.take(row(position)) for position in (1, 2, 3)] == [True, True, False]
    assert held.acknowledge(1)
    assert held.take(row(3))


def test_it_takes_so_many_bytes_but_one_entry_always() -> None:
    held = Held(10, 100)
    assert held.take(row(1, 500))
    assert not held.take(row(2, 1))
    held.acknowledge(1)
    assert held.take(row(2, 60))
    assert not held.take(row(3, 41))
    assert held.take(row(3, 40))


def test_what_is_held_is_not_taken_twice() -> None:
    held = Held(10, 100)
    assert held.take(row(1)) and held.take(row(1))
    assert len(held) == 1
    held.sent()
    assert held.next() is None


def test_what_has_not_arrived_is_sent_once_more_from_the_first_on() -> None:
    held = Held(10, 100)
    for position in (1, 2, 3):
        held.take(row(position))
        held.sent()
    held.acknowledge(2)
    held.again()
    assert held.next() == row(1)
    held.sent()
    assert held.next() == row(3)


def test_an_entry_is_acknowledged_once() -> None:
    held = Held(10, 100)
    held.take(row(1))
    assert held.acknowledge(1)
    assert not held.acknowledge(1)
    assert held.acknowledged() == [1]
    assert held.acknowledged() == []


def test_a_suspect_is_one_until_it_arrives_or_is_found_too_large() -> None:
    held = Held(10, 100)
    for position in (1, 2):
        held.take(row(position))
        held.too_large(position, alone=False)
    assert held.has_suspects
    held.acknowledge(1)
    assert held.has_suspects and not held.is_too_large(2)
    held.too_large(2, alone=True)
    assert not held.has_suspects and held.is_too_large(2)
    held.too_large(2, alone=False)
    assert not held.has_suspects
    held.acknowledge(2)
    assert not held.is_too_large(2)
    held.too_large(9, alone=True)
    assert not held.is_too_large(9)


class Sending(RuleBasedStateMachine):
    """A client that takes what it is given, arrives with any of it, or fails with all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Held(8, 10_000)
        self.taken: list[int] = []
        self.arrived: list[int] = []
        self.told: list[int] = []
        self.under_way: list[int] = []

    @rule()
    def take(self) -> None:
        position = len(self.taken) + 1
        if self.held.take(row(position)):
            self.taken.append(position)

    @rule()
    def send(self) -> None:
        entry = self.held.next()
        if entry is not None:
            self.held.sent()
            self.under_way.append(entry.position)

    @rule()
    def arrive(self) -> None:
        # In order: the client does not go on behind one that has failed.
        if self.under_way:
            position = self.under_way.pop(0)
            self.arrived.append(position)
            self.held.acknowledge(position)

    @rule(loses_reply=st.booleans())
    def fail(self, loses_reply: bool) -> None:
        if loses_reply and self.under_way:
            self.arrived.append(self.under_way[0])  # it has arrived, and nobody was told
        self.under_way.clear()
        self.held.again()

    @rule()
    def tell(self) -> None:
        self.told += self.held.acknowledged()

    @invariant()
    def none_comes_after_a_later_one_for_the_first_time(self) -> None:
        first_seen = list(dict.fromkeys(self.arrived))
        assert first_seen == sorted(first_seen)

    @invariant()
    def it_is_bounded_and_forgets_nothing(self) -> None:
        assert len(self.held) <= 8
        assert len(self.taken) - len(self.held) == len({*self.told, *self.held._acknowledged})

    @invariant()
    def only_what_has_arrived_is_told_and_once(self) -> None:
        assert len(self.told) == len(set(self.told))
        assert set(self.told) <= set(self.arrived)


Sending.TestCase.settings = settings(max_examples=200)
TestSending = Sending.TestCase
