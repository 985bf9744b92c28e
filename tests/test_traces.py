"""The spans of a call, from its facts: their tree, their times, their words."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.facts import (
    CallEnded,
    CallMoved,
    CallStarted,
    Detached,
    Fact,
    Reattached,
    ToolFinished,
    TurnFailed,
    TurnMeasured,
    TurnReasked,
    TurnStarted,
)
from retell_ws.spans import Event, Span, call_span_of, trace_of
from retell_ws.traces import CALLS, ENDED, TRACED, TURNS, Traced, Tracer

S = 1_000_000_000
"""Nanoseconds of a second."""

FULL = TurnMeasured(
    7,
    "finished",
    attempts=2,
    rounds=2,
    queued_s=0.25,
    decoded_s=0.5,
    prompt_s=1.0,
    connect_s=0.5,
    first_token_s=2.0,
    first_frame_s=2.5,
    first_sentence_s=3.0,
    done_s=4.0,
    cache_miss="tools_changed",
    cache_read_tokens=900,
    cache_write_tokens=50,
    input_tokens=40,
    output_tokens=30,
    model="claude-haiku-5-5-20261001",
    stop_reason="end_turn",
)


def made(*facts: tuple[float, Traced], epoch: int = 1, call_id: str = "call_1") -> list[Span]:
    """The spans of one call's facts, told at these seconds."""
    tracer = Tracer("claude-haiku-5-5", "anthropic", ("api.anthropic.com", 443))
    return [
        span for seq, (at, fact) in enumerate(facts) for span in tracer.spans(call_id, epoch, seq, round(at * S), fact)
    ]


def named(spans: list[Span]) -> dict[str, Span]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


def a_turn(fact: TurnMeasured = FULL, *before: tuple[float, Traced]) -> dict[str, Span]:
    return named(made((16.0, TurnStarted(7, "response")), *before, (20.0, fact)))


# ---------------------------------------------------------------------------- a turn


def test_a_turn_and_its_stages_follow_one_another() -> None:
    spans = a_turn()
    assert {name: (span.start_ns / S, span.end_ns / S) for name, span in spans.items()} == {
        "turn": (15.75, 20.0),  # asked at 16, and it had waited to be read
        "queued": (15.75, 16.0),
        "decode": (16.0, 16.5),
        "prompt": (16.5, 17.0),
        "connect": (17.0, 17.5),
        "chat claude-haiku-5-5": (17.0, 20.0),
    }
    turn = spans.pop("turn")
    assert (turn.parent, turn.trace, turn.error) == (call_span_of("call_1"), trace_of("call_1"), "")
    assert {span.parent for span in spans.values()} == {turn.id}
    assert {span.trace for span in spans.values()} == {turn.trace}
    assert len({turn.id, turn.parent, *(span.id for span in spans.values())}) == 7
    assert turn.events == (
        Event("first_token", 18 * S),
        Event("first_frame", round(18.5 * S)),
        Event("first_sentence", 19 * S),
    )
    assert turn.attributes == {
        "gen_ai.conversation.id": "call_1",
        "retell_ws.response_id": 7,
        "retell_ws.kind": "response",
        "retell_ws.outcome": "finished",
        "retell_ws.source": "model",
        "retell_ws.hedged": False,
        "retell_ws.fallback": False,
        "retell_ws.held": 0,
        "retell_ws.first_sentence_s": 3.0,
    }


def test_the_model_is_told_in_the_words_of_the_conventions() -> None:
    chat = a_turn()["chat claude-haiku-5-5"]
    assert chat.kind == "client"
    assert chat.attributes == {
        "gen_ai.conversation.id": "call_1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-5-5",
        "gen_ai.response.model": "claude-haiku-5-5-20261001",
        "gen_ai.response.finish_reasons": ("end_turn",),
        "server.address": "api.anthropic.com",
        "server.port": 443,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text",
        "gen_ai.usage.input_tokens": 990,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 900,
        "gen_ai.usage.cache_creation.input_tokens": 50,
        "gen_ai.response.time_to_first_chunk": 1.0,
        "retell_ws.attempts": 2,
        "retell_ws.rounds": 2,
        "retell_ws.cache_miss": "tools_changed",
    }


