"""Times out of histories, and who owns a call that has moved."""

from __future__ import annotations

import math

import pytest

from bench.harness.faults.checks import heard_in
from bench.harness.faults.figures import cut_turns, first_frames, greetings, lost_calls, redials, summary, takeovers
from bench.harness.faults.haproxy import configured
from bench.harness.faults.history import Row
from bench.harness.faults.stale import Owned, wrongly_owned


def call(number: int, *rows: Row) -> list[Row]:
    return [Row(row.t, row.event, number, row.response_id, row.server, row.text, row.complete) for row in rows]


MOVED = call(
    1,
    Row(0.0, "began"),
    Row(0.1, "open", server="s1"),
    Row(0.2, "frame", response_id=0, text="Hello.", complete=True),
    Row(1.0, "asked", response_id=1, text="c1 q1 n4"),
    Row(1.2, "frame", response_id=1, text="c1q1w1 "),
    Row(1.5, "gone"),
    Row(1.6, "open", server="s2"),
    Row(1.8, "frame", response_id=1, text="c1q1w2 c1q1w3 c1q1w4.", complete=True),
    Row(3.0, "asked", response_id=2, text="c1 q2 n1"),
    Row(3.3, "frame", response_id=2, text="c1q2w1.", complete=True),
    Row(4.0, "ended", text="user_hangup"),
)
LOST = call(2, Row(0.0, "began"), Row(4.0, "ended", text="error_llm_websocket_runtime"))


def test_a_takeover_is_timed_from_the_handshake_and_from_the_break() -> None:
    (taken,) = takeovers(heard_in(MOVED).values(), 150)
    assert taken.resumed_ms == pytest.approx(50)
    assert taken.silent_ms == pytest.approx(300)
    assert taken.redial_ms == pytest.approx(100)
    assert taken.moved


def test_an_answer_with_a_side_effect_or_two_redials_is_left_out() -> None:
    books = [Row(row.t, row.event, 1, row.response_id, row.server, f"{row.text} book" if row.event == "asked" else
             row.text, row.complete) for row in MOVED]  # fmt: skip
    assert not takeovers(heard_in(books).values(), 150)
    twice = [*MOVED, *call(1, Row(1.65, "gone"), Row(1.7, "open", server="s3"))]
    assert not takeovers(heard_in(twice).values(), 150)


def test_first_frames_are_those_of_a_window_whose_line_held() -> None:
    calls = heard_in(MOVED).values()
    assert first_frames(calls, 0, 10) == pytest.approx([200, 300])
    assert first_frames(calls, 2, 10) == pytest.approx([300])
    assert first_frames(calls, 0, 3) == pytest.approx([200])


def test_greetings_are_those_of_calls_that_began_in_a_window() -> None:
    calls = heard_in(MOVED).values()
    assert greetings(calls, 0, 1) == pytest.approx([100])
    assert not greetings(calls, 1, 2)


def test_the_rest_is_counted() -> None:
    calls = heard_in([*MOVED, *LOST])
    assert redials(calls.values()) == pytest.approx([100])
    assert cut_turns(calls.values()) == 1
    assert lost_calls(calls.values()) == 1
    found = summary(calls, 150)
    assert (found["resumed"], found["lost_calls"], found["cut_turns"]) == (1, 1, 1)
    assert math.isnan(summary({}, 150)["resumed_p99_ms"])


def test_who_may_not_have_a_call() -> None:
    old, new = Owned("a", 5), Owned("b", 9)
    before, moved = {1: old, 2: old, 3: old, 4: Owned("b", 3)}, {1: new, 2: new, 3: old, 4: Owned("b", 3)}
    assert not wrongly_owned("a", before, moved, moved)
    assert wrongly_owned("a", before, moved, {**moved, 1: Owned("a", 10)}) == {1: "taken back from b"}
    assert wrongly_owned("a", before, moved, {**moved, 2: Owned("b", 5)}) == {2: "epoch 9 became 5"}
    assert not wrongly_owned("a", before, moved, {**moved, 1: Owned("c", 11), 3: Owned("a", 6)})
    assert not wrongly_owned("a", before, moved, {}), "a hash that is gone was written by nobody"


def test_the_balancer_says_which_server_it_chose() -> None:
    text = configured(9000, {"s1": 9001, "s2": 9002})
    assert "127.0.0.1:9000" in text
    assert text.count("http-response set-header x-server %s") == text.count("\nbackend ")
    assert "server s2 127.0.0.1:9002" in text
