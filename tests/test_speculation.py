"""When the model is asked before Retell asks, what becomes of that, and that nobody notices when nothing does."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import pytest

from retell_ws.actions import Action, AdoptTurn, AwaitQuiet, CancelTurn, Record, Send, StartTurn
from retell_ws.agent import Agent
from retell_ws.answer import Answer
from retell_ws.call import CallMachine
from retell_ws.facts import SpeculationAdopted, SpeculationStarted, TurnFinished, TurnStarted
from retell_ws.intent import TransferCall
from retell_ws.speculation import MAX_BEGUN, QUIET_S, UNMARKED_QUIET_S, Speculation
from retell_ws.standing import MAX_PLACES
from retell_ws.transcript import AGENT, DTMF, Question, Utterance
from retell_ws.waste import FREE_TOKENS, OF_ANY, Waste
from retell_ws.wire import Response, decode_outbound

Item: TypeAlias = str | tuple[str, str]
"""What the caller said, or a role and what it said."""

HELLO = ("agent", "Hello.")


class Allowing:
    """What a driver knows; the test decides."""

    def __init__(self) -> None:
        self.begins = self.holds = True
        self.asked: list[int] = []
        self.sure: list[bool] = []

    def may_begin(self, *, sure: bool) -> bool:
        self.sure.append(sure)
        return self.begins

    def still_holds(self, generation: int) -> bool:
        self.asked.append(generation)
        return self.holds


class Retell:
    """A call that is open and greeted, from Retell's side."""

    def __init__(self, **options: bool) -> None:
        self.allowing = Allowing()
        self.call = CallMachine("call_1", Agent("You are Ana.", greeting="Hello.", **options), self.allowing)  # type: ignore[arg-type]
        self.call.attached(0.0)

    def hears(self, *items: Item, turn: str | None = None, now: float = 1.0) -> tuple[Action, ...]:
        return self._tell({"interaction_type": "update_only", "turntaking": turn}, items, now)

    def asks(self, response_id: int, *items: Item, now: float = 2.0) -> tuple[Action, ...]:
        return self._tell({"interaction_type": "response_required", "response_id": response_id}, items, now)

    def reminds(self, response_id: int, *items: Item, now: float = 2.0) -> tuple[Action, ...]:
        return self._tell({"interaction_type": "reminder_required", "response_id": response_id}, items, now)

    def _tell(self, message: dict[str, object], items: tuple[Item, ...], now: float) -> tuple[Action, ...]:
        pairs = [item if isinstance(item, tuple) else ("user", item) for item in items]
        transcript = [{"role": role, "content": content} for role, content in pairs]
        told = {name: value for name, value in message.items() if value is not None}
        return self.call.receive(msgspec.json.encode({**told, "transcript": transcript}), now)


def question(*words: str, role: str = "user") -> Question:
    return Question("response", tuple(Utterance(role, word) for word in words))


def started(actions: tuple[Action, ...]) -> StartTurn:
    (start,) = [action for action in actions if isinstance(action, StartTurn)]
    return start


def adopted(actions: tuple[Action, ...]) -> tuple[int, int]:
    (adopt,) = [action for action in actions if isinstance(action, AdoptTurn)]
    return adopt.generation, adopt.response_id


def sent(actions: tuple[Action, ...]) -> list[Response]:
    frames = [decode_outbound(action.frame) for action in actions if isinstance(action, Send)]
    return [frame for frame in frames if isinstance(frame, Response)]


def facts(actions: tuple[Action, ...]) -> list[object]:
    return [action.fact for action in actions if isinstance(action, Record)]


# ------------------------------------------------------------------------ when


@pytest.mark.parametrize("words", ["Yes.", "Are you open?", "Help!", 'She said "no."', "はい。", "Yes. "])
def test_a_mark_at_the_end_begins_at_once(words: str) -> None:
    actions = Retell().hears(HELLO, words)
    assert started(actions) == StartTurn(
        2, None, Question("response", (Utterance("agent", "Hello."), Utterance("user", words)))
    )
    assert facts(actions) == [SpeculationStarted("sentence_end")]


@pytest.mark.parametrize("words", ["I need", "Well...", "Tuesday,", "1.5 or", "Well…"])
def test_words_without_one_are_waited_for(words: str) -> None:
    retell = Retell()
    assert retell.hears(HELLO, words) == (AwaitQuiet(QUIET_S),)
    actions = retell.call.quiet(1.5)
    assert started(actions).response_id is None and facts(actions) == [SpeculationStarted("quiet")]
    assert retell.call.quiet(1.6) == (), "once"