def test_the_attributes_are_those_that_the_conventions_have() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
    from opentelemetry.semconv.attributes import error_attributes, server_attributes

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    known |= {error_attributes.ERROR_TYPE, server_attributes.SERVER_ADDRESS, server_attributes.SERVER_PORT}
    failed = TurnMeasured(7, "failed", attempts=1, rounds=1, done_s=1.0)
    spans = [*a_turn().values(), *a_turn(failed).values(), *made((1.0, ToolFinished("book", "failed", 0.1)))]
    told = {name for span in spans for name in span.attributes if not name.startswith("retell_ws.")}
    assert told <= known and len(told) > 12


@pytest.mark.parametrize(
    ("figures", "name", "model"),
    [
        ({"fallback": True, "model": "claude-sonnet-5-5"}, "chat claude-sonnet-5-5", "claude-sonnet-5-5"),
        ({"fallback": True}, "chat claude-haiku-5-5", None),
        ({}, "chat claude-haiku-5-5", None),
    ],
)
def test_a_model_that_answers_in_another_s_place_is_named(figures: Any, name: str, model: str | None) -> None:
    chat = a_turn(TurnMeasured(7, "finished", attempts=1, rounds=1, done_s=1.0, **figures))[name]
    assert chat.attributes.get("gen_ai.response.model") == model
    assert (
        "gen_ai.response.time_to_first_chunk" not in chat.attributes and "retell_ws.cache_miss" not in chat.attributes
    )


def test_a_model_that_was_asked_ahead_began_before_its_turn() -> None:
    spans = a_turn(
        TurnMeasured(
            7,
            "finished",
            adopted=True,
            head_start_s=0.5,
            attempts=1,
            rounds=1,
            decoded_s=0.25,
            prompt_s=0.0,
            connect_s=0.125,
            first_token_s=0.0,
            done_s=4.0,
        )
    )
    assert set(spans) == {"turn", "decode", "chat claude-haiku-5-5"}
    chat, turn = spans["chat claude-haiku-5-5"], spans["turn"]
    assert (chat.start_ns / S, turn.start_ns / S) == (15.5, 16.0)
    assert "gen_ai.response.time_to_first_chunk" not in chat.attributes, "nobody has taken down when it came"
    assert turn.attributes["retell_ws.source"] == "speculation"
    assert turn.attributes["retell_ws.head_start_s"] == 0.5


def test_an_answer_from_the_cache_asked_no_model() -> None:
    spans = a_turn(TurnMeasured(7, "finished", cached=True, rounds=1, done_s=0.25))
    assert set(spans) == {"turn"}
    assert spans["turn"].attributes["retell_ws.source"] == "cache"


def test_a_turn_of_which_nothing_is_known_is_a_moment() -> None:
    (turn,) = a_turn(TurnMeasured(7, "superseded")).values()
    assert (turn.start_ns, turn.end_ns, turn.events, turn.error) == (20 * S, 20 * S, (), "")


@pytest.mark.parametrize(("before", "why"), [([(19.0, TurnFailed(7, "stalled", 3.0))], "stalled"), ([], "failed")])
def test_a_turn_that_failed_says_why(before: list[tuple[float, Traced]], why: str) -> None:
    turn = a_turn(TurnMeasured(7, "failed", done_s=4.0), *before)["turn"]
    assert (turn.error, turn.attributes["error.type"]) == (why, why)


def failing(why: str, **figures: Any) -> dict[str, Span]:
    fact = TurnMeasured(7, "failed", rounds=1, prompt_s=0.5, done_s=4.0, **figures)
    return a_turn(fact, (19.0, TurnFailed(7, why, 3.0)))


