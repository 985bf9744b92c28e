"""The call machine, from one process to another: what it writes down, and how it goes on from that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from retell_ws.actions import Action, AwaitDetails, CancelTurn, Record, Send, StartTurn
from retell_ws.agent import Agent
from retell_ws.call import CallMachine, State
from retell_ws.facts import CallMoved, Fact, TurnFailed, TurnFinished
from retell_ws.handle import Call
from retell_ws.intent import EndCall
from retell_ws.memo import CallMemo, read, written
from retell_ws.transcript import Question, Utterance
from retell_ws.wire import AgentConfig, AgentInterrupt, CallInfo, Config, Response, UpdateAgent, decode_outbound

HELLO = "Harbor Clinic, this is Ana."
PING = b'{"interaction_type":"ping_pong","timestamp":1}'


def later(call: Call) -> AsyncIterator[str]:
    raise AssertionError("the machine runs no function of the agent's")


def machine(greeting: Any = HELLO, **options: Any) -> CallMachine:
    return CallMachine("call_1", Agent("You are Ana.", greeting=greeting, **options))


def required(response_id: int, *words: str) -> bytes:
    transcript = [{"role": "agent" if n % 2 else "user", "content": text} for n, text in enumerate(words)]
    return msgspec.json.encode(
        {"interaction_type": "response_required", "response_id": response_id, "transcript": transcript}
    )


def updated(*words: str) -> bytes:
    transcript = [{"role": "agent", "content": text} for text in words]
    return msgspec.json.encode({"interaction_type": "update_only", "transcript": transcript})


def details(start_timestamp: int | None = None) -> bytes:
    call = {"call_id": "call_1", "start_timestamp": start_timestamp}
    return msgspec.json.encode({"interaction_type": "call_details", "call": call})


def taken_over(
    call: CallMachine, said: str = "", greeting: Any = HELLO, question: bool = True, **options: Any
) -> CallMachine:
    """The same call in another process."""
    memo = read(written(call.memo(1000)), CallMemo)
    assert memo is not None
    other = machine(greeting, **options)
    asked = read(written(call.answer.question), Question) if question else None
    other.recall(memo, asked, call.details, said, 100.0, lasted_s=60.0)
    return other


def sent(actions: tuple[Action, ...]) -> list[Any]:
    return [decode_outbound(action.frame) for action in actions if isinstance(action, Send)]


def facts(actions: tuple[Action, ...]) -> list[Fact]:
    return [action.fact for action in actions if isinstance(action, Record)]


def started(actions: tuple[Action, ...]) -> list[StartTurn]:
    return [action for action in actions if isinstance(action, StartTurn)]


def responses(actions: tuple[Action, ...]) -> list[tuple[int, str, bool]]:
    return [(m.response_id, m.content, m.content_complete) for m in sent(actions) if isinstance(m, Response)]


def asking(*words: str) -> CallMachine:
    call = machine()
    call.attached(0.0)
    call.receive(required(1, *(words or ("Hours?",))), 1.0)
    return call


def test_config_comes_first_and_the_greeting_is_completed_without_words() -> None:
    call = machine()
    call.attached(0.0)
    call.receive(PING, 0.1)
    actions = taken_over(call).attached(101.0)
    assert isinstance(sent(actions)[0], Config)
    assert responses(actions) == [(0, "", True)]
    assert not started(actions)


def test_an_open_answer_is_gone_on_with_after_what_was_said() -> None:
    call = asking()
    call.say(2, "We open ")
    other = taken_over(call, said="at nine ")
    actions = other.attached(101.0)
    assert responses(actions) == [(0, "", True)]
    (start,) = started(actions)
    assert (start.generation, start.response_id, start.said, start.goes_on) == (2, 1, "We open at nine ", True)
    assert start.question == Question("response", (Utterance("user", "Hours?"),))
    frame = other.say(2, "and close at five.")
    assert frame is not None
    message = decode_outbound(frame)
    assert isinstance(message, Response)
    assert message.content == "and close at five."
    assert responses(other.finish(2, 102.0)) == [(1, "", True)]


def test_text_that_was_held_for_a_socket_is_left_to_whoever_goes_on() -> None:
    call = asking()
    call.say(2, "We open ")
    call.detached(2.0)
    call.say(2, "at nine.")
    (start,) = started(taken_over(call).attached(101.0))
    assert start.said == "We open "


def test_an_answer_that_was_whole_but_held_is_given_as_it_is() -> None:
    call = asking()
    call.say(2, "We open ")
    call.detached(2.0)
    call.finish(2, 3.0, "at nine.")
    actions = taken_over(call).attached(101.0)
    assert responses(actions) == [(0, "", True), (1, "at nine.", True)]


def test_an_answer_without_its_question_ends_in_a_line_of_the_agents() -> None:
    for words, line in (("We open ", "Sorry, I lost"), ("", "I'm sorry, something")):
        call = asking()
        if words:
            call.say(2, words)
        actions = taken_over(call, question=False).attached(101.0)
        assert not started(actions)
        assert responses(actions)[-1][1].startswith(line) and responses(actions)[-1][2]
        assert [fact.why for fact in facts(actions) if isinstance(fact, TurnFailed)] == ["moved"]


def test_a_greeting_of_a_function_is_begun_anew_only_before_its_first_word() -> None:
    call = machine(later)
    call.attached(0.0)
    call.details_due(1.0)
    (start,) = started(taken_over(call, greeting=later).attached(101.0))
    assert (start.question, start.said, start.response_id) == (None, "", 0)
    call.say(1, "Hello Bo")
    actions = taken_over(call, greeting=later).attached(101.0)
    assert not started(actions) and any(isinstance(fact, TurnFinished) for fact in facts(actions))
    assert responses(actions)[-1] == (0, "", True)


def test_a_greeting_that_waited_for_details_waits_on() -> None:
    call = machine(later)
    call.attached(0.0)
    actions = taken_over(call, greeting=later).attached(101.0)
    assert AwaitDetails() in actions and not started(actions)


def test_a_request_in_the_same_words_gets_the_answer_under_its_id_from_the_start() -> None:
    call = asking()
    call.say(2, "We open ")
    other = taken_over(call)
    other.attached(101.0)
    assert responses(other.receive(required(2, "Hours."), 101.5)) == [(2, "We open ", False)]


# -- a greeting that nobody may have heard


def doubtful(**options: Any) -> CallMachine:
    call = machine(**options)
    call.attached(0.0)  # and the process dies before it reads a message
    return taken_over(call)


def test_a_greeting_in_doubt_waits_for_a_sign() -> None:
    other = doubtful()
    actions = other.attached(101.0)
    assert AwaitDetails() in actions and not responses(actions)
    assert not other.receive(details(), 101.1), "details come on every socket"
    assert responses(other.receive(updated(HELLO[:14]), 101.2)) == [(0, "", True)], "it was heard"
    assert not other.details_due(102.0)


def test_a_greeting_nobody_heard_is_said() -> None:
    other = doubtful()
    other.attached(101.0)
    other.receive(details(), 101.1)
    assert responses(other.details_due(102.0)) == [(0, HELLO, True)]


def test_who_speaks_first_is_answered_without_a_greeting() -> None:
    other = doubtful()
    other.attached(101.0)
    actions = other.receive(required(1, "Hello?"), 101.1)
    assert len(started(actions)) == 1 and not responses(actions)


def test_a_call_that_was_left_before_is_in_no_doubt() -> None:
    call = machine()
    call.attached(0.0)
    call.interrupt("Bye.", 0.1, EndCall())
    other = taken_over(call)
    assert responses(other.attached(101.0)) == [(0, "", True)]
    assert other.state is State.ENDING


def test_a_greeting_in_doubt_stays_in_doubt_for_the_process_after_the_next() -> None:
    other = doubtful()
    other.attached(101.0)
    other.receive(details(), 101.1)  # a sign of life, which says nothing of the older socket
    last = taken_over(other)
    assert AwaitDetails() in last.attached(102.0)
    assert not last.receive(details(), 102.1)
    assert responses(last.details_due(103.0)) == [(0, HELLO, True)]


def test_a_function_whose_greeting_is_in_doubt_is_not_called_again() -> None:
    call = machine(later)
    call.attached(0.0)
    call.details_due(1.0)
    call.fail(1, 2.0, "ToolFailed", "Hello.")
    for _ in range(2):
        call = taken_over(call, greeting=later)
        call.attached(101.0)
        call.receive(details(), 101.1)
    actions = call.details_due(102.0)
    assert not started(actions)
    assert responses(actions) == [(0, "Hello.", True)]


def test_a_greeting_in_doubt_does_not_come_after_what_else_was_said() -> None:
    other = doubtful()
    other.attached(101.0)
    assert responses(other.interrupt("We close in a minute.", 101.1)) == [(0, "", True)]
    other.detached(102.0)
    assert responses(other.attached(103.0)) == [(0, "", True)]
    assert not other.details_due(104.0)


def test_a_greeting_is_in_no_doubt_when_only_its_completion_went_to_the_newest_socket() -> None:
    call = machine(later)
    call.attached(0.0)
    call.receive(PING, 0.1)
    call.details_due(1.0)
    call.say(1, "Hello Bo.")
    other = taken_over(call, greeting=later)
    other.attached(101.0)  # it goes on, and nothing is read there
    assert responses(taken_over(other, greeting=later).attached(201.0))[-1] == (0, "", True)


def half_greeted() -> CallMachine:
    """A function's greeting, that went on over a redial to a socket of which nothing was read."""
    call = machine(later)
    call.attached(0.0)
    call.receive(PING, 0.1)
    call.details_due(1.0)
    call.say(1, "Hello ")
    call.detached(2.0)
    call.say(1, "Bo ")
    call.attached(3.0)
    return taken_over(call, greeting=later)


