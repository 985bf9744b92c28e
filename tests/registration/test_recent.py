"""A call as one row: its times by owner, and nothing that was said."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retell.types.call_list_params import FilterCriteria

from retell_ws.registration.recent import Row, Split, filters, lacks_latency, row_of

CALL: dict[str, Any] = {
    "call_id": "call_1",
    "call_type": "web_call",
    "agent_id": "agent_1",
    "agent_version": 2,
    "call_status": "ended",
    "disconnection_reason": "user_hangup",
    "start_timestamp": 1_790_000_000_000,
    "duration_ms": 61_000,
    "transcript": "Agent: canary",
    "latency": {
        "e2e": {"p50": 900, "p95": 1400},
        "asr": {"p50": 120},
        "tts": {"p50": 200},
        "llm": {"p50": 500},
        "llm_websocket_network_rtt": {"p50": 40},
    },
}


def split(**latency: Any) -> Split:
    return row_of(CALL | {"latency": {name: {"p50": value} for name, value in latency.items()}}).split


def test_a_call_is_one_row_without_what_was_said() -> None:
    row = row_of(CALL)
    assert row == Row(
        call_id="call_1",
        agent_id="agent_1",
        agent_version=2,
        call_type="web_call",
        status="ended",
        started_ms=1_790_000_000_000,
        duration_ms=61_000,
        disconnection_reason="user_hangup",
        ended="the caller hung up",
        check="",
        is_ours=False,
        split=Split(e2e_p50=900, e2e_p95=1400, retell=400, network=40, ours=460),
    )
    assert b"canary" not in msgspec.json.encode(row)


def test_the_split_is_made_of_what_is_known() -> None:
    assert split(e2e=900, llm=500) == Split(e2e_p50=900, retell=400, ours=500, has_network=True)
    assert split(e2e=900) == Split(e2e_p50=900)
    assert split(asr=120, tts=200) == Split(retell=320)
    assert split(asr=120, llm=500, llm_websocket_network_rtt=40) == Split(retell=120, network=40, ours=460)
    assert split(llm_websocket_network_rtt=40) == Split(network=40)
    assert split() == row_of({"latency": "odd"}).split == Split()


def test_nothing_lasts_less_than_no_time() -> None:
    assert split(e2e=400, llm=500, llm_websocket_network_rtt=600) == Split(e2e_p50=400, retell=0, network=600, ours=0)


@given(
    st.dictionaries(
        st.sampled_from([*CALL, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
    )
)
def test_any_object_is_a_row(call: dict[str, Any]) -> None:
    row = row_of(call)
    assert row.ended and row.call_id
    assert lacks_latency(call) in (True, False)


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({}, False),
        ({"latency": None}, True),
        ({"latency": {}}, True),
        ({"latency": None, "call_status": "error"}, True),
        ({"latency": None, "call_status": "ongoing"}, False),
        ({"latency": None, "call_status": "not_connected"}, False),
        ({"latency": None, "duration_ms": 0}, False),
        ({"latency": None, "duration_ms": None}, False),
    ],
)
def test_figures_are_asked_for_only_where_there_may_be_some(fields: dict[str, Any], lacks: bool) -> None:
    assert lacks_latency(CALL | fields) == lacks


def test_filters_are_in_the_words_of_retells_client() -> None:
    assert filters() == {}
    made = filters(since_ms=1000.0, agent_id="agent_1", failed=True)
    assert made == {
        "agent": [{"agent_id": "agent_1"}],
        "start_timestamp": {"type": "number", "op": "ge", "value": 1000.0},
        "call_status": {"type": "enum", "op": "in", "value": ["error"]},
    }
    assert set(made) <= set(get_type_hints(FilterCriteria))
