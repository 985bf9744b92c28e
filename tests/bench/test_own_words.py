"""The model's own words in an answer: holding phrases and apologies are the server's."""

from __future__ import annotations

from bench.harness.own_words import Listening, own_words
from retell_ws.lines import Lines, phrases

LINES = Lines()
HOLDING, WORKING = phrases(LINES.holding)[0], phrases(LINES.working)[0]


def heard(*pieces: str, complete: bool = True) -> Listening:
    listening = Listening()
    for at, piece in enumerate(pieces, 1):
        listening.hear(piece, complete and at == len(pieces), 10 * at)
    return listening


def test_an_answer_of_the_model_s_counts_from_its_first_sentence() -> None:
    listening = heard("We are ", "open. ", "Until ", "five.")
    assert (listening.first_ns, listening.audible_ns, listening.sentence_ns) == (10, 20, 20)
    assert listening.outcome == "answered"


def test_one_sentence_counts_when_the_answer_is_complete() -> None:
    listening = heard("We are ", "open.", "")
    assert (listening.first_ns, listening.audible_ns, listening.sentence_ns) == (10, 30, 30)


def test_a_holding_phrase_is_heard_but_is_no_sentence_of_the_model_s() -> None:
    listening = heard(f"{HOLDING} ", f"{WORKING} ", "We are ", "open. ", "Yes.")
    assert (listening.first_ns, listening.audible_ns, listening.sentence_ns) == (10, 10, 40)
    assert listening.outcome == "answered"


def test_an_apology_alone_is_no_answer() -> None:
    listening = heard(f"{HOLDING} ", LINES.apology)
    assert (listening.audible_ns, listening.sentence_ns) == (10, 0)
    assert listening.outcome == "apology"


def test_what_may_still_become_a_fixed_line_is_not_the_model_s_yet() -> None:
    assert own_words(HOLDING[:6]) == ""
    assert own_words(f"{HOLDING[:6]}xyz that was a joke.") == f"{HOLDING[:6]}xyz that was a joke."


def test_answers_that_break_off_stay_empty_or_never_end_are_told_apart() -> None:
    assert heard("We are open. ", LINES.closing).outcome == "broken"
    assert heard("").outcome == "empty"
    assert heard("We are ", complete=False).outcome == "silent"
