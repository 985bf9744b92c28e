"""The README's table of figures, drawn from the latest results. It measures nothing.

python -m bench.harness.summary    writes the table anew
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.harness.levers import ALL, OFF
from bench.harness.processes import ROOT
from bench.harness.report import RESULTS, number, replace_section
from bench.harness.stacks import STACKS

__all__ = ["README", "ahead", "capacity", "facts", "survives", "table"]

README = ROOT / "README.md"

SHOWN = ("ours", "websockets-sdk", "demo")

FIGURES = (
    ("one call: first frame, p50 ms", "first_frame", None, "overhead_p50_ms"),
    ("300 calls: first frame, p50 ms", "fleet", 300, "overhead_p50_ms"),
    ("300 calls: first frame, p99 ms", "fleet", 300, "overhead_p99_ms"),
    ("300 calls: CPU for one turn, ms", "fleet", 300, "cpu_per_turn_ms"),
    ("1000 calls: first frame, p99 ms", "fleet", 1000, "overhead_p99_ms"),
    ("1000 calls: failed turns", "fleet", 1000, "failed"),
    ("1000 calls: % of one core", "fleet", 1000, "cpu_percent"),
    ("stale frames after a barge-in, of 1000 turns", "barge_in", 10, "stale"),
    ("barge-in to the model's stream closed, p99 ms", "barge_in", 10, "closed_p99_ms"),
    ("memory of an idle call, KiB", "idle", None, "call_kib"),
    ("start to ready, s", "idle", None, "ready_s"),
)
"""What it is, the bench, the number of calls where a bench has several, and the figure's key."""


AHEAD = (
    ("first sentence of the answer, p50 ms", "sentence_p50_ms"),
    ("p95 ms", "sentence_p95_ms"),
    ("p99 ms", "sentence_p99_ms"),
    ("first sentence of anything, p99 ms", "audible_p99_ms"),
    ("turns with their first sentence within 300 ms, %", "within_300_percent"),
    ("within 500 ms, %", "within_500_percent"),
    ("within 800 ms, %", "within_800_percent"),
    ("tokens of the model, × everything off", "x_tokens"),
    ("turns that ended in an apology", "failed"),
)
"""What it is, and the figure's key, in the bench of the first sentence."""


SURVIVES = (
    ("calls", "calls"),
    ("calls lost", "lost_calls"),
    ("lines broken", "broken"),
    ("greeted twice, words or tools repeated", "violations"),
    ("answers cut short", "cut_turns"),
    ("first frame p99 before, ms", "quiet_p99_ms"),
    ("and then, ms", "fault_p99_ms"),
)
"""The heading, and the figure's key, in the bench of the faults."""


FACTS = (
    ("first frame p50, ms", "quiet_p50_ms"),
    ("p99, ms", "quiet_p99_ms"),
    ("× without facts, p50", "x_p50"),
    ("p99", "x_p99"),
    ("CPU for one turn, ms", "cpu_per_turn_ms"),
    ("a fact takes its call, p50 µs", "fact_p50_us"),
)
"""The heading, and the figure's key, in the bench of the facts, where it measures their cost."""


CAPACITY = (
    ("calls at once", "calls"),
    ("facts/s", "facts_s"),
    ("cores for servers", "cores"),
    ("servers", "servers"),
    ("Redis commands/s", "redis_commands_s"),
    ("cores for Redis", "redis_cores"),
    ("Kafka MB/s", "kafka_mb_s"),
    ("GB kept in Kafka", "kafka_gb"),
    ("transcripts a day", "transcripts_day"),
    ("partitions", "partitions"),
    ("analytics + archive + escalation", "processes"),
)
"""The heading, and the figure's key, in the capacity model."""


def table(results: Path = RESULTS) -> str:
    """Draw the table.

    Args:
        results: The folder of the benches' JSON files.
    """
    read = {bench: orjson.loads((results / f"{bench}.json").read_bytes()) for _, bench, _, _ in FIGURES}
    lines = [
        f"| | {' | '.join(STACKS[name].label for name in SHOWN)} |",
        f"|---|{'---:|' * len(SHOWN)}",
    ]
    for what, bench, calls, key in FIGURES:
        rows = {row["stack"]: row for row in read[bench]["rows"] if row.get("calls") == calls}
        cells = [number(_figure(rows.get(name, {}), key)) for name in SHOWN]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ahead(results: Path = RESULTS) -> str:
    """Draw the table of what the levers on the model's time give, all of them off and on."""
    found = orjson.loads((results / "first_sentence.json").read_bytes())
    rows = {row["configuration"]: row for row in found["rows"]}
    lines = ["| | everything off | all on |", "|---|---:|---:|"]
    for what, key in AHEAD:
        lines.append(f"| {what} | {number(float(rows[OFF][key]))} | {number(float(rows[ALL][key]))} |")
    return "\n".join(lines)


def survives(results: Path = RESULTS) -> str:
    """Draw the table of what calls survive."""
    found = orjson.loads((results / "faults.json").read_bytes())
    lines = [f"| | {' | '.join(heading for heading, _ in SURVIVES)} |", f"|---|{'---:|' * len(SURVIVES)}"]
    for row in found["rows"]:
        cells = [number(row[key]) for _, key in SURVIVES]
        lines.append(f"| {row['label']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def facts(results: Path = RESULTS) -> str:
    """Draw the table of what facts cost."""
    found = orjson.loads((results / "events.json").read_bytes())
    return _rows((("", "label"), *FACTS), [row for row in found["rows"] if row["scenario"] == "cost"])


def capacity(results: Path = RESULTS) -> str:
    """Draw the table of what so many calls need; its figures are derived."""
    return _rows(CAPACITY, orjson.loads((results / "capacity.json").read_bytes())["rows"])


def _rows(columns: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(heading for heading, _ in columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    lines += [f"| {' | '.join(number(row[key]) for _, key in columns)} |" for row in rows]
    return "\n".join(lines)


def _figure(row: dict[str, Any], key: str) -> float:
    if key == "stale" and row:
        return float(1000 * (row["after_newer_frame"] + row["after_pong"]) / row["superseded"])
    return float(row.get(key, math.nan))


if __name__ == "__main__":
    page = replace_section(README.read_text("utf-8"), "bench", table())
    page = replace_section(page, "ahead", ahead())
    page = replace_section(page, "survives", survives())
    page = replace_section(page, "facts", facts())
    README.write_text(replace_section(page, "capacity", capacity()), "utf-8")