@pytest.mark.parametrize("words", ["I would like to.", "It is about the.", "and I.", "I'm."])
def test_a_mark_after_a_word_that_ends_nothing_is_not_believed(words: str) -> None:
    assert Retell().hears(HELLO, words) == (AwaitQuiet(QUIET_S),)


@pytest.mark.parametrize("words", ["Who is it for?", "Yes. No. And?"])
def test_a_question_may_end_with_it(words: str) -> None:
    assert started(Retell().hears(HELLO, words))


def test_quiet_tells_more_where_recognition_writes_no_marks_and_nothing_where_it_does() -> None:
    so = ("agent", "So?")
    assert Retell().hears(HELLO, "yes", so, "a doctor") == (AwaitQuiet(UNMARKED_QUIET_S),)
    assert Retell().hears(HELLO, "yes", so, "Tuesday.", so, "a doctor") == ()
    assert Retell().hears(HELLO, ("dtmf", "1"), "a doctor") == (AwaitQuiet(QUIET_S),)


def test_a_mark_that_comes_later_begins() -> None:
    retell = Retell()
    assert retell.hears(HELLO, "Tuesday.", ("agent", "When?"), "at ten") == ()
    assert started(retell.hears(HELLO, "Tuesday.", ("agent", "When?"), "At ten."))


def test_words_that_go_on_are_waited_for_anew() -> None:
    retell = Retell()
    retell.hears(HELLO, "I need")
    assert retell.hears(HELLO, "I need a doctor") == (AwaitQuiet(QUIET_S),)
    heard = started(retell.call.quiet(1.5)).question
    assert heard is not None and heard.transcript[-1].content == "I need a doctor"


@pytest.mark.parametrize(
    "items", [(), (HELLO,), (HELLO, "..."), (HELLO, ""), (HELLO, "Yes.", ("agent", "Fine.")), (HELLO, ("dtmf", "1"))]
)
def test_nothing_is_begun_that_nobody_will_ask(items: tuple[Item, ...]) -> None:
    retell = Retell()
    assert retell.hears(*items) == ()
    assert retell.call.quiet(3.0) == ()


def test_sounds_of_listening_begin_nothing_while_the_agent_has_the_floor() -> None:
    retell = Retell()
    assert retell.hears(HELLO, turn="agent_turn") == ()
    assert retell.hears(HELLO, "Uh-huh.") == ()
    assert started(retell.hears(HELLO, "Uh-huh. Yes.", turn="user_turn"))


def test_what_is_being_answered_is_not_begun_again() -> None:
    retell = Retell()
    retell.asks(1, HELLO, "Are you open")
    assert retell.hears(HELLO, "Are you open?") == ()


def test_what_failed_may_be_begun_again() -> None:
    retell = Retell()
    start = started(retell.asks(1, HELLO, "Are you open"))
    retell.call.fail(start.generation, 2.1, "ModelBroken", "Sorry.")
    assert started(retell.hears(HELLO, "Are you open?"))


def test_at_most_two_between_two_requests() -> None:
    retell = Retell()
    retell.hears(HELLO, "Hi.")
    retell.hears(HELLO, "Hi. I need a doctor.")
    assert retell.hears(HELLO, "Hi. I need a doctor. Tomorrow.") == (CancelTurn(3),)
    retell.asks(1, HELLO, "Hi. I need a doctor. Tomorrow.")
    assert started(retell.hears(HELLO, "Hi. I need a doctor. Tomorrow. Please."))
    assert MAX_BEGUN == 2


def test_the_driver_may_refuse() -> None:
    retell = Retell()
    retell.allowing.begins = False
    assert retell.hears(HELLO, "Yes.") == ()
    assert started(retell.asks(1, HELLO, "Yes.")).response_id == 1


def test_with_keys_an_update_that_does_not_tell_them_begins_nothing() -> None:
    retell = Retell(keypad=True)
    assert retell.hears(HELLO, "Yes.") == ()
    items = [{"role": "agent", "content": "Hello."}, {"role": "user", "content": "Yes."}]
    update = {"interaction_type": "update_only", "transcript": items, "transcript_with_tool_calls": items}
    assert started(retell.call.receive(msgspec.json.encode(update), 1.0)).response_id is None


def test_what_is_remembered_of_places_is_bounded() -> None:
    retell = Retell()
    for number in range(1, 40):
        retell.asks(number, HELLO, f"Question {number}")
    assert len(retell.call._standing._places) == MAX_PLACES


def test_without_leave_nothing_is_begun() -> None:
    call = CallMachine("call_1", Agent("You are Ana.", greeting="Hello."))
    call.attached(0.0)
    data = msgspec.json.encode({"interaction_type": "update_only", "transcript": [{"role": "user", "content": "Yes."}]})
    assert call.receive(data, 1.0) == ()
    assert call.quiet(2.0) == ()


