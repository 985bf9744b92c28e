"""What may lose facts, brought about for real and briefly, with genuine Kafka: a broker that is away, kills, consumers.

Here the verdict counts: whatever is lost, out of order, or counted wrongly makes the bench end with 1. Its times prove
nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.kafka_servers import genuine

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("matplotlib", reason="the bench extra is not installed")

# A broker, a server and up to four consumers start, on however busy a machine; twenty seconds on one that is not.
pytestmark = pytest.mark.timeout(240)


def run(module: str, out: Path, *flags: str) -> dict[str, Any]:
    genuine()
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", "--short", "--seed", "7", "--out", str(out), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = orjson.loads((out / f"{module}.json").read_bytes())
    return found


def played(scenario: str, out: Path) -> dict[str, Any]:
    (row,) = run("events", out, "--scenarios", scenario)["rows"]
    assert row["scenario"] == scenario
    assert not any(row["checks"].values())
    assert row["turns"] >= 6
    assert row["facts"] > 4 * row["turns"], "there were turns of which nothing was told"
    assert (row["lost"], row["affected"], row["violations"]) == (0, 0, 0)
    return dict(row)


def test_nothing_is_lost_while_kafka_is_away_and_no_turn_notices(tmp_path: Path) -> None:
    row = played("outage", tmp_path)
    assert row["waiting"] > 0, "nothing had to wait: Kafka was not away"
    assert row["caught_up_s"] > 0
    assert (tmp_path / "events_outage.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_journalled_survives_the_server(tmp_path: Path) -> None:
    row = played("kill", tmp_path)
    assert row["journalled"] > 0, "the server had passed everything on"
    assert row["epochs"] > row["calls"], "no call went on after the kill"


def test_consumers_that_are_killed_count_every_call_once(tmp_path: Path) -> None:
    row = played("consumers", tmp_path)
    assert row["kills"]  # how many, a busy machine decides
    assert row["archived"] == row["calls"]
    assert row["counted_turns"] == row["reported_turns"] == row["turns"]


def test_a_caller_who_wants_a_human_gets_one_by_either_bus(tmp_path: Path) -> None:
    found = run("events", tmp_path, "--scenarios", "escalation")
    assert {row["bus"]: row["violations"] for row in found["rows"]} == {"journal": 0, "kafka": 0}
    assert all(row["escalations"] == 4 and row["escalated_p99_ms"] > 0 for row in found["rows"])
    assert (tmp_path / "events_escalation.png").read_bytes().startswith(b"\x89PNG")


def test_the_cost_is_measured_with_and_without_facts(tmp_path: Path) -> None:
    found = run("events", tmp_path, "--scenarios", "cost")
    rows = {row["stack"]: row for row in found["rows"]}
    assert rows.keys() == {"off", "journal", "kafka"}
    assert all(row["turns"] >= 4 and not row["affected"] for row in rows.values())
    taken = {row["stack"]: row["facts_taken"] for row in found["rounds"]}
    assert taken["off"] == 0 < min(taken["journal"], taken["kafka"])
    assert rows["off"]["fact_p50_us"] is None  # no figure
    assert 0 < rows["kafka"]["fact_p50_us"] <= rows["kafka"]["fact_p99_us"]
    assert (tmp_path / "events.png").read_bytes().startswith(b"\x89PNG")


def test_capacity_is_reckoned_from_what_was_measured(tmp_path: Path) -> None:
    found = run("capacity", tmp_path)
    measured, rows = found["settings"]["measured"], found["rows"]
    assert [row["calls"] for row in rows] == [10, 100, 1_000, 10_000, 100_000]
    assert all(row["derived"] for row in rows)
    assert measured["facts"]["turn"] >= 3
    assert measured["journal_bytes"]["turn"] > measured["kafka_bytes"]["turn"] > 0
    assert measured["consumer_cpu_ms"].keys() == {"analytics", "archive", "escalation"}
