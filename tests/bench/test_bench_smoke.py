"""A bench runs from end to end and leaves its JSON and its chart, if it has one. Its figures prove nothing here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("fastapi", reason="the bench extra is not installed")
pytest.importorskip("matplotlib", reason="the bench extra is not installed")


def ran(module: str, out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a bench briefly, to its end."""
    run = subprocess.run(
        [sys.executable, "-m", module, "--quick", *flags, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_first_frame_measures_a_peer_and_the_floor_and_leaves_its_files(tmp_path: Path) -> None:
    run = ran("bench.first_frame", tmp_path, "--stacks", "websockets-sdk")
    found = orjson.loads((tmp_path / "first_frame.json").read_bytes())
    rows = {row["stack"]: row for row in found["rows"]}
    assert rows.keys() == {"floor", "floor-at-once", "websockets-sdk"}
    assert rows["websockets-sdk"]["turns"] >= 2
    assert 0 < rows["floor"]["overhead_p50_ms"]
    assert 0 < rows["websockets-sdk"]["overhead_p50_ms"]
    assert found["machine"]["websockets"]
    assert all(row["failed"] == 0 for row in found["rounds"] if row["stack"] == "websockets-sdk")
    assert (tmp_path / "first_frame.png").read_bytes().startswith(b"\x89PNG")
    assert "two raw round trips" in run.stdout


def test_answer_cache_measures_hits_and_leaves_its_files(tmp_path: Path) -> None:
    run = ran("bench.answer_cache", tmp_path)
    found = orjson.loads((tmp_path / "answer_cache.json").read_bytes())
    rows = {row["way"]: row for row in found["rows"]}
    assert rows.keys() == {"hits", "flood", "model"}
    assert all(row["turns"] and not row["wrong"] and not row["failed"] for row in rows.values())
    assert rows["hits"]["complete_p50_ms"] < 200 < rows["model"]["complete_p50_ms"]
    assert (tmp_path / "answer_cache.png").read_bytes().startswith(b"\x89PNG")
    assert "from the cache" in run.stdout


def test_ear_measures_every_kind_of_answer_and_leaves_its_figures(tmp_path: Path) -> None:
    run = ran("bench.ear", tmp_path)
    found = orjson.loads((tmp_path / "ear.json").read_bytes())
    rows = {row["answer"]: row for row in found["rows"]}
    assert rows.keys() == {"words", "pairs", "trailing", "markdown"}
    assert all(row["delta_ns"] > row["own_ns"] > 0 for row in rows.values())
    assert rows["words"]["held_percent"] == 0 < rows["markdown"]["held_percent"]
    assert "ns/delta" in run.stdout


def test_first_sentence_plays_spoken_calls_and_an_outage_and_leaves_its_files(tmp_path: Path) -> None:
    run = ran("bench.first_sentence", tmp_path)
    assert "Warning" not in run.stderr
    found = orjson.loads((tmp_path / "first_sentence.json").read_bytes())
    rows = {row["configuration"]: row for row in found["rows"]}
    assert rows.keys() == {"off", "all"}
    for row in rows.values():
        assert row["turns"] == 8
        assert row["failed"] == row["lost"] == 0
        assert 0 < row["sentence_p50_ms"] < 2000
        assert row["requests_per_turn"] >= 0.5
    outage = found["rounds"][-1]
    assert outage["case"] == "outage"
    assert outage["outage_turns"] > 0
    assert len(found["claims"]) == 7
    for name in ("first_sentence", "first_sentence_shares", "first_sentence_delays"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_facts_measures_every_way_and_leaves_its_figures(tmp_path: Path) -> None:
    ran("bench.facts", tmp_path)
    found = orjson.loads((tmp_path / "facts.json").read_bytes())
    rows = {row["way"]: row for row in found["rows"]}
    assert rows.keys() == {"none", "journal", "disk", "bus"}
    assert all(row["put"] and not row["lost"] for row in rows.values())
    assert rows["journal"]["keep_p50_ms"] > 0
