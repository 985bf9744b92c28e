"""The row of a call: what is made of each entry, and that it makes no difference in which order they come."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws.consumers.transcripts import Row, as_text, day_of, joined, row_of
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import CallEnded
from retell_ws.speech_facts import CallTranscript, Line, WebhookReceived

NOON = 1_795_867_200.0  # of 2026-11-28

SAID = (Line("agent", "Hello.", start_s=0.5, end_s=1.0), Line("user", "Hi, a  table\nfor two."))


def entry(fact: AnyFact, *, id: str = "e1", epoch: int = 7, at: float = NOON) -> Entry:
    return Entry(id=id, call_id="call_1", epoch=epoch, seq=3, at=at, server="s", fact=fact)


def socket(lines: tuple[Line, ...] = SAID, **more: Any) -> Row:
    row = row_of(entry(CallTranscript(lines, 60.0, 4), **more))
    assert row is not None
    return row


def retell(*words: str, event: str = "call_analyzed", **more: Any) -> Row | None:
    items = [{"role": "user", "content": word} for word in words]
    return row_of(entry(WebhookReceived(event, {"transcript_object": items, **more}), id=event, epoch=0))


def told(**call: Any) -> Row:
    row = row_of(entry(WebhookReceived("call_ended", call), epoch=0))
    assert row is not None
    return row


def test_the_sockets_row_has_all_that_the_socket_told() -> None:
    fact = CallTranscript(
        SAID,
        90.5,
        4,
        agent_left=True,
        call_type="phone_call",
        direction="inbound",
        agent_id="agent_1",
        from_number="+49…",
        to_number="+1…",
    )
    assert row_of(entry(fact)) == Row(
        call_id="call_1",
        day="2026-11-28",
        ended_at=NOON,
        began_at=NOON - 90.5,
        duration_s=90.5,
        turns=4,
        agent_id="agent_1",
        call_type="phone_call",
        direction="inbound",
        from_number="+49…",
        to_number="+1…",
        agent_left=True,
        source="socket",
        epoch=7,
        line_count=2,
        lines=SAID,
        text="agent: Hello.\nuser: Hi, a table for two.",
        entry_id="e1",
    )


def test_a_call_in_which_nobody_spoke_has_a_row() -> None:
    row = socket(())
    assert (row.lines, row.text) == ((), "")


def test_retells_row_has_its_times_and_numbers() -> None:
    row = told(
        transcript_object=[{"role": "agent", "content": "Bye."}],
        start_timestamp=int((NOON - 120) * 1000),
        end_timestamp=int(NOON * 1000) - 1,
        duration_ms=119_000,
        agent_id="agent_1",
        call_type="phone_call",
        direction="outbound",
        from_number="+1…",
        to_number="+2…",
        disconnection_reason="agent_hangup",
    )
    assert (row.ended_at, row.began_at, row.duration_s) == (NOON - 0.001, NOON - 120, 119.0)
    assert (row.agent_id, row.call_type, row.direction) == ("agent_1", "phone_call", "outbound")
    assert (row.from_number, row.to_number, row.agent_left) == ("+1…", "+2…", True)
    assert (row.source, row.epoch, row.turns, row.text) == ("retell", 0, None, "agent: Bye.")


def test_a_length_that_retell_does_not_tell_is_from_beginning_to_end() -> None:
    said = [{"role": "agent", "content": "Bye."}]
    assert told(transcript_object=said, start_timestamp=(NOON - 9) * 1000, end_timestamp=NOON * 1000).duration_s == 9.0
    assert told(transcript_object=said, duration_ms=-5).duration_s == 0.0
    assert told(transcript_object=said).duration_s == 0.0


def test_items_beside_the_talk_are_lines_too() -> None:
    items = [
        {"role": "user", "content": "Book.", "words": [{"word": "Book.", "start": 1.5, "end": 2}, "odd"]},
        {"role": "tool_call_invocation", "name": "book", "arguments": '{"day":1}', "tool_call_id": "t"},
        {"role": "dtmf", "digit": "5"},
        {"role": "injected", "content": "note", "time_sec": 4.25},
        {"role": "user", "content": None, "words": None},
        {"content": "nobody's"},
        "odd",
        {"role": 5},
    ]
    assert told(transcript_with_tool_calls=items).lines == (
        Line("user", "Book.", start_s=1.5, end_s=2.0),
        Line("tool_call_invocation", '{"day":1}', name="book"),
        Line("dtmf", "5"),
        Line("injected", "note", start_s=4.25),
        Line("user"),
    )


def test_the_talk_with_tools_is_taken_before_the_plain_one_and_the_scrubbed_one_last() -> None:
    woven, plain, scrubbed = ([{"role": "user", "content": word}] for word in ("woven", "plain", "scrubbed"))
    assert told(transcript_object=plain, transcript_with_tool_calls=woven).text == "user: woven"
    assert told(transcript_object=plain, transcript_with_tool_calls=[]).text == "user: plain"
    assert told(scrubbed_transcript_object=scrubbed).text == "user: scrubbed"


@pytest.mark.parametrize("talk", [None, [], "Agent: Hi", {}, [5]])
def test_retell_without_a_talk_makes_no_row(talk: object) -> None:
    assert row_of(entry(WebhookReceived("call_ended", {"transcript_object": talk}))) is None


@pytest.mark.parametrize("event", ["call_started", "transcript_updated", "transfer_ended", "later"])
def test_what_is_said_before_the_end_makes_no_row(event: str) -> None:
    assert retell("Hi", event=event) is None


def test_other_facts_make_no_row() -> None:
    assert row_of(entry(CallEnded(4, 60.0))) is None


@pytest.mark.parametrize("at", [None, "1795867200000", True, -1, 0, 10**400, 1e308, 1795867200])
def test_a_time_that_is_none_is_that_of_the_entry(at: object) -> None:
    row = told(transcript_object=[{"role": "agent", "content": "Bye."}], end_timestamp=at, start_timestamp=at)
    assert (row.day, row.ended_at, row.began_at) == ("2026-11-28", NOON, NOON)


def test_a_day_to_come_is_none_and_a_length_is_one_that_calls_have() -> None:
    talk = [{"role": "user", "content": "Hi", "time_sec": 1e300}]
    ahead = told(end_timestamp=(NOON + 3 * 86_400) * 1000, duration_ms=1e300, transcript_object=talk)
    assert (ahead.day, ahead.ended_at, ahead.duration_s) == (told(transcript_object=talk).day, NOON, 0.0)
    assert ahead.lines == (Line("user", "Hi"),)
    assert told(end_timestamp=(NOON + 3600) * 1000, transcript_object=talk).ended_at == NOON + 3600


@pytest.mark.parametrize(("at", "day"), [(-1e300, "2001-09-09"), (0.0, "2001-09-09"), (1e300, "2286-11-20")])
def test_any_time_of_an_entry_has_a_day(at: float, day: str) -> None:
    assert socket(at=at).day == day


def test_days_are_those_of_utc() -> None:
    midnight = NOON + 43_200
    assert [day_of(midnight - 0.001), day_of(midnight)] == ["2026-11-28", "2026-11-29"]


def test_the_text_has_a_line_for_each_line() -> None:
    lines = [Line("agent", " a\r\nb\t"), Line("tool_call_result", "ok", name="book"), Line("user")]
    assert as_text(lines) == "agent: a b\ntool_call_result book: ok\nuser: "


def test_retells_transcript_stands_above_the_sockets_and_keeps_its_turns() -> None:
    ours, theirs = socket(), retell("Hi", "Bye", end_timestamp=(NOON - 30) * 1000, disconnection_reason="user_hangup")
    assert theirs is not None
    row = joined(ours, theirs)
    assert (row.source, row.text, row.ended_at, row.turns) == ("retell", "user: Hi\nuser: Bye", NOON - 30, 4)


def test_a_transcript_with_words_stands_above_one_without() -> None:
    assert joined(socket(epoch=3), socket((), epoch=9)).epoch == 3


def test_the_later_epoch_stands_above_the_older_one() -> None:
    older, later = socket((*SAID, *SAID), epoch=3), socket(SAID, epoch=9)
    assert joined(older, later).lines == SAID


def test_what_only_the_lesser_row_knows_is_kept() -> None:
    lesser = msgspec.structs.replace(socket(), agent_id="agent_1", agent_left=True)
    row = joined(lesser, told(transcript_object=[{"role": "agent", "content": "Bye."}]))
    assert (row.agent_id, row.agent_left, row.source) == ("agent_1", True, "retell")


LINES = st.lists(
    st.builds(Line, st.sampled_from(["agent", "user"]), st.text(max_size=3), start_s=st.none() | st.floats(0, 9)),
    max_size=3,
).map(tuple)
ROWS = st.builds(
    Row,
    call_id=st.just("call_1"),
    day=st.just("2026-11-28"),
    ended_at=st.sampled_from([NOON, NOON + 1]),
    began_at=st.just(NOON),
    duration_s=st.sampled_from([0.0, 1.0]),
    turns=st.none() | st.integers(0, 3),
    agent_id=st.sampled_from(["", "a", "b"]),
    agent_left=st.booleans(),
    source=st.sampled_from(["socket", "retell"]),
    epoch=st.integers(0, 3),
    lines=LINES,
    entry_id=st.sampled_from(["1", "2", "3"]),
).map(lambda row: msgspec.structs.replace(row, text=as_text(row.lines), line_count=len(row.lines)))


@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_order_and_repetition_make_no_difference(rows: list[Row], data: st.DataObject) -> None:
    once = reduce(joined, rows)
    for order in itertools.permutations(rows):
        assert reduce(joined, order) == once
    again = data.draw(st.lists(st.sampled_from([*rows, once]), max_size=5))
    assert reduce(joined, again, once) == once
    # In any brackets, too: one process may have joined some of them, and another one the rest.
    middle = data.draw(st.integers(0, len(rows)))
    halves = [reduce(joined, half) for half in (rows[:middle], rows[middle:]) if half]
    assert reduce(joined, halves) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={name: JSON for name in ("role", "content", "name", "words", "arguments", "digit", "time_sec")},
)
NAMES = ("transcript_object", "start_timestamp", "end_timestamp", "duration_ms", "agent_id", "disconnection_reason")


@given(
    st.fixed_dictionaries(
        {"transcript_object": st.lists(ITEM | JSON, max_size=3)}, optional=dict.fromkeys(NAMES[1:], JSON)
    ),
    st.floats(allow_nan=False, allow_infinity=False),
)
@example({"transcript_object": [{"role": "", "content": None}], "disconnection_reason": []}, 0.0)
def test_whatever_retell_sends_is_a_row_or_none(call: dict[str, Any], at: float) -> None:
    row = row_of(entry(WebhookReceived("call_ended", call), at=at))
    if row is not None:
        assert row.lines and day_of(row.ended_at) == row.day and row.began_at <= row.ended_at and row.duration_s >= 0
        assert msgspec.convert(msgspec.to_builtins(row), Row) == row
