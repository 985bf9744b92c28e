"""When a long call is summed up, and what the model is given for it."""

from __future__ import annotations

import msgspec

from retell_ws.exchange import Exchanges, Use
from retell_ws.prompt import Summary
from retell_ws.summary import INSTRUCTIONS, MAX_SUMMARY, due, request_for, shortened
from retell_ws.transcript import Question, Utterance


def question(count: int) -> Question:
    return Question("response", tuple(Utterance("agent" if n % 2 else "user", f"u{n} ") for n in range(count)))


def test_a_summary_is_due_when_there_are_twice_as_many_utterances_as_are_shown() -> None:
    assert due(question(20), None, 10) is None
    assert due(question(21), None, 10) == 11
    assert due(question(31), Summary(11, "x"), 10) is None
    assert due(question(32), Summary(11, "x"), 10) == 22


def test_it_is_made_of_the_older_one_and_what_was_said_since() -> None:
    request = request_for(question(6), Summary(2, "They greeted."), 4, model="m")
    assert (request.system, request.model, request.tools) == (INSTRUCTIONS, "m", ())
    (message,) = request.messages
    assert message.content == "Summary of what was before: They greeted.\nCaller: u2\nAgent: u3"


def test_what_tools_did_is_told_where_it_was_done() -> None:
    exchanges = Exchanges()
    for count, name, is_error in ((1, "find", False), (3, "book", True), (5, "late", False)):
        use = Use(name, name, msgspec.Raw(b'{"day":"Tuesday"}'))
        exchanges.begin(question(count), 2).uses.append(use)
        exchanges.settle(use, "x" * 1000, is_error=is_error)
    running = Use("r", "running", msgspec.Raw(b"{}"))
    exchanges.begin(question(3), 2).uses.append(running)
    asked = question(8)
    lines = str(request_for(asked, None, 3, exchanges.done(asked), model="").messages[0].content).split("\n")
    assert [line[:24] for line in lines] == [
        "Caller: u0",
        'Tool find {"day":"Tuesda',
        "Agent: u1",
        "Caller: u2",
        'Tool book {"day":"Tuesda',
    ]
    assert "failed: xxx" in lines[-1] and len(lines[-1]) < 400
    again = str(request_for(asked, Summary(3, "s"), 6, exchanges.done(asked), model="").messages[0].content)
    assert "late" in again and "book" not in again, "what the older summary told is not told twice"


def test_what_the_model_wrote_is_one_bounded_line() -> None:
    assert shortened(" a\n\nb ") == "a b"
    assert len(shortened("word " * 10_000)) == MAX_SUMMARY
