"""What may stand in a file of rules, and what is said of what may not."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from retell_ws import control
from retell_ws.errors import SettingsError
from retell_ws.rules import Conditions, End, Rule, Say, Transfer, Webhook, command_of, plain, read, secrets_of

SAY = '{ action = "say", say = "Hello." }'
HOOK = '{ action = "webhook", url = "https://example.com/x" }'


def rule(*, name: str = 'name = "one"', when: str = "{ reminders = 1 }", then: str = SAY, more: str = "") -> str:
    return f"[[rule]]\n{name}\nwhen = {when}\nthen = [{then}]\n{more}\n"


def test_the_example_holds_every_condition_and_every_action() -> None:
    rules = read(files("retell_ws.examples").joinpath("rules.toml").read_text("utf-8"), "rules.toml")
    used = {name for each in rules for name in each.when.names()}
    assert used == set(Conditions.__struct_fields__) - {"times", "in_a_row"}
    assert {type(action) for each in rules for action in each.then} == {Transfer, Say, End, Webhook}
    assert rules[0].ignore and rules[1].unless and rules[2].when.in_a_row


def test_a_rule_is_read_whole() -> None:
    text = rule(
        when='{ phrases = ["a b"], times = 2, over_budget = 3, in_a_row = true, duration_s = 5 }',
        then='{ action = "transfer", to = "the nurse", say = "Wait." }, ' + HOOK,
        more='unless = { turns_failed = 1 }\nignore = ["no a b"]',
    )
    assert read(text, "f") == (
        Rule(
            name="one",
            when=Conditions(phrases=("a b",), times=2, over_budget=3, in_a_row=True, duration_s=5.0),
            then=(Transfer("the nurse", "Wait."), Webhook("https://example.com/x")),
            unless=Conditions(turns_failed=1),
            ignore=("no a b",),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f holds no rule: each begins with [[rule]]"),
        ("rule = []", "f holds no rule"),
        ("rule = 1", "f holds no rule"),
        ("[[rule", "f is no TOML: "),
        ("[rules]", "f: `rules` is unknown; a rule begins with [[rule]]"),
        ("rule = [1]", "f: rule 1: expected `object`, got `int`"),
        (rule(name=""), "f: rule 1: object missing required field `name`"),
        (rule(name="name = 1"), "f: rule 1: name: expected `str`, got `int`"),
        (rule(name='name = ""'), "f: rule 1: name: expected `str` of length >= 1"),
        (rule(name='name = "  "'), "f: rule '  ': name: it is blank"),
        (rule() + rule(), "f: there are two rules named 'one'"),
        ("".join(rule(name=f'name = "{n}"') for n in range(101)), "f holds 101 rules; 100 are allowed"),
        (rule(more="whem = 1"), "f: rule 'one': object contains unknown field `whem`"),
        ('[[rule]]\nname = "one"\nthen = [{ action = "end" }]', "rule 'one': object missing required field `when`"),
        (rule(when="{}"), "rule 'one': when: there is no condition in it"),
        (rule(when="3"), "rule 'one': when: expected `object`, got `int`"),
        (rule(when="{ tools_faild = 1 }"), "rule 'one': when: object contains unknown field `tools_faild`"),
        (rule(when="{ tools_failed = 0 }"), "rule 'one': when.tools_failed: expected `int` >= 1"),
        (rule(when="{ tools_failed = true }"), "rule 'one': when.tools_failed: expected `int"),
        (rule(when='{ reminders = "3" }'), "rule 'one': when.reminders: expected `int"),
        (rule(when="{ duration_s = 0 }"), "rule 'one': when.duration_s: expected `float` > 0"),
        (rule(when="{ phrases = [] }"), "rule 'one': when.phrases: expected `array` of length >= 1"),
        (rule(when='{ phrases = "manager" }'), "rule 'one': when.phrases: expected `array"),
        (rule(when='{ phrases = [""] }'), "rule 'one': when.phrases[0]: expected `str` of length >= 1"),
        (rule(when='{ phrases = ["ok", "?!"] }'), "rule 'one': when.phrases: there is no word in '?!'"),
        (rule(when="{ reminders = 1, times = 2 }"), "rule 'one': when.times: it counts phrases, and there are none"),
        (rule(when="{ reminders = 1, in_a_row = true }"), "rule 'one': when.in_a_row: it is about over_budget"),
        (rule(more="unless = {}"), "rule 'one': unless: there is no condition in it"),
        (rule(more="unless = { phrases = ['.'] }"), "rule 'one': unless.phrases: there is no word in '.'"),
        (rule(more='ignore = ["no"]'), "rule 'one': ignore: there are no phrases in `when`"),
        (rule(when='{ phrases = ["a"] }', more='ignore = ["!"]'), "rule 'one': ignore: there is no word in '!'"),
        (rule(then=""), "rule 'one': then: expected `array` of length >= 1"),
        (rule(then="{}"), "rule 'one': then[0]: object missing required field `action`"),
        (rule(then='{ action = "shout" }'), "rule 'one': then[0].action: invalid value 'shout'"),
        (rule(then='{ action = "say" }'), "rule 'one': then[0]: object missing required field `say`"),
        (rule(then='{ action = "say", say = " " }'), "rule 'one': then[0].say: it is blank"),
        (rule(then='{ action = "transfer", to = " " }'), "rule 'one': then[0].to: it is blank"),
        (rule(then='{ action = "end", sya = "x" }'), "rule 'one': then[0]: object contains unknown field `sya`"),
        (rule(then=f'{{ action = "say", say = "{"x" * 2001}" }}'), "then[0].say: expected `str` of length <= 2000"),
        (
            rule(then='{ action = "webhook", url = "https://x", secret = "s" }'),
            "then[0]: object contains unknown field `secret`",
        ),
        (
            rule(then='{ action = "webhook", url = "https://x", secret_env = "A B" }'),
            "then[0].secret_env: expected `str`",
        ),
    ],
)
def test_what_nobody_can_have_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(text, "f")


def test_a_file_that_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(SettingsError, match="f is no TOML: it is nested too deep"):
        read("rule = " + "[" * 5000, "f")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com", "it should begin with https://"),
        ("https://", "it should begin with https://"),
        ("example.com/x", "it should begin with https://"),
        ("https://[::1", "it is no URL"),
        ("https://example.com:x", "it is no URL"),
        ("http://example.com", "it should begin with https://, or say `insecure = true`"),
        ("http://10.0.0.1/", "it should begin with https://, or say `insecure = true`"),
        ("https://user:password@example.com", "a password has no place in this file"),
        ("https://example.com/a b", "there is a space or a special character in it"),
        ("https://exämple.com/", "there is a space or a special character in it"),
    ],
)
def test_a_webhook_goes_to_a_url_that_is_safe(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"f: rule 'one': then[1].url: {said}")) as caught:
        read(rule(then=f'{SAY}, {{ action = "webhook", url = "{url}" }}'), "f")
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]:8/", "https://example.com"])
def test_to_this_machine_plain_http_will_do(url: str) -> None:
    (found,) = read(rule(then=f'{{ action = "webhook", url = "{url}" }}'), "f")
    assert isinstance(found.then[0], Webhook)


def test_elsewhere_plain_http_will_do_for_who_says_so() -> None:
    (found,) = read(rule(then='{ action = "webhook", url = "http://example.com", insecure = true }'), "f")
    assert isinstance(found.then[0], Webhook)


def test_secrets_come_from_the_environment() -> None:
    other = '{ action = "webhook", url = "https://x", secret_env = "OTHER" }'
    rules = read(rule(then=f"{SAY}, {HOOK}, {other}"), "f")
    environment = {"RETELL_WS_WEBHOOK_SECRET": "a", "OTHER": "b", "MORE": "c"}
    assert secrets_of(rules, environment, "f") == {"RETELL_WS_WEBHOOK_SECRET": b"a", "OTHER": b"b"}
    for missing in ({}, {"RETELL_WS_WEBHOOK_SECRET": "a", "OTHER": ""}):
        with pytest.raises(SettingsError, match=r"f: rule 'one': then\[\d\]\.secret_env: .* which is not set"):
            secrets_of(rules, missing, "f")


def test_actions_become_commands() -> None:
    assert command_of(Transfer("a", "b")) == control.Transfer("a", "b")
    assert command_of(Say("a")) == control.Say("a")
    assert command_of(End("a")) == control.End("a")


def test_texts_are_compared_without_case_marks_and_kinds_of_apostrophes() -> None:
    assert plain("I DON’T want, a  Manager!") == plain("i don't want a manager")
