"""Entries: read back as they were written, by this version, an older and a newer one."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws import speech_facts
from retell_ws.entries import KINDS, VERSION, AnyFact, Chronicle, Entry, UnknownFact, Weight, decode, encode, weight_of
from retell_ws.errors import WireError
from retell_ws.facts import CallEnded, CallStarted, Fact, ToolFinished, TurnMeasured, TurnStarted
from retell_ws.speech_facts import CallerSaid, CallTranscript, SpeechFact, WebhookReceived

from .made_entries import any_entry, filled

ENTRY = Entry(
    id="call_1:5:3",
    call_id="call_1",
    epoch=5,
    seq=3,
    at=1_790_000_000.5,
    server="here",
    fact=TurnStarted(response_id=2, kind="response"),
)
JSON = (
    b'{"id":"call_1:5:3","call_id":"call_1","epoch":5,"seq":3,"at":1790000000.5,"server":"here",'
    b'"fact":{"fact":"turn_started","response_id":2,"kind":"response"},"v":1}'
)


def test_an_entry_is_written_so() -> None:
    assert encode(ENTRY) == JSON
    assert decode(JSON) == ENTRY
    assert ENTRY.kind == "turn_started" and ENTRY.v == VERSION


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_entry_is_read_as_it_was_written(kind: str, data: st.DataObject) -> None:
    entry = data.draw(any_entry(kind))
    written = encode(entry)
    assert decode(written) == entry
    assert encode(decode(written)) == written
    assert entry.kind == kind


@given(any_entry("call_hummed"))
def test_a_fact_of_a_later_version_is_passed_on_whole(entry: Entry) -> None:
    read = decode(encode(entry))
    assert read == entry and read.kind == "call_hummed"
    assert weight_of(read.fact) is Weight.EVENT
    assert encode(read) == encode(entry)


def test_fields_of_a_later_version_are_passed_over() -> None:
    later: dict[str, Any] = msgspec.json.decode(JSON)
    later |= {"v": 2, "region": {"name": "eu"}}
    later["fact"]["mood"] = ["good"]
    assert decode(msgspec.json.encode(later)) == msgspec.structs.replace(ENTRY, v=2)
    unknown = {**later, "fact": {"fact": "call_hummed", "tune": {"notes": [1, 2.5, None]}}}
    assert decode(msgspec.json.encode(unknown)).fact == UnknownFact("call_hummed", unknown["fact"])
    assert msgspec.json.decode(encode(decode(msgspec.json.encode(unknown))))["fact"] == unknown["fact"]


def test_what_an_older_version_left_out_has_its_default() -> None:
    older: dict[str, Any] = msgspec.json.decode(JSON)
    del older["v"]
    older["fact"] = {"fact": "turn_measured", "response_id": 2, "outcome": "finished"}
    assert decode(msgspec.json.encode(older)).fact == TurnMeasured(response_id=2, outcome="finished")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        JSON[:-1],
        JSON.replace(b'"seq":3', b'"seq":"My card"'),
        JSON.replace(b'"epoch":5,', b""),
        JSON.replace(b'{"fact":"turn_started",', b"{"),
        JSON.replace(b'"turn_started"', b"4111"),
        JSON.replace(b'"kind":"response"', b'"kind":"My card is 4111"'),
        JSON.replace(b'"fact":{', b'"fact":[{').replace(b'},"v"', b'}],"v"'),
        JSON.replace(b"turn_started", b"\xff"),
        JSON.replace(b"turn_started", b"turn_hummed").replace(b'"response"', b'"\xff"'),
    ],
)
def test_what_is_no_entry_is_refused_and_not_quoted(data: bytes) -> None:
    with pytest.raises(WireError) as refused:
        decode(data)
    assert str(refused.value) == "no entry of a fact"


@given(st.binary(max_size=200) | st.integers(0, len(JSON)).map(lambda cut: JSON[:cut] + b"}" + JSON[cut:]))
def test_any_bytes_are_an_entry_or_none(data: bytes) -> None:
    try:
        read = decode(data)
    except WireError:
        return
    assert decode(encode(read)) == read


# ---------------------------------------------------------------------------- kinds


def test_every_fact_has_a_name_of_its_own() -> None:
    kinds = (*get_args(Fact), *get_args(SpeechFact))
    assert len(KINDS) == len(kinds) and set(KINDS.values()) == set(kinds)
    public = {value for name, value in vars(speech_facts).items() if name in speech_facts.__all__}
    assert (
        {*get_args(SpeechFact)}
        == {kind for kind in public if kind in kinds}
        == {
            CallerSaid,
            CallTranscript,
            WebhookReceived,
        }
    )
    for name, kind in KINDS.items():
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
        assert name == words.removeprefix("_")


KEPT = {"call_started", "call_ended", "call_transcript", "webhook_received", "escalated"}
METRICS = {
    *("turn_measured", "turn_reasked", "speculation_started", "speculation_adopted", "speculation_dropped"),
    *("speech_guarded", "duplicate_request", "bad_message", "unknown_message"),
}


def test_without_room_figures_go_first_and_calls_never() -> None:
    weights = {name: weight_of(filled(kind).fact) for name, kind in KINDS.items()}
    assert {name for name, weight in weights.items() if weight is Weight.KEPT} == KEPT
    assert {name for name, weight in weights.items() if weight is Weight.METRIC} == METRICS
    assert Weight.METRIC < Weight.EVENT < Weight.KEPT
    assert weight_of(WebhookReceived("transcript_updated", {})) is Weight.EVENT
    assert weight_of(WebhookReceived("call_analyzed", {})) is Weight.KEPT


def test_speech_is_not_written_where_there_is_none() -> None:
    assert msgspec.json.encode(CallTranscript((), 1.5, 0)) == (
        b'{"fact":"call_transcript","lines":[],"duration_s":1.5,"turns":0}'
    )
    assert msgspec.json.encode(CallerSaid(3, "reminder")) == (
        b'{"fact":"caller_said","response_id":3,"kind":"reminder"}'
    )


# ---------------------------------------------------------------------------- order


def test_a_chronicle_numbers_the_facts_of_one_call() -> None:
    told: list[tuple[str, int, int, AnyFact]] = []

    def take(*put: Any) -> None:
        told.append(put)

    one, other = Chronicle("call_1", 5, take), Chronicle("call_2", 6, take)
    facts = CallStarted(), CallEnded(turns=0, duration_s=0.5)
    one(facts[0])
    other(facts[0])
    one(facts[1])
    assert told == [("call_1", 5, 1, facts[0]), ("call_2", 6, 1, facts[0]), ("call_1", 5, 2, facts[1])]


@pytest.mark.parametrize(("version", "is_read"), [(VERSION, False), (VERSION + 1, True)])
def test_a_known_kind_with_a_word_of_a_later_version_is_read_as_unknown(version: int, *, is_read: bool) -> None:
    entry = Entry(id="1", call_id="c", epoch=1, seq=1, at=1.0, server="s", fact=ToolFinished("book", "done", 0.5))
    data = encode(entry).replace(b'"done"', b'"postponed"').replace(b'"v":%d' % VERSION, b'"v":%d' % version)
    if not is_read:
        with pytest.raises(WireError):
            decode(data)
        return
    found = decode(data)
    assert found.kind == "tool_finished"
    assert isinstance(found.fact, UnknownFact) and found.fact.fields["outcome"] == "postponed"
    assert decode(encode(found)) == found
