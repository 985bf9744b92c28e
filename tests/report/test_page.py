"""The page of a report: well-formed, asking nothing of anybody, and telling what the figures are."""

from __future__ import annotations

import re

import msgspec
import pytest

from retell_ws.facts import CallEnded, Escalated, ToolFinished, TurnFailed, TurnMeasured
from retell_ws.report.figures import (
    Bucket,
    CallFigures,
    Count,
    Figures,
    ModelUse,
    Source,
    Stage,
    Times,
    TurnFigures,
    Whose,
)
from retell_ws.report.page import page
from retell_ws.speech_facts import CallTranscript

from .markup import parse
from .synthetic import entries
from .test_questions import NOON, SINCE, UNTIL, asked, figures, tell, turn

EVIL = "<script>alert(1)</script>\"'&<!--"

BARE = Figures(since=SINCE, until=UNTIL, budget_ms=300, bucket_s=60)


@pytest.fixture(scope="module")
def full() -> Figures:
    found = asked(list(entries(3, 80, start=NOON - 86_400)), NOON - 86_400, NOON)
    assert found is not None
    return found


def test_a_page_is_well_formed_and_asks_nothing_of_anybody(full: Figures) -> None:
    text = page(full, written=NOON)
    read = parse(text)
    assert text.startswith("<!doctype html>")
    for word in ("http:", "https:", "//", "url(", "@import", "<script", "javascript"):
        assert word not in text.replace("</", "<"), word
    assert [one["charset"] for tag, one in read.tags if tag == "meta" and "charset" in one] == ["utf-8"]


def test_a_page_tells_its_figures(full: Figures) -> None:
    text = parse(page(full, written=NOON)).text.replace("\u202f", "")
    for figure in (full.turns.count, full.calls.count, full.turns.barge_ins, full.prompt_cache.read_tokens):
        assert str(figure) in text
    for tool in full.tools:
        assert tool.tool in text
    for slow in full.slowest_turns:
        assert slow.call_id in text
    assert "2026-11-28 12:00 UTC" in text


def test_each_bucket_tells_its_figures_where_it_is_pointed_at(full: Figures) -> None:
    titles = [title.replace("\u202f", " ") for title in parse(page(full, written=NOON)).titles]
    for bucket in full.over_time:
        assert any(f"{bucket.turns} turns in {bucket.calls} calls" in title for title in titles)


def test_a_page_without_figures_says_so() -> None:
    read = parse(page(BARE, written=NOON))
    assert read.text.count("No data.") >= 8
    assert "No webhook has told" in read.text
    assert "Nothing of the kind." in read.text
    assert not [one for tag, one in read.tags if tag == "svg"]


def test_whatever_comes_from_a_call_is_text() -> None:
    told = [
        *tell(
            ToolFinished(EVIL, "done", 0.1),
            TurnFailed(1, EVIL, 1.0),
            turn(1, 0.5, model=EVIL, cache_miss=EVIL, output_tokens=5),
            Escalated(EVIL, "say", "done", 0.1),
            CallEnded(1, 2.0),
            CallTranscript((), 2.0, 1),
            call_id=EVIL,
        )
    ]
    text = page(figures(told), written=NOON)
    assert "<script>alert" not in text
    assert parse(text).text.count(EVIL) >= 6


def test_outcomes_nobody_knows_are_shown_too() -> None:
    full = figures(tell(ToolFinished("book", "done", 0.1)))
    tool = msgspec.structs.replace(full.tools[0], outcomes=[Count(what="melted", count=1)])
    assert "melted" in parse(page(msgspec.structs.replace(full, tools=[tool]), written=NOON)).text


def test_outcomes_have_the_same_order_in_each_row() -> None:
    often = [*tell(*[ToolFinished("a", "failed", 0.1)] * 3, ToolFinished("a", "done", 0.1))]
    seldom = [*tell(*[ToolFinished("b", "done", 0.1)] * 3, ToolFinished("b", "failed", 0.1))]
    full = [msgspec.structs.replace(BARE, tools=figures(told).tools) for told in (often, seldom)]
    told = [page(one, written=NOON) for one in full]
    assert all(one.index("<title>done: ") < one.index("<title>failed: ") for one in told)


