"""The decision matrix: each blueprint is recommended for what it is meant for, and for no more."""

from __future__ import annotations

import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws.deploy.files import Wanted, settings
from retell_ws.deploy.machines import MOST_CALLS, Machine, capacity
from retell_ws.deploy.needs import NEEDS
from retell_ws.deploy.next_setup import Options, next_setup
from retell_ws.deploy.recommend import BLUEPRINTS, LEVERS, MODEL_MS, Advice, Want, advise
from retell_ws.errors import UsageError
from retell_ws.settings import BUDGETS_MS, Settings

ROOT = Path(__file__).parent.parent.parent
P95_MS = (100, 299, 300, 499, 500, 799, 800, 1160, 1161, 1793, 1794, 2000)
CALLS = (1, 9, 10, 11, 99, 100, 101, 5000)
NO_KAFKA = "no Kafka: the server starts the consumers itself, and one machine's disk has the facts"


def size(advice: Advice) -> int:
    return BLUEPRINTS.index(advice.blueprint)


@pytest.mark.parametrize(
    ("calls", "blueprint"),
    [(1, "single"), (9, "single"), (10, "distributed"), (99, "distributed"), (100, "events"), (5000, "events")],
)
def test_calls_decide_where_one_blueprint_ends(calls: int, blueprint: str) -> None:
    assert advise(Want(calls)).blueprint == blueprint


@pytest.mark.parametrize("calls", [1, 9, 10, 99, 100])
@pytest.mark.parametrize("p95_ms", P95_MS)
def test_latency_decides_about_levers_and_not_about_the_blueprint(calls: int, p95_ms: int) -> None:
    advice, same = advise(Want(calls, p95_ms)), advise(Want(calls))
    assert (advice.blueprint, advice.runs) == (same.blueprint, same.runs)
    assert advice.speculates == (calls >= 10 or p95_ms < BUDGETS_MS["single"])
    assert all(f"budget {BUDGETS_MS[name]} ms" in getattr(advice.rows[1], name) for name in BLUEPRINTS)


@pytest.mark.parametrize("name", NEEDS)
def test_a_need_gets_the_first_blueprint_that_gives_it(name: str) -> None:
    need, advice = NEEDS[name], advise(Want(1, None, (name,)))
    assert advice.blueprint == need.first
    assert getattr(need, need.first), "it gives it"
    assert advice.rows[-1].need == name and advice.rows[-1].why == need.why
    assert ("Redis 7 or Valkey" in advice.runs) == (need.redis or need.kafka)


def test_analytics_of_few_calls_need_no_kafka_and_no_redis() -> None:
    advice = advise(Want(5, None, ("analytics", "transcripts", "escalation", "webhooks")))
    assert (advice.blueprint, advice.runs[1:]) == ("events", (NO_KAFKA,))
    assert advice.apply == "retell_ws blueprint apply events --into DIR"
    assert all(row.single and row.distributed for row in advice.rows), "smaller blueprints do it with --data"


def test_facts_of_several_servers_need_kafka() -> None:
    for want in (
        Want(50, 300, ("webhooks",)),
        Want(50, None, ("analytics",)),
        Want(5, None, ("failover", "transcripts")),
        Want(5, None, ("kafka",)),
    ):
        advice = advise(want)
        assert advice.blueprint == "events" and any(run.startswith("Kafka") for run in advice.runs)
        assert advice.apply.endswith("--kafka HOST:9092")


@pytest.mark.parametrize("want", [Want(50), Want(5, None, ("failover",))])
def test_kafka_runs_for_events_alone(want: Want) -> None:
    advice = advise(want)
    assert advice.blueprint == "distributed" and not any("Kafka" in run for run in advice.runs)


WANTS = st.builds(
    Want,
    st.sampled_from(CALLS) | st.integers(1, 10_000),
    st.none() | st.sampled_from(P95_MS) | st.integers(1, 5000),
    st.lists(st.sampled_from(sorted(NEEDS)), max_size=5).map(tuple),
)


@given(WANTS)
def test_the_recommended_one_is_the_smallest_that_will_do(want: Want) -> None:
    advice = advise(want)
    assert advice.blueprint == max((row.first for row in advice.rows), key=BLUEPRINTS.index)
    for row in advice.rows:
        assert row.decides == (row.first == advice.blueprint and advice.blueprint != "single")
        assert getattr(row, row.first), "a blueprint that is chosen for something gives it"
    assert len(advice.rows) == 1 + (want.p95_ms is not None) + len(set(want.needs))


