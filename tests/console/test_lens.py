"""What a look at a call shows: the last lines, masked, never more than may be shown, and nothing masked twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from retell_ws.console.lens import MAX_NAME, MAX_SHOWN, MAX_TEXT, Lens
from retell_ws.control import Status
from retell_ws.facts import TurnMeasured
from retell_ws.letters import MAX_LETTER, Shown, encode
from retell_ws.masked_facts import KEY_PRESSED
from retell_ws.masking import mask
from retell_ws.transcript import Question, Utterance
from retell_ws.views import MAX_LINES, MAX_TURNS, CallView, Glimpse, ShownLine, Speaking, TimedTurn

STATUS = Status("call_1", 1.0, True, "idle")
PHONE = "415-555-0123"


def said(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def glimpse(
    *items: dict[str, Any],
    sent: str = "",
    asked: tuple[Utterance, ...] | None = None,
    response_id: int = 1,
    turns: tuple[tuple[float, TurnMeasured], ...] = (),
) -> Glimpse:
    question = None if asked is None else Question("response", asked)
    return Glimpse(STATUS, Raw(msgspec.json.encode(items)), question, response_id, sent, turns)


def shown(seen: Glimpse) -> CallView:
    return Lens("a", mask).show(seen)


class Counting:
    """A mask that says what it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def __call__(self, text: str) -> str:
        self.given.append(text)
        return mask(text)


# ---------------------------------------------------------------------------- lines


def test_the_lines_are_those_of_the_transcript_masked() -> None:
    view = shown(
        glimpse(
            said("agent", "Hello.", words=[{"word": "Hello.", "start": 0.1, "end": 0.4}]),
            said("user", f"I am at {PHONE}"),
            {"role": "tool_call_invocation", "tool_call_id": "1", "name": "book", "arguments": f'{{"to":"{PHONE}"}}'},
            said("tool_call_result", "done", tool_call_id="1"),
            {"role": "user", "content": None},
        )
    )
    assert view.lines == (
        ShownLine("agent", "Hello."),
        ShownLine("user", "I am at [phone]"),
        ShownLine("tool_call_invocation", '{"to":"[phone]"}', "book"),
        ShownLine("tool_call_result", "done"),
        ShownLine("user"),
    )
    assert (view.server, view.status, view.speaking, view.turns) == ("a", STATUS, None, ())


def test_before_retell_has_told_anything_it_is_what_was_known_of_the_last_question() -> None:
    nothing = Glimpse(STATUS, None, None, 0, "", ())
    assert shown(nothing).lines == ()
    asked = Question("response", (Utterance("agent", "Hi."), Utterance("user", PHONE), Utterance("user", None)))
    taken_over = Glimpse(STATUS, None, asked, 3, "", ())
    assert shown(taken_over).lines == (ShownLine("agent", "Hi."), ShownLine("user", "[phone]"), ShownLine("user"))


def test_an_item_that_cannot_be_read_costs_no_other() -> None:
    view = shown(glimpse(said("user", "One."), {"role": 7}, said("user", "Two.")))
    assert [line.text for line in view.lines] == ["One.", "Two."]


def test_the_last_lines_are_shown() -> None:
    view = shown(glimpse(*(said("user", f"line {number}") for number in range(MAX_LINES + 7))))
    assert [line.text for line in view.lines] == [f"line {number}" for number in range(7, MAX_LINES + 7)]


def test_a_long_line_is_cut_and_so_are_names() -> None:
    long = said("r" * 500, "word " * MAX_TEXT, name="n" * 500)
    (line,) = shown(glimpse(long)).lines
    assert (len(line.role), len(line.text), len(line.name)) == (MAX_NAME, MAX_TEXT, MAX_NAME)


def test_long_lines_leave_room_for_fewer() -> None:
    view = shown(glimpse(*(said("user", f"{number} " + "w" * MAX_TEXT) for number in range(MAX_LINES))))
    assert len(view.lines) == MAX_SHOWN // MAX_TEXT
    assert view.lines[-1].text.startswith(f"{MAX_LINES - 1} ")


@pytest.mark.parametrize(("keys", "expected"), [("2", "2"), ("123456", "6"), ("1234567", KEY_PRESSED)])
def test_keys_are_hidden_when_together_they_are_a_long_number(keys: str, expected: str) -> None:
    pressed = [{"role": "dtmf", "digit": key} for key in keys]
    between = [said("user", f"line {number}") for number in range(MAX_LINES)]
    beginning, *rest = pressed
    view = shown(glimpse(beginning, *between, *rest) if rest else glimpse(*pressed))
    assert view.lines[-1] == ShownLine("dtmf", expected), "those that are shown no more count as well"


# ---------------------------------------------------------------------------- what is being said


