"""The file of `kafka_config`: what is read, what is refused, and that no value is ever quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.buses.properties import OURS, line_of, parse
from retell_ws.errors import SettingsError

SECRET = "canary=0123"


def words_of(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text, "kafka.properties")
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_names_and_values_are_read_and_comments_passed_over() -> None:
    text = f"# of Ana\n! too\n\n  security.protocol = SASL_SSL  \nsasl.password={SECRET}\nsasl.username=\n"
    assert parse(text, "f") == {"security.protocol": "SASL_SSL", "sasl.password": SECRET, "sasl.username": ""}


@pytest.mark.parametrize(
    "line", [SECRET.replace("=", ""), f"={SECRET}", "pass word=x", "sasl.password: x", "[section]"]
)
def test_a_line_that_sets_nothing_is_named(line: str) -> None:
    assert words_of(f"a=b\n{line}") == "kafka_config: kafka.properties, line 2: this is no name=value"


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_is_ours_to_set_is_refused_with_the_reason(name: str) -> None:
    assert words_of(f"\n{name}={SECRET}") == (
        f"kafka_config: kafka.properties, line 2: {name} cannot be set here: {OURS[name]}"
    )


@pytest.mark.parametrize("name", ["error_cb", "opaque", "logger", "default.topic.config"])
def test_what_no_text_can_be_is_refused(name: str) -> None:
    assert words_of(f"{name}={SECRET}").endswith(f"line 1: {name} is no setting that a file can hold")


def test_what_is_there_twice_is_refused() -> None:
    assert words_of(f"a.b=1\na.b={SECRET}").endswith("line 2: a.b is there twice")


def test_the_line_of_a_setting_is_found() -> None:
    text = "# ssl.ca.location=x\nssl.ca.location\n ssl.ca.location = y"
    assert line_of(text, "ssl.ca.location") == 3
    assert line_of(text, "sasl.password") is None


@given(st.text())
def test_any_text_is_settings_or_is_refused(text: str) -> None:
    try:
        found = parse(text, "f")
    except SettingsError:
        return
    assert all(line_of(text, name) is not None for name in found)