USAGE = "gen_ai.usage."


def usage(span: Span) -> dict[str, Any]:
    return {name.removeprefix(USAGE): value for name, value in span.attributes.items() if name.startswith(USAGE)}


def test_a_model_that_fails_is_an_error_of_its_own_span_and_its_usage_is_unknown() -> None:
    spans = failing("overloaded_error", attempts=2)
    chat = spans["chat claude-haiku-5-5"]
    assert chat.error == chat.attributes["error.type"] == spans["turn"].error == "overloaded_error"
    assert chat.attributes["retell_ws.attempts"] == 2
    assert usage(chat) == {} and "gen_ai.response.finish_reasons" not in chat.attributes


def test_a_model_that_fails_in_a_later_round_has_the_usage_of_those_before() -> None:
    chat = failing("ModelBroken", attempts=2, input_tokens=40, output_tokens=9)["chat claude-haiku-5-5"]
    assert chat.error == "ModelBroken"
    assert usage(chat)["input_tokens"] == 40 and usage(chat)["output_tokens"] == 9


@pytest.mark.parametrize(("why", "reason"), [("refusal", "refusal"), ("timeout", "tool_use"), ("empty", "end_turn")])
def test_a_turn_that_fails_when_the_model_has_answered_is_no_error_of_the_model_s(why: str, reason: str) -> None:
    spans = failing(why, attempts=1, input_tokens=40, stop_reason=reason)
    chat = spans["chat claude-haiku-5-5"]
    assert spans["turn"].error == why and chat.error == "" and "error.type" not in chat.attributes
    assert chat.attributes["gen_ai.response.finish_reasons"] == (reason,)


def test_a_turn_that_failed_before_it_asked_has_no_span_of_a_model() -> None:
    assert set(failing("error")) == {"turn", "prompt"}


def test_a_model_that_the_caller_spoke_into_is_no_error() -> None:
    fact = TurnMeasured(7, "superseded", attempts=1, rounds=1, done_s=4.0)
    chat = a_turn(fact)["chat claude-haiku-5-5"]
    assert chat.error == "" and "error.type" not in chat.attributes and usage(chat) == {}


def test_a_model_in_the_process_has_no_address() -> None:
    tracer = Tracer("scripted", "scripted")
    spans = named([*tracer.spans("call_1", 1, 1, 20 * S, FULL)])
    assert not {"server.address", "server.port"} & set(spans["chat scripted"].attributes)


def test_a_line_of_ours_in_a_turn_that_was_superseded_is_no_error() -> None:
    turn = a_turn(TurnMeasured(7, "superseded", done_s=4.0), (19.0, TurnFailed(7, "stalled", 3.0)))["turn"]
    assert turn.error == "" and "error.type" not in turn.attributes


def test_a_turn_that_retell_asked_for_again_is_one() -> None:
    spans = named(
        made(
            (16.0, TurnStarted(7, "reminder")),
            (17.0, TurnReasked(8, 7)),
            (18.0, ToolFinished("book", "done", 1.5)),
            (20.0, TurnMeasured(8, "finished", done_s=3.0)),
        )
    )
    turn = spans["turn"]
    assert (turn.attributes["retell_ws.response_id"], turn.attributes["retell_ws.kind"]) == (8, "reminder")
    assert spans["execute_tool book"].parent == turn.id


def test_an_id_that_was_asked_for_twice_has_two_turns() -> None:
    first = made((16.0, TurnStarted(7, "response")), (17.0, TurnMeasured(7, "superseded")))
    both = made(
        (16.0, TurnStarted(7, "response")),
        (17.0, TurnMeasured(7, "superseded")),
        (18.0, TurnStarted(7, "response")),
        (19.0, TurnMeasured(7, "finished")),
    )
    assert both[0] == first[0] and both[1].id != both[0].id