def test_retell_s_milliseconds_are_shown_as_far_as_it_told_them() -> None:
    def shown(whose: Whose) -> str:
        return parse(page(msgspec.structs.replace(BARE, whose=whose), written=NOON)).text.replace("\u202f", " ")

    both = shown(Whose(calls=2, e2e_ms=1200, llm_ms=500, network_ms=40, ours_ms=300, asr_ms=100, tts_ms=200))
    assert "more that Retell waited for usRetell160 ms" in both
    assert "the rest, such as turn-takingRetell400 ms" in both
    assert "caller stops → agent starts1.20 s" in both
    only = shown(Whose(calls=1, llm_ms=500, ours_ms=300))
    assert "caller stops" not in only and "our first sentenceours300 ms" in only
    ahead = shown(Whose(calls=1, llm_ms=100, ours_ms=300))
    assert "more that Retell" not in ahead


def test_models_without_a_price_are_shown_as_such() -> None:
    priced = ModelUse(
        model="a", turns=1, input_tokens=1, output_tokens=1, cache_read_tokens=0, cache_write_tokens=0, usd=0.5
    )
    unpriced = msgspec.structs.replace(priced, model="", usd=None)
    both = msgspec.structs.replace(BARE, models=[priced, unpriced], usd=0.5, unpriced=[""])
    text = parse(page(both, written=NOON)).text
    assert "no price" in text and "unknown" in text and "not all of them priced" in text and "together" in text


def test_what_a_call_cost_is_told_when_there_is_a_price() -> None:
    one = ModelUse(
        model="a", turns=1, input_tokens=1, output_tokens=1, cache_read_tokens=0, cache_write_tokens=0, usd=5
    )
    told = msgspec.structs.replace(BARE, calls=CallFigures(count=2), models=[one], usd=5.0)
    assert "$2.50 a call." in parse(page(told, written=NOON)).text


def test_what_nobody_knows_the_price_of_did_not_cost_nothing() -> None:
    text = parse(page(figures(tell(turn(1, 0.1, model="scripted", output_tokens=5))), written=NOON)).text
    assert "Cost of the models–5 tokens, none of them priced" in text
    assert "no price" in text and "a call." not in text and "$" not in text
    text = parse(page(figures(tell(turn(1, 0.1, cached=True))), written=NOON)).text
    assert "Cost of the models$0.000 tokens" in text


def test_what_several_models_without_a_price_cost_together_is_not_known_either() -> None:
    facts = [*tell(turn(1, 0.1, model="scripted", output_tokens=5), turn(2, 0.1, model="ours", output_tokens=5))]
    text = parse(page(figures(facts), written=NOON)).text
    assert "together" in text and text.count("no price") == 3 and "$" not in text


@pytest.mark.parametrize("days", [0.02, 0.5, 1, 3, 20, 200, 4000])
def test_any_length_of_time_has_an_axis(days: float) -> None:
    since = NOON - days * 86_400
    told = [*tell(turn(1, 0.2), at=since + 1), *tell(turn(2, 0.4), at=NOON - 1)]
    read = parse(page(figures(told, since=since, until=NOON), written=NOON))
    marks = [one for tag, one in read.tags if tag == "text" and one.get("text-anchor") == "middle"]
    assert 2 <= len(marks) <= 120


@pytest.mark.parametrize(("turns", "marks"), [(1, ["0", "1"]), (5, ["0", "5"]), (6, ["0", "5", "10"])])
def test_the_axis_of_turns_has_whole_numbers_and_none_twice(turns: int, marks: list[str]) -> None:
    bucket = Bucket(at=SINCE, calls=1, turns=turns, p50_ms=200.0, p95_ms=250.0, within=1.0)
    text = page(msgspec.structs.replace(BARE, turns=TurnFigures(count=turns), over_time=[bucket]), written=NOON)
    drawn = text.split("<h3>Turns</h3>")[1].split("</svg>")[0]
    assert re.findall(r'text-anchor="end">([^<]*)<', drawn) == marks


def test_few_turns_and_no_first_sentence_are_a_page_too() -> None:
    parse(page(figures(tell(TurnMeasured(1, "superseded"))), written=NOON))
    bare = msgspec.structs.replace(
        BARE,
        turns=TurnFigures(count=1, failed=1),
        first_sentence=Source(source="all", turns=1, judged=1, within=0.0),
        over_time=[Bucket(at=SINCE, calls=1, turns=1, p50_ms=None, p95_ms=None, within=None)],
        stages=[Stage(stage="melting", times=Times(count=1, p50_ms=0.0, p95_ms=0.0, p99_ms=1e9))],
        by_source=[Source(source="oracle", turns=1)],
    )
    assert "melting" in parse(page(bare, written=NOON)).text