# ------------------------------------------------------------------------ what becomes of it


def test_nobody_hears_it() -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Yes.")).generation
    assert retell.call.say(generation, "Fine. ") is None
    assert not retell.call.answer.wants(generation) and not retell.call.answer.stands(generation)
    assert retell.call.finish(generation, 1.5, "Bye.") == ()


@pytest.mark.parametrize("asked", ["Are you open?", "are you open", "Um, are you open?", "Are  you uh open!"])
def test_the_same_words_adopt_it_with_what_it_has_said(asked: str) -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?", now=1.0)).generation
    retell.call.say(generation, "Yes, ")
    actions = retell.asks(1, HELLO, asked, now=1.5)
    assert adopted(actions) == (generation, 1) and not [a for a in actions if isinstance(a, StartTurn)]
    assert facts(actions) == [TurnStarted(1, "response"), SpeculationAdopted(1, 0.5)]
    assert sent(actions) == [Response(response_id=1, content="Yes, ", content_complete=False)]
    frame = retell.call.say(generation, "until six.")
    assert frame is not None and decode_outbound(frame) == Response(
        response_id=1, content="until six.", content_complete=False
    )
    (complete,) = sent(retell.call.finish(generation, 2.0))
    assert complete.content_complete


def test_one_that_is_whole_is_an_answer_at_once() -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    retell.call.say(generation, "Yes, ")
    retell.call.finish(generation, 1.5, "until six.")
    actions = retell.asks(1, HELLO, "Are you open?")
    assert sent(actions) == [Response(response_id=1, content="Yes, until six.", content_complete=True)]
    assert [type(fact) for fact in facts(actions)] == [TurnStarted, SpeculationAdopted, TurnFinished]
    assert retell.call.say(generation, "more") is None


def test_a_reask_after_it_was_adopted_goes_on_with_it() -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    retell.call.say(generation, "Yes, ")
    retell.asks(1, HELLO, "Are you open?")
    assert [r.content for r in sent(retell.asks(2, HELLO, "Are you open"))] == ["Yes, "]


@pytest.mark.parametrize("words", ["Are you open today?", "You are open?"])
def test_other_words_drop_it(words: str) -> None:
    retell = Retell()
    retell.hears(HELLO, "Are you open?")
    actions = retell.asks(1, HELLO, words)
    assert CancelTurn(2) in actions
    assert started(actions).generation == 3


def test_asking_again_for_what_is_being_answered_drops_it() -> None:
    retell = Retell()
    retell.asks(1, HELLO, "Are you")
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    assert CancelTurn(generation) in retell.asks(2, HELLO, "Are you")
    assert retell.call.say(generation, "Yes.") is None


def test_a_reminder_drops_it() -> None:
    retell = Retell()
    retell.hears(HELLO, "Are you open?")
    actions = retell.reminds(1, HELLO, "Are you open?")
    assert CancelTurn(2) in actions and started(actions).response_id == 1


def test_going_on_drops_it_and_the_same_words_polished_do_not() -> None:
    retell = Retell()
    retell.hears(HELLO, "are you open.")
    assert retell.hears(HELLO, "Are you open?") == ()
    assert retell.hears(HELLO, "Are you open on") == (CancelTurn(2), AwaitQuiet(QUIET_S))


def test_an_agent_that_speaks_drops_it() -> None:
    retell = Retell()
    retell.hears(HELLO, "Uh-huh.")
    assert retell.hears(HELLO, "Uh-huh.", ("agent", "So,")) == (CancelTurn(2),)


def test_one_that_failed_is_not_adopted_and_not_begun_again() -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    retell.call.say(generation, "Yes, ")
    assert retell.call.fail(generation, 1.2, "ModelBroken", "Sorry.") == ()
    assert retell.hears(HELLO, "Are you open?") == ()
    actions = retell.asks(1, HELLO, "Are you open?")
    assert CancelTurn(generation) in actions and started(actions).generation == generation + 1
    assert sent(actions) == []


def test_one_whose_prompt_would_be_another_by_now_is_dropped() -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    retell.allowing.holds = False
    actions = retell.asks(1, HELLO, "Are you open?")
    assert retell.allowing.asked == [generation]
    assert CancelTurn(generation) in actions and started(actions).response_id == 1


def test_the_answer_under_way_goes_on_until_retell_asks() -> None:
    retell = Retell()
    first = started(retell.asks(1, HELLO, "I need a")).generation
    generation = started(retell.hears(HELLO, "I need a doctor.")).generation
    assert retell.call.say(first, "A what? ") is not None
    actions = retell.asks(2, HELLO, "I need a doctor.")
    assert CancelTurn(first) in actions and adopted(actions) == (generation, 2)


