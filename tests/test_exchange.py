"""What tools did in a call, and where it stands in later prompts."""

from __future__ import annotations

import msgspec

from retell_ws.agent import Agent
from retell_ws.exchange import LOST, MAX_EXCHANGES, Exchange, Exchanges, ExchangesMemo, News, Use
from retell_ws.intent import EndCall
from retell_ws.memo import read, written
from retell_ws.prompt import CALL_BEGINS, CONTINUE, GO_ON, REMINDER, STILL_RUNNING, Context, build
from retell_ws.request import Message, ToolResult, ToolUse, Words
from retell_ws.transcript import Question, Utterance

AGENT = Agent("You are Ana.")
INPUT = msgspec.Raw(b'{"day":"Tuesday"}')
USE = ToolUse("t1", "book", INPUT)


def question(*said: str, kind: str = "response") -> Question:
    """The caller first, then in turns."""
    utterances = [Utterance("agent" if number % 2 else "user", text) for number, text in enumerate(said)]
    return Question("reminder" if kind == "reminder" else "response", tuple(utterances))


def used(
    exchanges: Exchanges, asked: Question, *, generation: int = 2, said: str = "", result: str | None = "ok"
) -> Use:
    exchange = exchanges.begin(asked, generation=2)
    exchange.said = said
    use = Use("t1", "book", INPUT, lasts=True)
    exchange.uses.append(use)
    if result is not None:
        exchanges.settle(use, result, is_error=False)
    return use


def prompt(exchanges: Exchanges, asked: Question, *, generation: int = 0) -> tuple[Message, ...]:
    return build(AGENT, asked, Context(exchanges=exchanges.before(asked, generation), generation=generation)).messages


def result(text: str, *, is_error: bool = False) -> ToolResult:
    return ToolResult("t1", text, is_error)


def test_within_a_turn_the_call_and_its_result_follow_the_question() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    used(exchanges, asked, said="One moment.")
    assert prompt(exchanges, asked, generation=2) == (
        Message("user", "Tuesday, please"),
        Message("assistant", (Words("One moment."), USE)),
        Message("user", (result("ok"),)),
    )


def test_later_on_they_stand_before_what_the_agent_said_in_that_turn() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    used(exchanges, asked, said="One moment.")
    later = question("Tuesday, please", "One moment. You are booked.", "Thanks")
    assert prompt(exchanges, later, generation=3) == (
        Message("user", "Tuesday, please"),
        Message("assistant", (USE,)),
        Message("user", (result("ok"),)),
        Message("assistant", "One moment. You are booked."),
        Message("user", "Thanks"),
    )


def test_when_the_caller_spoke_on_they_stand_before_those_words() -> None:
    exchanges = Exchanges()
    used(exchanges, question("Hi", "Which day?", "Tuesday"))
    assert prompt(exchanges, question("Hi", "Which day?", "Tuesday, no, Wednesday")) == (
        Message("user", "Hi"),
        Message("assistant", (Words("Which day?"), USE)),
        Message("user", (result("ok"), Words("Tuesday, no, Wednesday"))),
    )


def test_punctuation_that_recognition_adds_moves_nothing() -> None:
    exchanges = Exchanges()
    used(exchanges, question("tuesday please"))
    assert prompt(exchanges, question("Tuesday, please.", "Booked."))[1] == Message("assistant", (USE,))


def test_at_the_very_beginning_the_conversation_still_opens_with_its_user() -> None:
    exchanges = Exchanges()
    used(exchanges, question())
    assert prompt(exchanges, question())[:2] == (Message("user", CALL_BEGINS), Message("assistant", (USE,)))
    used(exchanges, question("Tuesday"))
    assert prompt(exchanges, question("Wednesday"))[0] == Message("user", CALL_BEGINS)


def test_a_transcript_that_is_shorter_than_before_loses_nothing() -> None:
    exchanges = Exchanges()
    used(exchanges, question("Hi", "Which day?", "Tuesday"))
    assert Message("assistant", (USE,)) in prompt(exchanges, question("Hi"))


def test_what_runs_is_told_as_running_and_its_result_comes_as_news() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    use = used(exchanges, asked, result=None)
    grown = question("Tuesday, please", "One moment.", "Well?")
    before = prompt(exchanges, grown)
    assert Message("user", (result(STILL_RUNNING),)) in before
    exchanges.settle(use, "Booked for nine.", is_error=False)
    more = question("Tuesday, please", "One moment.", "Well?", "Still at it.", "And now?")
    after = prompt(exchanges, more)
    assert after[: len(before)] == before, "what the provider has in its cache stays"
    assert "Booked for nine." in after[-1].text and after[-1].text.startswith("And now?")
    assert prompt(exchanges, more) == after, "and stays where it is"


def test_news_of_a_failure_say_so() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    use = used(exchanges, asked, result=None)
    prompt(exchanges, asked)
    exchanges.settle(use, "No slot.", is_error=True)
    assert "It did not work: No slot." in prompt(exchanges, asked)[-1].text


def test_a_result_that_comes_before_the_next_prompt_is_told_in_its_place() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    use = used(exchanges, asked, result=None)
    exchanges.settle(use, "No slot.", is_error=True)
    assert prompt(exchanges, asked)[-1] == Message("user", (result("No slot.", is_error=True),))


