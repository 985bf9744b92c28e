"""A fact's row has its figures, fits its columns, and holds nothing that was said."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from retell_ws.consumers.analytics import FIGURES
from retell_ws.consumers.figure_rows import COLUMNS, row_of
from retell_ws.consumers.parts import Parts, connect
from retell_ws.entries import AnyFact, Entry, UnknownFact
from retell_ws.facts import CallEnded, Fact, SpeechGuarded, ToolFinished, TurnMeasured
from retell_ws.speech_facts import CallerSaid, CallTranscript, Line, WebhookReceived

SPEECH = "my card is 4111111111111111"


def entry(fact: AnyFact | UnknownFact, **how: Any) -> Entry:
    return Entry(
        **{"id": "e1", "call_id": "c1", "epoch": 7, "seq": 1, "at": 1.5e9, "server": "web-1", "fact": fact, **how}
    )


def test_a_row_has_the_entry_and_the_fields_of_its_fact() -> None:
    assert row_of(entry(CallEnded(3, 12.5))) == {
        "id": "e1",
        "call_id": "c1",
        "epoch": 7,
        "seq": 1,
        "at": 1.5e9,
        "server": "web-1",
        "fact": "call_ended",
        "turns": 3,
        "duration_s": 12.5,
    }


def test_what_never_happened_is_left_out() -> None:
    row = row_of(entry(TurnMeasured(2, "failed", first_token_s=0.25)))
    assert row is not None
    assert row["first_token_s"] == 0.25
    assert "first_sentence_s" not in row


def test_every_kind_of_fact_has_a_column_for_each_field() -> None:
    for kind in get_args(Fact):
        assert set(kind.__struct_fields__) <= set(COLUMNS), kind


def test_tuples_are_lists() -> None:
    row = row_of(entry(SpeechGuarded(2, ("markup", "link"))))
    assert row is not None
    assert row["kinds"] == ["markup", "link"]
    assert COLUMNS["kinds"] == "VARCHAR[]"


@pytest.mark.parametrize(
    "fact",
    [
        CallerSaid(2, "response", SPEECH),
        UnknownFact("mood_changed", {"fact": "mood_changed", "text": SPEECH}),
        WebhookReceived("transcript_updated", {"transcript": SPEECH}),
    ],
)
def test_speech_and_what_nobody_knows_has_no_row(fact: AnyFact | UnknownFact) -> None:
    assert row_of(entry(fact)) is None


def test_of_a_transcript_there_is_who_left_and_how_long_it_was() -> None:
    row = row_of(
        entry(
            CallTranscript((Line("user", SPEECH),), 9.5, 4, True, "phone_call", "inbound", "agent_1", "+1…00", "+1…01")
        )
    )
    assert row is not None
    assert {name: row[name] for name in row if name not in ("id", "call_id", "epoch", "seq", "at", "server")} == {
        "fact": "call_transcript",
        "duration_s": 9.5,
        "turns": 4,
        "agent_left": True,
        "call_type": "phone_call",
        "direction": "inbound",
        "agent_id": "agent_1",
    }


def test_of_a_webhook_there_are_its_own_words_and_its_figures() -> None:
    call = {
        "call_status": "ended",
        "disconnection_reason": "user_hangup",
        "duration_ms": 61_000,
        "from_number": "+14155550100",
        "transcript": SPEECH,
        "transcript_object": [{"content": SPEECH}],
        "metadata": {"note": SPEECH},
        "call_cost": {"combined_cost": 7.25, "product_costs": []},
        "call_analysis": {"call_summary": SPEECH, "user_sentiment": "Positive", "call_successful": True},
        "latency": {
            "llm": {"p50": 412, "p90": 800, "p95": 900.5, "p99": 1000, "num": 9, "values": [1, 2]},
            "e2e": {"p50": 1100},
        },
    }
    row = row_of(entry(WebhookReceived("call_analyzed", call)))
    assert row is not None
    assert row["event"] == "call_analyzed"
    assert row["disconnection_reason"] == "user_hangup"
    assert row["user_sentiment"] == "Positive"
    assert row["call_successful"] is True
    assert row["duration_ms"] == 61_000
    assert row["call_cost_cents"] == 7.25
    assert (row["llm_p50_ms"], row["llm_p95_ms"], row["llm_count"], row["e2e_p50_ms"]) == (412, 900.5, 9, 1100)
    assert b"4111" not in msgspec.json.encode(row)
    assert b"555" not in msgspec.json.encode(row)


@pytest.mark.parametrize(
    "call",
    [
        {"call_status": SPEECH, "disconnection_reason": [SPEECH], "agent_id": {"x": SPEECH}},
        {"latency": SPEECH, "call_cost": None, "call_analysis": [SPEECH]},
        {"latency": {"llm": {"p50": SPEECH, "p90": -1, "p95": True, "p99": 1e300}}},
        {"call_analysis": {"call_successful": SPEECH, "user_sentiment": 4, "in_voicemail": 1}},
        {"duration_ms": 10**40, "call_cost": {"combined_cost": -3}},
    ],
)
def test_whatever_stands_in_the_place_of_a_figure_is_left_out(call: dict[str, Any]) -> None:
    row = row_of(entry(WebhookReceived("call_ended", call)))
    assert row is not None
    assert set(row) == {"id", "call_id", "epoch", "seq", "at", "server", "fact", "event"}


def test_texts_are_short_and_counts_are_bounded() -> None:
    row = row_of(entry(ToolFinished("x" * 5000, "done", 0.5)))
    assert row is not None and len(row["tool"]) == 200
    row = row_of(entry(TurnMeasured(1, "finished", input_tokens=2**64 - 1, output_tokens=-(2**63))))
    assert row is not None and (row["input_tokens"], row["output_tokens"]) == (2**53, -(2**53))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_facts = st.one_of(
    *(st.from_type(kind) for kind in get_args(Fact)),
    st.builds(
        WebhookReceived,
        st.text(max_size=20),
        st.dictionaries(
            st.sampled_from(("call_status", "latency", "call_cost", "call_analysis", "duration_ms", "agent_id")), _json
        ),
    ),
)


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(_facts, max_size=8))
def test_any_fact_fits_its_columns(facts: list[AnyFact]) -> None:
    rows = [row for number, fact in enumerate(facts) if (row := row_of(entry(fact, id=f"e{number}")))]
    with Parts(MemoryStore(), FIGURES) as parts, closing(connect()) as db:
        parts.write({date(2026, 11, 28): rows})
        assert parts.read(db, "found") == len(rows)
        found = db.execute("SELECT id, fact FROM found ORDER BY ALL").fetchall()
        assert found == sorted((row["id"], row["fact"]) for row in rows)