def test_a_greeting_in_doubt_that_broke_off_is_completed() -> None:
    other = half_greeted()
    assert AwaitDetails() in other.attached(101.0)
    assert responses(other.details_due(102.0)) == [(0, "Hello Bo ", False), (0, "", True)]


def test_a_greeting_in_doubt_that_broke_off_is_not_gone_on_with_once_something_is_asked() -> None:
    events: list[Callable[[CallMachine], object]] = [
        lambda call: call.receive(required(1, "Hello?"), 101.1),
        lambda call: call.receive(updated("Hello"), 101.1),
        lambda call: call.interrupt("We close in a minute.", 101.1),
    ]
    for event in events:
        other = half_greeted()
        other.attached(101.0)
        event(other)
        other.detached(102.0)
        assert not started(other.attached(103.0))


# -- a store that does not tell


def test_without_a_store_the_details_tell_whether_the_call_is_a_new_one() -> None:
    call = machine()
    assert not responses(call.attached(0.0, unknown_at_ms=100_000))
    assert responses(call.receive(details(90_000), 0.1)) == [(0, HELLO, True)]
    call = machine()
    call.attached(0.0, unknown_at_ms=100_000)
    assert responses(call.receive(details(60_000), 0.1)) == [(0, "", True)], "it was greeted half a minute ago"
    call = machine()
    call.attached(0.0, unknown_at_ms=100_000)
    assert responses(call.receive(details(None), 0.1)) == [(0, HELLO, True)]
    call = machine()
    call.attached(0.0, unknown_at_ms=100_000)
    assert responses(call.details_due(1.0)) == [(0, HELLO, True)]
    call = machine()
    call.attached(0.0, unknown_at_ms=100_000)
    assert responses(call.receive(updated("Harbor"), 0.1)) == [(0, "", True)]