def test_a_look_up_that_ended_with_its_turn_is_not_told_of() -> None:
    exchanges, asked = Exchanges(), question("Tuesday, please")
    used(exchanges, asked, result=None).lasts = False
    assert prompt(exchanges, asked, generation=3) == (Message("user", "Tuesday, please"),)
    assert len(prompt(exchanges, asked, generation=2)) == 3, "but to its own turn"


def test_only_the_newest_exchanges_are_kept() -> None:
    exchanges = Exchanges()
    for _ in range(MAX_EXCHANGES + 5):
        used(exchanges, question("Hi"))
    assert len(exchanges.before(question("Hi"), 0)) == MAX_EXCHANGES


def test_an_exchange_without_a_call_is_forgotten() -> None:
    exchanges = Exchanges()
    kept, empty = exchanges.begin(question("Hi"), 2), exchanges.begin(question("Hi"), 3)
    kept.uses.append(Use("t1", "book", INPUT, "ok"))
    exchanges.discard_empty(kept)
    exchanges.discard_empty(empty)
    exchanges.discard_empty(empty)
    assert [placed for _, placed in exchanges.before(question("Hi"), 0)] == [kept]


def test_a_reminder_or_a_pause_ends_the_prompt_as_ever() -> None:
    exchanges = Exchanges()
    asked = question("Hi", "Hello.", kind="reminder")
    used(exchanges, asked)
    assert prompt(exchanges, asked)[-1] == Message("user", (result("ok"), Words(REMINDER)))
    assert prompt(Exchanges(), question("Hi", "Hello."))[-1] == Message("user", GO_ON)


def test_words_after_a_result_are_one_text() -> None:
    exchanges, asked = Exchanges(), question("Tuesday")
    used(exchanges, asked)
    context = Context(exchanges=exchanges.before(question("Tuesday, no"), 3), interrupted=EndCall())
    last = build(AGENT, question("Tuesday, no"), context).messages[-1]
    assert isinstance(last.content, tuple) and len(last.content) == 2
    assert last.text.startswith("Tuesday, no (You were about to hang up")


def test_the_results_of_one_message_stand_together() -> None:
    exchanges, asked = Exchanges(), question("Both, please")
    exchange = exchanges.begin(asked, 2)
    for name in ("left", "right"):
        exchange.uses.append(Use(name, name, INPUT, f"{name} done"))
    assert prompt(exchanges, asked, generation=2)[1:] == (
        Message("assistant", (ToolUse("left", "left", INPUT), ToolUse("right", "right", INPUT))),
        Message("user", (ToolResult("left", "left done"), ToolResult("right", "right done"))),
    )


# -- from one process to another


def test_what_another_process_did_is_known_and_what_it_left_open_is_told_honestly() -> None:
    before = Exchanges()
    exchange = before.begin(question("Book me Monday."), 2)
    done = Use("1", "book", msgspec.Raw(b'{"day":"Monday"}'), result="Booked.", lasts=True)
    running = Use("2", "pay", msgspec.Raw(b"{}"), lasts=True)
    settled = Use("3", "mail", msgspec.Raw(b"{}"), lasts=True)
    told = Use("4", "call_back", msgspec.Raw(b"{}"), lasts=True, told=True)
    look_up = Use("5", "look_up", msgspec.Raw(b"{}"))
    exchange.uses += [done, running, settled, told, look_up]
    before.begin(question("Book me Monday."), 3).uses.append(Use("6", "look_up", msgspec.Raw(b"{}")))
    before.settle(Use("7", "old", msgspec.Raw(b"{}"), told=True), "Old.", is_error=False)
    memo = read(written(before.memo()), ExchangesMemo)
    assert memo is not None
    after = Exchanges()
    after.recall(memo, lambda use: "Mailed." if use.name == "mail" else None)
    (_, only), *news = after.before(question("Book me Monday."), 2)
    assert isinstance(only, Exchange)
    assert [(use.name, use.result, use.is_error) for use in only.uses] == [
        ("book", "Booked.", False),
        ("pay", LOST, True),
        ("mail", "Mailed.", False),
        ("call_back", None, False),
    ]
    texts = [placed.text for _, placed in news if isinstance(placed, News)]
    assert len(texts) == 2 and "Old." in texts[0] and LOST in texts[1]
    again = read(written(after.memo()), ExchangesMemo)
    assert again is not None
    third = Exchanges()
    third.recall(again, lambda use: None)
    assert [type(placed) for _, placed in third.before(question("Book me Monday."), 2)] == [Exchange, News, News]


def test_an_answer_that_broke_off_is_told_with_what_was_said_of_it() -> None:
    asked, exchanges = question("Book me Monday."), Exchanges()
    used(exchanges, asked, said="Let me see.")
    told = exchanges.before(asked, 2)
    rest = exchanges.untold("Let me see. You are", 2)
    after = build(AGENT, asked, Context(exchanges=told, generation=2, said=rest)).messages
    assert [message.role for message in after[-3:]] == ["user", "assistant", "user"]
    assert (after[-2].text, after[-1].text) == ("You are", CONTINUE)
    assert exchanges.untold("Let me see.", 2) == "", "nothing was said after the tool"
    whole = build(AGENT, asked, Context(exchanges=told, generation=2, said="")).messages
    assert whole == prompt(exchanges, asked, generation=2)
    assert exchanges.untold("Let me see. You are", 3) == "Let me see. You are", "another answer's tools"
