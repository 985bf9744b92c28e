"""The deadline of a race: a percentile of honest samples, bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retell_ws.first_tokens import DEFAULT_S, ENOUGH, LONGEST_S, SHORTEST_S, WINDOW, FirstTokens

SECONDS = st.floats(0, 60, allow_nan=False)


def unbounded() -> FirstTokens:
    return FirstTokens(shortest_s=0, longest_s=1000)


def test_the_default_stands_until_there_are_enough_samples() -> None:
    times = FirstTokens()
    for _ in range(ENOUGH - 1):
        times.took(0.5)
    assert times.deadline_s == DEFAULT_S
    times.took(0.5)
    assert times.deadline_s == 0.5


def test_the_deadline_is_the_95th_percentile() -> None:
    times = unbounded()
    for number in range(WINDOW, 0, -1):
        times.took(number)
    assert times.deadline_s == 190


def test_old_samples_leave_the_window() -> None:
    times = unbounded()
    for _ in range(WINDOW):
        times.took(50)
    for _ in range(WINDOW):
        times.took(0.7)
    assert (times.deadline_s, len(times)) == (0.7, WINDOW)


def test_a_request_that_was_given_up_does_not_pull_the_deadline_down() -> None:
    """Of 100 requests, ten are slow and lose their race at 1 s: the true percentile is not among the quick ones."""
    honest, naive, deaf = unbounded(), unbounded(), unbounded()
    for number in range(100):
        if number % 10 == 0:
            honest.took_longer_than(1)
            naive.took(1)
        else:
            honest.took(0.5)
            naive.took(0.5)
            deaf.took(0.5)
    assert deaf.deadline_s == 0.5
    assert naive.deadline_s == 1
    assert honest.deadline_s == 1000, "no sample says how long the slowest twentieth takes: as late as may be"


def test_those_given_up_early_say_nothing_of_the_later_ones() -> None:
    times = unbounded()
    for number in range(100):
        times.took(0.5 + number / 100)
        times.took_longer_than(0.1)
    assert times.deadline_s == 0.5 + 94 / 100


@given(st.lists(st.tuples(SECONDS, st.booleans()), max_size=3 * WINDOW))
def test_the_deadline_is_bounded_and_so_is_the_window(samples: list[tuple[float, bool]]) -> None:
    times = FirstTokens()
    for seconds, longer in samples:
        (times.took_longer_than if longer else times.took)(seconds)
        assert SHORTEST_S <= times.deadline_s <= LONGEST_S
    assert len(times) == min(len(samples), WINDOW)


@given(st.lists(SECONDS, min_size=WINDOW, max_size=WINDOW))
def test_without_any_given_up_it_is_the_plain_percentile(samples: list[float]) -> None:
    times = unbounded()
    for seconds in samples:
        times.took(seconds)
    assert times.deadline_s == sorted(samples)[189]


@given(st.lists(st.tuples(SECONDS, st.booleans()), min_size=ENOUGH, max_size=WINDOW), st.data())
def test_a_sample_that_took_longer_than_it_seems_only_raises_the_deadline(
    samples: list[tuple[float, bool]], data: st.DataObject
) -> None:
    samples = samples[: len(samples) // 10 * 10]  # so that the last one is counted
    given_up = data.draw(st.sampled_from(range(len(samples))))
    as_told, as_seen = unbounded(), unbounded()
    for number, (seconds, longer) in enumerate(samples):
        (as_told.took_longer_than if longer or number == given_up else as_told.took)(seconds)
        (as_seen.took_longer_than if longer and number != given_up else as_seen.took)(seconds)
    assert as_told.deadline_s >= as_seen.deadline_s
