"""What a server counts and times: each fact in its place, and never more series than at the start."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from retell_ws.control import Done, Outcome, Refused, Seen, Status, Why
from retell_ws.facts import (
    BadMessage,
    CallEnded,
    CallStarted,
    Escalated,
    Fact,
    HookFailed,
    Interrupted,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    SpeechGuarded,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnMeasured,
    TurnSuperseded,
)
from retell_ws.measures import REMEMBERED, Measures
from retell_ws.metrics import ROOM
from retell_ws.settings import BUDGETS_MS

from .test_facts import EXAMPLES

HOSTILE = ("call_{}", 'a"}} {}\nfake 1', "{} Zanzibarquux said so", "\u2028{}", "é{}", "{}" + "x" * 99, "")
"""Words for labels, as a caller, a tool, a provider or a stranger may choose them."""

OUTCOMES_OF_WEBHOOKS = ("kept", "repeated", "unsigned")


def measures(*facts: Fact, budget_s: float = 0.8) -> Measures:
    made = Measures(budget_s, lambda: 0)
    for fact in facts:
        made.record(fact)
    return made


def shown(made: Measures) -> dict[str, float]:
    """Every series with its value, as Prometheus reads it."""
    series = {}
    for family in text_string_to_metric_families(made.text().decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            series[f"{sample.name.removeprefix('retell_ws_')}{f'{{{labels}}}' if labels else ''}"] = sample.value
    return series


def grown(*facts: Fact, budget_s: float = 0.8) -> dict[str, float]:
    """What facts change, but for the count of the facts themselves and the bounds of the histograms."""
    before, after = shown(measures(budget_s=budget_s)), shown(measures(*facts, budget_s=budget_s))
    return {
        name: after[name]
        for name in after
        if after[name] != before.get(name) and not name.startswith("facts_total") and "_bucket" not in name
    }


def turn(**figures: Any) -> TurnMeasured:
    return TurnMeasured(**{"response_id": 1, "outcome": "finished", **figures})


# ---------------------------------------------------------------------------- the text


def test_every_metric_has_our_prefix_a_help_and_a_unit_where_it_has_one() -> None:
    text = measures(*EXAMPLES).text().decode()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("retell_ws_") and family.documentation.endswith("."), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
    assert "_created" not in text


def test_every_kind_of_fact_is_counted_from_the_start() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(Fact)}
    assert {name for name in shown(measures()) if name.startswith("facts_total")} == {
        f'facts_total{{fact="{kind}"}}' for kind in kinds
    }
    counted = shown(measures(*EXAMPLES, CallStarted()))
    assert counted['facts_total{fact="call_started"}'] == 2
    assert counted['facts_total{fact="bad_message"}'] == 1


def test_two_servers_of_a_process_do_not_mix() -> None:
    one, other = measures(CallStarted()), measures()
    assert shown(one)['facts_total{fact="call_started"}'] == 1
    assert shown(other)['facts_total{fact="call_started"}'] == 0


def test_the_calls_are_counted_whenever_somebody_asks() -> None:
    calls, live = 3, 4
    made = Measures(0.8, lambda: calls, live=lambda: live)
    assert (shown(made)["calls"], shown(made)["live_calls"]) == (3, 4)
    calls, live = 5, 7
    assert (shown(made)["calls"], shown(made)["live_calls"]) == (5, 7)


def test_ten_thousand_calls_make_no_series_of_their_own() -> None:
    made = measures(*EXAMPLES)
    for number in range(10_000):
        word = HOSTILE[number % len(HOSTILE)].format(number)
        for fact in (
            CallStarted(),
            turn(
                response_id=number, first_sentence_s=number / 1000, attempts=1, done_s=2.0, model=word, cache_miss=word
            ),
            ToolStarted(word),
            ToolFinished(word, "done", 0.1),
            TurnFailed(number, word, 1.0),
            BadMessage(word),
            HookFailed(word),
            Escalated(word, "say", "done", 0.1),
            SpeechGuarded(number, (word,)),
            CallEnded(number, 1.0),
        ):
            made.record(fact)
        made.webhook(word, OUTCOMES_OF_WEBHOOKS[number % len(OUTCOMES_OF_WEBHOOKS)])
        if number == 1000:
            before = shown(made).keys()
    assert shown(made).keys() == before
    assert "Zanzibarquux" not in made.text().decode()


def test_what_runs_is_told_with_what_it_may_take() -> None:
    is_draining = False
    build = {"version": "1.2.3", "blueprint": "events", "model": "anthropic"}
    made = Measures(0.8, lambda: 0, draining=lambda: is_draining, max_calls=200, build=build)
    after = shown(made)
    assert after['build_info{blueprint="events",model="anthropic",version="1.2.3"}'] == 1
    assert (after["max_calls"], after["draining"]) == (200, 0)
    is_draining = True
    assert shown(made)["draining"] == 1


def test_words_of_the_provider_s_have_room_for_a_few() -> None:
    made = measures()
    before = len(shown(made))
    for number in range(1000):
        made.record(TurnFailed(1, f"error_{number}", 1.0))
        made.record(turn(cache_miss=f"reason_{number}"))
    after = shown(made)
    assert len(after) == before + 2 * ROOM
    made.record(TurnFailed(1, "error_0", 1.0))
    assert (after['failures_total{why="error_0"}'], shown(made)['failures_total{why="error_0"}']) == (1, 2)
    assert after['failures_total{why="other"}'] == after['prompt_cache_misses_total{reason="other"}'] == 1000 - ROOM


@pytest.mark.parametrize("why", ["", "My card is 4111.", "a b", "x" * 41, 'a"} 1\nfake', "naïve"])
def test_what_is_no_word_is_no_label(why: str) -> None:
    assert grown(TurnFailed(1, why, 1.0)) == {'failures_total{why="other"}': 1}


# ---------------------------------------------------------------------------- turns


def test_a_turn_is_counted_and_timed() -> None:
    measured = turn(
        hedged=True,
        fallback=True,
        attempts=2,
        held=1,
        queued_s=0.0625,
        decoded_s=0.125,
        prompt_s=0.375,
        connect_s=0.5,
        first_token_s=0.625,
        first_sentence_s=0.75,
        done_s=2.0,
        cache_miss="tools_changed",
        cache_read_tokens=900,
        input_tokens=90,
    )
    assert grown(measured) == {
        'turns_total{outcome="finished"}': 1,
        'budgeted_turns_total{budget="within"}': 1,
        'first_sentence_seconds_count{source="model"}': 1,
        'first_sentence_seconds_sum{source="model"}': 0.75,
        "first_token_seconds_count": 1,
        "first_token_seconds_sum": 0.625,
        'stage_seconds_count{stage="queued"}': 1,
        'stage_seconds_sum{stage="queued"}': 0.0625,
        'stage_seconds_count{stage="decoded"}': 1,
        'stage_seconds_sum{stage="decoded"}': 0.125,
        'stage_seconds_count{stage="prompt"}': 1,
        'stage_seconds_sum{stage="prompt"}': 0.25,  # from the stage before, where the fact counts from the request
        'stage_seconds_count{stage="connect"}': 1,
        'stage_seconds_sum{stage="connect"}': 0.5,
        "turn_seconds_count": 1,
        "turn_seconds_sum": 2,
        "attempts_total": 2,
        "hedged_turns_total": 1,
        "fallback_turns_total": 1,
        "holding_phrases_total": 1,
        'prompt_cache_misses_total{reason="tools_changed"}': 1,
        'input_tokens_total{prompt_cache="read"}': 900,
        'input_tokens_total{prompt_cache="missed"}': 90,
    }


def test_a_turn_of_which_nothing_is_known_is_a_turn() -> None:
    assert grown(turn()) == {'turns_total{outcome="finished"}': 1}


@pytest.mark.parametrize(
    ("figures", "source"),
    [({}, "model"), ({"adopted": True}, "speculation"), ({"cached": True}, "cache")],
)
def test_a_first_sentence_knows_where_it_came_from(figures: dict[str, bool], source: str) -> None:
    after = shown(measures(turn(first_sentence_s=0.25, **figures)))
    assert after[f'first_sentence_seconds_count{{source="{source}"}}'] == 1
    assert sum(value for name, value in after.items() if name.startswith("first_sentence_seconds_count")) == 1
    assert after["cached_answers_total"] == (source == "cache")


@pytest.mark.parametrize("budget_s", [*(ms / 1000 for ms in BUDGETS_MS.values()), 0.37])
def test_the_share_within_the_budget_can_be_read_from_the_bounds(budget_s: float) -> None:
    after = shown(measures(turn(first_sentence_s=budget_s), turn(first_sentence_s=budget_s * 1.001), budget_s=budget_s))
    assert after["budget_seconds"] == budget_s
    assert after[f'first_sentence_seconds_bucket{{le="{budget_s}",source="model"}}'] == 1
    assert after['budgeted_turns_total{budget="within"}'] == after['budgeted_turns_total{budget="over"}'] == 1


def test_the_budgets_of_all_blueprints_are_bounds_whatever_this_server_s_is() -> None:
    after = shown(measures())
    for budget_ms in BUDGETS_MS.values():
        assert f'first_sentence_seconds_bucket{{le="{budget_ms / 1000}",source="model"}}' in after


@pytest.mark.parametrize(("outcome", "over"), [("failed", 1), ("superseded", 0), ("finished", 0)])
def test_a_turn_without_a_sentence_is_late_only_when_somebody_waited_for_it(outcome: str, over: int) -> None:
    after = shown(measures(turn(outcome=outcome)))
    assert after['budgeted_turns_total{budget="over"}'] == over
    assert after['budgeted_turns_total{budget="within"}'] == 0


def test_a_greeting_is_no_answer() -> None:
    assert grown(turn(response_id=0, first_sentence_s=0.1, done_s=0.2)) == {}


# ---------------------------------------------------------------------------- the other facts


@pytest.mark.parametrize(
    ("fact", "series"),
    [
        (TurnSuperseded(1, by=2), {'interruptions_total{by="caller"}': 1}),
        (TurnSuperseded(1, by=None), {}),
        (Interrupted(), {'interruptions_total{by="agent"}': 1}),
        (SpeculationStarted("quiet"), {'speculations_started_total{why="quiet"}': 1}),
        (SpeculationStarted("sentence_end"), {'speculations_started_total{why="sentence_end"}': 1}),
        (
            SpeculationAdopted(1, 0.25),
            {"speculations_adopted_total": 1, "speculation_head_start_seconds_total": 0.25},
        ),
        (SpeculationDropped(420), {"speculations_dropped_total": 1, "speculation_wasted_tokens_total": 420}),
        (
            ToolFinished("book", "late", 0.5),
            {'tools_total{outcome="late"}': 1, "tool_seconds_count": 1, "tool_seconds_sum": 0.5},
        ),
        (TurnFailed(1, "stalled", 4.0), {'failures_total{why="stalled"}': 1}),
        (CallStarted(), {}),
    ],
    ids=repr,
)
def test_each_fact_has_its_place(fact: Fact, series: dict[str, float]) -> None:
    assert grown(fact) == series


@pytest.mark.parametrize(
    ("kind", "name"), [(SpeculationStarted, "why"), (ToolFinished, "outcome"), (TurnMeasured, "outcome")]
)
def test_every_word_a_fact_may_use_has_its_series_from_the_start(kind: type[Fact], name: str) -> None:
    example = next(fact for fact in EXAMPLES if type(fact) is kind)
    before = shown(measures()).keys()
    for word in get_args(get_type_hints(kind)[name]):
        assert shown(measures(msgspec.structs.replace(example, **{name: word}))).keys() == before


@pytest.mark.parametrize(
    ("outcome", "series"),
    [
        (Done(), {'commands_total{outcome="done"}': 1}),
        (Done("redial"), {'commands_total{outcome="done"}': 1}),
        (Refused("no_target", "why"), {'commands_total{outcome="no_target"}': 1}),
        (Seen(Status("call_1", 1.0, True, "idle")), {}),
    ],
    ids=repr,
)
def test_a_command_is_counted_by_what_came_of_it(outcome: Outcome, series: dict[str, float]) -> None:
    before, made = shown(measures()), measures()
    made.commanded(outcome)
    assert {name: value for name, value in shown(made).items() if value != before[name]} == series


def test_every_refusal_of_a_command_has_its_series_from_the_start() -> None:
    for why in get_args(Why):
        assert f'commands_total{{outcome="{why}"}}' in shown(measures())


def test_the_loop_s_lateness_is_a_histogram() -> None:
    made = measures()
    made.late(0.0)
    made.late(0.3)
    after = shown(made)
    assert after['loop_stall_seconds_bucket{le="0.25"}'] == 1
    assert (after["loop_stall_seconds_count"], after["loop_stall_seconds_sum"]) == (2, 0.3)


OUTCOMES = ("finished", "failed", "superseded")

seconds = st.none() | st.floats(-1, 100)
figures = st.fixed_dictionaries(
    {
        "response_id": st.integers(0, 3),
        "outcome": st.sampled_from(OUTCOMES),
        **dict.fromkeys(("adopted", "cached", "hedged", "fallback"), st.booleans()),
        **dict.fromkeys(("attempts", "held", "cache_read_tokens", "input_tokens"), st.integers(-5, 10**9)),
        **{f"{name}_s": seconds for name in ("queued", "decoded", "prompt", "connect")},
        **{f"{name}_s": seconds for name in ("first_token", "first_sentence", "done")},
        "cache_miss": st.text(max_size=50),
    }
)


@given(st.lists(figures, max_size=20))
def test_no_figure_of_a_provider_s_makes_it_raise(turns: list[dict[str, Any]]) -> None:
    made = measures(*(TurnMeasured(**one) for one in turns))
    after, summary = shown(made), made.summary()
    answered = [one for one in turns if one["response_id"]]
    assert summary["turns"] == len(answered) == sum(after[f'turns_total{{outcome="{o}"}}'] for o in OUTCOMES)
    timed = [one for one in answered if one["first_sentence_s"] is not None]
    assert sum(v for name, v in after.items() if name.startswith("first_sentence_seconds_count")) == len(timed)
    if "within_budget" in summary:
        assert 0 <= summary["within_budget"] <= 1


# ---------------------------------------------------------------------------- the summary


def test_a_summary_of_nothing_claims_nothing() -> None:
    assert measures().summary() == {"turns": 0}


def test_a_summary_has_the_share_and_the_percentiles() -> None:
    made = measures(*(turn(first_sentence_s=number / 100) for number in range(1, 101)))
    assert made.summary() == {
        "turns": 100,
        "within_budget": 0.8,
        "first_sentence_p50_s": 0.5,
        "first_sentence_p95_s": 0.95,
        "first_sentence_p99_s": 0.99,
    }


def test_first_sentences_are_told_by_class_and_against_the_budget() -> None:
    made = measures(
        *(turn(first_sentence_s=seconds) for seconds in (0.001, 0.65, 0.6501, 0.7, 0.8, 99.0)), budget_s=0.7
    )
    made.record(TurnMeasured(9, "failed"))
    made.record(TurnMeasured(0, "finished", first_sentence_s=0.1))
    told = made.first_sentences()
    assert len(told.counts) == len(told.bounds_ms) + 1 and list(told.bounds_ms) == sorted({*told.bounds_ms})
    assert {bound: number for bound, number in zip(told.bounds_ms, told.counts, strict=False) if number} == {
        5: 1,
        650: 1,
        700: 2,
        800: 1,
    }
    assert (told.counts[-1], told.within, told.over) == (1, 4, 3)
    assert (told.p50_ms, told.p95_ms, told.p99_ms) == (650.1, 99_000.0, 99_000.0)
    assert Measures(0.5, lambda: 0).first_sentences().p50_ms is None


def test_one_turn_is_all_percentiles() -> None:
    summary = measures(turn(first_sentence_s=0.3)).summary()
    assert [summary[f"first_sentence_p{percent}_s"] for percent in (50, 95, 99)] == [0.3] * 3


def test_percentiles_look_back_a_while_and_not_for_ever() -> None:
    made = measures(*(turn(first_sentence_s=9.0) for _ in range(REMEMBERED)))
    for _ in range(REMEMBERED):
        made.record(turn(first_sentence_s=0.1))
    summary = made.summary()
    assert (summary["first_sentence_p99_s"], summary["within_budget"]) == (0.1, 0.5)


def test_where_nobody_reads_them_only_the_summary_is_kept() -> None:
    made = Measures(0.5, lambda: 0, is_read=False)
    for seconds in (0.25, 0.75, None):
        made.record(TurnMeasured(1, "finished", first_sentence_s=seconds))
    made.record(TurnMeasured(2, "failed"))
    made.record(TurnMeasured(0, "finished", first_sentence_s=9.0))
    made.late(1.0)
    made.commanded(Done())
    assert made.summary()["turns"] == 4
    assert made.summary()["within_budget"] == pytest.approx(1 / 3)
    assert b'retell_ws_turns_total{outcome="finished"} 0.0' in made.text()


def test_the_figures_of_a_shared_store_are_read_when_they_are_asked_for() -> None:
    figures = {"written": 2.0, "refused": 1.0, "failed": 0.0, "degraded": 0.0}
    made = Measures(0.8, lambda: 0, store=lambda: figures)
    figures |= {"failed": 3.0, "degraded": 1.0}
    text = made.text().decode()
    assert 'retell_ws_store_writes_total{outcome="written"} 2.0' in text
    assert 'retell_ws_store_writes_total{outcome="refused"} 1.0' in text
    assert 'retell_ws_store_writes_total{outcome="failed"} 3.0' in text
    assert "retell_ws_store_degraded 1.0" in text
    assert "retell_ws_store" not in Measures(0.8, lambda: 0).text().decode()


def test_webhooks_are_counted_under_the_events_there_are() -> None:
    measures = Measures(0.8, lambda: 0)
    for event, outcome in (("call_ended", "kept"), ("call_ended", "kept"), ("unread", "late"), ("new", "kept")):
        measures.webhook(event, outcome)
    measures.webhook("newer", "kept")
    text = measures.text().decode()
    assert 'retell_ws_webhooks_total{event="call_ended",outcome="kept"} 2.0' in text
    assert 'retell_ws_webhooks_total{event="unread",outcome="late"} 1.0' in text
    assert 'retell_ws_webhooks_total{event="other",outcome="kept"} 2.0' in text
    unread = Measures(0.8, lambda: 0, is_read=False)
    unread.webhook("call_ended", "kept")
    assert b"retell_ws_webhooks_total{" not in unread.text()


def test_the_figures_of_the_outbox_are_read_when_they_are_asked_for() -> None:
    names = ("recorded", "written", "dropped_metric", "dropped_event", "dropped_kept", "queued", "waiting")
    figures = {name: float(number) for number, name in enumerate((*names, "waiting_bytes", "oldest_s", "degraded"))}
    made = Measures(0.8, lambda: 0, outbox=lambda: figures)
    text = made.text().decode()
    assert 'retell_ws_journal_facts_total{step="written"} 1.0' in text
    assert 'retell_ws_journal_dropped_total{weight="metric"} 2.0' in text
    assert 'retell_ws_journal_dropped_total{weight="kept"} 4.0' in text
    for line in ("queued 5.0", "waiting 6.0", "bytes 7.0", "oldest_seconds 8.0", "degraded 9.0"):
        assert f"retell_ws_journal_{line}" in text
    assert "retell_ws_bus" not in text
    figures |= {"relayed": 11.0, "bus_failed": 12.0, "bus_degraded": 1.0}
    text = made.text().decode()
    assert 'retell_ws_bus_facts_total{outcome="acknowledged"} 11.0' in text
    assert 'retell_ws_bus_facts_total{outcome="failed"} 12.0' in text
    assert "retell_ws_bus_degraded 1.0" in text
    assert "retell_ws_journal" not in Measures(0.8, lambda: 0).text().decode()


def test_what_became_of_spans_is_read_when_it_is_asked_for() -> None:
    figures = {"sent": 1.0, "failed": 2.0, "dropped": 3.0}
    made = Measures(0.8, lambda: 0, traces=lambda: figures)
    figures["sent"] = 4.0
    after = shown(made)
    assert [after[f'spans_total{{outcome="{outcome}"}}'] for outcome in figures] == [4, 2, 3]
    assert "retell_ws_spans" not in Measures(0.8, lambda: 0).text().decode()
