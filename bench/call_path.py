"""Is the call path of this checkout as quick as another one's, say the last release's? It compares with no peer.

Both are this project, from two folders, in one run and in turns: the same fake model, the same synthetic callers, a
fresh server each round on a core of its own. The agent has no tools, so what is compared is what every call pays. This
one runs twice: with every lever on the model's time off, which should cost nothing, and as `serve` starts it.

    git worktree add ../before v0.1.0
    python -m bench.call_path ../before

Not shown: calls in which tools run, networks, TLS, a real model. A difference within the spread of the rounds is none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import machine
from bench.harness.figures import clean, median_of, ratios
from bench.harness.levers import CONFIGURATIONS, OFF
from bench.harness.paced_round import Speech, paced_round
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from bench.harness.stacks import STACKS, Stack

SLOWER = 1 / 0.97
"""The most a figure may grow: the same quickness within three percent."""

LABELS = {"ours": "now, as it starts"}

_FROM = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('retell_ws', run_name='__main__', alter_sys=True)"
)

COLUMNS = [
    Column("checkout", "label"),
    Column("calls", "calls"),
    Column("p50 ms", "overhead_p50_ms"),
    Column("p99 ms", "overhead_p99_ms"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
    Column("frames/turn", "frames_per_turn"),
    Column("RSS MiB", "rss_mib"),
    Column("× before, p50", "x_p50"),
    Column("× before, CPU", "x_cpu"),
    Column("turns", "turns"),
]


def main(
    before: Path,
    /,
    *,
    calls: str = "1,100",
    rounds: int = 6,
    window_s: float = 20.0,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Compare this checkout with another one.

    Args:
        before: The folder of the other one.
        calls: Calls at once, one or several numbers separated by commas.
        rounds: How often each is measured.
        window_s: Seconds that are counted, of each round.
        quick: One short round: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    speech, numbers = Speech(), [int(number) for number in calls.split(",")]
    if quick:
        rounds, window_s, numbers, speech = 1, 2.0, numbers[:1], Speech(ttft_ms=20, deltas=5, spacing_ms=5)
    stacks = [_levers_off(), STACKS["ours"], _stack_of(before)]
    cores = machine.cores()
    machine.raise_file_limit()
    found: list[dict[str, Any]] = []
    with Screen.shown("call path, before and after", rounds * len(stacks) * len(numbers)) as screen:
        for number, (stack, at_once) in interleaved([(s, n) for n in numbers for s in stacks], rounds):
            screen.begin(f"{stack.label}, {at_once} calls")
            found.append(
                paced_round(
                    stack,
                    number,
                    calls=at_once,
                    cycle_s=0.3 if quick else 1.0 if at_once == 1 else 3.0,
                    warm_s=min(3.0, window_s),
                    window_s=window_s,
                    updates=1,
                    speech=speech,
                    cores=cores,
                    progress=screen.at,
                )
            )
            screen.end()
    _report(stacks, numbers, found, {"rounds": rounds, "window_s": window_s, "quick": quick}).publish(out)
    return 0


def _stack_of(folder: Path) -> Stack:
    if not (folder / "retell_ws" / "__init__.py").is_file():
        raise SystemExit(f"{folder} holds no checkout of this project")
    ours = STACKS["ours"].argv
    return Stack("before", "before", lambda url: ["-c", _FROM, str(folder.resolve()), *ours(url)[2:]])


def _levers_off() -> Stack:
    ours, flags = STACKS["ours"].argv, CONFIGURATIONS[OFF].flags(Path())
    return Stack("off", "now, levers off", lambda url: [*ours(url), *flags])


def _report(stacks: list[Stack], numbers: list[int], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    rows: list[dict[str, Any]] = []
    for at_once in numbers:
        base = [row for row in found if (row["stack"], row["calls"]) == ("before", at_once)]
        for stack in stacks:
            mine = [row for row in found if (row["stack"], row["calls"]) == (stack.name, at_once)]
            kept, unmixed = clean(mine)
            keys = [column.key for column in COLUMNS if column.key in kept[0] and column.key not in ("calls", "turns")]
            rows.append(
                {
                    "stack": stack.name,
                    "label": ("now, as it starts" if stack.name == "ours" else stack.label)
                    + ("" if unmixed else " (!)"),
                    "calls": at_once,
                    **{key: median_of(kept, key) for key in keys},
                    "x_p50": ratios(kept, base, "overhead_p50_ms"),
                    "x_cpu": ratios(kept, base, "cpu_per_turn_ms"),
                    "turns": sum(row["turns"] for row in kept),
                }
            )
    claims = [
        Claim(f"{row['calls']} calls, levers off, {what}, in those of before", row[key], SLOWER)
        for row in rows
        if row["stack"] == "off"
        for what, key in (("first frame p50", "x_p50"), ("CPU of a turn", "x_cpu"))
    ]
    return Report(
        name="call_path",
        title="The call path of this checkout beside that of an older one",
        method=(
            "Two checkouts in turns on one machine, loopback; the server alone on one core, load client and fake model "
            f"on the other. Medians over rounds; {foreign_note(found)}, left out where possible, else marked (!). "
            "Ratios are taken within a round."
        ),
        silent_about="calls with tools, networks, TLS, a real model.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=claims,
        rounds=found,
        charts=[],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
