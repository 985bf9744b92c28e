"""The decision matrix: each blueprint is recommended for what it is meant for, and for no more."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.deploy.machines import Machine, capacity
from retell_ws.deploy.needs import NEEDS
from retell_ws.deploy.next_setup import Options, next_setup
from retell_ws.deploy.recommend import BLUEPRINTS, LEVERS, Advice, Want, advise
from retell_ws.errors import UsageError
from retell_ws.settings import BUDGETS_MS

ROOT = Path(__file__).parent.parent.parent
NO_KAFKA = "no Kafka: the server starts the consumers itself, and one machine's disk has the facts"


def size(advice: Advice) -> int:
    return BLUEPRINTS.index(advice.blueprint)


@pytest.mark.parametrize(
    ("calls", "blueprint"),
    [(1, "single"), (9, "single"), (10, "distributed"), (99, "distributed"), (100, "events"), (5000, "events")],
)
def test_calls_decide_where_one_blueprint_ends(calls: int, blueprint: str) -> None:
    assert advise(Want(calls)).blueprint == blueprint


@pytest.mark.parametrize(
    ("p95_ms", "blueprint"),
    [(2000, "single"), (800, "single"), (799, "distributed"), (500, "distributed"), (499, "events"), (100, "events")],
)
def test_latency_decides_by_the_budgets(p95_ms: int, blueprint: str) -> None:
    assert advise(Want(1, p95_ms)).blueprint == blueprint


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
        Want(50, 300),
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
    st.integers(1, 10_000),
    st.none() | st.integers(1, 5000),
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


@given(WANTS)
def test_what_has_to_run_is_what_apply_writes(want: Want) -> None:
    advice = advise(want)
    options = Options(kafka="HOST:9092" if "--kafka" in advice.apply else None)
    wanted = next_setup(advice.blueprint, "/opt/a", "/bin/retell_ws", options, before=None, own={})
    assert (wanted.servers > 1) == advice.runs[0].startswith("two or more servers")
    assert bool(wanted.redis_url) == ("Redis 7 or Valkey" in advice.runs) == advice.is_shared
    assert bool(wanted.kafka) == any(run.startswith("Kafka") for run in advice.runs)


@given(WANTS, st.integers(0, 1000), st.sampled_from(sorted(NEEDS)))
def test_who_wants_more_gets_no_less(want: Want, calls: int, need: str) -> None:
    more = Want(want.calls + calls, want.p95_ms, (*want.needs, need))
    assert size(advise(more)) >= size(advise(want))


def test_levers_are_named_where_a_model_alone_is_too_slow() -> None:
    assert not any("levers" in line for line in advise(Want(1, 800)).measure)
    assert any("speculation" in line for line in advise(Want(1, 799)).measure)
    slow = LEVERS["p95"][1]
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
    assert capacity(machine, 100, shared=False) == capacity(machine, 2000, shared=False)
    found = capacity(machine, 2001, shared=True)
    assert (found.calls_per_core, found.calls_here, found.machines) == (1000, 2000, 3)
    assert capacity(Machine(cores=1, turns=1, cpu_ms=1e6), 3, shared=False).machines == 3


def test_every_pair_of_needs_is_met() -> None:
    for pair in itertools.combinations(NEEDS, 2):
        advice = advise(Want(1, None, pair))
        assert all(getattr(NEEDS[name], advice.blueprint) for name in pair)
