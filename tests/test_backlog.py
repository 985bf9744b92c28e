"""What waits to be written is bounded, and the lightest is given up first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retell_ws.backlog import ROOM, has_room
from retell_ws.entries import Weight


def test_up_to_a_bound_there_is_room_for_everything() -> None:
    assert all(has_room(weight, ROOM - 1) for weight in Weight)


def test_past_it_there_is_none_for_metrics_then_none_for_events_and_at_last_none() -> None:
    assert [has_room(weight, ROOM) for weight in Weight] == [False, True, True]
    assert [has_room(weight, 2 * ROOM) for weight in Weight] == [False, False, True]
    assert [has_room(weight, 10 * ROOM) for weight in Weight] == [False, False, False]


@given(st.integers(0, 20 * ROOM))
def test_what_has_more_weight_has_room_where_a_lighter_one_has(waiting: int) -> None:
    found = [has_room(weight, waiting) for weight in Weight]
    assert found == sorted(found)


@given(st.lists(st.sampled_from(list(Weight)), max_size=60))
def test_nothing_is_dropped_while_a_lighter_one_would_be_taken(weights: list[Weight]) -> None:
    waiting, dropped = ROOM - 5, set[Weight]()
    for weight in weights:
        if has_room(weight, waiting):
            waiting += 1
            assert not [lost for lost in dropped if lost > weight]
        else:
            dropped.add(weight)
