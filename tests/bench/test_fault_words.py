"""Numbered words: what is written can be read back, and the model goes on where it was cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.faults.model import NumberedModel, answer
from bench.harness.faults.words import Question, outcome, pieces, question_in, read
from retell_ws.ear import Ear
from retell_ws.ports import Delta, End, Text, ToolCall
from retell_ws.request import Message, ModelRequest, ToolResult, ToolUse
from retell_ws.speech import Pieces

QUESTIONS = st.builds(
    Question, call=st.integers(0, 999), number=st.integers(1, 99), words=st.integers(1, 60), books=st.booleans()
)


def asked(question: Question, *said: Message) -> ModelRequest:
    return ModelRequest(system="x", messages=(Message("user", question.text), *said), max_tokens=100)


def words(deltas: list[Text | ToolCall]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


@given(QUESTIONS)
def test_a_question_and_its_answer_are_read_as_they_were_written(question: Question) -> None:
    assert question_in(f"c1 q1 n1 {question.text}") == question
    said = read(outcome(question, done=True) + "".join(pieces(question)))
    assert [one.place for one in said.words] == list(range(question.words + 1))
    assert {(one.call, one.question) for one in said.words} == {(question.call, question.number)}
    assert said.words[0].outcome == "done"
    assert (said.glued, said.other) == (0, "")


def test_what_is_no_question_has_none() -> None:
    assert question_in("(The caller is listening.)") is None


def test_glued_words_and_other_words_are_found() -> None:
    assert read("c1q1w1c1q1w2").glued == 1
    assert read("c1q1w1.c1q1w2").glued == 1
    said = read("One moment. c1q1w1 Sorry. c1q1w2.")
    assert (said.glued, said.other, len(said.words)) == (0, "One moment Sorry", 2)


@given(QUESTIONS)
def test_the_servers_ear_leaves_the_words_as_they_are(question: Question) -> None:
    spoken = Pieces(Ear())
    text = "".join(spoken.feed(piece) for piece in pieces(question)) + spoken.close()
    assert text == "".join(pieces(question))


@given(QUESTIONS, st.data())
def test_the_model_goes_on_after_the_last_word_that_was_said(question: Question, data: Any) -> None:
    question = msgspec.structs.replace(question, books=False)
    whole = pieces(question)
    cut = data.draw(st.integers(0, len(whole)))
    said = "".join(whole[:cut]).strip()
    note = Message("user", "(The line broke off. Go on.)")
    request = asked(question, *((Message("assistant", said), note) if said else ()))
    assert "".join(whole[:cut]) + words(answer(request)) == "".join(whole)


def test_the_side_effect_comes_first_and_its_outcome_is_told() -> None:
    question = Question(3, 2, 4, books=True)
    (called,) = answer(asked(question))
    assert isinstance(called, ToolCall)
    assert (called.name, msgspec.json.decode(called.arguments)) == ("book", {"key": "c3q2"})
    use = Message("assistant", (ToolUse("a", "book", msgspec.Raw(b"{}")),))

    def after(result: str) -> str:
        return words(answer(asked(question, use, Message("user", (ToolResult("a", result),)))))

    assert after("booked") == "c3q2done c3q2w1 c3q2w2 c3q2w3 c3q2w4."
    assert after("(This was done earlier in this call, and not again now. It gave:) booked").startswith("c3q2done")
    assert after("(nobody knows)").startswith("c3q2unknown")


def test_an_answer_cut_after_its_side_effect_calls_nothing_again() -> None:
    question = Question(3, 2, 3, books=True)
    assert words(answer(asked(question, Message("assistant", "c3q2done"), Message("user", "(go on)")))) == (
        "c3q2w1 c3q2w2 c3q2w3."
    )
    assert words(answer(asked(question, Message("assistant", "c3q2done c3q2w1"), Message("user", "(go on)")))) == (
        "c3q2w2 c3q2w3."
    )


def test_an_older_question_is_nobodys_affair() -> None:
    older, newer = Question(1, 1, 5), Question(1, 2, 2)
    said = (Message("assistant", "c1q1w1 c1q1w2"), Message("user", newer.text))
    assert words(answer(asked(older, *said))) == "c1q2w1 c1q2w2."


def test_without_a_question_it_says_something() -> None:
    assert words(answer(ModelRequest(system="x", messages=(Message("user", "hello"),), max_tokens=9))) == "Yes?"


@pytest.mark.parametrize("cut", [0, 2])
async def test_the_stream_ends_with_an_end(cut: int) -> None:
    model = NumberedModel(ttft_ms=1, spacing_ms=1)
    question = Question(1, 1, 2)
    said = "".join(pieces(question)[:cut])
    request = asked(question, *((Message("assistant", said), Message("user", "go on")) if said else ()))
    deltas: list[Delta] = [delta async for delta in model.stream(request)]
    assert len(deltas) == 3 - cut
    assert isinstance(deltas[-1], End)
    await model.warm()
    await model.aclose()
