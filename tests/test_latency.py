"""Retell's figures of a call beside our own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from retell_ws.facts import TurnMeasured
from retell_ws.latency import OWNERS, Part, Spread, first_sentences_ms, parts, reported, spread_of

from .made_entries import json_values

FIGURES = {"p50": 800, "p90": 900, "p95": 950, "p99": 990.5, "min": 100, "max": 1000, "num": 2, "values": [700, 900]}


def measured(response_id: int, first_sentence_s: float | None, queued_s: float | None = None) -> TurnMeasured:
    return TurnMeasured(
        response_id=response_id, outcome="finished", first_sentence_s=first_sentence_s, queued_s=queued_s
    )


def test_a_spread_is_of_times_that_were_measured() -> None:
    spread = spread_of(float(value) for value in range(100, 0, -1))
    assert spread == Spread(p50=50, p90=90, p95=95, p99=99, min=1, max=100, mean=50.5, num=100)
    assert spread_of([7.0]) == Spread(p50=7, p90=7, p95=7, p99=7, min=7, max=7, mean=7, num=1)
    assert spread_of([]) == Spread()


def test_our_time_is_from_the_arrival_of_a_request_to_its_first_sentence() -> None:
    turns = [measured(0, 0.001), measured(1, 0.25, 0.001), measured(2, None), measured(3, 0.5)]
    assert first_sentences_ms(turns) == [251.0, 500.0]


def test_retells_figures_are_read() -> None:
    assert reported({"latency": {"llm": FIGURES, "later": {"p50": 5}}}) == {
        "llm": Spread(p50=800, p90=900, p95=950, p99=990.5, min=100, max=1000, mean=800, num=2),
        "later": Spread(p50=5),
    }
    assert reported({"latency": {"llm": {"values": [1, 2, 3]}}})["llm"] == spread_of([1, 2, 3])


@pytest.mark.parametrize(
    "odd", [None, 5, "p50", [], {}, {"p50": None}, {"p50": -1, "num": -1}, {"p50": "9"}, {"p50": True}]
)
def test_figures_that_are_none_are_left_out(odd: Any) -> None:
    assert reported({"latency": {"llm": odd}}) == {}
    assert reported({"latency": odd}) == {}
    assert reported({}) == {}
    assert reported({"latency": {"llm": {"values": [None, "x", 5, True]}}})["llm"] == spread_of([5])
    assert reported({"latency": {"llm": {"values": "555", "p50": 1}}})["llm"] == Spread(p50=1)


@given(json_values)
def test_any_call_object_is_read(latency: Any) -> None:
    assert all(isinstance(part, Part) for part in parts(reported({"latency": latency}), Spread()))


def test_whose_milliseconds_they_are() -> None:
    retell = {
        "e2e": Spread(p50=1500, p99=3000, mean=1600, num=4),
        "asr": Spread(p50=150, mean=160, num=4),
        "llm": Spread(p50=700, p99=1500, mean=760, num=4),
        "llm_websocket_network_rtt": Spread(p50=60, mean=70, num=9),
        "tts": Spread(p50=250, mean=240, num=4),
        "knowledge_base": Spread(p50=1, num=4),
    }
    ours = Spread(p50=600, p99=1400, mean=650, num=4)
    table = parts(retell, ours)
    assert [(part.name, part.owner) for part in table] == list(OWNERS.items())
    assert {part.name: (part.spread.p50, part.spread.mean) for part in table} == {
        "e2e": (1500, 1600),
        "asr": (150, 160),
        "llm": (700, 760),
        "llm_websocket_network_rtt": (60, 70),
        "ours": (600, 650),
        "llm_rest": (40, 40),
        "tts": (250, 240),
        "e2e_rest": (400, 440),
    }
    assert all(part.spread.p99 is None for part in table if part.name.endswith("_rest"))


def test_without_figures_of_the_network_it_is_in_the_rest() -> None:
    assert parts({"llm_websocket_network_rtt": Spread(p50=60)}, Spread())[0].spread.p50 == 60
    table = {part.name: part.spread for part in parts({"llm": Spread(p50=700, num=3)}, Spread(p50=600, num=3))}
    assert table == {
        "llm": Spread(p50=700, num=3),
        "ours": Spread(p50=600, num=3),
        "llm_rest": Spread(p50=100, num=3),
    }


def test_what_is_not_known_is_not_made_up() -> None:
    assert parts({}, Spread()) == ()
    assert [part.name for part in parts({}, spread_of([5.0]))] == ["ours"]
    assert [part.name for part in parts({"e2e": Spread(p50=9), "asr": Spread(p50=1)}, Spread())] == ["e2e", "asr"]


def test_nothing_is_left_when_we_took_longer_than_retell_saw() -> None:
    table = {part.name: part.spread for part in parts({"llm": Spread(p50=500, num=1)}, Spread(p50=510, num=1))}
    assert table["llm_rest"].p50 == 0
