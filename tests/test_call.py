"""The call machine, row by row of the table in `call.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from retell_ws.actions import (
    Action,
    AwaitDetails,
    CancelTurn,
    DropSocket,
    Record,
    Send,
    StartGrace,
    StartTurn,
    StopGrace,
)
from retell_ws.agent import Agent
from retell_ws.answer import MAX_TEXT
from retell_ws.call import CallMachine, State
from retell_ws.facts import (
    BadMessage,
    CallEnded,
    CallStarted,
    Detached,
    DuplicateRequest,
    Fact,
    Reattached,
    TurnFailed,
    TurnFinished,
    TurnReasked,
    TurnStarted,
    TurnSuperseded,
    UnknownMessage,
)
from retell_ws.handle import Call
from retell_ws.intent import EndCall
from retell_ws.speech import MAX_PIECE
from retell_ws.wire import Config, Pong, Response, decode_outbound

HELLO = "Harbor Clinic, this is Ana."


def later(call: Call) -> AsyncIterator[str]:
    raise AssertionError("the machine runs no function of the agent's")


def machine(greeting: Any = HELLO, **options: Any) -> CallMachine:
    return CallMachine("call_1", Agent("You are Ana.", greeting=greeting, **options))


LIFE = b'{"interaction_type":"update_only","transcript":[]}'


def opened(greeting: Any = HELLO) -> CallMachine:
    """A call on a socket that Retell has shown to be alive."""
    call = machine(greeting)
    call.attached(0.0)
    call.receive(LIFE, 0.0)
    return call


def said(*utterances: str) -> list[dict[str, str]]:
    """A transcript, the caller first, then in turns."""
    return [
        {"role": "agent" if number % 2 else "user", "content": content} for number, content in enumerate(utterances)
    ]


def stands(call: CallMachine) -> State:
    return call.state  # behind a call, so that mypy does not think it cannot change


def required(response_id: int, *utterances: str, kind: str = "response_required", **more: Any) -> bytes:
    return msgspec.json.encode(
        {"interaction_type": kind, "response_id": response_id, "transcript": said(*utterances), **more}
    )


def sent(actions: tuple[Action, ...]) -> list[Any]:
    return [decode_outbound(action.frame) for action in actions if isinstance(action, Send)]


def facts(actions: tuple[Action, ...]) -> list[Fact]:
    return [action.fact for action in actions if isinstance(action, Record)]


def others(actions: tuple[Action, ...]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Send | Record)]


def piece(frame: bytes | None) -> Response:
    assert frame is not None
    message = decode_outbound(frame)
    assert isinstance(message, Response)
    return message


def answer(response_id: int, content: str = "", complete: bool = False, **more: Any) -> Response:
    return Response(response_id=response_id, content=content, content_complete=complete, **more)


# ---------------------------------------------------------------------------- sockets


def test_a_new_call_is_configured_and_greeted() -> None:
    call = machine()
    actions = call.attached(1.0)
    config, greeting = sent(actions)
    assert isinstance(config, Config)
    assert (config.config.auto_reconnect, config.config.call_details) == (True, True)
    assert config.config.transcript_with_tool_calls is False
    assert greeting == answer(0, HELLO, True)
    assert facts(actions) == [CallStarted()]
    assert stands(call) is State.OPEN


def test_an_agent_that_wants_tool_items_asks_for_them() -> None:
    call = machine(keypad=True)
    config = sent(call.attached(0.0))[0]
    assert isinstance(config, Config)
    assert config.config.transcript_with_tool_calls is True


def test_an_empty_greeting_lets_the_caller_speak_first() -> None:
    assert sent(machine("").attached(0.0))[1:] == [answer(0, "", True)]


def test_what_was_said_under_the_present_id_can_be_seen() -> None:
    call = opened()
    assert (call.answer.response_id, call.answer.said) == (0, HELLO)
    actions = call.receive(required(1, "Hi."), 1.0)
    (start,) = (action for action in actions if isinstance(action, StartTurn))
    assert (call.answer.response_id, call.answer.said) == (1, "")
    call.say(start.generation, "We are open. ")
    call.detached(2.0)
    call.say(start.generation, "Always.")
    assert call.answer.said == "We are open. ", "what is held for the next socket was not said"


def test_a_redial_is_configured_again_and_not_greeted_again() -> None:
    call = opened()
    assert others(call.detached(5.0)) == [StartGrace()]
    assert stands(call) is State.AWAY
    actions = call.attached(6.0)
    assert others(actions) == [StopGrace()]
    assert isinstance(sent(actions)[0], Config)
    assert sent(actions)[1:] == [answer(0, "", True)]
    assert facts(actions) == [Reattached(replaced=False)]
    assert stands(call) is State.OPEN


def test_a_greeting_on_a_socket_that_never_lived_is_said_again() -> None:
    call = machine()
    call.attached(0.0)
    call.detached(7.0)
    assert sent(call.attached(10.0))[1:] == [answer(0, HELLO, True)]


def test_the_newer_of_two_sockets_wins() -> None:
    call = opened()
    actions = call.attached(1.0)
    assert actions[0] == DropSocket()
    assert facts(actions) == [Reattached(replaced=True)]
    assert sent(actions)[1:] == [answer(0, "", True)]


def test_losing_the_socket_is_a_fact() -> None:
    assert facts(opened().detached(1.0)) == [Detached()]


def test_a_call_ends_when_nobody_redials() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 2.0, "Hello.")
    call.detached(5.0)
    assert call.closed(35.0) == (Record(CallEnded(turns=1, duration_s=5.0)),)
    assert stands(call) is State.CLOSED


def test_a_running_turn_ends_with_its_call() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    actions = call.closed(3.0)
    assert others(actions) == [CancelTurn(2)]
    assert facts(actions) == [TurnFailed(1, "call_ended", 2.0), CallEnded(turns=1, duration_s=3.0)]
    assert call.say(2, "too late") is None


# ---------------------------------------------------------------------------- a greeting that must be made


def test_a_made_greeting_waits_for_the_details() -> None:
    call = machine(later)
    actions = call.attached(0.0)
    assert [type(message) for message in sent(actions)] == [Config]
    assert others(actions) == [AwaitDetails()]
    actions = call.receive(b'{"interaction_type":"call_details","call":{"call_id":"call_1","agent_id":"a"}}', 0.1)
    assert others(actions) == [StartTurn(1, 0, None)]
    assert facts(actions) == [TurnStarted(0, "greeting")]
    assert call.details is not None
    assert call.details.agent_id == "a"
    assert piece(call.say(1, "Hello ")) == answer(0, "Hello ")
    assert sent(call.finish(1, 0.2, "Dana.")) == [answer(0, "Dana.", True)]


def test_a_made_greeting_does_not_wait_for_ever() -> None:
    call = opened(later)
    assert others(call.details_due(1.0)) == [StartTurn(1, 0, None)]
    assert call.details_due(1.1) == ()
    assert call.receive(b'{"interaction_type":"call_details","call":{"call_id":"call_1"}}', 1.2) == ()


def test_details_that_come_after_the_end_start_nothing() -> None:
    call = opened(later)
    call.closed(0.5)
    assert call.details_due(1.0) == ()


def test_details_of_another_call_are_refused() -> None:
    call = opened(later)
    actions = call.receive(b'{"interaction_type":"call_details","call":{"call_id":"call_2"}}', 0.1)
    assert [type(fact) for fact in facts(actions)] == [BadMessage]
    assert call.details is None
    assert others(actions) == []


def test_a_caller_who_was_greeted_before_we_knew_the_call_is_not_greeted_again() -> None:
    call = opened(later)
    heard = msgspec.json.encode({"interaction_type": "update_only", "transcript": said("hi", "Harbor Clinic.")})
    assert sent(call.receive(heard, 0.1)) == [answer(0, "", True)]
    assert call.details_due(1.0) == ()


def test_an_update_without_the_agents_voice_keeps_the_greeting_waiting() -> None:
    call = opened(later)
    assert call.receive(msgspec.json.encode({"interaction_type": "update_only", "transcript": said("hi")}), 0.1) == ()
    assert others(call.details_due(1.0)) == [StartTurn(1, 0, None)]


def test_a_caller_who_speaks_first_supersedes_a_waiting_greeting() -> None:
    call = opened(later)
    actions = call.receive(required(1, "hi"), 0.1)
    assert facts(actions)[0] == TurnSuperseded(0, by=1)
    assert [type(action) for action in others(actions)] == [StartTurn]
    assert call.details_due(1.0) == ()


def test_a_caller_who_speaks_into_the_greeting_supersedes_it() -> None:
    call = opened(later)
    call.details_due(1.0)
    call.say(1, "Hello ")
    actions = call.receive(required(1, "hi"), 1.1)
    assert others(actions)[0] == CancelTurn(1)
    assert call.say(1, "Dana") is None


def test_a_greeting_cut_by_a_redial_goes_on_where_it_stopped() -> None:
    call = opened(later)
    call.details_due(1.0)
    call.say(1, "Hello ")
    call.detached(1.1)
    assert call.say(1, "Dana") is None
    actions = call.attached(1.2)
    assert sent(actions)[1:] == [answer(0, "Dana")]
    assert sent(call.finish(1, 1.3, ".")) == [answer(0, ".", True)]


def test_a_redial_while_the_greeting_waits_says_nothing_yet_and_waits_anew() -> None:
    call = opened(later)
    call.detached(0.1)
    assert call.details_due(0.15) == ()  # the next config brings them
    actions = call.attached(0.2)
    assert [type(message) for message in sent(actions)] == [Config]
    assert others(actions) == [StopGrace(), AwaitDetails()]
    assert others(call.details_due(1.0)) == [StartTurn(1, 0, None)]


def test_a_redial_greets_at_once_when_the_details_had_come() -> None:
    call = opened(later)
    call.detached(0.1)
    assert call.receive(b'{"interaction_type":"call_details","call":{"call_id":"call_1"}}', 0.1) == ()
    assert others(call.attached(0.2)) == [StopGrace(), StartTurn(1, 0, None)]


# ---------------------------------------------------------------------------- requests


def test_a_request_starts_a_turn() -> None:
    call = opened()
    actions = call.receive(required(1, "hi"), 1.0)
    (start,) = others(actions)
    assert isinstance(start, StartTurn)
    assert (start.generation, start.response_id) == (2, 1)
    assert start.question is not None
    assert [utterance.content for utterance in start.question.transcript] == ["hi"]
    assert facts(actions) == [TurnStarted(1, "response")]


def test_a_reminder_starts_a_turn_of_its_kind() -> None:
    call = opened()
    actions = call.receive(required(1, "hi", "Hello.", kind="reminder_required"), 1.0)
    assert facts(actions) == [TurnStarted(1, "reminder")]


def test_a_reminder_is_no_reask_of_the_same_transcript() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    assert any(isinstance(a, StartTurn) for a in call.receive(required(2, "hi", kind="reminder_required"), 2.0))


def test_a_newer_id_mutes_the_older() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hel")
    actions = call.receive(required(2, "hi there you"), 1.5)
    assert others(actions)[0] == CancelTurn(2)
    assert facts(actions)[0] == TurnSuperseded(1, by=2)
    assert call.say(2, "lo") is None
    assert call.finish(2, 2.0, "lo") == ()
    assert call.fail(2, 2.0, "why", "Sorry.") == ()
    assert piece(call.say(3, "Yes?")) == answer(2, "Yes?")


def test_a_finished_turn_is_not_cancelled_by_the_next() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    actions = call.receive(required(2, "hi", "Hello.", "bye"), 5.0)
    assert [type(action) for action in others(actions)] == [StartTurn]
    assert facts(actions) == [TurnStarted(2, "response")]


def test_an_unreadable_part_of_the_transcript_costs_no_answer() -> None:
    call = opened()
    odd = b'{"interaction_type":"response_required","response_id":1,"transcript":[{"role":5},{"role":"user"}]}'
    actions = call.receive(odd, 1.0)
    assert [type(fact) for fact in facts(actions)] == [BadMessage, TurnStarted]
    assert len(others(actions)) == 1


# ---------------------------------------------------------------------------- re-asks


def test_a_reask_in_the_same_words_adopts_the_running_generation() -> None:
    call = opened()
    call.receive(required(1, "I need help"), 1.0)
    call.say(2, "Of ")
    actions = call.receive(required(2, "I need help."), 1.25)
    assert others(actions) == []
    assert facts(actions) == [TurnReasked(2, replaces=1)]
    assert sent(actions) == [answer(2, "Of ")]
    assert piece(call.say(2, "course.")) == answer(2, "course.")
    assert facts(call.finish(2, 2.25)) == [TurnFinished(2, 10, 1.0)]


def test_a_reask_before_the_first_word_sends_nothing_yet() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    actions = call.receive(required(2, "Hi!"), 1.2)
    assert sent(actions) == []
    assert piece(call.say(2, "Hello")) == answer(2, "Hello")


def test_a_reask_of_a_finished_answer_is_answered_at_once() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    assert sent(call.receive(required(2, "hi"), 1.2)) == [answer(2, "Hello.", True)]


def test_a_failed_answer_is_not_adopted() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.fail(2, 1.1, "ModelUnavailable", "Sorry.")
    assert [type(action) for action in others(call.receive(required(2, "hi"), 1.2))] == [StartTurn]


def test_an_empty_answer_is_not_adopted() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1)
    assert [type(action) for action in others(call.receive(required(2, "hi"), 1.2))] == [StartTurn]


def test_a_long_answer_is_sent_again_in_frames_of_bounded_size() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    text = "".join(f"{number} " for number in range(1500))
    for start in range(0, len(text), MAX_PIECE):
        call.say(2, text[start : start + MAX_PIECE])
    frames = sent(call.receive(required(2, "hi"), 2.0))
    assert len(frames) == len(text) // MAX_PIECE + 1
    assert "".join(frame.content for frame in frames) == text
    assert not any(frame.content_complete for frame in frames)


# ---------------------------------------------------------------------------- duplicates


def test_an_id_that_comes_twice_is_answered_once() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    assert call.receive(required(1, "hi"), 1.1) == (Record(DuplicateRequest(1)),)
    call.finish(2, 1.2, "Hello.")
    assert call.receive(required(1, "hi"), 1.3) == (Record(DuplicateRequest(1)),)


def test_an_older_id_is_ignored() -> None:
    call = opened()
    call.receive(required(5, "hi"), 1.0)
    assert call.receive(required(4, "hello"), 1.1) == (Record(DuplicateRequest(4)),)
    assert call.receive(required(0, "hello"), 1.1) == (Record(DuplicateRequest(0)),)


def test_a_request_repeated_on_a_new_socket_is_answered_from_its_start() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    call.detached(1.2)
    call.attached(1.3)
    actions = call.receive(required(1, "hi"), 1.4)
    assert sent(actions) == [answer(1, "Hello.", True)]
    assert facts(actions) == [DuplicateRequest(1), TurnReasked(1, replaces=1)]
    assert sent(call.receive(required(1, "hi"), 1.5)) == []


def test_a_request_repeated_on_a_new_socket_goes_on_with_its_generation() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hel")
    call.detached(1.2)
    call.attached(1.3)
    assert sent(call.receive(required(1, "hi"), 1.4)) == [answer(1, "Hel")]
    assert piece(call.say(2, "lo")) == answer(1, "lo")


def test_an_answer_to_an_unreadable_question_is_not_adopted() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    odd = b'{"interaction_type":"response_required","response_id":2,"transcript":[{"role":"user","content":"hi"},{}]}'
    assert [type(action) for action in others(call.receive(odd, 1.4))] == [StartTurn]


def test_ids_may_start_anew_with_a_new_socket() -> None:
    call = opened()
    call.receive(required(7, "hi"), 1.0)
    call.detached(1.2)
    call.attached(1.3)
    actions = call.receive(required(2, "hello, anyone?"), 1.4)
    assert others(actions)[0] == CancelTurn(2)
    assert piece(call.say(3, "Yes")) == answer(2, "Yes")
    assert call.receive(required(1, "hm"), 1.5) == (Record(DuplicateRequest(1)),)


def test_the_same_id_with_other_words_on_a_new_socket_is_a_new_request() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    call.detached(1.2)
    call.attached(1.3)
    actions = call.receive(required(1, "something else"), 1.4)
    assert [type(action) for action in others(actions)] == [StartTurn]


def test_id_0_is_never_a_request() -> None:
    call = opened()
    call.detached(0.5)
    call.attached(0.6)
    assert call.receive(required(0, "hi"), 1.0) == (Record(DuplicateRequest(0)),)


# ---------------------------------------------------------------------------- answers


def test_an_answer_streams_and_completes() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    assert piece(call.say(2, "Hel")) == answer(1, "Hel")
    assert piece(call.say(2, "lo")) == answer(1, "lo")
    actions = call.finish(2, 3.0, ".")
    assert sent(actions) == [answer(1, ".", True)]
    assert facts(actions) == [TurnFinished(1, 6, 2.0)]
    assert call.say(2, "more") is None
    assert call.finish(2, 3.1) == ()


def test_a_failure_is_spoken_and_completed() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    actions = call.fail(2, 2.0, "ModelUnavailable", "I'm sorry.")
    assert sent(actions) == [answer(1, "I'm sorry.", True)]
    assert facts(actions) == [TurnFailed(1, "ModelUnavailable", 1.0)]


@pytest.mark.parametrize(("before", "line"), [("Well,", " Sorry."), ("Well, ", "Sorry.")])
def test_a_failure_after_words_is_set_off_from_them(before: str, line: str) -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, before)
    assert sent(call.fail(2, 2.0, "ModelBroken", "Sorry.")) == [answer(1, line, True)]


def test_words_are_held_while_the_call_is_away_and_follow_on_the_next_socket() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "One ")
    call.detached(1.1)
    assert call.say(2, "two ") is None
    actions = call.attached(1.2)
    assert sent(actions)[1:] == [answer(0, "", True), answer(1, "two ")]
    assert piece(call.say(2, "three")) == answer(1, "three")


def test_a_request_read_after_its_socket_went_is_answered_on_the_next() -> None:
    call = opened()
    call.detached(1.0)
    assert [type(action) for action in others(call.receive(required(1, "hi"), 1.0))] == [StartTurn]
    assert stands(call) is State.AWAY
    assert call.say(2, "Hello ") is None
    assert sent(call.finish(2, 1.1, "there.")) == []
    assert sent(call.attached(1.3))[1:] == [answer(0, "", True), answer(1, "Hello there.", True)]


def test_a_reask_read_after_its_socket_went_sends_nothing_into_it() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    call.detached(1.2)
    actions = call.receive(required(2, "hi"), 1.2)
    assert (sent(actions), facts(actions)) == ([], [TurnReasked(2, 1)])
    assert sent(call.attached(1.3))[1:] == [answer(0, "", True), answer(2, "Hello.", True)]


def test_an_answer_that_ends_while_away_is_completed_on_the_next_socket() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "One ")
    call.detached(1.1)
    actions = call.finish(2, 1.25, "two.")
    assert sent(actions) == []
    assert facts(actions) == [TurnFinished(1, 8, 0.25)]
    assert sent(call.attached(1.3))[1:] == [answer(0, "", True), answer(1, "two.", True)]


def test_a_completed_answer_is_completed_again_on_the_next_socket_without_words() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.finish(2, 1.1, "Hello.")
    call.detached(1.2)
    assert sent(call.attached(1.3))[1:] == [answer(0, "", True), answer(1, "", True)]


def test_an_endless_answer_is_bounded() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    for _ in range(2 * MAX_TEXT // 1000):
        call.say(2, "x" * 1000)
    assert call.say(2, "more") is None
    assert sent(call.receive(required(2, "hi"), 2.0))
    assert facts(call.finish(2, 3.0, "more")) == [TurnFinished(2, MAX_TEXT, 1.0)]


# ---------------------------------------------------------------------------- hanging up


GOODBYE_AGAIN = answer(2, "Goodbye.", True, end_call=True, no_interruption_allowed=True)


def hung_up() -> CallMachine:
    call = opened()
    call.receive(required(1, "bye"), 1.0)
    assert call.place(2, EndCall(), "Goodbye.", 1.4) == ()
    assert sent(call.finish(2, 1.5)) == [answer(1, "Goodbye.", True, end_call=True, no_interruption_allowed=True)]
    assert stands(call) is State.ENDING
    return call


def test_after_the_hang_up_only_pongs_leave() -> None:
    call = hung_up()
    assert call.say(2, "and") is None
    assert sent(call.receive(b'{"interaction_type":"ping_pong","timestamp":7}', 2.0)) == [Pong(timestamp=7)]
    assert call.receive(b'{"interaction_type":"update_only","transcript":[]}', 2.0) == ()
    assert stands(call) is State.ENDING


def test_a_caller_who_barges_into_the_goodbye_is_answered() -> None:
    call = hung_up()
    actions = call.receive(required(2, "bye", "Good", "wait, one more thing"), 2.0)
    assert [type(action) for action in others(actions)] == [StartTurn]
    assert stands(call) is State.OPEN
    assert piece(call.say(3, "Yes?")) == answer(2, "Yes?")


def test_a_goodbye_asked_again_still_hangs_up() -> None:
    call = hung_up()
    assert sent(call.receive(required(2, "bye"), 2.0)) == [GOODBYE_AGAIN]
    assert stands(call) is State.ENDING


def test_a_call_that_was_ending_is_ending_again_after_a_redial() -> None:
    call = hung_up()
    call.detached(2.0)
    assert sent(call.attached(2.1))[1:] == [answer(0, "", True), answer(1, "", True, end_call=True)]
    assert stands(call) is State.ENDING


def test_a_goodbye_held_while_away_ends_the_call_on_the_next_socket() -> None:
    call = opened()
    call.receive(required(1, "bye"), 1.0)
    call.detached(1.1)
    call.place(2, EndCall(), "Goodbye.", 1.2)
    call.finish(2, 1.2)
    assert stands(call) is State.AWAY
    goodbye = answer(1, "Goodbye.", True, end_call=True, no_interruption_allowed=True)
    assert sent(call.attached(1.3))[-1] == goodbye
    assert stands(call) is State.ENDING


# ---------------------------------------------------------------------------- the rest of what Retell sends


def test_a_ping_is_echoed_in_the_middle_of_a_turn() -> None:
    call = opened()
    assert not call.has_pinged
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hel")
    assert sent(call.receive(b'{"interaction_type":"ping_pong","timestamp":1790000000123}', 1.1)) == [
        Pong(timestamp=1790000000123)
    ]
    assert call.has_pinged
    call.attached(2.0)
    assert not call.has_pinged


@pytest.mark.parametrize("turntaking", ["user_turn", "agent_turn", None])
def test_an_update_leaves_an_open_request_open(turntaking: str | None) -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    update = {"interaction_type": "update_only", "transcript": said("hi there"), "turntaking": turntaking}
    assert call.receive(msgspec.json.encode(update), 1.1) == ()
    assert piece(call.say(2, "Hello")) == answer(1, "Hello")


def test_bad_bytes_are_a_fact_and_nothing_else() -> None:
    call = opened()
    (action,) = call.receive(b"\x00\xff{", 1.0)
    assert isinstance(action, Record)
    assert isinstance(action.fact, BadMessage)
    assert stands(call) is State.OPEN


def test_an_unknown_kind_is_ignored() -> None:
    assert opened().receive(b'{"interaction_type":"weather"}', 1.0) == (Record(UnknownMessage()),)
