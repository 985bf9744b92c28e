"""Turns as the console shows them: the last ones, each with its time, and every field of the record."""

from __future__ import annotations

import msgspec

from retell_ws.facts import CallStarted, TurnMeasured
from retell_ws.views import MAX_TURNS, TimedTurn, Turns

TURN = TurnMeasured(3, "finished", adopted=True, first_sentence_s=0.2, done_s=1.5, model="x")


def test_a_turn_is_placed_where_retell_asked() -> None:
    turns = Turns()
    turns.note(TURN, 101.5)
    assert turns.last() == ((100.0, TURN),)


def test_a_turn_whose_time_nobody_knows_is_placed_where_it_ended() -> None:
    turns = Turns()
    turns.note(TurnMeasured(3, "superseded"), 101.5)
    assert turns.last() == ((101.5, TurnMeasured(3, "superseded")),)


def test_only_turns_are_kept_and_only_the_last_of_them() -> None:
    turns = Turns()
    for number in range(MAX_TURNS + 5):
        turns.note(CallStarted(), 1.0)
        turns.note(TurnMeasured(number, "finished", done_s=0.0), float(number))
    assert [at for at, _ in turns.last()] == [float(number) for number in range(5, MAX_TURNS + 5)]


def test_a_timed_turn_has_all_that_was_measured() -> None:
    written = msgspec.to_builtins(TimedTurn.of(100.0, TURN))
    assert written == {"at": 100.0, **{name: getattr(TURN, name) for name in TurnMeasured.__struct_fields__}}
    assert msgspec.convert(written, TimedTurn) == TimedTurn.of(100.0, TURN)