def applied(advice: Advice) -> tuple[Wanted, Settings]:
    """What `apply` makes of the command, and a server's settings when what is to be turned on was."""
    words = shlex.split(advice.apply)
    assert words[:3] == ["retell_ws", "blueprint", "apply"] and words[3:6] == [advice.blueprint, "--into", "DIR"]
    said: dict[str, Any] = {
        name[2:].replace("-", "_"): value for name, value in zip(words[6::2], words[7::2], strict=True)
    }
    if "servers" in said:
        said["servers"] = int(said["servers"])
    wanted = next_setup(advice.blueprint, "/opt/a", "/bin/retell_ws", Options(**said), before=None, own={})
    lines = [line for command in advice.then if command.startswith("$ printf") for line in shlex.split(command)[3:-2]]
    added = tomllib.loads("\n".join(lines).replace("$(nproc)", "4"))
    written = {name: value for name, value in settings(wanted).items() if name not in ("port", "http_port")}
    assert not added.keys() & written.keys(), "a name twice is no TOML"
    return wanted, msgspec.convert({**written, **added}, Settings)


@given(WANTS)
@example(Want(5, None, ("workers",)))
@example(Want(5, None, ("workers", "analytics")))
def test_what_has_to_run_is_what_apply_writes(want: Want) -> None:
    advice = advise(want)
    wanted, _ = applied(advice)
    assert (wanted.servers > 1) == advice.is_several == advice.runs[0].startswith("two or more servers")
    assert bool(wanted.redis_url) == ("Redis 7 or Valkey" in advice.runs) == advice.is_shared
    assert bool(wanted.kafka) == any(run.startswith("Kafka") for run in advice.runs) == advice.is_on_bus


@given(WANTS)
@example(Want(5, 300, ("speculation", "workers", "escalation")))
@example(Want(50, 2000, ("workers", "kafka", "webhooks", "answer-cache", "live-control")))
def test_what_is_needed_is_on_when_all_that_is_told_was_done(want: Want) -> None:
    advice = advise(want)
    wanted, server = applied(advice)
    assert server.speculates() == advice.speculates
    assert server.speculates() or "speculation" not in want.needs
    assert round(1000 * server.budget_s()) == (want.p95_ms or BUDGETS_MS[advice.blueprint])
    assert server.workers == (4 if "workers" in want.needs and not advice.is_several else 1)
    assert bool(server.rules) == ("escalation" in want.needs)
    told = " ".join(advice.then)
    assert server.workers > 1 or wanted.servers > 1 or "workers" not in want.needs
    for need, word in (("answer-cache", "cache=True"), ("live-control", "ADMIN_TOKEN"), ("webhooks", "RETELL_API_KEY")):
        assert (word in told) == (need in want.needs)
    assert ("RETELL_WS_WEBHOOK_SECRET" in told) == ("escalation" in want.needs)
    assert ("consume escalation" in told) == ("escalation" in want.needs and advice.is_on_bus)


def amount(advice: Advice) -> tuple[int, ...]:
    """What it is to run it, each thing by itself."""
    on = (advice.is_several, advice.is_shared, advice.is_on_bus, advice.speculates)
    return size(advice), *map(int, on)


def assert_no_less(more: Want, want: Want) -> None:
    told, less = amount(advise(more)), amount(advise(want))
    assert all(one >= other for one, other in zip(told, less, strict=True)), (more, want)


@given(WANTS, st.integers(0, 1000), st.integers(0, 5000), st.sampled_from(sorted(NEEDS)))
def test_who_wants_more_gets_no_less(want: Want, calls: int, faster_ms: int, need: str) -> None:
    p95_ms = None if want.p95_ms is None else max(1, want.p95_ms - faster_ms)
    assert_no_less(Want(want.calls + calls, p95_ms, (*want.needs, need)), want)
    assert_no_less(Want(want.calls, faster_ms + 1, want.needs), Want(want.calls, None, want.needs))


