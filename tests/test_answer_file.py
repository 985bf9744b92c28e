"""Files of openings and of answers: what is read, and what is refused in words that help."""

from __future__ import annotations

import pytest

from retell_ws.answer_file import MAX_OPENINGS, AnswerFile, KeptAnswer, read, steps, write
from retell_ws.errors import UsageError

KEPT = KeptAnswer(heard=("Hi", "Hello.", "Hours?"), text="Nine to five.", scope="s", model="m", created_at=1.5)


def test_openings_are_lines_or_lists_and_each_is_there_once() -> None:
    text = '# common\n\n What are your hours? \n["Hello", "And on Sunday?"]\nWhat are your hours?\n'
    assert read(text, "o.txt") == (("What are your hours?",), ("Hello", "And on Sunday?"))


def test_what_was_written_is_read_again() -> None:
    assert read(write([KEPT]).decode(), "a.json") == AnswerFile(version=1, answers=(KEPT,))
    assert read("\n" + write([]).decode(), "a.json") == AnswerFile(version=1, answers=())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "o.txt holds no openings"),
        ("# nothing\n", "holds no openings"),
        ("Hello\n[1]", "o.txt, line 2: a list of what the caller says"),
        ("[", "line 1: a list"),
        ("[]", "line 1: an utterance without words"),
        ('["Hello", " "]', "line 1: an utterance without words"),
        ("\n".join(f"a{number}" for number in range(MAX_OPENINGS + 1)), "are enough"),
        ("{", "holds no answers of `answers warm --out`"),
        ('{"version":1,"answers":[{"heard":[],"text":"","scope":"","model":"","created_at":0}]}', "holds no answers"),
        ('{"version":2,"answers":[]}', "another version"),
    ],
)
def test_what_is_neither_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read(text, "o.txt")


def test_what_leads_up_to_an_opening_is_asked_before_it() -> None:
    openings = (("a", "b"), ("a", "c"), ("b",), ("a",))
    assert steps(openings) == [[("a",), ("b",)], [("a", "b"), ("a", "c")]]
    assert steps(()) == []
