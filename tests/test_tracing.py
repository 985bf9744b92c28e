"""The spans of real calls, as a collector gets them; and calls that do not notice a collector that is away."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import opentelemetry.util.re as reading
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.errors import SettingsError
from retell_ws.facts import Detached, TurnMeasured
from retell_ws.handle import Call
from retell_ws.measures import Measures
from retell_ws.otlp import _refuse_broken_headers
from retell_ws.settings import Settings
from retell_ws.spans import SCHEMA, call_span_of, trace_of
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess
from retell_ws.testing.retell import FakeRetell
from retell_ws.testing.script import Script
from retell_ws.traces import Tracer
from retell_ws.tracing import Tracing

from .machine import free_port
from .otlp_collector import Collector
from .test_takeover import fleet, resumed
from .waiting import until

CANARY = "Zanzibarquux"


def agent() -> Agent:
    ana = Agent("You are Ana.", greeting="Hello.")

    @ana.tool
    async def book(call: Call, day: Literal["Monday", "Tuesday"], name: str) -> str:
        """Book an appointment."""
        return f"Booked for {name} on {day}."

    return ana


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with Collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


def traced(**settings: object) -> Settings:
    return Settings(port=0, traces=True, grace_s=0.05, **settings)  # type: ignore[arg-type]


@pytest.mark.usefixtures("clean_loop")
async def test_a_call_is_one_tree_of_spans_without_a_word_of_it(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
    async with (
        FakeAnthropicProcess(ttft_ms=20, spacing_ms=1) as fake,
        running(agent(), traced(model_url=fake.url, warm_cache=False)) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.greeting()
        answer = await retell.ask(f"I would like to book Monday, my name is {CANARY}.")
        assert CANARY in answer.text
    (call,), (turn,), (tool,) = (collector.named(name) for name in ("call", "turn", "execute_tool book"))
    (chat,) = collector.named("chat claude-haiku-5-5")
    assert {span.name for span in collector.spans} >= {"queued", "decode", "prompt", "connect"}
    assert (call.trace, call.id, call.parent) == (f"{trace_of('call_1'):032x}", f"{call_span_of('call_1'):016x}", "")
    assert {span.trace for span in collector.spans} == {call.trace}
    assert turn.parent == call.id
    children = [span for span in collector.spans if span.parent == turn.id]
    assert len(children) == len(collector.spans) - 2 and tool in children and chat in children
    for span in children:
        assert turn.start_ns <= span.start_ns <= span.end_ns <= turn.end_ns, span
    assert call.start_ns <= turn.start_ns and turn.end_ns <= call.end_ns
    stages = [next(span for span in children if span.name == name) for name in ("queued", "decode", "prompt")]
    assert all(before.end_ns <= after.start_ns for before, after in zip(stages, stages[1:], strict=False))
    assert stages[-1].end_ns == chat.start_ns
    assert chat.start_ns < tool.start_ns <= tool.end_ns < chat.end_ns
    moments = [turn.events[name] for name in ("first_token", "first_frame", "first_sentence")]
    assert moments == sorted(moments) and chat.start_ns < moments[0] and moments[-1] <= turn.end_ns
    assert (call.kind, turn.kind, chat.kind) == ("SPAN_KIND_SERVER", "SPAN_KIND_INTERNAL", "SPAN_KIND_CLIENT")
    assert chat.attributes["gen_ai.provider.name"] == "anthropic"
    assert f"{chat.attributes['server.address']}:{chat.attributes['server.port']}" in fake.url
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert chat.error == "" and {span.schema for span in collector.spans} == {SCHEMA}
    assert chat.attributes["gen_ai.usage.output_tokens"] > 0
    assert chat.attributes["retell_ws.rounds"] == chat.attributes["retell_ws.attempts"] == 2
    assert 0.02 <= chat.attributes["gen_ai.response.time_to_first_chunk"] < 5
    assert call.resource["service.name"] == "retell_ws" and call.resource["service.instance.id"]
    assert call.resource["deployment.environment"] == "test"
    assert collector.headers["x-key"] == "abc"
    assert all(CANARY.encode() not in body and b"Booked" not in body for body in collector.bodies)


@pytest.mark.parametrize(("fault", "kind"), [("529", "overloaded_error"), ("cut", "ModelBroken")])
async def test_a_model_that_fails_is_an_error_without_invented_figures(
    fault: str, kind: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    async with (
        FakeAnthropicProcess(ttft_ms=1, spacing_ms=1, fault_s=0.1) as fake,
        running(agent(), traced(model_url=fake.url, warm_cache=False, fallback_model="")) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.greeting()
        await fake.control(fault=fault)
        await retell.ask("Are you open?")
    (turn,), (chat,) = collector.named("turn"), collector.named("chat claude-haiku-5-5")
    assert turn.error == chat.error == chat.attributes["error.type"] == kind
    assert chat.attributes["retell_ws.attempts"] >= 1
    assert not [name for name in chat.attributes if name.startswith(("gen_ai.usage.", "gen_ai.response.finish"))]


async def test_a_turn_that_failed_is_an_error_with_its_kind(collector: Collector) -> None:
    async with (
        running(agent(), traced(), model=Script([RuntimeError(CANARY)])) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.greeting()
        await retell.ask("Hello?")
    (turn,) = collector.named("turn")
    assert turn.attributes["retell_ws.outcome"] == "failed"
    assert turn.error == turn.attributes["error.type"] == "ModelUnavailable"
    assert all(CANARY.encode() not in body for body in collector.bodies)


async def test_a_call_that_another_server_takes_goes_on_in_its_trace(collector: Collector) -> None:
    async with fleet(traces=True, grace_s=0.05) as two, two.call(call_id="call_1") as retell:
        await retell.greeting()
        for server, model in enumerate(two.models):
            if server:
                two.move()
                await resumed(two.servers[1], retell)
            asked = await retell.request(f"And at {server}?")
            stream = await model.asked(1)
            stream.say("From nine to five.")
            stream.end()
            await retell.answer(asked)
    first, second = collector.named("turn")
    (call,) = collector.named("call")
    assert first.trace == second.trace == call.trace
    assert first.parent == second.parent == call.id
    assert {first.resource["service.instance.id"], second.resource["service.instance.id"]} == {"first", "second"}
    assert call.resource["service.instance.id"] == "second"
    assert call.start_ns <= first.start_ns, "from the first socket on, whoever had it"


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
async def test_servers_sample_the_same_calls_whole(
    sampler: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10000")
    for server in ("first", "second"):
        async with Tracing(Tracer("m", "p"), server=server) as tracing:
            for number in range(400):
                tracing.put(f"call_{number}", 1, 1, TurnMeasured(1, "finished", decoded_s=0.1, done_s=1.0))
    by_server = [
        {(span.trace, span.name) for span in collector.spans if span.resource["service.instance.id"] == server}
        for server in ("first", "second")
    ]
    assert by_server[0] == by_server[1]
    assert 50 < len({trace for trace, _ in by_server[0]}) < 150
    assert {trace for trace, name in by_server[0] if name == "turn"} == {
        trace for trace, name in by_server[0] if name == "decode"
    }


async def test_a_collector_that_is_away_costs_no_call_anything_and_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    tracing = Tracing(Tracer("m", "p"), server="here")
    async with tracing:
        for number in range(3):
            tracing.put("call_1", 1, number, TurnMeasured(1, "finished"))
            await until(lambda number=number: tracing.figures()["failed"] > number)  # type: ignore[misc]
    assert tracing.figures() == {"sent": 0, "failed": 3, "dropped": 0}
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert told[0].getMessage().startswith("spans cannot be sent, and are given up: Failed to export")
    async with (
        running(agent(), traced(), model=Script(["We are."])) as server,
        FakeRetell(server.url) as retell,
    ):
        await retell.greeting()
        assert (await retell.ask("Are you open?")).text == "We are."


async def test_a_key_in_the_collectors_address_is_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"htp://me:{CANARY}@collector/v1/traces?key={CANARY}")
    async with Tracing(Tracer("m", "p"), server="here") as tracing:
        tracing.put("call_1", 1, 1, TurnMeasured(1, "finished"))
    assert "spans cannot be sent" in caplog.text and "'htp://…@collector/v1/traces?…'" in caplog.text
    assert CANARY not in caplog.text


async def test_an_exporter_that_raises_takes_no_room_for_ever(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def export(*_: object) -> None:
        raise ValueError(CANARY)

    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with Tracing(Tracer("m", "p"), server="here") as tracing:
        with monkeypatch.context() as broken:
            broken.setattr(OTLPSpanExporter, "export", export)
            tracing.put("call_1", 1, 1, TurnMeasured(1, "finished"))
            await until(lambda: tracing.figures()["failed"] == 1)
        tracing.put("call_1", 1, 2, TurnMeasured(2, "finished"))
        await until(lambda: tracing.figures()["sent"] == 1)
    assert "given up: ValueError" in caplog.text and CANARY not in caplog.text


async def test_the_last_spans_are_sent_though_the_agents_functions_have_all_threads(collector: Collector) -> None:
    tracing, over = Tracing(Tracer("m", "p"), server="here"), threading.Event()
    await tracing.__aenter__()
    asyncio.get_running_loop().set_default_executor(pool := ThreadPoolExecutor(1))
    pool.submit(over.wait)
    try:
        tracing.put("call_1", 1, 1, TurnMeasured(1, "finished"))
        async with asyncio.timeout(10):
            await tracing.__aexit__(None, None, None)
    finally:
        over.set()
    assert tracing.figures()["sent"] == 1


async def test_a_collector_that_is_back_is_told_of(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    collector.status = 400
    async with Tracing(Tracer("m", "p"), server="here") as tracing:
        tracing.put("call_1", 1, 1, TurnMeasured(1, "finished"))
        await until(lambda: tracing.figures()["failed"] == 1)
        collector.status = 200
        tracing.put("call_1", 1, 2, TurnMeasured(2, "finished"))
        await until(lambda: tracing.figures()["sent"] == 1)
    given_up, again = (record.getMessage() for record in caplog.records)
    assert given_up.startswith("spans cannot be sent, and are given up: ") and "400" in given_up
    assert again == "spans are sent again"


async def test_one_that_never_answers_holds_no_exit_and_no_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"FLUSH_S": 0.1, "LEAVE_S": 0.1, "ROOM": 500}.items():
        monkeypatch.setattr(f"retell_ws.tracing.{name}", value)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
    tracing = Tracing(Tracer("m", "p"), server="here")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections, and nobody reads them
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        await tracing.__aenter__()
        for number in range(1000):
            tracing.put("call_1", 1, number, TurnMeasured(number, "finished"))
        assert 0 < tracing.figures()["dropped"] <= 500
        await until(lambda: tracing.figures()["dropped"] == 1000 - 16)
        await tracing.__aexit__(None, None, None)
    assert "the last spans cannot be sent" in caplog.text


async def test_what_was_put_is_counted_and_shown(collector: Collector) -> None:
    tracing = Tracing(Tracer("m", "p"), server="here")
    assert tracing.figures() == {"sent": 0, "failed": 0, "dropped": 0}
    async with tracing:
        tracing.put("call_1", 1, 1, TurnMeasured(1, "finished"))
        tracing.put("call_1", 1, 2, Detached())
    shown = Measures(0.8, lambda: 0, traces=tracing.figures).text().decode()
    assert 'retell_ws_spans_total{outcome="sent"} 1.0' in shown
    assert 'retell_ws_spans_total{outcome="dropped"} 0.0' in shown
    assert "retell_ws_spans" not in Measures(0.8, lambda: 0).text().decode()


async def test_a_fact_that_cannot_be_traced_is_told_of_and_the_others_are_sent(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracer, spans = Tracer("m", "p"), Tracer.spans
    monkeypatch.setattr(tracer, "spans", lambda *fact: spans(tracer, *fact) if fact[2] != 1 else 1 / 0)
    async with Tracing(tracer, server="here") as tracing:
        for number in range(3):
            tracing.put("call_1", 1, number, TurnMeasured(number, "finished"))
    assert [turn.attributes["retell_ws.response_id"] for turn in collector.spans] == [0, 2]
    assert "a fact cannot be traced" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is http/json"),
        ("OTEL_TRACES_EXPORTER", "none", "leave --traces out"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "traces: OTEL_"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer", "OTEL_EXPORTER_OTLP_HEADERS is no list of name=value"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-key=a,b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS is no list"),
    ],
)
async def test_what_the_environment_wants_and_cannot_have_stops_the_start(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=told):
        async with running(agent(), traced(), model=Script([])):
            pass


HEADERS = st.text(st.sampled_from("aZ0-_=:;,/@ \t\"'\\%~ä\x7f"), max_size=12)


@given(HEADERS | HEADERS.map("authorization=".__add__))
@example(" ")
def test_the_sdk_has_nothing_to_say_of_headers_that_are_taken(headers: str) -> None:
    said = list[str]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(reading._logger, "warning", lambda _, header: said.append(header))
        reading.parse_env_headers(headers, liberal=True)
    try:
        _refuse_broken_headers({"OTEL_EXPORTER_OTLP_HEADERS": headers})
    except SettingsError as exc:
        assert said and "authorization" not in str(exc)
    else:
        assert not "".join(said).strip()  # of a variable that is blank it has something to say, which tells no key


async def test_a_package_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("retell_ws.tracing", "retell_ws.otlp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'retell-ws\[otel\]'"):
        async with running(agent(), traced(), model=Script([])):
            pass


async def test_a_server_that_does_not_trace_loads_nothing_of_it() -> None:
    program = """
import asyncio, sys
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.settings import Settings
async def main():
    async with running(Agent("You are Ana."), Settings(port=0, http_port=0, model="scripted")):
        loaded = [*filter(("opentelemetry", "retell_ws.traces", "retell_ws.otlp").__contains__, sys.modules)]
        print(loaded)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"[]\n")
