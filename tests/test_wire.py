"""Retell's messages: what is read, what is tolerated, and what is refused."""

from __future__ import annotations

import json  # not msgspec: writes lone surrogates as JavaScript does
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from retell_ws.errors import WireError
from retell_ws.transcript import (
    TranscriptItem,
    Utterance,
    Word,
    decode_transcript,
    decode_transcript_items,
)
from retell_ws.wire import (
    CallDetails,
    CallInfo,
    Inbound,
    PingPong,
    ReminderRequired,
    ResponseRequired,
    UnknownKind,
    UpdateOnly,
    decode,
)

EXAMPLES = Path(__file__).parent / "wire"
CANARY = "canary"
DEEP = b"[" * 100_000 + b"]" * 100_000


def example(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def bare(data: bytes | Raw) -> Any:
    return msgspec.json.decode(data)


# ---------------------------------------------------------------------------- Retell → server


def test_a_ping_carries_retells_clock() -> None:
    assert decode(example("in_ping_pong")) == PingPong(timestamp=1795000000250)


def test_call_details_tell_who_is_calling() -> None:
    assert decode(example("in_call_details")) == CallDetails(
        call=CallInfo(
            call_id="call_7c31e0aa94d25b6f8810c3de245",
            call_type="phone_call",
            agent_id="agent_5b1d",
            agent_version=12,
            agent_name="Night desk",
            call_status="registered",
            direction="inbound",
            from_number="+15035550142",
            to_number="+15035550100",
            metadata={"booking": "B-4471", "nights": 2},
            retell_llm_dynamic_variables={"guest_name": "Noor", "room": "214"},
            custom_sip_headers={"X-Desk": "north"},
            start_timestamp=1795000000000,
            opt_out_sensitive_data_storage=False,
        )
    )


def test_details_of_a_web_call_name_no_numbers() -> None:
    message = decode(example("odd_web_call_details"))
    assert message == CallDetails(
        call=CallInfo(call_id="Vx9-anything_OPAQUE", call_type="web_call", agent_id="agent_5b1d")
    )


def test_nulls_in_call_details_count_as_absent() -> None:
    assert decode(example("odd_null_fields")) == CallDetails(call=CallInfo(call_id="call_7c31e0aa94d25b6f8810c3de245"))


def test_an_update_says_whose_turn_it_is_and_keeps_its_transcript_raw() -> None:
    message = decode(example("in_update_only"))
    assert isinstance(message, UpdateOnly)
    assert message.turntaking == "user_turn"
    assert bare(message.transcript) == bare(example("in_update_only"))["transcript"]
    assert bare(message.transcript_with_tool_calls) == bare(example("in_update_only"))["transcript_with_tool_calls"]


@pytest.mark.parametrize(
    ("name", "kind", "response_id"),
    [("in_response_required", ResponseRequired, 3), ("in_reminder_required", ReminderRequired, 4)],
)
def test_a_request_carries_its_id_and_both_transcripts_raw(
    name: str, kind: type[ResponseRequired | ReminderRequired], response_id: int
) -> None:
    message = decode(example(name))
    assert isinstance(message, kind)
    assert message.response_id == response_id
    assert bare(message.transcript) == bare(example(name))["transcript"]
    assert bare(message.transcript_with_tool_calls) == bare(example(name))["transcript_with_tool_calls"]


@pytest.mark.parametrize(
    "odd",
    [b'"agent_version":"3"', b'"metadata":[]', b'"metadata":{"a":"\xff"}', b'"metadata":{"a":' + b"9" * 5000 + b"}"],
)
def test_an_odd_detail_of_the_call_costs_only_itself(odd: bytes) -> None:
    message = decode(b'{"interaction_type":"call_details","call":{"call_id":"a","from_number":"+1415",' + odd + b"}}")
    assert message == CallDetails(call=CallInfo(call_id="a", from_number="+1415"))


def test_a_transcript_becomes_utterances_and_whole_items() -> None:
    message = decode(example("in_update_only"))
    assert isinstance(message, UpdateOnly)
    utterances, complete = decode_transcript(message.transcript)
    assert complete
    assert utterances == (
        Utterance("agent", "Lakeside Inn, good evening. "),
        Utterance("user", "Hello, do you"),
    )
    (agent, user), complete = decode_transcript_items(message.transcript)
    assert complete
    assert (agent.metadata, user.metadata) == ({"response_id": 0}, None)
    assert msgspec.json.decode(agent.words, type=list[Word]) == [
        Word(word="Lakeside ", start=0.3, end=0.74),
        Word(word="Inn, ", start=0.74, end=1.02),
    ]


def test_unknown_fields_are_ignored_at_every_level() -> None:
    message = decode(example("odd_unknown_fields"))
    assert isinstance(message, ResponseRequired)
    assert message.response_id == 5
    utterances, complete = decode_transcript(message.transcript)
    assert complete
    assert [(one.role, one.content) for one in utterances] == [("user", "Is it quiet?")]


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(decode(example(name))) for name in INBOUND_EXAMPLES} == {*Inbound.__args__, UnknownKind}


