"""What happens to an answer that nobody wants any more? It shows nothing about how fast answers begin.

Calls supersede every request of theirs after a random 20 to 180 ms, with other words each time, while the fake
model needs 20 ms to its first delta and 200 ms for the rest. Three things are counted:

* stale frames: frames of an older id read after a frame of a newer id, or after the pong to a ping that was sent
  behind the newer request. Either proves that the server had read the newer request before it sent the old
  words. Frames of an older id before such a proof may have been under way (`crossed`);
* the time from the superseding request sent to the old request's socket closed, as the fake model saw it;
* the deltas the model still wrote for superseded requests: what the user pays for.

All stacks run at a rate the slowest can follow; then ours alone runs the full number of turns at five times the
calls. Not shown: whether a provider stops billing when its socket closes, TLS, networks, the caller's ear.
Retell itself drops stale frames silently, so callers do not hear them; they cost bytes and the model's tokens.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import charts, machine, model_log
from bench.harness.figures import clean, median_of, ms
from bench.harness.machine import Cores
from bench.harness.paced_round import Speech
from bench.harness.plans import Barging, BargingResult
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, carry_out, interleaved
from bench.harness.stacks import COLOURS, Stack, chosen, fake_model, serving

LEAST_MS, MOST_MS = 20.0, 180.0
SPEECH = Speech(ttft_ms=20, deltas=40, spacing_ms=5)

COLUMNS = [
    Column("stack", "label"),
    Column("calls", "calls"),
    Column("superseded", "superseded"),
    Column("stale: newer frame", "after_newer_frame"),
    Column("stale: pong", "after_pong"),
    Column("crossed", "crossed"),
    Column("closed p50 ms", "closed_p50_ms"),
    Column("closed p99 ms", "closed_p99_ms"),
    Column("ran on", "ran_on"),
    Column("never asked", "unseen"),
    Column("deltas/superseded", "deltas_each"),
    Column("failed", "failed"),
    Column("CPU ms/turn", "cpu_per_turn_ms"),
]
_SUMS = ("superseded", "after_newer_frame", "after_pong", "crossed", "ran_on", "over", "unseen", "failed")


def main(
    *,
    stacks: str = "ours,websockets-sdk,demo",
    calls: int = 10,
    turns: int = 1000,
    rounds: int = 2,
    many_calls: int = 50,
    many_turns: int = 100_000,
    batch: int = 5000,
    seed: int = 1,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure superseded turns.

    Args:
        stacks: Which, by name, separated by commas.
        calls: Calls at once when stacks are compared.
        turns: Superseded turns of a round then.
        rounds: Rounds then.
        many_calls: Calls at once of the long run, which only ours makes.
        many_turns: Superseded turns of the long run; 0 leaves it out.
        batch: Turns after which the model's log is read and emptied.
        seed: Of the random times.
        quick: A few turns: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    if quick:
        calls, turns, rounds, many_calls, many_turns, batch = 3, 30, 1, 5, 50, 25
    cores = machine.cores()
    wanted = chosen(stacks)
    batches = -(-many_turns // batch) if any(stack.name == "ours" for stack in wanted) else 0
    found: list[dict[str, Any]] = []
    machine.raise_file_limit()
    with Screen.shown("barge-in", rounds * len(wanted) + batches) as screen:
        for number, stack in interleaved(wanted, rounds):
            screen.begin(stack.label)
            found += _measured(stack, number, calls, [turns], seed, cores, screen)
        if batches:
            ours = next(stack for stack in wanted if stack.name == "ours")
            screen.begin(f"{ours.label}, {many_turns} turns")
            sizes = [min(batch, many_turns - done) for done in range(0, many_turns, batch)]
            found += _measured(ours, 0, many_calls, sizes, seed, cores, screen)
    settings = {"rounds": rounds, "turns": turns, "many_turns": many_turns, "seed": seed, "quick": quick}
    report = _report(found, wanted, calls, many_calls, settings)
    _draw(report, out, calls)
    report.publish(out)
    return 0


def _measured(
    stack: Stack, number: int, calls: int, batches: list[int], seed: int, cores: Cores, screen: Screen
) -> list[dict[str, Any]]:
    """Run batches against one server process."""
    rows = []
    with (
        fake_model(
            cores,
            ttft_ms=SPEECH.ttft_ms,
            deltas=SPEECH.deltas,
            spacing_ms=SPEECH.spacing_ms,
            remembering=True,
        ) as model,
        serving(stack, cores, model.ready["url"]) as server,
    ):
        for index, turns in enumerate(batches):
            plan = Barging(
                url=server.ready["ws"],
                pids={"server": server.pid, "model": model.pid},
                calls=calls,
                turns=turns,
                least_ms=LEAST_MS,
                most_ms=MOST_MS,
                seed=seed + index + 1000 * number,
                batch=index,
            )
            rows.append(
                {
                    "stack": stack.name,
                    "round": number + index,
                    "calls": calls,
                    **_figures(plan, model.ready["url"], cores, screen.at),
                }
            )
            screen.end()
    return rows


def _figures(plan: Barging, model_url: str, cores: Cores, progress: Callable[[float], None]) -> dict[str, Any]:
    result = carry_out(plan, BargingResult, cores=cores, progress=progress)
    # An answer that nobody stops has written its last delta by then.
    time.sleep((SPEECH.ttft_ms + SPEECH.deltas * SPEECH.spacing_ms) / 1000 + 0.2)
    at_model = model_log.match(result.superseded, model_log.take(model_url))
    superseded = len(result.superseded)
    return {
        "superseded": superseded,
        "after_newer_frame": result.after_newer_frame,
        "after_pong": result.after_pong,
        "crossed": result.crossed,
        "failed": result.failed,
        "closed_p50_ms": ms(at_model.closed_ns, 50),
        "closed_p99_ms": ms(at_model.closed_ns, 99),
        "closed_max_ms": ms(at_model.closed_ns, 100),
        "ran_on": at_model.ran_on,
        "over": at_model.over,
        "unseen": at_model.unseen,
        "deltas_each": at_model.deltas / max(1, superseded),
        "cpu_per_turn_ms": result.cost.cpu_ns["server"] / 1e6 / max(1, superseded),
        "foreign_percent": result.cost.foreign_percent,
        "stolen_percent": result.cost.stolen_percent,
    }


def _report(
    found: list[dict[str, Any]], stacks: list[Stack], calls: int, many_calls: int, settings: dict[str, Any]
) -> Report:
    rows: list[dict[str, Any]] = []
    for stack in stacks:
        for size in (calls, many_calls):
            own = [row for row in found if (row["stack"], row["calls"]) == (stack.name, size)]
            if not own:
                continue
            kept, unmixed = clean(own)
            medians = ("closed_p50_ms", "closed_p99_ms", "deltas_each", "cpu_per_turn_ms")
            rows.append(
                {
                    "stack": stack.name,
                    "label": stack.label + ("" if unmixed else " (!)"),
                    "calls": size,
                    **{key: sum(row[key] for row in own) for key in _SUMS},
                    **{key: median_of(kept, key) for key in medians},
                }
            )
    many = [row for row in rows if (row["stack"], row["calls"]) == ("ours", many_calls)]
    stale = float(many[0]["after_newer_frame"] + many[0]["after_pong"]) if many else math.nan
    closed = float(many[0]["closed_p99_ms"]) if many else math.nan
    turns = many[0]["superseded"] if many else 0
    note = foreign_note(found)
    return Report(
        name="barge_in",
        title="What happens to an answer that nobody wants any more",
        method=(
            "Every request is superseded after a random 20 to 180 ms by one in other words; the fake model needs "
            "20 ms to its first of 40 deltas, 5 ms apart. One machine, loopback. Counts are sums over all rounds, "
            f"times medians over rounds; {note}."
        ),
        silent_about="whether a provider stops billing at the close, TLS, networks.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim(f"stale frames in {turns} superseded turns", stale, 0.0),
            Claim("superseding request sent → upstream socket closed, p99 ms", closed, 10.0),
        ],
        rounds=found,
        charts=["barge_in.png"],
    )


def _draw(report: Report, out: Path, calls: int) -> None:
    charts.bars(
        out / "barge_in.png",
        title="Old words sent after the newer request was read",
        x_label="stale frames per 1000 superseded turns",
        values=[
            (
                row["label"],
                COLOURS[row["stack"]],
                1000 * (row["after_newer_frame"] + row["after_pong"]) / max(1, row["superseded"]),
                None,
            )
            for row in report.rows
            if row["calls"] == calls
        ],
        source=f"superseded after {LEAST_MS:.0f} to {MOST_MS:.0f} ms at random; loopback",
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
