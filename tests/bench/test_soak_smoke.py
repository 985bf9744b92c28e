"""The soak bench, for some seconds: calls of every kind come and go, and nothing of them is left.

The memory of so short a run proves nothing, and is not judged.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("matplotlib", reason="the bench extra is not installed")


@pytest.mark.timeout(220)
def test_nothing_is_left_of_calls_of_every_kind_and_the_bench_leaves_its_files(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.soak", "--quick", "--seed", "8", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = orjson.loads((tmp_path / "soak.json").read_bytes())
    verdicts = {claim["text"]: claim["verdict"] for claim in found["claims"]}
    assert verdicts.pop("memory: farthest from its median, %") == "not measured"
    assert verdicts.pop("memory: trend, up or down, % an hour") == "not measured"
    assert set(verdicts.values()) == {"holds"}
    rows = {row["what"]: row for row in found["rows"]}
    assert rows["calls"]["most"] > 0 == rows["calls"]["after"]
    assert rows["tasks"]["most"] > rows["tasks"]["before"] > 0
    assert rows["keys"]["after"] > 0 < rows["journal_mib"]["after"]
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