def test_a_message_of_an_unknown_kind_is_told_apart_from_rubbish() -> None:
    assert decode(example("odd_unknown_kind")) == UnknownKind()


def test_null_and_absent_transcripts_are_empty_transcripts() -> None:
    nulls, absent = decode(example("odd_null_transcripts")), decode(example("odd_no_transcripts"))
    assert isinstance(nulls, UpdateOnly) and isinstance(absent, ResponseRequired)
    assert nulls.turntaking is None
    for message in (nulls, absent):
        assert decode_transcript(message.transcript) == ((), True)
        assert decode_transcript_items(message.transcript_with_tool_calls) == ((), True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"response_required"',
        b"{}",
        b'{"interaction_type":null}',
        b'{"interaction_type":7}',
        b'{"interaction_type":"ping_pong","timestamp":1}x',
        b'{"interaction_type":"ping_pong","timestamp":1',
        b'{"interaction_type":"ping_pong"}',
        b'{"interaction_type":"ping_pong","timestamp":"1"}',
        b'{"interaction_type":"ping_pong","timestamp":1.5}',
        b'{"interaction_type":"ping_pong","timestamp":true}',
        b'{"interaction_type":"ping_pong","timestamp":null}',
        b'{"interaction_type":"ping_pong","timestamp":' + b"9" * 5000 + b"}",
        b'{"interaction_type":"response_required"}',
        b'{"interaction_type":"response_required","response_id":"1"}',
        b'{"interaction_type":"response_required","response_id":false}',
        b'{"interaction_type":"response_required","response_id":null}',
        b'{"interaction_type":"response_required","response_id":1.0}',
        b'{"interaction_type":"response_required","response_id":-1}',
        b'{"interaction_type":"reminder_required","response_id":9007199254740993}',
        b'{"interaction_type":"call_details"}',
        b'{"interaction_type":"call_details","call":null}',
        b'{"interaction_type":"call_details","call":{}}',
        b'{"interaction_type":"call_details","call":{"call_id":7}}',
        b'{"interaction_type":"update_only","turntaking":["user_turn"]}',
        b"\xff\xfe\x00",
        b'\xef\xbb\xbf{"interaction_type":"ping_pong","timestamp":1}',
        b'{"interaction_type":"\xff"}',
        b'{"interaction_type":"call_details","call":{"call_id":"\xff"}}',
        b'{"interaction_type":"call_details","call":{"call_id":"\\q"}}',
    ],
)
def test_what_is_no_message_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        DEEP,
        b'{"a":' * 100_000,
        b'{"interaction_type":"response_required","response_id":1,"transcript":' + DEEP + b"}",
        b'{"interaction_type":"response_required","response_id":1,"transcript_with_tool_calls":' + DEEP + b"}",
        b'{"interaction_type":"response_required","response_id":1,"unknown":' + DEEP + b"}",
        b'{"interaction_type":"call_details","call":{"call_id":"a","metadata":{"a":' + DEEP + b"}}}",
        b'{"interaction_type":"call_details","call":{"call_id":"a","unknown":' + DEEP + b"}}",
        b'{"interaction_type":"hum","unknown":' + DEEP + b"}",
        b'{"unknown":' + DEEP + b',"interaction_type":"hum"}',
    ],
    ids=range(9),
)
def test_deep_json_is_a_wire_error_wherever_it_sits(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_wire_error_names_the_kind_and_the_place() -> None:
    with pytest.raises(WireError, match=r"^call_details: .*`\$\.call\.call_id`$"):
        decode(b'{"interaction_type":"call_details","call":{"call_id":7}}')
    with pytest.raises(WireError, match=r"^update_only: "):
        decode(b'{"interaction_type":"update_only","transcript":[],"turntaking":"\xff"}')


@pytest.mark.parametrize(
    "data",
    [
        CANARY.encode(),
        b'"canary"',
        b'{"interaction_type":["canary"]}',
        b'{"interaction_type":"canary - at canary","x":\xff}',
        b'{"interaction_type":"ping_pong","timestamp":"canary"}',
        b'{"interaction_type":"ping_pong","timestamp":"canary - at canary"}',
        b'{"interaction_type":"ping_pong","timestamp":canary}',
        b'{"interaction_type":"hum","interaction_type":"ping_pong","timestamp":1,"canary":"canary"}',
        b'{"interaction_type":"canary","interaction_type":"ping_pong","timestamp":1}',
        b'{"interaction_type":"call_details","call":{"call_id":["canary"]}}',
        b'{"interaction_type":"response_required","response_id":1,"transcript":[{"content":"canary"',
        b'{"interaction_type":"response_required","response_id":"canary","transcript":[{"content":"canary"}]}',
        b'{"interaction_type":"update_only","turntaking":{"canary":"canary"}}',
    ],
)
def test_a_wire_error_never_quotes_what_came(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(data)
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__, "a logged traceback would show msgspec's own sentence"


def test_half_an_emoji_costs_no_word_of_the_caller() -> None:
    message = decode(example("odd_cut_emoji"))
    assert isinstance(message, ResponseRequired)
    (utterance,), complete = decode_transcript(message.transcript)
    assert utterance.content == "Great 😀 thanks \ufffd"
    assert complete


def test_half_an_emoji_in_the_call_details_is_mended_and_whole_ones_are_kept() -> None:
    data = (
        rb'{"interaction_type":"call_details","call":{"call_id":"a","agent_name":'
        rb'"\udc00\ud83d\ude00\uD83D \\ud83d \\\\ud83d \\\ud83d"}}'
    )
    message = decode(data)
    assert isinstance(message, CallDetails)
    assert message.call.agent_name == "\ufffd😀\ufffd \\ud83d \\\\ud83d \\\ufffd"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
INBOUND_EXAMPLES = sorted(path.stem for path in EXAMPLES.glob("*.json") if not path.stem.startswith("out_"))


def reads_or_refuses(data: bytes) -> None:
    """Any exception but WireError fails the test that calls this."""
    try:
        message = decode(data)
    except WireError:
        return
    assert isinstance(message, Inbound | UnknownKind)
    if isinstance(message, UpdateOnly | ResponseRequired | ReminderRequired):
        utterances, _ = decode_transcript(message.transcript)
        assert all(isinstance(one, Utterance) for one in utterances)
        items, _ = decode_transcript_items(message.transcript_with_tool_calls)
        assert all(isinstance(one, TranscriptItem) for one in items)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_wire_error(data: bytes) -> None:
    reads_or_refuses(data)


@given(json_values)
def test_any_json_gives_a_message_or_a_wire_error(value: Any) -> None:
    reads_or_refuses(written(value))


@given(st.data())
def test_an_example_with_anything_in_any_field_gives_a_message_or_a_wire_error(data: st.DataObject) -> None:
    message = json.loads(example(data.draw(st.sampled_from(INBOUND_EXAMPLES))))
    place: Any = message
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(json_values)
    reads_or_refuses(written(message))


@given(st.sampled_from(INBOUND_EXAMPLES), st.integers(0, 2000), st.binary(max_size=3))
def test_an_example_with_a_few_bytes_changed_gives_a_message_or_a_wire_error(name: str, at: int, put: bytes) -> None:
    data = example(name)
    at %= len(data)
    reads_or_refuses(data[:at] + put + data[at + 2 :])


# ---------------------------------------------------------------------------- transcripts


def test_one_odd_utterance_is_left_out_among_good_ones() -> None:
    raw = Raw(
        b'[{"role":"agent","content":"Hello. "},{"role":"user","content":5},{"content":"no role"},null,7,'
        b'{"role":"user","content":null},{"role":"user"},{"role":"user","content":"Bye."}]'
    )
    utterances, complete = decode_transcript(raw)
    assert not complete
    assert [(one.role, one.content) for one in utterances] == [
        ("agent", "Hello. "),
        ("user", None),
        ("user", ""),
        ("user", "Bye."),
    ]


@pytest.mark.parametrize("data", [b"{}", b"7", b'"Hello."', b"", b"[", b"[1,", DEEP], ids=range(7))
def test_a_transcript_that_is_no_list_reads_as_empty_and_incomplete(data: bytes) -> None:
    assert decode_transcript(Raw(data)) == ((), False)
    assert decode_transcript_items(Raw(data)) == ((), False)


def test_deep_json_in_one_utterance_costs_no_other_exception() -> None:
    raw = Raw(b'[{"role":"user","content":"Hi."},{"role":"user","metadata":{"a":' + DEEP + b"}}]")
    assert decode_transcript(raw)[1] is False
    assert decode_transcript_items(raw)[1] is False


def test_every_role_of_the_tool_transcript_is_read() -> None:
    message = decode(example("odd_every_role"))
    assert isinstance(message, ResponseRequired)
    items, complete = decode_transcript_items(message.transcript_with_tool_calls)
    assert complete
    user, agent, invocation, result, dtmf, injected, sms, unknown, target = items
    assert (user.role, user.content) == ("user", "A room for two nights, please.")
    assert bare(user.words) == [{"word": "A", "start": 5.0, "end": 5.1}]
    assert (agent.role, agent.content, agent.metadata) == ("agent", "One moment. ", {"response_id": 8})
    assert invocation == TranscriptItem(
        role="tool_call_invocation",
        tool_call_id="tc_b81",
        name="find_room",
        arguments='{"nights":2}',
        thought_signature="c2ln",
    )
    assert result == TranscriptItem(
        role="tool_call_result", tool_call_id="tc_b81", content='{"room":214}', successful=True
    )
    assert dtmf == TranscriptItem(role="dtmf", digit="#")
    assert injected == TranscriptItem(role="injected", content="The guest is a member.", time_sec=31.5)
    assert sms == TranscriptItem(
        role="sms",
        content="Here is my passport.",
        time_sec=40.0,
        multimedia=[{"url": "https://example.com/p.jpg", "summary": "a passport"}],
    )
    assert unknown == TranscriptItem(role="node_transition")
    assert (target.role, target.content) == ("transfer_target", "Night manager speaking.")


def test_one_odd_item_is_left_out_among_good_ones() -> None:
    items, complete = decode_transcript_items(Raw(b'[{"role":"dtmf","digit":1},{"role":"dtmf","digit":"2"}]'))
    assert items == (TranscriptItem(role="dtmf", digit="2"),)
    assert not complete
