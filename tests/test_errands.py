"""What is to be done because a rule was met, and how a webhook is written, signed and tried again."""

from __future__ import annotations

import hashlib
import hmac
from email.utils import formatdate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.entries import decode as decode_entry
from retell_ws.entries import encode as encode_entry
from retell_ws.errands import (
    GIVE_UP_S,
    LONGEST_PAUSE_S,
    Errand,
    body_of,
    decode,
    encode,
    errands_of,
    judged,
    pause_s,
    retry_after_s,
    signature,
    told,
)
from retell_ws.errors import WireError
from retell_ws.facts import Escalated
from retell_ws.rules import Conditions, Rule, Say, Webhook
from retell_ws.watch import Escalation

QUIET = Webhook("https://example.com/")
NOSY = Webhook("https://example.com/", include_words=True)
RULE = Rule(name="one", when=Conditions(reminders=2), then=(Say("Hello."), QUIET, NOSY))


def errands() -> list[Errand]:
    return list(errands_of(Escalation(RULE, "call_1", 1000.0, {"reminders": 2, "duration_s": 3.0}, "my words"), 1000.5))


def test_each_action_is_an_errand_with_an_id_of_its_own_that_is_always_the_same() -> None:
    first, again = errands(), errands()
    assert [each.action for each in first] == list(RULE.then)
    assert first == again and len({each.id for each in first}) == 3
    other = errands_of(Escalation(RULE, "call_2", 1000.0, {}, ""), 1000.5)
    assert not {each.id for each in other} & {each.id for each in first}
    assert [each.words for each in first] == ["", "", "my words"]


def test_an_errand_is_read_as_it_was_written_to_the_byte() -> None:
    for errand in errands():
        assert decode(encode(errand)) == errand
        assert body_of(decode(encode(errand))) == body_of(errand)
    for data in (b"", b"{}", b"[1]", b"\xff", b"[" * 100_000):
        with pytest.raises(WireError):
            decode(data)


def test_what_came_of_it_is_a_fact_under_the_id_of_the_errand() -> None:
    entry = told(errands()[0], "done", 1001.5, "escalation")
    assert (entry.id, entry.call_id, entry.fact) == (
        errands()[0].id,
        "call_1",
        Escalated("one", "say", "done", 1.5),
    )
    assert decode_entry(encode_entry(entry)) == entry
    assert told(errands()[0], "done", 999.0, "").fact == Escalated("one", "say", "done", 0.0), "clocks differ"


def test_a_webhook_tells_what_was_met_and_words_only_where_they_are_wanted() -> None:
    _, quiet, nosy = errands()
    why = {"reminders": 2, "duration_s": 3.0}
    plain = {"id": quiet.id, "rule": "one", "call_id": "call_1", "at": 1000.0, "why": why}
    assert msgspec.json.decode(body_of(quiet)) == plain
    assert msgspec.json.decode(body_of(nosy)) == {**plain, "id": nosy.id, "words": "my words"}
    assert body_of(nosy) == body_of(msgspec.structs.replace(nosy, tries=5))


def test_the_signature_is_retells() -> None:
    expected = hmac.new(b"key", b"body1790000000000", hashlib.sha256).hexdigest()
    assert signature(b"body", b"key", 1790000000000) == f"v=1790000000000,d={expected}"
    body = '{"event":"call_ended","call":{"call_id":"call_00000000000000000000000001a","note":"café"}}'.encode()
    assert signature(body, b"key_0123456789abcdef", 1790000000000) == (
        "v=1790000000000,d=0ca63b90b17e487037a25af4526c229b71c40a0c42005ce43de64e4fb59465a4"
    )


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, "done") for status in (200, 204)),
        *((status, "refused") for status in (301, 307, 400, 401, 404, 410)),
        *((status, "again") for status in (408, 425, 429, 500, 503, 599)),
    ],
)
def test_a_status_tells_whether_another_try_is_of_use(status: int, verdict: str) -> None:
    assert judged(status) == verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("²", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("9" * 50, 999999999.0),
        (formatdate(1030, usegmt=True), 30.0),
        (formatdate(900, usegmt=True), 0.0),
        ("Thu, 01 Jan 1970 00:17:00 -0000", 20.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, 1000.0) == seconds


@pytest.mark.parametrize(
    ("tries", "asked_s", "age_s", "waits_s"),
    [
        (1, None, 0.0, 1.0),
        (3, None, 0.0, 4.0),
        (1, 30.0, 0.0, 30.0),
        (40, None, 0.0, LONGEST_PAUSE_S),
        (1, None, GIVE_UP_S, None),
    ],
)
def test_a_pause_has_a_length(tries: int, asked_s: float | None, age_s: float, waits_s: float | None) -> None:
    errand = msgspec.structs.replace(errands()[1], tries=tries)
    assert pause_s(errand, asked_s, 1.0, errand.made + age_s) == waits_s


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 10_000), st.floats(0, 2 * GIVE_UP_S))
def test_pauses_grow_are_as_long_as_asked_and_end_after_an_hour(
    tries: int, chance: float, asked_s: float | None, age_s: float
) -> None:
    errand = msgspec.structs.replace(errands()[1], tries=tries)
    wait_s = pause_s(errand, asked_s, chance, errand.made + age_s)
    longest = min(LONGEST_PAUSE_S, 2.0 ** min(tries - 1, 20))
    if wait_s is None:
        assert age_s + max(longest, asked_s or 0.0) > GIVE_UP_S
    else:
        assert age_s + wait_s <= GIVE_UP_S
        assert wait_s >= (asked_s or 0.0) and wait_s >= longest / 2
        assert wait_s <= max(longest, asked_s or 0.0)