def test_words_that_were_sent_are_being_said_until_retell_tells_them() -> None:
    hello, asked = Utterance("agent", "Hello."), Utterance("user", "Hi.")
    before = (said("agent", "Hello."), said("user", "Hi."))
    sent: dict[str, Any] = {"sent": f"Call {PHONE} ", "asked": (hello, asked), "response_id": 4}
    assert shown(glimpse(*before, **sent)).speaking == Speaking(4, "Call [phone] ")
    assert shown(glimpse(*before, said("agent", "Call"), **sent)).speaking is None
    assert shown(glimpse(*before, **{**sent, "sent": ""})).speaking is None


def test_a_greeting_is_being_said_until_retell_tells_it() -> None:
    assert shown(Glimpse(STATUS, None, None, 0, "Hello.", ())).speaking == Speaking(0, "Hello.")
    assert shown(glimpse(said("user", "Yes?"), sent="Hello.", response_id=0)).speaking == Speaking(0, "Hello.")
    assert shown(glimpse(said("agent", "Hel"), sent="Hello.", response_id=0)).speaking is None


def test_of_a_long_answer_the_last_words_are_shown() -> None:
    speaking = shown(glimpse(sent="x" * 9000 + " the end")).speaking
    assert speaking is not None and len(speaking.text) == MAX_TEXT and speaking.text.endswith("x the end")


@pytest.mark.parametrize("seam", range(20))
def test_what_a_cut_has_left_of_a_number_is_not_shown(seam: int) -> None:
    """Masked numbers take less room than they did, so that the cut comes into view."""
    card = "4111 1111 1111 1111 "
    text = "x" * seam + card * 300
    view = shown(glimpse(said("user", text), sent=text[::-1]))
    assert view.speaking is not None
    assert not any(character.isdigit() for character in view.lines[0].text + view.speaking.text)
    address = "x" * seam + card * 198 + "somebody.with.a.long.name@example.com"
    (line,) = shown(glimpse(said("user", address + " word" * 500))).lines
    assert "somebody" not in line.text


# ---------------------------------------------------------------------------- turns


def test_turns_are_shown_with_their_times() -> None:
    turn = TurnMeasured(1, "finished", done_s=1.0)
    assert shown(glimpse(turns=((9.0, turn),))).turns == (TimedTurn.of(9.0, turn),)


# ---------------------------------------------------------------------------- what it costs


def test_what_has_not_changed_is_neither_read_nor_masked_again() -> None:
    counting = Counting()
    lens = Lens("a", counting)
    lines = [said("user", f"line {number}") for number in range(5)]
    first = glimpse(*lines)
    assert lens.show(first) == lens.show(first)
    assert counting.given == ["", *(f"line {number}" for number in reversed(range(5)))] + [""]
    counting.given.clear()
    view = lens.show(glimpse(*lines[:4], said("user", "line 4 goes on"), said("agent", "New.")))
    assert counting.given == ["", "New.", "line 4 goes on"]
    assert [line.text for line in view.lines][3:] == ["line 3", "line 4 goes on", "New."]


def test_what_is_remembered_is_what_is_shown() -> None:
    lens = Lens("a", mask)
    for number in range(10):
        lens.show(glimpse(*(said("user", f"{number} {line}") for line in range(MAX_LINES))))
    assert len(lens._masked) == MAX_LINES + 1


TEXTS = st.text(max_size=60) | st.sampled_from([PHONE, "four one five five five five oh one two three", "\0" * 9000])
ITEMS = st.builds(said, st.sampled_from(["agent", "user", "dtmf", "sms"]), TEXTS, name=TEXTS, digit=st.text(max_size=2))


@given(looks=st.lists(st.tuples(st.lists(ITEMS, max_size=80), TEXTS), min_size=1, max_size=3))
def test_whatever_was_said_a_view_is_a_letter_and_has_no_number(
    looks: list[tuple[list[dict[str, Any]], str]],
) -> None:
    lens = Lens("a", mask)
    turn = TurnMeasured(2**53, "superseded", model="m" * 60)
    for items, sent in looks:
        view = lens.show(glimpse(*items, sent=sent, turns=((1e9, turn),) * MAX_TURNS))
        data = encode(Shown("1", "a", view))
        assert len(data) <= MAX_LETTER
        assert PHONE not in "".join(line.text for line in view.lines)
        assert view.speaking is None or PHONE not in view.speaking.text


def test_the_longest_view_is_a_letter() -> None:
    worst = "\x01" * MAX_TEXT
    items = [said("\x01" * MAX_NAME, f"{number}{worst}", name="\x01" * MAX_NAME) for number in range(MAX_LINES)]
    items += [said("\x01" * MAX_NAME, f"{number}", name="\x01" * MAX_NAME) for number in range(MAX_LINES - 12)]
    turn = TurnMeasured(2**53, "superseded", model="m" * 100, head_start_s=1 / 3, first_frame_s=1 / 3, done_s=1 / 3)
    view = shown(glimpse(*items, sent=worst * 9, turns=((1e9 / 3, turn),) * MAX_TURNS))
    assert len(view.lines) > MAX_LINES - 12
    assert MAX_LETTER / 2 < len(encode(Shown("1", "a", view))) <= MAX_LETTER
