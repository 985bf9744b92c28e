"""The checker: a good history passes, whatever was cut in it, and each check fails on a history that breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness.faults.checks import CHECKS, GREETING, IN_FLIGHT_S, PATIENCE_S, Verdict, judge
from bench.harness.faults.history import Event, Row, read_rows, write_rows
from bench.harness.faults.words import Question, key_of, outcome, pieces

(
    GOES_ON, GREETED, ORDER, LOST, OLDER, COMPLETED, AT_MOST_ONCE, EXACTLY_ONCE, STALE, PROTOCOL,
) = CHECKS  # fmt: skip


class Story:
    """Writes a history, a tenth of a second a row."""

    def __init__(self, call: int = 7) -> None:
        self.call = call
        self.t = 100.0
        self.rows: list[Row] = []
        self.asked = 0

    def row(self, event: Event, **fields: Any) -> Story:
        self.t += 0.1
        self.rows.append(Row(self.t, event, **{"call": self.call, **fields}))
        return self

    def begin(self, *, greeting: str | None = GREETING) -> Story:
        self.row("began").row("open", server="s1")
        return self if greeting is None else self.row("frame", response_id=0, text=greeting, complete=True)

    def ask(self, words: int = 6, *, books: bool = False) -> Question:
        self.asked += 1
        question = Question(self.call, self.asked, words, books)
        self.row("asked", response_id=self.asked, text=question.text)
        return question

    def say(self, text: str, *, complete: bool = False, response_id: int | None = None) -> Story:
        number = self.asked if response_id is None else response_id
        return self.row("frame", response_id=number, text=text, complete=complete)

    def answer(self, question: Question) -> Story:
        return self.say("".join(pieces(question)), complete=True)

    def move(self, server: str = "s2", *, kill: bool = True) -> Story:
        if kill:
            self.row("fault", call=-1, server="s1", text="kill")
        return self.row("gone").row("open", server=server).say("", complete=True, response_id=0)

    def end(self, reason: str = "user_hangup") -> Verdict:
        return judge(self.row("hung_up").row("ended", text=reason).rows)


def broken(verdict: Verdict) -> set[str]:
    return {violation.check for violation in verdict.violations}


def test_a_call_in_which_all_goes_well() -> None:
    story = Story().begin()
    story.answer(story.ask())
    verdict = story.answer(story.ask()).end()
    assert not verdict.violations
    assert verdict.by_check == dict.fromkeys(CHECKS, 0)
    assert (verdict.counts["answers"], verdict.counts["words"]) == (2, 12)
    assert not any(msgspec.structs.astuple(verdict.losses))


@given(st.integers(1, 12), st.data())
def test_an_answer_that_goes_on_elsewhere_passes_and_what_it_skips_is_counted(words: int, data: Any) -> None:
    story = Story().begin()
    whole = pieces(story.ask(words))
    first = data.draw(st.integers(1, words))
    second = data.draw(st.integers(first, words))
    story.say("".join(whole[:first])).move()
    verdict = story.say("".join(whole[second:]), complete=True).end()
    assert not verdict.violations
    assert verdict.losses.words == second - first
    assert verdict.counts["takeovers"] == 1


@given(st.integers(2, 12), st.data())
def test_a_word_said_again_after_a_takeover_is_found(words: int, data: Any) -> None:
    story = Story().begin()
    whole = pieces(story.ask(words))
    first = data.draw(st.integers(1, words))
    again = data.draw(st.integers(0, first - 1))
    story.say("".join(whole[:first])).move()
    assert broken(story.say("".join(whole[again:]), complete=True).end()) >= {ORDER}


def test_words_of_another_answer_or_call_are_found() -> None:
    story = Story().begin()
    first = story.ask()
    story.answer(first)
    second = story.ask()
    story.say(pieces(second)[0]).say(pieces(first)[3])
    assert broken(story.say("".join(pieces(second)[1:]), complete=True).end()) == {ORDER}

    story = Story().begin()
    other = Question(8, 1, 6)
    assert broken(story.answer(msgspec.structs.replace(story.ask(), call=8)).end()) >= {ORDER}
    assert other.call == 8


def test_glued_words_are_found() -> None:
    story = Story().begin()
    story.ask(2)
    assert broken(story.say("c7q1w1c7q1w2.", complete=True).end()) == {ORDER}


def test_a_word_that_is_missing_without_a_takeover_is_found() -> None:
    story = Story().begin()
    whole = pieces(story.ask())
    assert broken(story.say("".join(whole[:3] + whole[4:]), complete=True).end()) == {LOST}


def test_an_apology_in_place_of_words_is_counted_and_no_loss() -> None:
    story = Story().begin()
    whole = pieces(story.ask())
    verdict = story.say(f"{whole[0]}Sorry, I lost my thread.", complete=True).end()
    assert not verdict.violations
    assert verdict.losses.phrases == 1


@pytest.mark.parametrize("reason", ["error_llm_websocket_open", "error_llm_websocket_runtime", "agent_hangup", ""])
def test_a_call_that_does_not_end_by_its_caller_is_found(reason: str) -> None:
    story = Story().begin()
    assert broken(story.answer(story.ask()).end(reason)) == {GOES_ON}


def test_a_call_that_never_ends_or_never_opens_is_found() -> None:
    assert broken(judge([Row(1.0, "began", call=1)])) == {GOES_ON}


def test_greetings() -> None:
    again = "greeted_again: begin message again"
    assert broken(Story().begin(greeting=GREETING + GREETING).end()) == {GREETED}
    assert broken(Story().begin(greeting="Good morning.").end()) == {GREETED}
    assert broken(Story().begin(greeting="").end()) == {GREETED}
    assert broken(Story().begin().move().row("finding", response_id=0, text=again).end()) == {GREETED}
    assert not Story().begin().move().end().violations


def test_a_greeting_may_be_lost_with_its_socket_only() -> None:
    verdict = Story().begin(greeting=None).move().end()
    assert not verdict.violations
    assert verdict.losses.greetings == 1
    story = Story().begin(greeting=None)
    assert broken(story.answer(story.ask()).end()) == {GREETED}


def test_a_greeting_that_goes_on_elsewhere_is_one() -> None:
    story = Story().begin(greeting=None).say(GREETING[:10], response_id=0).row("gone").row("open", server="s2")
    assert not story.row("frame", response_id=0, text=GREETING[10:], complete=True).end().violations


def test_an_older_id_after_a_newer_one_is_found() -> None:
    story = Story().begin()
    first = story.ask()
    second = story.ask()
    story.say(pieces(second)[0]).say(pieces(first)[0], response_id=1)
    assert broken(story.say("".join(pieces(second)[1:]), complete=True).end()) == {OLDER}


def test_a_frame_that_crossed_the_newer_request_is_nobodys_fault_unless_it_is_proven_stale() -> None:
    story = Story().begin()
    first = story.ask()
    second = story.ask()
    story.say(pieces(first)[0], response_id=1).answer(second)
    assert not story.end().violations
    story.row("finding", response_id=1, text="stale: id 1")
    assert broken(judge(story.rows)) == {OLDER}


def test_an_id_that_is_never_completed_is_found() -> None:
    story = Story().begin()
    story.say(pieces(story.ask())[0])
    story.t += PATIENCE_S
    assert broken(story.answer(story.ask()).end()) == {COMPLETED}
    story = Story().begin()
    story.ask()
    story.t += PATIENCE_S
    assert broken(story.end()) == {COMPLETED}


def test_a_barge_in_and_the_end_of_the_call_leave_an_id_open() -> None:
    story = Story().begin()
    story.say(pieces(story.ask())[0])
    story.answer(story.ask())
    story.say(pieces(story.ask())[0])
    verdict = story.end()
    assert not verdict.violations
    assert verdict.losses.endings == 1


def test_an_id_completed_twice_is_found() -> None:
    story = Story().begin()
    question = story.ask()
    assert COMPLETED in broken(story.answer(question).say("", complete=True).end())
    story = Story().begin()
    question = story.ask()
    story.answer(question).move()
    assert COMPLETED in broken(story.answer(question).end())
    story = Story().begin()
    story.answer(story.ask()).move()
    assert not story.say("", complete=True).end().violations, "an empty completion on a newer socket is harmless"


@pytest.mark.parametrize("kind", ["kill", "stop", "cut"])
def test_a_request_its_server_cannot_have_read_is_a_loss(kind: str) -> None:
    story = Story().begin()
    story.ask()
    story.t += IN_FLIGHT_S - 0.2
    story.row("fault", call=-1, server="s1", text=kind).move(kill=False)
    story.t += PATIENCE_S
    verdict = story.answer(story.ask()).end()
    assert not verdict.violations
    assert verdict.losses.requests == 1


def test_a_request_its_server_had_time_for_is_none() -> None:
    story = Story().begin()
    story.ask()
    story.t += IN_FLIGHT_S + 0.1
    story.move()
    story.t += PATIENCE_S
    assert broken(story.answer(story.ask()).end()) == {COMPLETED}


def test_a_request_to_another_server_than_the_one_struck_is_none() -> None:
    story = Story().begin()
    story.ask()
    story.row("fault", call=-1, server="s3", text="kill").move(kill=False)
    story.t += PATIENCE_S
    assert broken(story.answer(story.ask()).end()) == {COMPLETED}


def booking(told: bool | None, runs: int) -> Verdict:
    story = Story().begin()
    question = story.ask(books=True)
    for server in ("s1", "s2")[:runs]:
        story.row("ran", server=server, text=key_of(question))
    said = "" if told is None else outcome(question, done=told)
    return story.say(said + "".join(pieces(question)), complete=True).end()


def test_side_effects() -> None:
    assert not booking(True, 1).violations
    assert not booking(False, 1).violations
    assert not booking(False, 0).violations
    assert booking(False, 0).losses.unknown == 1
    assert booking(True, 1).counts["effects"] == 1
    assert broken(booking(False, 2)) == {AT_MOST_ONCE}
    assert broken(booking(True, 2)) == {AT_MOST_ONCE, EXACTLY_ONCE}
    assert broken(booking(True, 0)) == {EXACTLY_ONCE}


def test_a_write_by_a_stale_owner_is_found() -> None:
    assert broken(Story().begin().row("stale_write", server="s1", text="3 writes").end()) == {STALE}


def test_what_retell_would_have_dropped_is_found() -> None:
    assert broken(Story().begin().row("finding", response_id=3, text="never_asked: id 3").end()) == {PROTOCOL}


def test_rows_may_come_in_any_order_and_calls_mixed() -> None:
    rows = []
    for call in (1, 2, 3):
        story = Story(call).begin()
        story.answer(story.ask()).end()
        rows += story.rows
    verdict = judge(rows[::-1])
    assert not verdict.violations
    assert verdict.counts["calls"] == 3


def test_a_history_is_kept_and_read_and_a_line_cut_by_a_kill_left_out(tmp_path: Path) -> None:
    story = Story().begin()
    story.answer(story.ask()).end()
    path = tmp_path / "history.jsonl"
    write_rows(path, story.rows)
    assert read_rows(path) == story.rows
    path.write_bytes(path.read_bytes() + b'{"t": 1.0, "ev')
    assert read_rows(path) == story.rows


TEXTS = st.sampled_from(["", "kill", "c1 q1 n3", "c1q1w1 ", "c1q1w3.", GREETING])
ROWS = st.builds(
    Row,
    t=st.floats(0, 10),
    event=st.sampled_from(get_args(Event)),
    call=st.integers(-1, 2),
    response_id=st.integers(-1, 3),
    server=st.sampled_from(["", "s1"]),
    text=TEXTS,
    complete=st.booleans(),
)


@given(st.lists(ROWS))
def test_any_history_is_judged_without_an_exception(rows: list[Row]) -> None:
    verdict = judge(rows)
    assert set(verdict.by_check) == set(CHECKS)
