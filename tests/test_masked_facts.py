"""Facts as they leave the process: all that people said is masked, and what joins and counts them is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.entries import Entry, encode
from retell_ws.facts import CallStarted
from retell_ws.masked_facts import DEPTH, KEY_PRESSED, careful, masked, masked_entry
from retell_ws.masking import FAILED, mask
from retell_ws.speech_facts import CallerSaid, CallTranscript, Line, WebhookReceived

from .test_facts import EXAMPLES

PHONE = "+14155550123"


def webhook(**call: Any) -> dict[str, Any]:
    fact = masked(WebhookReceived("call_ended", call), mask)
    assert isinstance(fact, WebhookReceived)
    assert fact.event == "call_ended"
    return fact.call


@pytest.mark.parametrize("fact", EXAMPLES)
def test_a_fact_without_speech_is_untouched(fact: Any) -> None:
    assert masked(fact, lambda text: "x") is fact


def test_what_the_caller_said_is_masked() -> None:
    assert masked(CallerSaid(3, "response", f"I am at {PHONE}"), mask) == CallerSaid(3, "response", "I am at [phone]")


def test_a_transcript_is_masked_in_its_lines_and_numbers() -> None:
    fact = CallTranscript(
        (
            Line("user", "it is four one five five five five oh one two three", start_s=1.5, end_s=4.0),
            Line("tool_call_invocation", '{"phone":"415-555-0123"}', name="book_1234567"),
        ),
        12.0,
        3,
        agent_left=True,
        call_type="phone_call",
        direction="inbound",
        agent_id="agent_12345678",
        from_number=PHONE,
        to_number=PHONE,
    )
    assert masked(fact, mask) == msgspec.structs.replace(
        fact,
        lines=(
            Line("user", "it is [phone]", start_s=1.5, end_s=4.0),
            Line("tool_call_invocation", '{"phone":"[phone]"}', name="book_1234567"),
        ),
        from_number="[phone]",
        to_number="[phone]",
    )


def keys(digits: str) -> tuple[Line, ...]:
    return tuple(Line("dtmf", digit) for digit in digits)


def test_keys_are_masked_when_together_they_are_a_long_number_whatever_is_said_in_between() -> None:
    spoken = Line("agent", "And the rest?")
    fact = CallTranscript((*keys("41111"), spoken, *keys("11111"), spoken, *keys("111111")), 1.0, 1)
    pressed = Line("dtmf", KEY_PRESSED)
    expected = (*(pressed,) * 5, spoken, *(pressed,) * 5, spoken, *(pressed,) * 6)
    assert masked(fact, mask) == msgspec.structs.replace(fact, lines=expected)
    few = CallTranscript((*keys("1"), spoken, *keys("12#")), 1.0, 1)
    assert masked(few, mask) == few


def test_a_cards_number_is_masked_wherever_it_is_a_number() -> None:
    card, time_us = 4111111111111111, 1714608475945001
    call = {"new": {"card": card, "at": time_us}, "metadata": {"card": 4111111111111111.0, "x": 1234567.5, "n": 12.0}}
    assert webhook(**call) == {
        "new": {"card": "[card]", "at": time_us},
        "metadata": {"card": "[card]", "x": 1234567.5, "n": 12.0},
    }


def test_of_a_webhook_identifiers_times_and_figures_stay() -> None:
    call = {
        "call_id": "call_1234567890",
        "agent_id": "agent_1234567890",
        "call_status": "ended",
        "disconnection_reason": "user_hangup",
        "start_timestamp": 1714608475945,
        "duration_ms": 1234567,
        "recording_url": "https://x.example/1234567890.wav",
        "latency": {"e2e": {"p50": 800.5, "values": [1234567.0, 2]}},
        "telephony_identifier": {"twilio_call_sid": "CA1234567890"},
        "opt_in_signed_url": True,
        "call_analysis": {"user_sentiment": "Neutral", "in_voicemail": None},
    }
    assert webhook(**call) == call


def test_of_a_webhook_all_other_texts_are_masked() -> None:
    assert webhook(
        from_number=PHONE,
        transfer_destination=PHONE,
        transcript=f"Agent: your number?\nUser: {PHONE}",
        call_analysis={"call_summary": "mail a@b.co", "later": [{"x": ["a@b.co"]}]},
        access_token="secret",
        recording_url=["a@b.co"],
    ) == {
        "from_number": "[phone]",
        "transfer_destination": "[phone]",
        "transcript": "Agent: your number?\nUser: [phone]",
        "call_analysis": {"call_summary": "mail [email]", "later": [{"x": ["[email]"]}]},
        "recording_url": ["[email]"],
    }


def test_what_others_filled_in_is_masked_all_through() -> None:
    given = {"call_id": PHONE, "n": 4155550123, "short": 415, "ok": True, PHONE: [PHONE, None, {"role": "a@b.co"}]}
    expected = {
        "call_id": "[phone]",
        "n": "[phone]",
        "short": 415,
        "ok": True,
        "[phone]": ["[phone]", None, {"role": "[email]"}],
    }
    names = ("metadata", "retell_llm_dynamic_variables", "collected_dynamic_variables", "custom_sip_headers")
    assert webhook(**dict.fromkeys(names, given)) == dict.fromkeys(names, expected)
    assert webhook(call_analysis={"custom_analysis_data": given}) == {
        "call_analysis": {"custom_analysis_data": expected}
    }
    fact = masked(WebhookReceived("x", {"metadata": {"n": 4155550123}}), lambda text: text)
    assert fact == WebhookReceived("x", {"metadata": {"n": 4155550123}})


def test_a_code_that_others_filled_in_is_known_by_its_name() -> None:
    given = {
        "cvv": "123",
        "pin": 4821,
        "security_code": ["one two three", 123.0],
        "n": 4821,
        "is_pin": True,
        "PIN": 0.5,
    }
    assert webhook(call_analysis={"custom_analysis_data": given}) == {
        "call_analysis": {
            "custom_analysis_data": {
                **given,
                **{"cvv": "[number]", "pin": "[number]", "security_code": ["[number]", "[number]"]},
            }
        }
    }
    assert webhook(metadata="my pin: 4821") == {"metadata": "my pin: [number]"}
    assert webhook(metadata={PHONE: "4821", "x": ["4821", 4821]}) == {
        "metadata": {"[phone]": "4821", "x": ["4821", 4821]}
    }


def test_a_mask_that_leaves_nothing_of_a_name_has_the_value_alone() -> None:
    fact = masked(WebhookReceived("x", {"metadata": {"pin": "4821"}}), lambda text: f"<{len(text)}>")
    assert fact == WebhookReceived("x", {"metadata": {"<3>": "<4>"}})


def test_the_words_of_an_utterance_are_left_out_when_together_they_hold_a_number() -> None:
    def words(text: str) -> list[dict[str, Any]]:
        return [{"word": word, "start": 1.0, "end": 2.0} for word in text.split()]

    item = {"role": "user", "content": "x", "words": words("it is four one five five five five oh one two three")}
    harmless = {"role": "user", "content": "x", "words": words("it is four")}
    odd = {"role": "user", "words": ["a@b.co", {"word": None}], "more": {"words": "a@b.co"}}
    assert webhook(transcript_object=[item, harmless, odd]) == {
        "transcript_object": [
            {**item, "words": []},
            harmless,
            {"role": "user", "words": ["[email]", {"word": None}], "more": {"words": "[email]"}},
        ]
    }


def test_the_keys_of_a_webhook_are_masked_as_those_of_a_transcript() -> None:
    pressed = [{"role": "dtmf", "digit": digit} for digit in "41111111"]
    few = [{"role": "dtmf", "digit": "1"}, {"role": "user", "content": "a@b.co"}, {"role": "dtmf", "digit": 2}]
    assert webhook(transcript_with_tool_calls=pressed + few[1:]) == {
        "transcript_with_tool_calls": [
            *({"role": "dtmf", "digit": KEY_PRESSED} for _ in pressed),
            {"role": "user", "content": "[email]"},
            {"role": "dtmf", "digit": 2},
        ]
    }
    assert webhook(transcript_with_tool_calls=few[:1]) == {"transcript_with_tool_calls": few[:1]}


@pytest.mark.parametrize("name", ["metadata", "x"])
def test_what_is_nested_too_deep_is_left_out(name: str) -> None:
    deep: Any = "a@b.co"
    for _ in range(DEPTH * 4):
        deep = {"x": [deep]}
    assert FAILED in str(webhook(**{name: deep}))
    assert "a@b.co" not in str(webhook(**{name: deep}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.just("call 4155550123") | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["words", "word", "metadata", "role", "digit", "x", "a_url"]), inner)
    ),
)


@given(st.dictionaries(st.sampled_from(["words", "metadata", "transcript", "x"]), JSON))
def test_any_call_is_masked_once_and_for_all(call: dict[str, Any]) -> None:
    once = masked(WebhookReceived("x", call), mask)
    assert masked(once, mask) == once


def test_a_mask_that_raises_leaves_nothing_of_the_text() -> None:
    failures: list[Exception] = []

    def raises(text: str) -> str:
        raise ValueError(text)

    assert careful(raises, failures.append)("a secret") == FAILED
    assert careful(lambda text: None, failures.append)("a secret") == FAILED  # type: ignore[arg-type, return-value]
    assert careful(str.upper, failures.append)("a") == "A"
    assert [type(exc) for exc in failures] == [ValueError, TypeError]


def test_an_entry_is_masked_in_its_fact() -> None:
    def entry(fact: Any) -> Entry:
        return Entry(id="1", call_id=PHONE, epoch=1, seq=1, at=1.0, server="s", fact=fact)

    assert masked_entry(entry(CallerSaid(1, "response", PHONE)), mask) == entry(CallerSaid(1, "response", "[phone]"))
    silent = entry(CallStarted())
    assert masked_entry(silent, mask) is silent
    assert b"[phone]" in encode(masked_entry(entry(CallTranscript((), 1.0, 1, from_number=PHONE)), mask))