def test_a_call_that_has_no_past_shows_it() -> None:
    for message, is_new in (
        (details(99_000), True),
        (details(90_000), False),
        (details(None), False),
        (updated(), True),
        (updated("Harbor"), False),
        (required(1, "Hello?"), True),
        (required(2, "Hello?"), False),
        (required(1, "Hello?", "Harbor", "Hm?"), False),
    ):
        call = machine()
        call.attached(0.0, unknown_at_ms=100_000)
        call.receive(message, 0.1)
        assert call.is_new is is_new, message
    greeted = machine()
    greeted.attached(0.0, unknown_at_ms=100_000)
    greeted.details_due(1.0)
    greeted.receive(updated(), 1.1)
    assert not greeted.is_new, "what was said here tells nothing of before"
    known = machine()
    known.attached(0.0)
    known.receive(updated(), 0.1)
    assert not known.is_new


def test_a_call_whose_memo_cannot_be_read_is_not_greeted_again() -> None:
    call = machine()
    call.begun_elsewhere()
    assert responses(call.attached(0.0)) == [(0, "", True)]
    assert len(started(call.receive(required(1, "Hours?"), 1.0))) == 1


# -- what else goes along


def test_what_the_agent_means_to_do_and_how_it_behaves_go_along() -> None:
    call = asking()
    call.update(AgentConfig(responsiveness=0.5))
    assert call.answer.is_under_way and not call.is_leaving
    call.place(2, EndCall(), "Bye.", 2.0)
    call.finish(2, 3.0)
    assert call.is_leaving and not call.answer.is_under_way
    other = taken_over(call)
    assert other.is_leaving
    actions = other.attached(101.0)
    assert other.state is State.ENDING
    assert UpdateAgent(agent_config=AgentConfig(responsiveness=0.5)) in sent(actions)
    again = other.receive(required(2, "Hours?", "Bye.", "Thanks."), 102.0)
    assert [m.end_call for m in sent(again) if isinstance(m, Response)][-1], "given once more"


def test_an_interruption_that_waited_is_said_on_the_next_socket() -> None:
    call = machine()
    call.attached(0.0)
    call.receive(PING, 0.1)
    call.detached(1.0)
    call.speak("Your table is ready.", 2.0)
    spoken = [m for m in sent(taken_over(call).attached(101.0)) if isinstance(m, AgentInterrupt)]
    assert [(m.interrupt_id, m.content) for m in spoken] == [(1, "Your table is ready.")]


def test_texts_that_wait_for_the_end_of_an_answer_go_along() -> None:
    call = asking()
    call.say(2, "We open at nine.")
    call.speak("By the way, we moved.", 2.0)
    other = taken_over(call)
    other.attached(101.0)
    assert responses(other.finish(2, 102.0))[-1][1] == " By the way, we moved."


def test_details_and_the_length_of_the_call_go_along() -> None:
    call = machine()
    call.attached(0.0)
    call.receive(details(5), 0.1)
    other = taken_over(call)
    assert other.details == CallInfo(call_id="call_1", start_timestamp=5)
    other.attached(100.0)
    ended = other.closed(110.0)[-1]
    assert isinstance(ended, Record) and getattr(ended.fact, "duration_s", 0) == 70.0


def test_a_call_that_moves_stops_its_turn_and_fails_nothing() -> None:
    call = asking()
    assert not call.answer.done
    actions = call.moved(2.0)
    assert actions == (CancelTurn(2), Record(CallMoved()))
    assert call.say(2, "Anything") is None and call.state is State.CLOSED
    whole = machine()
    whole.attached(0.0)
    assert whole.answer.done
    assert whole.moved(1.0) == (Record(CallMoved()),)