# ---------------------------------------------------------------------------- tools


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        *(("done", ""), ("refused", ""), ("repeated", ""), ("withdrawn", "")),
        *(("failed", "failed"), ("late", "late"), ("unknown", "unknown")),
    ],
)
def test_a_tool_is_told_without_what_it_was_given(outcome: Any, error: str) -> None:
    (tool,) = made((20.0, ToolFinished("book", outcome, 0.5)))
    assert (tool.name, tool.error, tool.kind) == ("execute_tool book", error, "internal")
    assert (tool.start_ns / S, tool.end_ns / S) == (19.5, 20.0)
    assert tool.attributes == {
        "gen_ai.conversation.id": "call_1",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book",
        "gen_ai.tool.type": "function",
        "retell_ws.outcome": outcome,
        **({"error.type": error} if error else {}),
    }


def test_a_tool_belongs_to_the_turn_it_began_in_and_to_the_call_without_one() -> None:
    spans = made(
        (1.0, ToolFinished("warm_up", "done", 0.5)),
        (2.0, TurnStarted(1, "response")),
        (4.0, TurnStarted(2, "response")),
        (5.0, ToolFinished("book", "done", 2.0)),
        (6.0, ToolFinished("look_up", "done", 0.5)),
        (7.0, TurnMeasured(1, "superseded")),
        (8.0, TurnMeasured(2, "finished")),
    )
    warm_up, book, look_up, first, second = spans
    assert (warm_up.parent, book.parent, look_up.parent) == (call_span_of("call_1"), first.id, second.id)


# ---------------------------------------------------------------------------- a call


def test_a_tool_that_an_adopted_speculation_calls_at_once_is_its_turns() -> None:
    """The loop counts in milliseconds: what began with the turn may seem to have begun before it."""
    spans = made(
        (1.0, TurnStarted(1, "response")),
        (2.0, TurnMeasured(1, "finished")),
        (3.0007, TurnStarted(2, "response")),
        (3.0016, ToolFinished("book", "done", 0.002)),
        (4.0, TurnMeasured(2, "finished")),
    )
    (tool,) = (span for span in spans if span.name == "execute_tool book")
    assert [span.attributes["retell_ws.response_id"] for span in spans if span.id == tool.parent] == [2]


def test_a_call_ends_with_its_last_socket_and_not_with_the_time_of_grace() -> None:
    (call,) = made((5.0, Detached()), (6.0, Reattached(False)), (70.0, Detached()), (100.0, CallEnded(3, 65.0)))
    assert (call.name, call.kind, call.id, call.parent) == ("call", "server", call_span_of("call_1"), None)
    assert (call.start_ns / S, call.end_ns / S) == (5.0, 70.0)
    assert call.attributes == {"gen_ai.conversation.id": "call_1", "retell_ws.turns": 3}
    (hung_up,) = made((5.0, Detached()), (6.0, Reattached(False)), (70.0, CallEnded(3, 65.0)))
    assert hung_up.end_ns / S == 70.0


def test_a_call_that_moves_is_one_trace_with_one_root() -> None:
    before = made((1.0, TurnStarted(1, "response")), (2.0, TurnMeasured(1, "finished")), (3.0, CallMoved()))
    after = made(
        (4.0, TurnStarted(2, "response")), (5.0, TurnMeasured(2, "finished")), (6.0, CallEnded(2, 6.0)), epoch=2
    )
    spans = before + after
    assert {span.trace for span in spans} == {trace_of("call_1")}
    roots = [span for span in spans if span.parent is None]
    assert [root.id for root in roots] == [call_span_of("call_1")]
    assert {span.parent for span in spans if span.name == "turn"} == {roots[0].id}
    assert len({span.id for span in spans}) == len(spans)


def test_a_turn_that_the_end_of_its_call_cut_off_is_still_told() -> None:
    _, turn = made(
        (1.0, TurnStarted(1, "reminder")),
        (2.0, TurnFailed(1, "call_ended", 1.0)),
        (2.0, CallEnded(1, 2.0)),
        (2.5, TurnMeasured(1, "failed", done_s=1.5)),
    )
    assert (turn.attributes["retell_ws.kind"], turn.error) == ("reminder", "call_ended")


