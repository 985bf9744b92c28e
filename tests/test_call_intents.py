"""What the agent means to do with the call, in the machine: transfers, hang-ups, keys, interruptions, asides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from retell_ws.actions import Action, CancelTurn, Record, Send, StartTurn
from retell_ws.agent import Agent
from retell_ws.asides import MAX_AFTER, MAX_HELD
from retell_ws.call import CallMachine, State
from retell_ws.facts import IntentGiven, Interrupted, TurnFinished, TurnSuperseded
from retell_ws.intent import EndCall, Intent, PressDigits, TransferCall, acknowledges
from retell_ws.lines import Lines
from retell_ws.reminders import Reminders
from retell_ws.speech import MAX_PIECE
from retell_ws.standing import MAX_TIMES
from retell_ws.wire import (
    AgentConfig,
    AgentInterrupt,
    Config,
    Metadata,
    Response,
    ToolCallInvocation,
    ToolCallResult,
    UpdateAgent,
    decode_outbound,
)

LINES = Lines()
BILLING = TransferCall("+14155550100", show_caller=True)
LIFE = b'{"interaction_type":"update_only","transcript":[]}'


def opened(**options: Any) -> CallMachine:
    """A call on a socket that has shown to be alive, its greeting said."""
    call = CallMachine("call_1", Agent("You are Ana.", greeting="Hello.", **options))
    call.attached(0.0)
    call.receive(LIFE, 0.0)
    return call


def required(response_id: int, heard: str, *, kind: str = "response_required", **more: Any) -> bytes:
    transcript = [{"role": "agent", "content": "Hello."}, {"role": "user", "content": heard}]
    return msgspec.json.encode({"interaction_type": kind, "response_id": response_id, "transcript": transcript, **more})


def sent(actions: tuple[Action, ...] | None) -> list[Any]:
    assert actions is not None
    return [decode_outbound(action.frame) for action in actions if isinstance(action, Send)]


def facts(actions: tuple[Action, ...] | None) -> list[Any]:
    assert actions is not None
    return [action.fact for action in actions if isinstance(action, Record)]


def kinds(actions: tuple[Action, ...]) -> list[type]:
    return [type(action) for action in actions if not isinstance(action, Send | Record)]


def stands(call: CallMachine) -> State:
    return call.state  # behind a call, so that mypy does not think it cannot change


def transfer(response_id: int, content: str, complete: bool = True) -> Response:
    return Response(
        response_id=response_id,
        content=content,
        content_complete=complete,
        transfer_number="+14155550100",
        show_transferee_as_caller=True,
        no_interruption_allowed=bool(content),
    )


def transferring(words: str = "Connecting you to billing.", **options: Any) -> CallMachine:
    """A call whose first request was answered with a transfer."""
    call = opened(**options)
    call.receive(required(1, "billing, please"), 1.0)
    assert call.place(2, BILLING, words, 1.1) == ()
    actions = call.finish(2, 1.2)
    assert sent(actions) == [transfer(1, words)]
    assert facts(actions)[0] == IntentGiven("transfer_call", 1)
    assert stands(call) is State.ENDING
    return call


# ---------------------------------------------------------------------------- on the frames


def test_the_words_of_an_intent_carry_it_and_cannot_be_interrupted_and_those_before_can() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.say(2, "Sure.")
    call.place(2, BILLING, "Connecting you.", 1.1)
    before, last = sent(call.finish(2, 1.2, " One moment."))
    assert before == Response(response_id=1, content=" One moment.", content_complete=False)
    assert last == transfer(1, " Connecting you.")


def test_an_intent_without_words_goes_with_the_completion() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.say(2, "Connecting you to billing.")
    call.place(2, BILLING, "", 1.1)
    assert sent(call.finish(2, 1.2)) == [transfer(1, "")]


@pytest.mark.parametrize(("intent", "line"), [(BILLING, LINES.transfer), (EndCall(), LINES.goodbye)])
def test_nobody_is_handed_on_or_hung_up_on_without_a_word(intent: Intent, line: str) -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.place(2, intent, "", 1.1)
    (frame,) = sent(call.finish(2, 1.2))
    assert frame.content == line


def test_keys_are_pressed_without_words_and_the_call_goes_on() -> None:
    call = opened()
    call.receive(required(1, "press one for billing"), 1.0)
    call.place(2, PressDigits("1#"), "", 1.1)
    actions = call.finish(2, 1.2)
    assert sent(actions) == [Response(response_id=1, content="", content_complete=True, digit_to_press="1#")]
    assert facts(actions)[0] == IntentGiven("press_digit", 1)
    assert stands(call) is State.OPEN
    assert kinds(call.receive(required(2, "press two for support"), 2.0)) == [StartTurn], "keys are not pressed again"


def test_long_words_of_an_intent_carry_it_in_every_frame() -> None:
    call = opened()
    call.receive(required(1, "bye"), 1.0)
    call.place(2, EndCall(), "x" * (MAX_PIECE + 1), 1.1)
    frames = sent(call.finish(2, 1.2))
    assert [(frame.end_call, frame.no_interruption_allowed, frame.content_complete) for frame in frames] == [
        (True, True, False),
        (True, True, True),
    ]


def test_an_answer_that_failed_still_does_what_was_placed() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.place(2, BILLING, "Connecting you.", 1.1)
    assert sent(call.fail(2, 1.2, "ModelBroken", LINES.apology)) == [transfer(1, "Connecting you.")]


def test_one_way_to_leave_is_enough() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    assert call.place(2, BILLING, "", 1.1) == ()
    assert call.place(2, EndCall(), "", 1.1) is None, "the transfer came first"
    assert sent(call.finish(2, 1.2)) == [transfer(1, LINES.transfer)]
    assert call.place(None, EndCall(), "", 1.3) is None, "it is leaving already"
    assert call.interrupt("One more thing.", 1.3) == () and call.note(Metadata(metadata={})) == ()
    assert call.update(AgentConfig(responsiveness=0.5)) == ()


# ---------------------------------------------------------------------------- spoken into


@pytest.mark.parametrize("heard", ["right, thanks", "Okay. Thank you!", "Yes please.", "bye"])
def test_a_transfer_the_caller_agrees_into_is_given_again_without_the_model(heard: str) -> None:
    call = transferring()
    actions = call.receive(required(2, heard), 2.0)
    assert kinds(actions) == []
    assert sent(actions) == [transfer(2, LINES.transfer)]
    assert facts(actions) == [IntentGiven("transfer_call", 2)]
    assert stands(call) is State.ENDING


def test_a_goodbye_the_caller_answers_is_said_again_and_ends_the_call() -> None:
    call = opened()
    call.receive(required(1, "that is all"), 1.0)
    call.place(2, EndCall(), "Goodbye, take care.", 1.1)
    call.finish(2, 1.2)
    (frame,) = sent(call.receive(required(2, "you too, bye"), 2.0)) or [None]
    assert frame is None or frame.end_call


def test_what_the_caller_says_beside_that_is_for_the_model_which_is_told() -> None:
    call = transferring()
    actions = call.receive(required(2, "wait, what do they cost?"), 2.0)
    assert kinds(actions) == [StartTurn]
    start = next(action for action in actions if isinstance(action, StartTurn))
    assert start.interrupted == BILLING
    assert stands(call) is State.OPEN


def test_an_intent_the_model_does_not_take_up_again_has_lapsed() -> None:
    call = transferring()
    call.receive(required(2, "wait, stop"), 2.0)
    call.finish(3, 2.5, "Of course. What else?")
    actions = call.receive(required(3, "thanks"), 3.0)
    assert kinds(actions) == [StartTurn]
    assert next(action for action in actions if isinstance(action, StartTurn)).interrupted is None


def test_an_intent_outlives_requests_that_are_superseded_before_the_model_answered() -> None:
    call = transferring()
    call.receive(required(2, "right, but"), 2.0)
    actions = call.receive(required(3, "right, but thanks"), 2.3)
    assert next(action for action in actions if isinstance(action, StartTurn)).interrupted == BILLING
    assert sent(call.receive(required(4, "right, thanks"), 2.6)) == [transfer(4, LINES.transfer)]


def test_an_intent_the_model_takes_up_again_stands_again() -> None:
    call = transferring()
    call.receive(required(2, "what do they cost?"), 2.0)
    call.place(3, BILLING, "Nothing. Connecting you.", 2.1)
    assert sent(call.finish(3, 2.2)) == [transfer(2, "Nothing. Connecting you.")]
    assert sent(call.receive(required(3, "thanks"), 3.0)) == [transfer(3, LINES.transfer)]


def test_a_reminder_after_a_transfer_gives_it_again_because_it_did_not_come_about() -> None:
    call = transferring()
    silence = required(2, "billing, please", kind="reminder_required")
    assert sent(call.receive(silence, 12.0)) == [transfer(2, LINES.transfer)]


def test_an_intent_is_not_given_for_ever() -> None:
    call = transferring()
    for response_id in range(2, MAX_TIMES + 1):
        assert sent(call.receive(required(response_id, f"ok {'ok ' * response_id}"), response_id))
    actions = call.receive(required(MAX_TIMES + 1, "thanks"), 20.0)
    assert kinds(actions) == [StartTurn], "the model should say that it does not work"


def test_a_transfer_placed_in_a_turn_that_was_spoken_into_stands() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.place(2, BILLING, "Connecting you.", 1.1)
    actions = call.receive(required(2, "billing, please, or else"), 1.2)
    assert kinds(actions) == [CancelTurn, StartTurn]
    assert next(action for action in actions if isinstance(action, StartTurn)).interrupted == BILLING
    assert kinds(call.receive(required(3, "billing, please, or else, thanks"), 1.3)) == [CancelTurn, StartTurn]
    actions = call.receive(required(4, "billing, please. Thanks!"), 1.4)
    assert kinds(actions) == [CancelTurn] and sent(actions) == [transfer(4, LINES.transfer)]


def test_the_caller_agrees_only_with_words_that_take_nothing_back() -> None:
    assert acknowledges("Right. Thanks!") and acknowledges("that’s fine") and acknowledges("OK")
    assert not acknowledges("") and not acknowledges("...") and not acknowledges("no thanks")
    assert not acknowledges("ok wait") and not acknowledges("ok " * 9) and not acknowledges("stop")
    assert acknowledges("ja danke", {"ja", "danke"}) and not acknowledges("ok", {"ja"})


def test_the_words_of_agreement_are_the_agents() -> None:
    call = transferring(acknowledgements=["Ja!", "danke"])
    assert kinds(call.receive(required(2, "thanks"), 2.0)) == [StartTurn]
    assert sent(call.receive(required(3, "Ja, danke."), 2.5)) == [transfer(3, LINES.transfer)]


# ---------------------------------------------------------------------------- tools that outlive their turn


def test_a_tool_whose_turn_was_agreed_into_may_still_transfer() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.receive(required(2, "thanks"), 1.5)
    call.finish(3, 2.0, "One moment.")
    actions = call.place(2, BILLING, "Connecting you.", 2.5)
    (frame,) = sent(actions)
    assert isinstance(frame, AgentInterrupt)
    assert (frame.content, frame.transfer_number) == ("Connecting you.", "+14155550100")
    assert stands(call) is State.ENDING


def test_a_tool_whose_turn_was_spoken_into_otherwise_waits_for_the_caller_to_agree() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.receive(required(2, "no wait"), 1.5)
    call.finish(3, 2.0, "Yes?")
    assert call.place(2, BILLING, "Connecting you.", 2.5) == ()
    assert sent(call.receive(required(3, "okay"), 3.0)) == [transfer(3, LINES.transfer)]


def test_keys_of_a_turn_that_was_spoken_into_are_not_pressed() -> None:
    call = opened()
    call.receive(required(1, "press one"), 1.0)
    call.receive(required(2, "press two"), 1.5)
    assert call.place(2, PressDigits("1"), "", 1.6) is None


def test_a_turn_that_waited_for_such_a_tool_gives_the_intent_instead_of_asking_the_model() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.receive(required(2, "thanks"), 1.5)
    assert call.place(2, BILLING, "Connecting you.", 1.7) == (), "a turn runs: it decides"
    actions = call.insist(3, 1.8)
    assert sent(actions) == [transfer(2, LINES.transfer)]
    assert any(isinstance(fact, TurnFinished) for fact in facts(actions))
    assert call.insist(3, 1.9) == (), "once"


def test_a_turn_with_nothing_to_insist_on_asks_the_model() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    assert call.insist(2, 1.1) == ()
    assert call.answer.wants(2)


def test_an_intent_placed_while_the_model_answers_does_not_lapse_with_that_answer() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.receive(required(2, "how long does it take?"), 1.5)
    assert call.place(2, BILLING, "Connecting you.", 1.7) == ()
    call.say(3, "Not long.")
    assert call.will_happen(3) is False and call.insist(3, 1.8) == ()
    call.finish(3, 2.0)
    assert call.answer.needs_space(3) is False
    actions = call.receive(required(3, "hm, and then?"), 3.0)
    assert next(action for action in actions if isinstance(action, StartTurn)).interrupted == BILLING


def test_words_that_would_run_into_the_last_one_want_a_space() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    assert call.answer.needs_space(2) is False
    call.say(2, "Hello.")
    assert call.answer.needs_space(2) is True
    call.say(2, " Well, ")
    assert call.answer.needs_space(2) is False
    call.place(2, BILLING, "", 1.1)
    assert call.will_happen(2) is True


def test_the_model_is_told_of_an_intent_that_came_after_its_generation_began() -> None:
    call = opened()
    call.receive(required(1, "billing, please"), 1.0)
    call.receive(required(2, "how long does it take?"), 1.5)
    assert call.spoken_into(3) is None and call.spoken_into(2) is None
    call.place(2, BILLING, "Connecting you.", 1.7)
    assert call.spoken_into(3) == BILLING
    call.finish(3, 2.0, "Not long.")
    assert StartTurn in kinds(call.receive(required(3, "how long does it take? fine"), 3.0)), "told, and not asked for"


def test_a_tool_may_begin_after_its_answer_but_not_after_the_callers_next_word_or_a_failure() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    assert call.answer.stands(2)
    call.finish(2, 1.1, "Hello.")
    assert call.answer.stands(2) and not call.answer.wants(2)
    call.receive(required(2, "hi there"), 1.2)
    assert call.answer.stands(3) and not call.answer.stands(2)
    call.fail(3, 1.3, "ModelBroken", "Sorry.")
    assert not call.answer.stands(3)


# ---------------------------------------------------------------------------- interruptions


def test_an_interruption_ends_the_answer_under_way() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hello, I ")
    actions = call.interrupt("We close now.", 1.1)
    completion, interrupt = sent(actions)
    assert completion == Response(response_id=1, content="", content_complete=True)
    assert interrupt == AgentInterrupt(
        interrupt_id=1, content="We close now.", content_complete=True, no_interruption_allowed=True
    )
    assert kinds(actions) == [CancelTurn]
    assert facts(actions) == [TurnSuperseded(1, by=None), Interrupted()]
    assert call.say(2, "can help.") is None


def test_what_is_said_from_outside_waits_for_the_end_of_the_answer() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hello.")
    for number in range(MAX_AFTER + 1):
        assert call.speak(f"News {number}.", 1.1) == ()
    (last,) = sent(call.finish(2, 1.2))
    assert last.content == "".join(f" News {number}." for number in range(1, MAX_AFTER + 1)) and last.content_complete
    (interrupt,) = sent(call.speak("More news.", 1.3))
    assert isinstance(interrupt, AgentInterrupt) and interrupt.content == "More news."


def test_what_waits_for_an_answer_that_is_spoken_into_comes_after_the_next() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.speak("News.", 1.1)
    call.receive(required(2, "hello?"), 1.2)
    call.say(3, "Yes.")
    (last,) = sent(call.finish(3, 1.3))
    assert last.content == " News."
    call.receive(required(3, "and?"), 1.4)
    call.speak("More.", 1.5)
    assert sent(call.fail(4, 1.6, "ModelBroken", "Sorry."))[0].content == "More. Sorry."


def test_interruptions_count_up_over_redials() -> None:
    call = opened()
    call.interrupt("One.", 1.0)
    call.receive(LIFE, 1.1)
    call.detached(1.2)
    resumed = sent(call.attached(1.3))
    assert not any(isinstance(frame, AgentInterrupt) for frame in resumed), "it was heard on the older socket"
    call.receive(LIFE, 1.4)
    (frame,) = sent(call.interrupt("Two.", 1.5))
    assert frame.interrupt_id == 2


def test_an_interruption_waits_for_the_next_socket_and_only_the_newest_does() -> None:
    call = opened()
    call.detached(1.0)
    assert sent(call.interrupt("One.", 1.1)) == [] == sent(call.interrupt("Two.", 1.2))
    (frame,) = [frame for frame in sent(call.attached(1.3)) if isinstance(frame, AgentInterrupt)]
    assert (frame.interrupt_id, frame.content) == (2, "Two.")


def test_an_interruption_on_a_socket_that_never_lived_is_said_again() -> None:
    call = opened()
    call.detached(1.0)
    call.attached(1.1)
    call.interrupt("One.", 1.2)
    call.detached(1.3)
    assert [frame.content for frame in sent(call.attached(1.4)) if isinstance(frame, AgentInterrupt)] == ["One."]


def test_an_interruption_that_was_heard_is_not_said_again_after_a_socket_that_never_lived() -> None:
    call = opened()
    call.interrupt("One.", 1.0)
    call.receive(LIFE, 1.1)
    call.detached(1.2)
    call.attached(1.3)
    call.detached(1.4)
    assert not [frame for frame in sent(call.attached(1.5)) if isinstance(frame, AgentInterrupt)]


def test_an_interruption_that_waited_is_dropped_when_the_caller_speaks_first() -> None:
    call = opened()
    call.detached(1.0)
    call.interrupt("One.", 1.1)
    call.receive(required(1, "hello?"), 1.2)  # read after its socket went
    assert not [frame for frame in sent(call.attached(1.3)) if isinstance(frame, AgentInterrupt)]


def test_an_interrupted_answer_is_not_adopted_by_the_same_words() -> None:
    call = opened()
    call.receive(required(1, "hi"), 1.0)
    call.say(2, "Hello.")
    call.interrupt("We close now.", 1.1)
    assert kinds(call.receive(required(2, "hi"), 1.2)) == [StartTurn]


def test_an_interruption_before_a_made_greeting_stands_for_it() -> None:
    call = CallMachine("call_1", Agent("You are Ana.", greeting=lambda call: "Hello."))
    call.attached(0.0)
    completion, interrupt = sent(call.interrupt("We are closed.", 0.1))
    assert completion == Response(response_id=0, content="", content_complete=True)
    assert interrupt.content == "We are closed."
    assert call.details_due(1.0) == ()


@pytest.mark.parametrize("words", ["We close now.", ""])
def test_a_hang_up_from_outside_of_a_turn_is_an_interruption(words: str) -> None:
    call = opened()
    actions = call.place(None, EndCall(), words, 1.0)
    (frame,) = sent(actions)
    assert isinstance(frame, AgentInterrupt)
    assert (frame.content, frame.end_call) == (words or LINES.goodbye, True)
    assert stands(call) is State.ENDING
    assert sent(call.receive(required(1, "okay bye"), 2.0))[0].end_call, "it stands"


def test_a_hang_up_that_waited_for_a_socket_ends_the_call_there() -> None:
    call = opened()
    call.detached(1.0)
    assert sent(call.place(None, EndCall(), "", 1.1)) == []
    frames = sent(call.attached(1.2))
    assert isinstance(frames[-1], AgentInterrupt) and frames[-1].end_call
    assert stands(call) is State.ENDING


# ---------------------------------------------------------------------------- asides


def test_tool_calls_are_told_at_once_and_held_while_away() -> None:
    call = opened()
    invocation = ToolCallInvocation(tool_call_id="1", name="book", arguments="{}")
    result = ToolCallResult(tool_call_id="1", content="done", successful=True)
    assert sent(call.note(invocation)) == [invocation]
    call.detached(1.0)
    assert sent(call.note(result)) == []
    assert sent(call.attached(1.1))[-1] == result
    call.detached(1.2)
    assert result not in sent(call.attached(1.3)), "once"


def test_what_is_held_while_away_is_bounded() -> None:
    call = opened()
    call.detached(1.0)
    for number in range(MAX_HELD + 3):
        call.note(ToolCallResult(tool_call_id=str(number), content=""))
    held = [frame for frame in sent(call.attached(1.1)) if isinstance(frame, ToolCallResult)]
    assert [frame.tool_call_id for frame in held] == [str(number) for number in range(3, MAX_HELD + 3)]


def test_changes_of_the_agent_are_told_again_to_a_new_socket_all_together() -> None:
    call = opened()
    assert sent(call.update(AgentConfig(responsiveness=0.5))) == [
        UpdateAgent(agent_config=AgentConfig(responsiveness=0.5))
    ]
    call.update(AgentConfig(reminder_max_count=0))
    call.detached(1.0)
    call.update(AgentConfig(responsiveness=0.7))
    told = [frame for frame in sent(call.attached(1.1)) if isinstance(frame, UpdateAgent)]
    assert told == [UpdateAgent(agent_config=AgentConfig(responsiveness=0.7, reminder_max_count=0))]


# ---------------------------------------------------------------------------- reminders


def test_reminders_are_asked_for_on_the_first_socket_after_config() -> None:
    call = CallMachine("call_1", Agent("You are Ana.", reminders=Reminders(after_s=8, times=1)))
    config, update, _ = sent(call.attached(0.0))
    assert isinstance(config, Config)
    assert update == UpdateAgent(agent_config=AgentConfig(reminder_trigger_ms=8000, reminder_max_count=2))


def test_after_the_last_reminder_the_agent_leaves_politely() -> None:
    call = opened(reminders=Reminders(times=2))
    for response_id in (1, 2):
        assert kinds(
            call.receive(required(response_id, f"x{response_id}", kind="reminder_required"), response_id * 10.0)
        )
        call.finish(response_id + 1, response_id * 10.0, "Are you there?")
    actions = call.receive(required(3, "x3", kind="reminder_required"), 30.0)
    (frame,) = sent(actions)
    assert (frame.content, frame.end_call, frame.content_complete) == (LINES.farewell, True, True)
    assert kinds(actions) == []


def test_a_caller_who_speaks_is_reminded_from_the_start() -> None:
    call = opened(reminders=Reminders(times=1))
    call.receive(required(1, "x", kind="reminder_required"), 10.0)
    call.receive(required(2, "I am here"), 11.0)
    assert StartTurn in kinds(call.receive(required(3, "x3", kind="reminder_required"), 21.0))


def test_reminders_may_go_without_a_hang_up() -> None:
    call = opened(reminders=Reminders(times=1, hang_up=False))
    for response_id in range(1, 5):
        assert StartTurn in kinds(
            call.receive(required(response_id, f"x{response_id}", kind="reminder_required"), response_id * 9.0)
        )


# ---------------------------------------------------------------------------- keys of the caller


def test_an_agent_with_a_keypad_reads_the_woven_transcript() -> None:
    call = opened(keypad=True)
    woven = [
        {"role": "user", "content": "my pin"},
        {"role": "dtmf", "digit": "1"},
        {"role": "dtmf", "digit": "2"},
        {"role": "tool_call_invocation", "tool_call_id": "1", "name": "book", "arguments": "{}"},
        {"role": "injected", "content": "A regular.", "time_sec": 1},
    ]
    actions = call.receive(required(1, "my pin", transcript_with_tool_calls=woven), 1.0)
    question = next(action for action in actions if isinstance(action, StartTurn)).question
    assert question is not None
    assert [(item.role, item.content) for item in question.transcript] == [
        ("user", "my pin"),
        ("dtmf", "12"),
        ("injected", "A regular."),
    ]


def test_without_a_woven_transcript_the_plain_one_is_read() -> None:
    call = opened(keypad=True)
    actions = call.receive(required(1, "hello"), 1.0)
    question = next(action for action in actions if isinstance(action, StartTurn)).question
    assert question is not None and question.transcript[-1].content == "hello"