@pytest.mark.parametrize("event", ["drop", "replace", "interrupt", "end"])
def test_whatever_changes_the_call_drops_it(event: str) -> None:
    retell = Retell()
    generation = started(retell.hears(HELLO, "Are you open?")).generation
    call = retell.call
    actions = {
        "drop": lambda: call.detached(2.0),
        "replace": lambda: call.attached(2.0),
        "interrupt": lambda: call.interrupt("Listen.", 2.0),
        "end": lambda: call.closed(2.0),
    }[event]()
    assert CancelTurn(generation) in actions


# ------------------------------------------------------------------------ while the agent means to leave


def test_nothing_is_begun_while_a_transfer_stands() -> None:
    retell = Retell()
    start = started(retell.asks(1, HELLO, "A human, please"))
    retell.call.place(start.generation, TransferCall("+14155550100"), "Connecting you.", 2.0)
    assert retell.hears(HELLO, "A human, please. Thanks.") == (), "it is wanted"
    retell.call.finish(start.generation, 2.1)
    assert retell.hears(HELLO, "A human, please", ("agent", "Connecting"), "Right.", turn="user_turn") == (), (
        "it stands"
    )


def test_nothing_is_adopted_when_a_transfer_was_placed_meanwhile() -> None:
    retell = Retell()
    start = started(retell.asks(1, HELLO, "A human, please"))
    generation = started(retell.hears(HELLO, "A human, please. Thank you.")).generation
    retell.call.place(start.generation, TransferCall("+14155550100"), "Connecting you.", 2.0)
    actions = retell.asks(2, HELLO, "A human, please. Thank you.")
    assert CancelTurn(generation) in actions and not [a for a in actions if isinstance(a, AdoptTurn)]
    (given,) = sent(actions)
    assert given.transfer_number == "+14155550100"


def test_the_quiet_comes_to_nothing_when_the_agent_means_to_leave_by_then() -> None:
    retell = Retell()
    start = started(retell.asks(1, HELLO, "A human, please"))
    assert retell.hears(HELLO, "A human, please and") == (AwaitQuiet(QUIET_S),)
    retell.call.place(start.generation, TransferCall("+14155550100"), "", 2.0)
    assert retell.call.quiet(3.0) == ()


# ------------------------------------------------------------------------ the parts alone


def test_what_may_be_wasted_grows_with_what_was_of_use() -> None:
    waste = Waste(0.25)
    waste.wasted = FREE_TOKENS
    assert not waste.affords(sure=True)
    waste.answered = 8
    assert waste.affords(sure=True)
    waste.wasted += 2
    assert not waste.affords(sure=True)


def test_the_last_of_it_goes_to_what_is_seldom_in_vain() -> None:
    waste = Waste(1.0)
    waste.wasted = int(OF_ANY * FREE_TOKENS)
    assert waste.affords(sure=True) and not waste.affords(sure=False)
    waste.wasted -= 1
    assert waste.affords(sure=False)


def test_questions_and_second_sentences_are_seldom_in_vain() -> None:
    retell = Retell()
    retell.hears(HELLO, "Hello.")
    retell.hears(HELLO, "Hello. I need a doctor.")
    retell.asks(1, HELLO, "Hello. I need a doctor.")
    retell.hears(HELLO, "Hello. I need a doctor.", ("agent", "Why?"), "Are you open?", turn="user_turn")
    assert retell.allowing.sure == [False, True, True]


def test_no_share_is_no_speculation() -> None:
    assert not Waste(0).affords(sure=True)


def test_words_of_another_generation_are_not_its_own() -> None:
    speculation = Speculation()
    speculation.begin(Answer(7, 0, question("Yes."), 0.0), 0.0)
    for generation in (6, 8):
        speculation.say(generation, "no")
        speculation.finish(generation, "no")
        speculation.fail(generation)
    assert speculation.answer is not None and speculation.answer.text == ""
    assert not speculation.is_finished and not speculation.is_failed


def test_an_empty_one_answers_nothing() -> None:
    speculation = Speculation()
    assert not speculation.answers(question("Yes.")) and speculation.take() is None
    speculation.say(1, "no")
    speculation.finish(1, "no")
    speculation.fail(1)
    assert speculation.stayed() is None


@pytest.mark.parametrize("role", [AGENT, DTMF])
def test_roles_that_nobody_answers(role: str) -> None:
    assert Speculation().heard(question("Yes.", role=role), None, None) == "drop"