def test_ids_are_of_their_size_and_never_zero() -> None:
    for number in range(1000):
        assert 0 < trace_of(f"call_{number}") < 1 << 128
        assert 0 < call_span_of(f"call_{number}") < 1 << 64
    assert len({trace_of(f"call_{number}") for number in range(1000)}) == 1000


# ---------------------------------------------------------------------------- what is remembered


def test_a_tracer_forgets_calls_that_have_ended() -> None:
    tracer = Tracer("m", "p")
    for number in range(3 * ENDED):
        end = CallMoved() if number % 2 else CallEnded(1, 1.0)
        for seq, fact in enumerate((TurnStarted(1, "response"), end)):
            list(tracer.spans(f"call_{number}", 1, seq, seq, fact))
    assert len(tracer) == ENDED


def test_and_those_whose_end_is_missing() -> None:
    tracer = Tracer("m", "p")
    for number in range(CALLS + 100):
        list(tracer.spans(f"call_{number}", 1, 0, 0, Detached()))
    assert len(tracer) == CALLS


def test_and_old_turns() -> None:
    tracer = Tracer("m", "p")
    for number in range(10 * TURNS):
        list(tracer.spans("call_1", 1, number, number, TurnStarted(number, "response")))
    (call,) = tracer._calls.values()
    assert len(call.turns) == TURNS
    assert [span.name for span in tracer.spans("call_1", 1, 999, 999, TurnMeasured(0, "superseded"))] == ["turn"]


def test_facts_that_make_no_span_need_not_be_given() -> None:
    assert set(get_args(Traced)) == TRACED < set(get_args(Fact))
    assert CallStarted not in TRACED
    assert list(Tracer("m", "p").spans("call_1", 1, 0, 0, CallStarted())) == []  # type: ignore[arg-type]


seconds = st.none() | st.floats(-1, 100)
figures: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "response_id": st.integers(0, 3),
        "outcome": st.sampled_from(("finished", "failed", "superseded")),
        **dict.fromkeys(("adopted", "cached", "hedged", "fallback"), st.booleans()),
        **dict.fromkeys(("rounds", "attempts", "held", "cache_read_tokens", "input_tokens"), st.integers(-5, 10**9)),
        **{f"{name}_s": seconds for name in ("queued", "decoded", "prompt", "connect")},
        **{f"{name}_s": seconds for name in ("first_token", "first_frame", "first_sentence", "done")},
        "head_start_s": st.floats(-1, 100),
        "model": st.text(max_size=5),
        "cache_miss": st.text(max_size=5),
    }
)
facts = st.one_of(
    st.builds(TurnStarted, st.integers(0, 3), st.sampled_from(("greeting", "response", "reminder"))),
    st.builds(TurnReasked, st.integers(0, 3), st.integers(0, 3)),
    st.builds(TurnFailed, st.integers(0, 3), st.text(max_size=5), st.just(1.0)),
    figures.map(lambda given: TurnMeasured(**given)),
    st.builds(ToolFinished, st.text(max_size=5), st.sampled_from(("done", "failed")), st.floats(-1, 100)),
    st.sampled_from((Detached(), Reattached(True), CallMoved(), CallEnded(1, 1.0), CallEnded(1, -1.0))),
)


@given(st.lists(facts, max_size=30))
def test_whatever_the_facts_no_span_ends_before_it_begins_or_has_another_s_id(happened: list[Traced]) -> None:
    spans = made(*((200.0 + number, fact) for number, fact in enumerate(happened)))
    assert all(0 < span.start_ns <= span.end_ns for span in spans)
    assert all(span.trace == trace_of("call_1") for span in spans)
    told = [span.id for span in spans if span.name.startswith("execute_tool")]
    assert len(set(told)) == len(told)
