"""The figures of a report: counted by hand where they are few, and by plain Python where they are many."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from retell_ws.consumers.analytics import FIGURES
from retell_ws.consumers.figure_rows import row_of
from retell_ws.consumers.parts import Parts, day_of
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import (
    CallEnded,
    CallStarted,
    Degraded,
    DuplicateRequest,
    Escalated,
    Fact,
    Interrupted,
    Reattached,
    Resumed,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    ToolFinished,
    TurnFailed,
    TurnMeasured,
    TurnReasked,
    TurnSuperseded,
)
from retell_ws.report.figures import Bucket, CallFigures, Count, Figures, Hangup, Source, Times
from retell_ws.report.questions import gather
from retell_ws.speech_facts import CallTranscript, WebhookReceived

from . import by_hand
from .synthetic import entries

NOON = 1_795_867_200.0  # 2026-11-28 12:00 UTC
SINCE, UNTIL = NOON - 3600, NOON


def asked(
    told: Iterable[Entry], since: float = SINCE, until: float = UNTIL, budget_s: float = 0.3, *, cut: int = 1
) -> Figures | None:
    """Write entries down in some parts, and ask."""
    rows: list[dict[date, list[dict[str, Any]]]] = [{} for _ in range(cut)]
    for number, entry in enumerate(told):
        if row := row_of(entry):
            rows[number % cut].setdefault(day_of(entry.at), []).append(row)
    with Parts(MemoryStore(), FIGURES) as parts:
        for some in rows:
            parts.write(some)
        return gather(parts, since, until, budget_s)


def tell(*facts: AnyFact, call_id: str = "c1", at: float = NOON - 60, epoch: int = 1) -> list[Entry]:
    return [
        Entry(
            id=f"{call_id}.{epoch}.{at}.{seq}", call_id=call_id, epoch=epoch, seq=seq, at=at, server="web-1", fact=fact
        )
        for seq, fact in enumerate(facts, 1)
    ]


def figures(told: Sequence[Entry], **how: Any) -> Figures:
    found = asked(told, **how)
    assert found is not None
    return found


def turn(response_id: int, first_s: float | None = None, outcome: Any = "finished", **how: Any) -> TurnMeasured:
    return TurnMeasured(response_id, outcome, first_sentence_s=first_s, **how)


def test_where_nothing_was_told_there_are_no_figures() -> None:
    assert asked([]) is None
    assert asked(tell(CallStarted(), at=SINCE - 1)) is None
    assert asked(tell(CallStarted(), at=UNTIL)) is None
    assert asked(tell(CallStarted(), at=SINCE)) is not None


def test_turns_are_counted_and_the_greeting_is_none() -> None:
    told = tell(
        turn(0, 0.001),
        turn(1, 0.1),
        turn(2, 0.2, held=1, attempts=2, hedged=True),
        turn(3, 0.4, "superseded", attempts=1),
        turn(4, None, "superseded"),
        turn(5, None, "failed", fallback=True),
        TurnSuperseded(3, 4),
        TurnSuperseded(9, None),
        TurnReasked(5, 4),
        Interrupted(),
    )
    found = figures(told)
    assert msgspec.to_builtins(found.turns) == {
        "count": 5,
        "finished": 2,
        "failed": 1,
        "superseded": 2,
        "barge_ins": 1,
        "spoken_unasked": 1,
        "reasked": 1,
        "held": 1,
        "hedged": 1,
        "fallback": 1,
        "cached": 0,
        "attempts": 3,
    }
    # 100 and 200 ms are within 300 ms, 400 ms and the failed one are not; nobody waited for the fourth.
    assert found.first_sentence == Source(
        source="all", turns=5, times=Times(count=3, p50_ms=200, p95_ms=400, p99_ms=400), judged=4, within=0.5
    )


def test_a_first_sentence_at_the_budget_is_within_it() -> None:
    told = tell(turn(1, 0.3), turn(2, 0.3001))
    assert figures(told).first_sentence.within == 0.5
    assert figures(told, budget_s=0.5).first_sentence.within == 1.0


def test_first_sentences_are_told_apart_by_what_answered() -> None:
    told = tell(
        turn(1, 0.5), turn(2, 0.1, adopted=True), turn(3, 0.01, cached=True), turn(4, 0.6), turn(5, None, "failed")
    )
    assert [(one.source, one.turns, one.times.p50_ms, one.within) for one in figures(told).by_source] == [
        ("model", 3, 500, 0),
        ("cache", 1, 10, 1),
        ("speculation", 1, 100, 1),
    ]


def test_time_goes_into_buckets() -> None:
    told = [
        *tell(turn(1, 0.1), at=NOON - 3590),
        *tell(turn(1, 0.2), at=NOON - 3550, call_id="c2"),
        *tell(turn(2, 0.4), turn(3, None, "superseded"), at=NOON - 60),
    ]
    found = figures(told)
    assert found.bucket_s == 60
    assert found.over_time == [
        Bucket(at=NOON - 3600, calls=2, turns=2, p50_ms=100, p95_ms=200, within=1.0),
        Bucket(at=NOON - 60, calls=1, turns=2, p50_ms=400, p95_ms=400, within=0.0),
    ]


def test_a_bucket_without_a_first_sentence_has_no_times() -> None:
    (bucket,) = figures(tell(turn(3, None, "superseded"))).over_time
    assert bucket == Bucket(at=NOON - 60, calls=1, turns=1, p50_ms=None, p95_ms=None, within=None)


def test_stages_begin_where_the_one_before_ended() -> None:
    told = tell(turn(1, 0.5, queued_s=0.001, decoded_s=0.002, prompt_s=0.005, connect_s=0.004, first_token_s=0.4))
    stages = {one.stage: one.times.p50_ms for one in figures(told).stages}
    assert stages == {
        "queued": 1,
        "decoded": 2,
        "prompt": 3,
        "connect": 4,
        "first_token": 400,
        "first_sentence": 500,
        "done": None,
    }


def test_calls_are_counted_once_whatever_was_told_of_them() -> None:
    told = [
        *tell(CallStarted(), Reattached(False), Degraded(), CallEnded(3, 60.0), CallTranscript((), 60.0, 3, True)),
        *tell(Resumed(True), CallEnded(5, 90.0), CallTranscript((), 90.0, 5, False), epoch=2),
        *tell(CallStarted(), CallEnded(1, 500.0), call_id="c2"),
        *tell(
            WebhookReceived("call_ended", {"duration_ms": 30_000, "call_cost": {"combined_cost": 25}}),
            call_id="c2",
            at=NOON - 50,
        ),
        *tell(turn(1, 0.1), call_id="c3"),
    ]
    assert figures(told).calls == CallFigures(
        count=3, ended=2, minutes=2.0, redialled=1, moved=1, degraded=1, retell_usd=0.25
    )


def test_why_a_call_ended_is_what_retell_says_and_otherwise_what_the_socket_knows() -> None:
    told = [
        *tell(CallTranscript((), 1.0, 1, True), epoch=1),
        *tell(CallTranscript((), 1.0, 1, False), epoch=2),
        *tell(CallTranscript((), 1.0, 1, True), call_id="c2"),
        *tell(CallTranscript((), 1.0, 1, True), call_id="c3"),
        *tell(WebhookReceived("call_ended", {"disconnection_reason": "inactivity"}), call_id="c3", at=NOON - 50),
        *tell(WebhookReceived("call_analyzed", {}), call_id="c3", at=NOON - 40),
        *tell(CallStarted(), call_id="c4"),
    ]
    assert figures(told).hangups == [
        Hangup(reason="agent_left", told_by="socket", calls=1),
        Hangup(reason="caller_left", told_by="socket", calls=1),
        Hangup(reason="inactivity", told_by="retell", calls=1),
    ]


def test_whose_milliseconds_they_are_is_told_by_the_last_webhook_of_each_call() -> None:
    def latency(llm: float) -> dict[str, Any]:
        return {"latency": {"llm": {"p50": llm}, "llm_websocket_network_rtt": {"p50": 40}, "e2e": {"p50": 1200}}}

    told = [
        *tell(turn(1, 0.3), turn(2, 0.5), turn(3, 0.7)),
        *tell(WebhookReceived("call_ended", latency(100)), at=NOON - 50),
        *tell(WebhookReceived("call_analyzed", latency(600)), at=NOON - 40),
        *tell(WebhookReceived("call_ended", {}), call_id="c2"),
    ]
    whose = figures(told).whose
    assert (whose.calls, whose.e2e_ms, whose.llm_ms, whose.network_ms, whose.ours_ms) == (1, 1200, 600, 40, 500)
    assert (whose.asr_ms, whose.tts_ms) == (None, None)


def test_speculation_and_caches() -> None:
    told = tell(
        SpeculationStarted("quiet"),
        SpeculationStarted("sentence_end"),
        SpeculationAdopted(1, 0.4),
        SpeculationDropped(30),
        SpeculationDropped(12),
        turn(1, 0.1, input_tokens=50, cache_read_tokens=900, cache_write_tokens=50, model="claude-haiku-5-5"),
        turn(2, 0.1, cache_miss="expired"),
        turn(3, 0.1, cached=True),
    )
    found = figures(told)
    assert msgspec.to_builtins(found.speculation) == {
        "started": 2,
        "adopted": 1,
        "dropped": 2,
        "head_start": {"count": 1, "p50_ms": 400.0, "p95_ms": 400.0, "p99_ms": 400.0},
        "head_start_s": 0.4,
        "wasted_tokens": 42,
    }
    assert found.prompt_cache.read_share == 0.9
    assert found.prompt_cache.misses == [Count(what="expired", count=1)]
    assert found.turns.cached == 1


def test_tokens_have_a_price_where_there_is_one() -> None:
    haiku = {"model": "claude-haiku-5-5", "input_tokens": 1_000_000, "output_tokens": 100_000}
    told = tell(
        turn(1, 0.1, **haiku), turn(2, 0.1, **haiku), turn(3, 0.1, model="other", output_tokens=7), turn(4, 0.1)
    )
    found = figures(told)
    assert [(one.model, one.turns, one.usd) for one in found.models] == [
        ("claude-haiku-5-5", 2, pytest.approx(0.30)),
        ("other", 1, None),
    ]
    assert found.usd == pytest.approx(0.30)
    assert found.unpriced == ["other"]


def test_tools_failures_escalations_and_trouble() -> None:
    told = tell(
        ToolFinished("book", "done", 0.2),
        ToolFinished("book", "failed", 0.4),
        ToolFinished("book", "done", 0.3),
        ToolFinished("look", "late", 5.0),
        TurnFailed(1, "silent", 8.0),
        TurnFailed(2, "silent", 8.0),
        TurnFailed(3, "rejected", 0.1),
        Escalated("human", "transfer", "done", 0.25),
        Escalated("human", "transfer", "refused", 0.5),
        DuplicateRequest(4),
    )
    found = figures(told)
    assert [(one.tool, one.count, one.times.p50_ms) for one in found.tools] == [("book", 3, 300), ("look", 1, 5000)]
    assert found.tools[0].outcomes == [Count(what="done", count=2), Count(what="failed", count=1)]
    assert found.failures == [Count(what="silent", count=2), Count(what="rejected", count=1)]
    (rule,) = found.escalations
    assert (rule.rule, rule.action, rule.count, rule.times.p95_ms) == ("human", "transfer", 2, 500)
    assert found.trouble == [Count(what="duplicate_request", count=1)]


def test_calls_and_turns_to_look_into_are_named() -> None:
    told = [
        *tell(turn(1, 0.1), turn(2, 2.5, first_token_s=2.0)),
        *tell(turn(1, 0.1), turn(2, None, "failed"), turn(3, 0.9, adopted=True), call_id="c2"),
    ]
    found = figures(told)
    assert [(one.call_id, one.turns, one.failed, one.over_budget) for one in found.longest_calls] == [
        ("c2", 3, 1, 2),
        ("c1", 2, 0, 1),
    ]
    slowest = found.slowest_turns[0]
    assert (slowest.call_id, slowest.response_id, slowest.first_sentence_ms, slowest.first_token_ms) == (
        *("c1", 2, 2500),
        2000,
    )
    assert found.slowest_turns[1].source == "speculation"


def same(ours: Any, theirs: Any, path: str = "") -> None:
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and set(ours) == set(theirs), path
        for name in theirs:
            same(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), (path, ours, theirs)
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, f"{path}[{number}]")
    elif isinstance(theirs, float) and ours is not None:
        # DuckDB and Python may round the last figure the other way.
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=0.00101 if "_ms" in path else 1e-9), (
            path,
            ours,
            theirs,
        )
    else:
        assert ours == theirs, (path, ours, theirs)


def agree(told: Sequence[Entry], since: float, until: float, budget_s: float, cut: int = 1) -> None:
    ours, theirs = asked(told, since, until, budget_s, cut=cut), by_hand.figures(told, since, until, budget_s)
    if theirs is None:
        assert ours is None
    else:
        same(msgspec.to_builtins(ours), theirs)


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_many_calls_are_those_of_plain_python(seed: int) -> None:
    told = list(entries(seed, 150, start=NOON - 86_400, days=1.2))
    told += random.Random(seed).sample(told, 300)  # delivered twice
    agree(told, NOON - 86_400, NOON, 0.3, cut=5)


_seconds = st.sampled_from((0.0, 0.0004, 0.05, 0.1, 0.3, 0.300001, 0.9, 7.25))
_maybe = st.none() | _seconds
_count = st.integers(0, 3)
_turns = st.builds(
    TurnMeasured,
    st.integers(0, 4),
    st.sampled_from(("finished", "failed", "superseded")),
    adopted=st.booleans(),
    cached=st.booleans(),
    hedged=st.booleans(),
    fallback=st.booleans(),
    attempts=_count,
    held=_count,
    queued_s=_maybe,
    decoded_s=_maybe,
    prompt_s=_maybe,
    connect_s=_maybe,
    first_token_s=_maybe,
    first_sentence_s=_maybe,
    done_s=_maybe,
    cache_miss=st.sampled_from(("", "expired")),
    cache_read_tokens=_count,
    cache_write_tokens=_count,
    input_tokens=_count,
    output_tokens=_count,
    model=st.sampled_from(("", "claude-haiku-5-5", "claude-sonnet-5-5")),
)
_figure = st.fixed_dictionaries({}, optional={"p50": st.integers(0, 5).map(float)})
_webhooks = st.builds(
    WebhookReceived,
    st.sampled_from(("call_started", "call_ended", "call_analyzed", "transcript_updated")),
    st.fixed_dictionaries(
        {},
        optional={
            "disconnection_reason": st.sampled_from(("user_hangup", "agent_hangup")),
            "duration_ms": st.integers(0, 90_000),
            "call_cost": st.fixed_dictionaries({}, optional={"combined_cost": st.integers(0, 9)}),
            "latency": st.fixed_dictionaries(
                {}, optional=dict.fromkeys(("e2e", "llm", "llm_websocket_network_rtt", "asr", "tts"), _figure)
            ),
        },
    ),
)
_BOUNDED = {TurnMeasured, ToolFinished, Escalated, CallEnded, SpeculationAdopted, SpeculationDropped}
"""Facts with figures that are added up or ranked: no call has taken 1e300 seconds."""

_others = st.one_of(
    *(st.from_type(kind) for kind in get_args(Fact) if kind not in _BOUNDED),
    st.builds(SpeculationAdopted, st.integers(0, 4), _seconds),
    st.builds(SpeculationDropped, _count),
    st.builds(ToolFinished, st.sampled_from(("book", "look")), st.sampled_from(("done", "late")), _seconds),
    st.builds(Escalated, st.sampled_from(("a", "b")), st.sampled_from(("say", "end")), st.just("done"), _seconds),
    st.builds(CallEnded, _count, _seconds),
    st.builds(CallTranscript, st.just(()), _seconds, _count, st.booleans()),
)


@st.composite
def _told(draw: st.DrawFn) -> list[Entry]:
    facts = draw(st.lists(st.one_of(_turns, _webhooks, _others), max_size=25))
    return [
        Entry(
            id=f"e{number:02}",
            call_id=draw(st.sampled_from(("c1", "c2", "c3"))),
            epoch=draw(st.integers(1, 2)),
            seq=number,
            at=NOON - draw(st.sampled_from((0, 1, 59, 60, 61, 1800, 3600, 3601, 90_000))),
            server="web-1",
            fact=fact,
        )
        for number, fact in enumerate(facts)
    ]


@pytest.mark.timeout(180)
@settings(max_examples=settings().max_examples // 3)  # each asks all questions of a database of its own
@given(_told(), st.sampled_from((0.1, 0.3, 0.8)), st.integers(1, 3))
def test_any_figures_are_those_of_plain_python(told: list[Entry], budget_s: float, cut: int) -> None:
    agree([*told, *told[::2]], SINCE, UNTIL, budget_s, cut)
