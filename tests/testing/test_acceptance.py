"""The acceptance rule (protocol §4.1): what counts, what is dropped, and what can be proved about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from retell_ws.testing.acceptance import Acceptance, Action, Heard, ToolSeen, ends_a_sentence
from retell_ws.testing.frames import Finding


class Line:
    """An `Acceptance` with a clock that ticks with every frame."""

    def __init__(self, *, begun: bool = True) -> None:
        self.rules = Acceptance()
        self.now = 0.0
        self.rules.connected(self.now)
        if begun:
            self.say(0, "Hello.", complete=True)

    def hear(self, data: str | bytes) -> Heard:
        self.now += 1.0
        return self.rules.receive(data, self.now)

    def frame(self, kind: str, **fields: Any) -> Heard:
        return self.hear(json.dumps({"response_type": kind, **fields}))

    def say(self, number: int, text: str, *, complete: bool = False, **more: Any) -> Heard:
        return self.frame("response", response_id=number, content=text, content_complete=complete, **more)

    def pong(self, timestamp: int) -> Heard:
        return self.frame("ping_pong", timestamp=timestamp)

    def ask(self, number: int) -> None:
        self.rules.asked(number, self.now)


def test_pieces_of_the_newest_id_are_joined_raw() -> None:
    line = Line()
    line.ask(1)
    for text in ("Sure", ", ", "Tuesday."):
        assert line.say(1, text).dropped is None
    line.say(1, "", complete=True)
    assert line.rules.current.text == "Sure, Tuesday."
    assert line.rules.current.is_complete and not line.rules.is_open


def test_times_are_told_of_frame_sentence_and_completion() -> None:
    line = Line()
    line.ask(1)
    line.say(1, "Well, ")
    line.say(1, "yes. And")
    line.say(1, "", complete=True)
    exchange = line.rules.current
    assert (exchange.first_frame_at, exchange.first_sentence_at, exchange.completed_at) == (2.0, 3.0, 4.0)


def test_text_after_the_completion_is_dropped() -> None:
    line = Line()
    line.ask(1)
    line.say(1, "Yes.", complete=True)
    assert line.say(1, " No.").dropped is Finding.AFTER_COMPLETION
    assert line.say(1, "", complete=True).dropped is Finding.AFTER_COMPLETION
    assert line.rules.current.text == "Yes."
    assert line.rules.current.completions == 2


def test_text_after_end_call_has_its_own_name() -> None:
    line = Line()
    line.ask(1)
    line.say(1, "Bye.", complete=True, end_call=True)
    assert line.say(1, "Wait!").dropped is Finding.AFTER_END_CALL
    interrupt = line.frame("agent_interrupt", interrupt_id=1, content="Wait!", content_complete=True)
    assert interrupt.dropped is Finding.AFTER_END_CALL


def test_an_id_never_asked_is_dropped() -> None:
    assert Line().say(999, "Hello?").dropped is Finding.NEVER_ASKED


def test_an_older_id_may_have_crossed_the_newer_request() -> None:
    line = Line()
    line.ask(1)
    line.ask(2)
    assert line.say(1, "Sure").dropped is Finding.CROSSED
    assert not Finding.CROSSED.is_fault


def test_an_older_id_after_the_newer_one_has_spoken_is_stale() -> None:
    line = Line()
    line.ask(1)
    line.ask(2)
    line.say(2, "Yes")
    assert line.say(1, "Sure").dropped is Finding.STALE
    assert Finding.STALE.is_fault


def test_an_echo_of_a_ping_sent_after_the_request_proves_that_it_was_read() -> None:
    line = Line()
    line.ask(1)
    line.rules.pinged(11, line.now)
    line.ask(2)
    line.rules.pinged(12, line.now)
    line.pong(11)
    assert line.say(1, "Sure").dropped is Finding.CROSSED
    assert line.pong(12).rtt_s == pytest.approx(3.0)
    assert line.say(1, "Sure").dropped is Finding.STALE


def test_an_echo_on_a_newer_socket_proves_nothing_of_a_request_on_the_one_that_broke() -> None:
    line = Line()
    line.ask(1)
    line.ask(2)
    line.rules.connected(line.now)
    line.rules.pinged(13, line.now)
    line.pong(13)
    assert line.say(1, "Sure").dropped is Finding.CROSSED
    line.ask(3)
    line.rules.pinged(14, line.now)
    line.pong(14)
    assert line.say(1, "Sure").dropped is Finding.STALE


def test_a_pong_nobody_asked_for_is_a_finding() -> None:
    line = Line()
    line.rules.pinged(7, 0.0)
    assert line.pong(8).dropped is Finding.STRAY_PONG
    assert line.pong(7).dropped is None
    assert line.pong(7).dropped is Finding.STRAY_PONG


def test_asking_again_under_the_same_id_keeps_what_came() -> None:
    line = Line()
    line.ask(1)
    line.say(1, "Yes", complete=True)
    line.ask(1)
    assert line.rules.current.text == "Yes"
    with pytest.raises(ValueError, match="below"):
        line.ask(0)


@pytest.mark.parametrize(
    "frame",
    [
        {"response_id": 1, "content": "x", "content_complete": "true"},
        {"response_id": 1, "content": None, "content_complete": True},
        {"response_id": "1", "content": "x", "content_complete": True},
        {"response_id": True, "content": "x", "content_complete": True},
        {"response_id": 1, "content": 5, "content_complete": True},
        {"response_id": 1, "content": "x"},
        {"response_id": 1, "content": "x", "content_complete": 1},
        {"response_id": 1, "content": "x", "content_complete": True, "end_call": "yes"},
    ],
)
def test_a_wrong_type_drops_the_frame_and_moves_nothing(frame: dict[str, Any]) -> None:
    line = Line()
    line.ask(1)
    assert line.frame("response", **frame).dropped is Finding.WRONG_TYPE
    assert line.rules.current.pieces == [] and line.rules.is_open


def test_nulls_in_optional_fields_are_accepted() -> None:
    line = Line()
    line.ask(1)
    assert line.say(1, "x", end_call=None, transfer_number=None, digit_to_press=None).dropped is None


def test_a_frame_without_response_type_is_a_response_and_noted() -> None:
    line = Line()
    line.ask(1)
    heard = line.hear('{"response_id":1,"content":"Yes.","content_complete":true}')
    assert heard.dropped is None and line.rules.current.text == "Yes."
    assert line.rules.counts[Finding.NO_RESPONSE_TYPE] == 1


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (b"{}", Finding.BINARY),
        ("", Finding.NOT_JSON),
        ("[1]", Finding.NOT_JSON),
        ("[" * 100_000, Finding.NOT_JSON),
        ('{"response_type":"greeting"}', Finding.UNKNOWN_KIND),
        ('{"response_type":["response"]}', Finding.UNKNOWN_KIND),
    ],
)
def test_what_is_no_message_is_named(data: str | bytes, finding: Finding) -> None:
    assert Line().hear(data).dropped is finding


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"end_call": True, "transfer_number": "+14155550123", "digit_to_press": "1"}, Action("end_call")),
        ({"transfer_number": "+14155550123", "digit_to_press": "1"}, Action("transfer_number", "+14155550123")),
        ({"digit_to_press": "1"}, Action("digit_to_press", "1")),
        ({"end_call": False, "transfer_number": ""}, None),
    ],
)
def test_one_action_by_precedence(fields: dict[str, Any], action: Action | None) -> None:
    line = Line()
    line.ask(1)
    line.say(1, "So.", **fields)
    line.say(1, "", complete=True)
    assert line.rules.current.action == action


def test_an_interrupt_cancels_the_open_response() -> None:
    line = Line()
    line.ask(1)
    line.say(1, "Let me see")
    interrupt = {"content": "We close now.", "content_complete": True}
    heard = line.frame("agent_interrupt", interrupt_id=1, **interrupt)
    assert heard.speech is line.rules.interrupt
    assert line.say(1, " more").dropped is Finding.CANCELLED
    assert not line.rules.is_open
    assert line.frame("agent_interrupt", interrupt_id=2, **interrupt).dropped is None
    assert line.frame("agent_interrupt", interrupt_id=1, **interrupt).dropped is Finding.OLD_INTERRUPT


def test_a_completed_response_is_not_cancelled_by_an_interrupt() -> None:
    line = Line()
    line.frame("agent_interrupt", interrupt_id=1, content="Hm", content_complete=False)
    assert not line.rules.exchanges[0].cancelled


def test_config_is_taken_with_options_missing_and_noted_when_late() -> None:
    line = Line(begun=False)
    line.frame("config", config={"auto_reconnect": True, "response_id": 0})
    assert line.rules.options.auto_reconnect and not line.rules.options.call_details
    assert not line.rules.counts
    line.frame("config", config={})
    assert line.rules.counts[Finding.LATE_CONFIG] == 1


def test_update_agent_changes_the_reminders() -> None:
    line = Line()
    line.frame("update_agent", agent_config={"reminder_trigger_ms": 4000, "reminder_max_count": 3})
    assert (line.rules.reminder_trigger_ms, line.rules.reminder_max_count) == (4000, 3)
    line.frame("update_agent", agent_config={"reminder_trigger_ms": -1, "reminder_max_count": -1})
    assert (line.rules.reminder_trigger_ms, line.rules.reminder_max_count) == (1, 0)


def test_tools_and_metadata_are_only_noted() -> None:
    line = Line()
    assert line.frame("metadata", metadata={"a": 1}).dropped is None
    assert line.frame("tool_call_invocation", tool_call_id="t", name="book", arguments="{}").dropped is None
    assert line.frame("tool_call_result", tool_call_id="t", content="ok").dropped is None
    assert line.rules.tools == {"t": ToolSeen("book", "{}", "ok")}


def test_after_a_redial_an_empty_begin_message_is_harmless_and_a_spoken_one_is_not() -> None:
    line = Line()
    line.rules.connected(line.now)
    assert line.say(0, "", complete=True).dropped is Finding.CLOSED_AGAIN
    assert line.say(0, "Hello.", complete=True).dropped is Finding.GREETED_AGAIN


def test_a_greeting_cut_by_a_drop_goes_on_at_the_next_socket() -> None:
    line = Line(begun=False)
    line.say(0, "Hello, ")
    line.rules.connected(line.now)
    assert line.say(0, "this is Ana.", complete=True).dropped is None
    assert line.rules.exchanges[0].text == "Hello, this is Ana."


@pytest.mark.parametrize(
    ("text", "ends"),
    [("Sure.", True), ("Sure", False), ("It is 3.", False), ("Really? Yes", True), ("好。", True), ('"No!" he', True)],
)
def test_the_end_of_a_sentence(text: str, ends: bool) -> None:
    assert ends_a_sentence(text) is ends


@given(
    st.text() | st.binary() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(repr)
)
def test_any_frame_is_taken_without_an_exception(data: str | bytes) -> None:
    line = Line()
    assert isinstance(line.hear(data), Heard)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(
    kind=st.sampled_from(["config", "response", "agent_interrupt", "ping_pong", "update_agent", "metadata"]),
    fields=st.dictionaries(
        st.sampled_from(["response_id", "interrupt_id", "content", "content_complete", "timestamp", "config"]), _JSON
    ),
)
def test_any_fields_are_taken_without_an_exception(kind: str, fields: dict[str, Any]) -> None:
    assert isinstance(Line().frame(kind, **fields), Heard)


class Rule(RuleBasedStateMachine):
    """The rule of §4.1 beside a second telling of it, four lines long."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.latest = 0
        self.completed = True
        self.buffer = "Hello."

    @rule()
    def ask(self) -> None:
        self.latest += 1
        self.completed, self.buffer = False, ""
        self.line.ask(self.latest)

    @rule(back=st.integers(-1, 3), text=st.sampled_from(["", "a ", "b. "]), complete=st.booleans())
    def say(self, back: int, text: str, complete: bool) -> None:
        number = self.latest - back
        heard = self.line.say(number, text, complete=complete)
        if number == self.latest and not self.completed:
            self.buffer += text
            self.completed = complete
            assert heard.dropped is None
        else:
            assert heard.dropped is not None and heard.speech is None

    @rule()
    def redial(self) -> None:
        self.line.rules.connected(self.line.now)

    @invariant()
    def buffers_agree(self) -> None:
        current = self.line.rules.current
        assert (self.line.rules.latest, current.text, current.is_complete) == (
            self.latest,
            self.buffer,
            self.completed,
        )


TestRule = Rule.TestCase
TestRule.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
