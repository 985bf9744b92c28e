"""Tickets: each opens one socket, of its own call, soon. Against a model that remembers all of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from retell_ws.console.tickets import CALL_ID, MAX_OPEN, VALID_S, Tickets


def drawn() -> Iterator[str]:
    return (f"secret{number:06}" for number in count())


def tickets() -> Tickets:
    return Tickets(drawn().__next__)


def test_a_ticket_opens_one_socket() -> None:
    made = tickets()
    call_id, ticket = made.issue(0.0)
    assert CALL_ID.fullmatch(call_id)
    assert made.redeem(1.0, call_id, ticket)
    assert not made.redeem(1.0, call_id, ticket)


def test_a_call_is_dialled_again_with_another_ticket() -> None:
    made = tickets()
    call_id, first = made.issue(0.0)
    again, second = made.issue(0.0, call_id)
    assert again == call_id and first != second
    assert made.redeem(0.0, call_id, second) and made.redeem(0.0, call_id, first)


def test_a_ticket_that_was_shown_for_another_call_is_lost() -> None:
    made = tickets()
    (one, ticket), (other, _) = made.issue(0.0), made.issue(0.0)
    assert not made.redeem(0.0, other, ticket)
    assert not made.redeem(0.0, one, ticket)


@pytest.mark.parametrize("shown", ["", "secret", "é", "\udcff", "x" * 10_000])
def test_what_is_no_ticket_opens_nothing(shown: str) -> None:
    made = tickets()
    call_id, ticket = made.issue(0.0)
    assert not made.redeem(0.0, call_id, shown)
    assert made.redeem(0.0, call_id, ticket)


def test_a_ticket_is_valid_for_a_while() -> None:
    made = tickets()
    (one, first), (other, second) = made.issue(0.0), made.issue(0.0)
    assert made.redeem(VALID_S, one, first)
    assert not made.redeem(VALID_S + 0.1, other, second)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    made = tickets()
    (one, first), (other, second), *_ = [made.issue(0.0) for _ in range(MAX_OPEN + 1)]
    assert not made.redeem(0.0, one, first)
    assert made.redeem(0.0, other, second)


class Model(RuleBasedStateMachine):
    """All tickets there have been: each is valid for a while, once, unless too many have come since."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets = tickets()
        self.now = 0.0
        self.issued: list[tuple[str, str, float]] = []
        self.valid: list[tuple[str, str, float]] = []

    def _forget(self) -> None:
        self.valid = [each for each in self.valid if self.now - each[2] <= VALID_S]

    @rule(seconds=st.floats(0, VALID_S))
    def waits(self, seconds: float) -> None:
        self.now += seconds
        self._forget()

    @rule(times=st.integers(1, MAX_OPEN + 2))
    def issues(self, times: int) -> None:
        for _ in range(times):
            made = (*self.tickets.issue(self.now), self.now)
            self.issued.append(made)
            self.valid = [*self.valid, made][-MAX_OPEN:]

    @rule(data=st.data())
    def redeems(self, data: st.DataObject) -> None:
        if self.issued:
            call_id, ticket, at = data.draw(st.sampled_from(self.issued))
            is_valid = (call_id, ticket, at) in self.valid
            assert self.tickets.redeem(self.now, call_id, ticket) is is_valid
            if is_valid:
                self.valid.remove((call_id, ticket, at))

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.tickets._open) <= MAX_OPEN


TestModel = Model.TestCase
