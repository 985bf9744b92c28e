"""Handing the journal on: in order, bounded, by one process at a time, and again what was not acknowledged."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from retell_ws import relay as module
from retell_ws.journal import RELAY, Journal
from retell_ws.ports import Written
from retell_ws.relay import COMPLAIN_S, LOCK_S, NOTE_S, PAUSES_S, Flight, Relay

from .fact_makers import Pigeon, row, rows


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.0001
        return self.now


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def relay_of(journal: Journal, bus: Pigeon, tmp_path: Path, clock: Clock) -> Relay:
    return Relay(journal, bus, tmp_path / "relay.lock", clock)


def numbers(bus: Pigeon) -> list[int]:
    return [int(id_.rpartition("/")[2]) for id_ in bus.ids]


def test_all_is_handed_on_in_order_and_noted(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    bus = Pigeon()
    journal.append(rows(450))
    relay = relay_of(journal, bus, tmp_path, clock)
    while relay.step():
        pass
    assert numbers(bus) == list(range(450))
    clock.now += NOTE_S
    relay.step()
    relay.note()
    assert relay.relayed == 450
    assert journal.register(RELAY) == journal.end()
    journal.append([row(450)])
    relay.step()
    assert numbers(bus) == list(range(451))
    relay.finish(1.0)
    assert bus.closed


def test_what_was_not_acknowledged_is_handed_on_by_the_next_process(
    tmp_path: Path, journal: Journal, clock: Clock
) -> None:
    bus = Pigeon(answers=False)
    journal.append(rows(10))
    relay = relay_of(journal, bus, tmp_path, clock)
    relay.step()
    first = [written.position for written in bus.got]
    bus.acknowledge(*first[:4], first[6])
    clock.now += NOTE_S
    relay.step()
    relay.note()
    relay.finish(0.0)
    bus = Pigeon()
    again = relay_of(journal, bus, tmp_path, clock)
    again.step()
    assert numbers(bus) == [4, 5, 6, 7, 8, 9]
    again.finish(1.0)


def test_one_process_relays_and_another_one_takes_over(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    journal.append(rows(3))
    one, other = Pigeon(), Pigeon()
    first, second = relay_of(journal, one, tmp_path, clock), relay_of(journal, other, tmp_path, clock)
    first.step()
    second.step()
    assert (len(one.got), len(other.got)) == (3, 0)
    assert first.is_ours and not second.is_ours
    first.finish(1.0)
    journal.append([row(7)])
    second.step()
    assert not second.is_ours, "it looks but now and then"
    clock.now += LOCK_S
    second.step()
    assert second.is_ours
    assert numbers(other) == [7]
    second.finish(1.0)


def test_a_lock_that_cannot_be_had_is_complained_about_once_and_tried_again(
    tmp_path: Path, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    journal.append(rows(3))
    bus = Pigeon()
    relay = relay_of(journal, bus, tmp_path, clock)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        for _ in range(3):
            clock.now += LOCK_S
            assert not relay.step()
    assert not relay.is_ours and not bus.got
    assert [record.getMessage() for record in caplog.records] == [
        "facts wait in the journal: relay.lock cannot be locked: No locks available"
    ]
    clock.now += LOCK_S
    relay.step()
    assert relay.is_ours and len(bus.got) == 3
    relay.finish(1.0)


def test_no_more_is_with_the_bus_than_it_may(
    tmp_path: Path, journal: Journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_FLIGHT", 250)
    bus = Pigeon(answers=False)
    journal.append(rows(600))
    relay = relay_of(journal, bus, tmp_path, clock)
    for _ in range(5):
        relay.step()
    assert numbers(bus) == list(range(250))
    bus.acknowledge(*[written.position for written in bus.got[:100]])
    for _ in range(5):
        relay.step()
    assert numbers(bus) == list(range(350))
    relay.finish(0.0)


def test_a_bus_without_room_is_given_the_rest_later(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    bus = Pigeon(answers=False, room=4)
    journal.append(rows(10))
    relay = relay_of(journal, bus, tmp_path, clock)
    assert not relay.step()
    assert numbers(bus) == [0, 1, 2, 3]
    bus.acknowledge()
    relay.step()
    assert numbers(bus) == [0, 1, 2, 3]
    clock.now += module.FULL_S
    relay.step()
    assert numbers(bus) == list(range(8))
    relay.finish(0.0)


def test_what_a_bus_has_taken_is_not_given_to_it_again(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    bus = Pigeon(answers=False)
    journal.append(rows(5))
    relay = relay_of(journal, bus, tmp_path, clock)
    relay.step()
    bus.refuses = "not now"
    relay.step()
    assert relay.is_refused
    bus.refuses = ""
    clock.now += PAUSES_S[-1]
    relay.step()
    bus.acknowledge()
    relay.step()
    assert numbers(bus) == [0, 1, 2, 3, 4]
    assert not relay.is_busy and not relay.is_refused
    relay.finish(1.0)
    assert journal.register(RELAY) == journal.end()


def test_a_bus_that_refuses_is_tried_again_and_complained_about_once_a_minute(
    tmp_path: Path, journal: Journal, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    bus = Pigeon(answers=False)
    bus.refuses = "there is no topic"
    journal.append(rows(3))
    relay = relay_of(journal, bus, tmp_path, clock)
    for _ in range(int(COMPLAIN_S) - 1):
        relay.step()
        clock.now += 1.0
    assert relay.is_refused
    assert len(caplog.records) == 1
    assert "there is no topic" in caplog.text
    clock.now += 2.0
    relay.step()
    assert len(caplog.records) == 2
    bus.refuses = ""
    clock.now += PAUSES_S[-1]
    relay.step()
    assert numbers(bus) == [0, 1, 2]
    bus.acknowledge()
    relay.step()
    assert not relay.is_refused
    relay.finish(1.0)


def test_a_bug_of_the_bus_stops_nothing_and_is_not_quoted(
    tmp_path: Path, journal: Journal, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy(Pigeon):
        is_buggy = True

        def send(self, entries: Sequence[Written]) -> int:
            if self.is_buggy:
                raise KeyError("a secret")
            return super().send(entries)

    bus = Buggy()
    journal.append(rows(3))
    relay = relay_of(journal, bus, tmp_path, clock)
    relay.step()
    assert "KeyError" in caplog.text and "secret" not in caplog.text
    bus.is_buggy = False
    clock.now += PAUSES_S[-1]
    relay.step()
    assert numbers(bus) == [0, 1, 2]
    relay.finish(1.0)


def test_at_the_end_the_bus_has_some_time_for_what_is_left(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    class Slow(Pigeon):
        def acknowledged(self, wait_s: float) -> Sequence[int]:
            clock.now += wait_s
            if wait_s:
                self.acknowledge()
            return super().acknowledged(0.0)

    bus = Slow(answers=False, room=100)
    journal.append(rows(450))
    relay = relay_of(journal, bus, tmp_path, clock)
    relay.finish(60.0)
    assert numbers(bus) == list(range(450))
    assert bus.closed
    assert journal.register(RELAY) == journal.end()


def test_the_end_does_not_wait_for_a_bus_that_refuses(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    bus = Pigeon()
    bus.refuses = "no"
    journal.append(rows(3))
    relay = relay_of(journal, bus, tmp_path, clock)
    begun = clock.now
    relay.finish(60.0)
    assert clock.now - begun < 1.0
    assert bus.closed


def test_at_the_end_another_process_is_left_its_work(tmp_path: Path, journal: Journal, clock: Clock) -> None:
    one, other = Pigeon(), Pigeon()
    first, second = relay_of(journal, one, tmp_path, clock), relay_of(journal, other, tmp_path, clock)
    journal.append(rows(3))
    first.step()
    first.step()
    first.note(at_once=True)
    second.finish(60.0)
    assert other.closed and not other.got
    first.finish(1.0)


def test_of_two_that_end_at_once_one_hands_on_what_the_other_wrote_last(
    tmp_path: Path, journal: Journal, clock: Clock
) -> None:
    class Watched(Pigeon):
        def acknowledged(self, wait_s: float) -> Sequence[int]:
            clock.now += wait_s
            if wait_s and not first_ended:
                first_ended.append(True)
                first.finish(0.0)
            return super().acknowledged(0.0)

    first_ended: list[bool] = []
    one, other = Pigeon(), Watched()
    first, second = relay_of(journal, one, tmp_path, clock), relay_of(journal, other, tmp_path, clock)
    first.step()
    journal.append(rows(3))
    second.finish(60.0)
    assert numbers(other) == [0, 1, 2]


class Flying(RuleBasedStateMachine):
    """What was acknowledged without a gap, against the plainest way to find it."""

    def __init__(self) -> None:
        super().__init__()
        self.flight = Flight()
        self.position = 0
        self.open: list[int] = []
        self.acknowledged: set[int] = set()
        self.end: int | None = None

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        sent = list(range(self.position + 1, self.position + 1 + count))
        self.position += count
        self.flight.send(sent)
        self.open += sent

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        left = [position for position in self.open if position not in self.acknowledged]
        some = data.draw(st.lists(st.sampled_from(left), max_size=5, unique=True)) if left else []
        self.acknowledged.update(some)
        end = None
        while self.open and self.open[0] in self.acknowledged:
            end = self.open.pop(0)
        assert self.flight.acknowledge(some) == end
        self.end = end if end is not None else self.end

    @invariant()
    def it_is_as_long_as_what_is_open(self) -> None:
        assert len(self.flight) == len(self.open)


TestFlying = Flying.TestCase