def test_at_every_edge_who_wants_more_gets_no_less() -> None:
    for needs in ((), *((name,) for name in NEEDS)):
        for (few, many), p95_ms in itertools.product(itertools.pairwise(CALLS), P95_MS):
            assert_no_less(Want(many, p95_ms, needs), Want(few, p95_ms, needs))
        for (fast, slow), calls in itertools.product(itertools.pairwise(P95_MS), CALLS):
            assert_no_less(Want(calls, fast, needs), Want(calls, slow, needs))


@given(WANTS)
@example(Want(50, 800, ("transcripts", "escalation", "analytics")))
@example(Want(5, 1160, ("failover",)))
def test_every_reason_is_true_for_the_answer(want: Want) -> None:
    advice = advise(want)
    assert all(getattr(row, advice.blueprint) for row in advice.rows), "what is recommended gives what is needed"
    said = [row.why for row in advice.rows] + list(advice.measure)
    for at, text in enumerate(said):
        if "Kafka" in text and advice.is_on_bus:
            assert "on one server" in text or "bus" in text, "it is said of what is not recommended"
        if "losing" in text or "bearable" in text:
            assert "failover" not in want.needs
        if "fit" in text.split("(")[0] and "a model's" in text:
            assert want.p95_ms is not None and want.p95_ms >= MODEL_MS[1]
        if re.search(r"\bthere\b", text):
            assert "bench/RESULTS.md" in said[at - 1], "it is a place that was named"


def test_levers_are_named_where_a_model_alone_is_too_slow() -> None:
    without, slow = LEVERS["p95"]
    assert not any("levers" in line for line in advise(Want(1, without)).measure)
    assert any("speculation" in line for line in advise(Want(1, without - 1)).measure)
    assert not any("not reached" in line for line in advise(Want(1, slow)).measure)
    assert any(f"a p95 of {slow - 1} ms was not reached" in line for line in advise(Want(1, slow - 1)).measure)


def test_less_than_any_budget_is_promised_by_nobody() -> None:
    assert "no blueprint" in advise(Want(1, BUDGETS_MS["events"] - 1)).rows[1].why
    assert "levers" in advise(Want(1, BUDGETS_MS["events"])).rows[1].why


def test_the_figures_of_the_levers_are_those_of_the_readme() -> None:
    (table,) = re.findall(r"<!-- ahead:begin -->\n(.*?)<!-- ahead:end -->", (ROOT / "README.md").read_text(), re.DOTALL)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    found = {name: (int(off), int(on)) for name, off, on in rows if off.isdigit() and on.isdigit()}
    assert found["first sentence of the answer, p50 ms"] == LEVERS["p50"]
    assert found["p95 ms"] == LEVERS["p95"]


@pytest.mark.parametrize(
    ("calls", "p95_ms", "needs", "words"),
    [
        (0, None, (), "--calls"),
        (1, 0, (), "--p95-ms"),
        (1, None, ("uptime",), "--needs: 'uptime' is none of failover, "),
    ],
)
def test_what_cannot_be_wanted_is_told(calls: int, p95_ms: int | None, needs: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Want(calls, p95_ms, needs)


def test_capacity_follows_from_what_a_turn_costs() -> None:
    machine = Machine(cores=2, turns=100, cpu_ms=5.0)
    found = capacity(machine, 2001, shared=True, several=True)
    assert (found.calls_per_core, found.calls_here, found.machines) == (1000, 2000, 3)
    assert capacity(machine, 9, shared=True, several=False).machines == 1, "nobody asked for one to spare"
    assert capacity(Machine(cores=1, turns=1, cpu_ms=1e6), 3, shared=False, several=False).machines == 3


def test_one_process_has_one_core_and_takes_no_more_than_max_calls() -> None:
    slow, fast = (Machine(cores=8, turns=100, cpu_ms=cpu_ms) for cpu_ms in (50.0, 0.5))
    assert capacity(slow, 9, shared=False, several=False).calls_here == 100
    assert capacity(fast, 9, shared=False, several=False).calls_here == MOST_CALLS < 10_000
    assert capacity(fast, 50, shared=True, several=True).calls_here == 8 * MOST_CALLS


def test_every_pair_of_needs_is_met() -> None:
    for pair in itertools.combinations(NEEDS, 2):
        advice = advise(Want(1, None, pair))
        assert all(getattr(NEEDS[name], advice.blueprint) for name in pair)
