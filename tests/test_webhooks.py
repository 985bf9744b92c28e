"""Webhooks: whose they are, and what they tell of which call."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retell.lib.webhook_auth import symmetric

from retell_ws.entries import Entry, decode, encode
from retell_ws.errors import WireError
from retell_ws.speech_facts import WebhookReceived
from retell_ws.webhooks import CHATS, EVENTS, LIFE, TRANSFERS, NoCall, Webhook, is_recent, read, signature, verified

KEY = b"key_0123456789abcdef"
OLD_KEY = b"key_fedcba9876543210"
NOW_MS = 1_790_000_000_000
BODY = '{"event":"call_ended","call":{"call_id":"call_00000000000000000000000001a","note":"café"}}'.encode()
SIGNED = "v=1790000000000,d=0ca63b90b17e487037a25af4526c229b71c40a0c42005ce43de64e4fb59465a4"


def told(event: str, call: Any = None, **beside: Any) -> Webhook:
    made = read(json.dumps({"event": event, "call": call or {"call_id": "call_1"}, **beside}).encode())
    assert isinstance(made, Webhook)
    return made


# ---------------------------------------------------------------------------- whose


def test_the_protocols_own_example_is_verified() -> None:
    assert len(BODY) == 91
    assert signature(BODY, KEY, NOW_MS) == SIGNED
    assert verified(BODY, SIGNED, [KEY], NOW_MS)


@given(st.binary(max_size=200), st.integers(0, 90))
def test_no_other_body_has_this_signature(body: bytes, place: int) -> None:
    assert verified(body, SIGNED, [KEY], NOW_MS) == (body == BODY)
    altered = bytearray(BODY)
    altered[place] ^= 1
    assert not verified(bytes(altered), SIGNED, [KEY], NOW_MS)


def test_the_same_json_written_otherwise_is_another_body() -> None:
    for again in (json.dumps(json.loads(BODY)), json.dumps(json.loads(BODY), ensure_ascii=False), BODY.decode() + "\n"):
        assert not verified(again.encode(), SIGNED, [KEY], NOW_MS)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v=1790000000000",
        SIGNED[2:],
        SIGNED.upper(),
        SIGNED[:-1],
        SIGNED + "0",
        SIGNED + "\n",
        " " + SIGNED,
        SIGNED.replace(",", ", "),
        SIGNED.replace("v=1", "v=01"),
        SIGNED.replace("v=1", "v=+1"),
        SIGNED.replace("v=1", "v=١"),
        SIGNED.replace("v=1790000000000", "v=" + "1" * 5000),
        "v=1790000000000,d=" + "0" * 64,
        f"{SIGNED},{SIGNED}",
    ],
)
def test_a_header_that_is_no_signature_of_ours_is_refused(header: str) -> None:
    assert not verified(BODY, header, [KEY], NOW_MS)


@given(st.text(max_size=100))
def test_any_header_is_judged(header: str) -> None:
    assert not verified(BODY, header, [KEY], NOW_MS)


@pytest.mark.parametrize(("away_ms", "holds"), [(0, True), (300_000, True), (300_001, False), (10**12, False)])
def test_a_signature_holds_for_five_minutes_either_way(away_ms: int, holds: bool) -> None:
    for now_ms in (NOW_MS - away_ms, NOW_MS + away_ms):
        assert verified(BODY, SIGNED, [KEY], now_ms) == is_recent(SIGNED, now_ms) == holds


def test_two_keys_are_valid_while_they_are_changed() -> None:
    assert verified(BODY, SIGNED, [OLD_KEY, KEY], NOW_MS)
    assert verified(BODY, SIGNED, [KEY, OLD_KEY], NOW_MS)
    assert verified(BODY, signature(BODY, OLD_KEY, NOW_MS), [KEY, OLD_KEY], NOW_MS)
    assert not verified(BODY, SIGNED, [OLD_KEY], NOW_MS)
    assert not verified(BODY, SIGNED, [], NOW_MS)


@given(st.text(max_size=200), st.text("abcdef0123456789_", min_size=1), st.integers(1, 2**50))
def test_retells_own_library_signs_and_reads_as_we_do(text: str, key: str, at_ms: int) -> None:
    body = text.encode()
    theirs = symmetric["sign"](text, key, at_ms)
    assert theirs == signature(body, key.encode(), at_ms)
    assert verified(body, theirs, [key.encode()], at_ms)
    assert symmetric["verify"](text, key, signature(body, key.encode(), at_ms), {"timestamp": at_ms})
    assert not symmetric["verify"](text + " ", key, theirs, {"timestamp": at_ms})


# ---------------------------------------------------------------------------- what


@pytest.mark.parametrize("event", sorted(set(EVENTS) - set(CHATS)))
def test_each_event_of_a_call_is_read(event: str) -> None:
    call = {"call_id": "call_1", "call_status": "ongoing", "metadata": {"a": [1, None]}, "later_field": {"b": 2.5}}
    made = told(event, call)
    assert made.call_id == "call_1"
    assert made.fact == WebhookReceived(event, call)
    assert made.id.startswith(f"webhook:{event}:call_1")


@pytest.mark.parametrize("event", [*CHATS, "chat_later"])
def test_a_chat_is_no_call(event: str) -> None:
    assert read(json.dumps({"event": event, "chat": {"chat_id": "chat_1"}}).encode()) == NoCall(event)
    assert read(json.dumps({"event": event, "call": {"call_id": "call_1"}}).encode()) == NoCall(event)


def test_a_later_event_is_taken_when_it_is_of_a_call() -> None:
    assert told("call_hummed").fact.event == "call_hummed"
    assert read(b'{"event":"agent_published","agent":{}}') == NoCall("agent_published")


def test_the_call_of_an_older_edition_is_found() -> None:
    older = read(b'{"event":"call_ended","data":{"call_id":"call_1","duration_ms":5}}')
    assert isinstance(older, Webhook) and older.fact.call == {"call_id": "call_1", "duration_ms": 5}
    both = told("call_ended", {"call_id": "call_1", "duration_ms": 6}, data={"call_id": "call_1", "duration_ms": 5})
    assert both.fact.call == {"call_id": "call_1", "duration_ms": 6}
    null = read(b'{"event":"call_ended","call":null,"data":{"call_id":"call_1"}}')
    assert isinstance(null, Webhook) and null.call_id == "call_1"


def test_what_stands_beside_the_call_goes_into_it_where_there_is_room() -> None:
    made = told(
        "transfer_started",
        {"call_id": "call_1", "transfer_destination": None, "transfer_option": {"type": "cold_transfer"}},
        transfer_destination={"type": "predefined", "number": "+14155550100"},
        transfer_option={"type": "warm_transfer"},
        later=1,
    )
    assert made.fact.call == {
        "call_id": "call_1",
        "transfer_destination": {"type": "predefined", "number": "+14155550100"},
        "transfer_option": {"type": "cold_transfer"},
        "later": 1,
    }
    beside = read(b'{"event":"call_started","call":{},"call_id":"call_2"}')
    assert isinstance(beside, Webhook) and beside.call_id == "call_2"


def test_times_of_words_and_the_token_to_join_are_left_out() -> None:
    words = [{"word": "Hi", "start": 0.1, "end": 0.2}]
    items = [{"role": "agent", "content": "Hi", "words": words}, {"role": "dtmf", "digit": "1"}]
    lean = [{"role": "agent", "content": "Hi"}, {"role": "dtmf", "digit": "1"}]
    made = told(
        "call_analyzed",
        {
            "call_id": "call_1",
            "access_token": "secret",
            "transcript_object": items,
            "scrubbed_transcript_object": items,
        },
        transcript_with_tool_calls=items,
        access_token="secret",
    )
    assert made.fact.call == {
        "call_id": "call_1",
        "transcript_object": lean,
        "scrubbed_transcript_object": lean,
        "transcript_with_tool_calls": lean,
    }


@pytest.mark.parametrize("odd", [None, "text", 5, [1, {"words": []}], {"words": 1}])
def test_a_transcript_that_is_none_is_kept_as_it_came(odd: Any) -> None:
    assert told("call_ended", {"call_id": "call_1", "transcript_object": odd}).fact.call["transcript_object"] == odd


def test_an_emoji_cut_in_two_costs_no_webhook() -> None:
    made = read(rb'{"event":"call_ended","call":{"call_id":"call_1","transcript":"Bye \ud83d"}}')
    assert isinstance(made, Webhook) and made.fact.call["transcript"] == "Bye \ufffd"


def test_numbers_that_could_not_be_written_again_are_made_smaller() -> None:
    call = {"call_id": "call_1", "metadata": {"a": 2**64, "b": -(2**63) - 1, "c": 10**400, "d": 2**63 - 1, "e": True}}
    kept = told("call_ended", call).fact.call["metadata"]
    assert kept == {"a": 2.0**64, "b": -(2.0**63), "c": None, "d": 2**63 - 1, "e": True}


def test_what_is_nested_too_deep_is_refused() -> None:
    deep = 60 * b"[" + 60 * b"]"
    assert isinstance(read(b'{"event":"call_ended","call":{"call_id":"call_1","metadata":%s}}' % deep), Webhook)
    for times in (70, 100_000):
        deep = times * b'{"a":' + b"1" + times * b"}"
        with pytest.raises(WireError):
            read(b'{"event":"call_ended","call":{"call_id":"call_1","metadata":%s}}' % deep)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"event":null}',
        b'{"event":5,"call":{"call_id":"call_1"}}',
        b'{"event":"","call":{"call_id":"call_1"}}',
        b'{"event":"call ended","call":{"call_id":"call_1"}}',
        b'{"event":"call_ended"}',
        b'{"event":"call_ended","call":[]}',
        b'{"event":"call_ended","call":{}}',
        b'{"event":"call_ended","call":{"call_id":null}}',
        b'{"event":"call_ended","call":{"call_id":"a b"}}',
        b'{"event":"call_ended","call":{"call_id":"' + b"x" * 129 + b'"}}',
        b'{"event":"call_ended","call":{"call_id":"call_1","x":"\xff"}}',
        b'{"event":"call_ended","call":{"call_id":"call_1"}',
    ],
)
def test_what_tells_of_no_event_is_refused_and_not_quoted(body: bytes) -> None:
    with pytest.raises(WireError) as refused:
        read(body)
    assert not re.search("call_1|a b|xxx", str(refused.value))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("call_id", "words", "role", "start_timestamp")) | st.text(max_size=3), inner)
    ),
    max_leaves=12,
)
_calls = st.fixed_dictionaries(
    {"call_id": st.just("call_1")},
    optional={"transcript_object": _json, "metadata": _json, "transfer_destination": _json, "start_timestamp": _json},
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from((*EVENTS, "later")) | _json,
        "call": _calls | _json,
        "data": _calls | _json,
        "transcript_with_tool_calls": _json,
    },
)


@given(st.binary(max_size=300) | _bodies.map(lambda body: json.dumps(body).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        made = read(body)
    except WireError:
        return
    if isinstance(made, Webhook):
        entry = Entry(id=made.id, call_id=made.call_id, epoch=0, seq=0, at=1.5, server="here", fact=made.fact)
        assert decode(encode(entry)) == entry
        assert len(made.id) < 300


# ---------------------------------------------------------------------------- again


@pytest.mark.parametrize("event", LIFE)
def test_a_step_of_a_calls_life_is_told_once(event: str) -> None:
    assert told(event, {"call_id": "call_1", "a": 1}).id == told(event, {"call_id": "call_1", "a": 2}).id
    assert told(event).id != told(event, {"call_id": "call_2"}).id


def test_events_of_a_call_differ_in_their_ids() -> None:
    assert len({told(event).id for event in set(EVENTS) - set(CHATS)}) == len(EVENTS) - len(CHATS)


@pytest.mark.parametrize("event", TRANSFERS)
def test_a_transfer_is_told_once_for_each_target(event: str) -> None:
    call = {"call_id": "call_1", "start_timestamp": 1_790_000_000_000}
    one = {"type": "predefined", "number": "+14155550100"}
    ids = {
        told(event, call, transfer_destination=one).id,
        told(event, {**call, "duration_ms": 5}, transfer_destination=dict(reversed(one.items()))).id,
        told(event, {**call, "transfer_destination": one}).id,
    }
    assert len(ids) == 1
    ids |= {
        told(event, call, transfer_destination={**one, "number": "+14155550101"}).id,
        told(event, {"call_id": "call_1", "start_timestamp": 1}, transfer_destination=one).id,
        told(event, call, transfer_destination=one, start_timestamp=2).id,
        told(event, {"call_id": "call_2", "start_timestamp": "odd"}, transfer_destination=one).id,
    }
    assert len(ids) == 5
    assert not any("14155550100" in made for made in ids)


def test_each_state_of_a_transcript_is_told_once() -> None:
    items = [{"role": "user", "content": "Hi"}]
    one, other = (told("transcript_updated", transcript_with_tool_calls=items[:number]) for number in (0, 1))
    assert one.id != other.id
    assert one.id == told("transcript_updated", transcript_with_tool_calls=[]).id
    assert msgspec.json.encode(one.fact) != msgspec.json.encode(other.fact)
