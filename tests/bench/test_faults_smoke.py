"""Each fault, brought about for real and briefly: servers that are killed, stopped and restarted, a Redis that is gone.

Here the verdict counts: whatever is said twice, lost or done twice makes the bench end with 1. Its times prove nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.harness.faults.scenarios import SCENARIOS
from tests.machine import program

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("matplotlib", reason="the bench extra is not installed")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_violated_and_the_bench_leaves_its_files(scenario: str, tmp_path: Path) -> None:
    program("haproxy")
    flags = ("--scenarios", scenario, "--quick", "--seed", "7", "--out", str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-m", "bench.faults", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    assert "seed 7" in run.stderr
    (row,) = orjson.loads((tmp_path / "faults.json").read_bytes())["rows"]
    assert row["scenario"] == scenario
    assert not any(row["checks"].values())
    assert (row["lost_calls"], row["violations"]) == (0, 0)
    assert row["answers"] >= 6
    if row["resumed"]:
        assert (tmp_path / "faults.png").read_bytes().startswith(b"\x89PNG")
    if scenario in ("kill", "roll", "empty"):
        assert row["sockets"] > row["calls"], "no call had to be redialled"
