"""Files that people write: rules and openings. A mistake in one is told in a line, and is never a traceback."""

from __future__ import annotations

from importlib.resources import files

from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws.answer_file import AnswerFile
from retell_ws.answer_file import read as read_answers
from retell_ws.errors import SettingsError, UsageError
from retell_ws.rules import Rule, plain
from retell_ws.rules import read as read_rules

from .strategies import FUZZ, mutated_text

EXAMPLE = (files("retell_ws.examples") / "rules.toml").read_text("utf-8")
SHORT = '[[rule]]\nname = "one"\nwhen = { phrases = ["(a+)+$"] }\nthen = [{ action = "say", say = "Hello." }]\n'
OPENINGS = ("# openings\nWhat are your hours?\n" + '["Hello.", "Where are you?"]\n', '{"version":1,"answers":[]}')


@FUZZ
@example("rule = " + "[" * 5000)
@given(mutated_text([SHORT, SHORT * 2, EXAMPLE]))
def test_a_file_of_rules_is_one_or_is_refused_in_a_line(text: str) -> None:
    try:
        rules = read_rules(text, "rules.toml")
    except SettingsError as exc:
        assert str(exc).startswith("rules.toml") and "\n" not in str(exc)
        return
    assert rules and all(isinstance(rule, Rule) and rule.name.strip() for rule in rules)
    assert len({rule.name for rule in rules}) == len(rules)


@FUZZ
@example("[" * 50_000)
@example('{"later":' * 50_000)
@given(mutated_text(OPENINGS) | st.text(max_size=80))
def test_a_file_of_openings_is_one_or_is_refused(text: str) -> None:
    try:
        found = read_answers(text, "openings.txt")
    except UsageError as exc:
        assert str(exc).startswith("openings.txt")
        return
    assert isinstance(found, AnswerFile) or all(opening and all(opening) for opening in found)


@FUZZ
@given(st.text(max_size=200))
def test_phrases_are_compared_as_they_are_and_no_pattern_is_in_them(text: str) -> None:
    assert plain(plain(text)) == plain(text)
