"""Reads what consumers have kept, as anybody may: the archive's Parquet files, and `retell_ws report`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson

from bench.harness.processes import ROOT, environment

__all__ = ["archived_calls", "reported_totals"]


def archived_calls(archive: Path) -> list[str]:
    """Give the call id of each row of the archive, in all files there are.

    Args:
        archive: Its folder.
    """
    import duckdb

    if not any(archive.rglob("*.parquet")):
        return []
    with duckdb.connect() as reader:
        found = reader.execute("SELECT call_id FROM read_parquet(?)", [f"{archive}/**/*.parquet"]).fetchall()
    return [str(call_id) for (call_id,) in found]


def reported_totals(data: Path) -> dict[str, float]:
    """Give the totals of `retell_ws report --json`, by the names the bench has for them.

    Args:
        data: The data folder.

    Raises:
        RuntimeError: There is no report.
    """
    argv = [sys.executable, "-m", "retell_ws", "report", "--since", "1d", "--data", str(data), "--json"]
    made = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, timeout=120, check=False)
    if made.returncode:
        raise RuntimeError(f"no report: {made.stderr[-2000:].decode(errors='replace')}")
    found = orjson.loads(made.stdout)
    return {
        "calls": found["calls"]["count"],
        "turns": found["turns"]["count"],
        "barge_ins": found["turns"]["barge_ins"],
        "tools": sum(tool["count"] for tool in found["tools"]),
    }
