"""How long from Retell's request to the first sentence: with everything off, each lever alone, and all on?

Spoken conversations are played against the server as `retell_ws serve` starts it: callers who speak word by word, whom
recognition first gets wrong, who pause, and who break in. The fake model's first tokens come late as a real model's do:
most within half a second, some after seconds, a few never. Every configuration is asked the same questions after the
same pauses, and the same words about the same model get the same first-token time.

Two sentences are told apart: the first one of the model's own words (or the cache's), which answers; and the first one
spoken, which may be a holding phrase or an apology, and ends the silence. A turn that never gets one counts with the
time at which it ended. At the end the model refuses everything for a minute, and
what counts then is how long a caller hears nothing at all.

Not shown: a real model, whose times may be worse or better than the stated distribution; whether a prompt cache makes
its first token quicker; networks, TLS, real speech recognition, and what a caller makes of it.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import cyclopts
import msgspec

from bench.harness import charts, machine
from bench.harness.figures import clean, median_of, ratios
from bench.harness.levers import ALL, COLOURS, CONFIGURATIONS, OFF, Configuration, chosen
from bench.harness.phrases import ANSWERS
from bench.harness.plans import SpokenTurn
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from bench.harness.sentences import BUDGETS_MS, IN_TIME, bands, best, best_of_patient, sentence_ms
from bench.harness.spoken_method import how, in_bands, in_outage
from bench.harness.spoken_round import SPACING_MS, spoken_round
from retell_ws.speech import first_sentence_end
from retell_ws.testing.first_tokens import FirstTokens

COLUMNS = [
    Column("configuration", "label"),
    Column("own p50 ms", "sentence_p50_ms"),
    Column("p95", "sentence_p95_ms"),
    Column("p99", "sentence_p99_ms"),
    Column("spoken p99 ms", "audible_p99_ms"),
    Column("≤300 %", "within_300_percent"),
    Column("≤500 %", "within_500_percent"),
    Column("≤800 %", "within_800_percent"),
    Column("× own p50", "x_p50"),
    Column("× own p99", "x_p99"),
    Column("× spoken p99", "x_spoken_p99"),
    Column("× tokens", "x_tokens"),
    Column("requests", "requests_per_turn"),
    Column("hedged %", "hedged_percent"),
    Column("failed", "failed"),
    Column("turns", "turns"),
]
BUDGET_MS = 300
_WORDS = [len(answer[: first_sentence_end(answer)].split()) for answer in ANSWERS]
SENTENCE_S = (sum(_WORDS) / len(_WORDS) - 1) * SPACING_MS / 1000
"""From the first token to the end of the first sentence."""
OUTAGE_AFTER_S = 12.0
"""Calls are in full swing when the model begins to refuse."""

Turns = dict[tuple[str, int], list[SpokenTurn]]


def main(
    *,
    configurations: str = ",".join(CONFIGURATIONS),
    calls: int = 240,
    conversations: int = 240,
    rounds: int = 2,
    outage_s: float = 60.0,
    seed: int = 1,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure the time to the first sentence.

    Args:
        configurations: Which, by name, separated by commas.
        calls: How many at once.
        conversations: How many calls in a round; each has four or five turns and takes some forty seconds.
        rounds: How often each is measured, with other conversations each time.
        outage_s: How long the model refuses everything; 0 leaves it out. Only the configuration `all` is put to it.
        seed: Of the first round's conversations and first tokens.
        quick: A few hurried callers, off and all: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    tokens, spread_s, outage_after_s = FirstTokens(), 8.0, OUTAGE_AFTER_S
    hurried: dict[str, Any] = {}
    if quick:
        configurations, calls, conversations, rounds, outage_s = f"{OFF},{ALL}", 8, 8, 1, 1.5
        tokens, spread_s, outage_after_s = FirstTokens(p50_s=0.05, p95_s=0.1, slow=0, hangs=0), 0.2, 0.8
        hurried = {"turns": 1, "hurry": 6.0}
    cores, wanted = machine.cores(), chosen(configurations)
    common: dict[str, Any] = {"calls": calls, "spread_s": spread_s, "cores": cores}
    found: list[dict[str, Any]] = []
    outages: list[dict[str, Any]] = []
    heard: Turns = {}
    machine.raise_file_limit()
    with_outage = bool(outage_s) and any(configuration.name == ALL for configuration in wanted)
    with Screen.shown("first sentence", rounds * len(wanted) + with_outage) as screen:
        for round_, configuration in interleaved(wanted, rounds):
            screen.begin(configuration.label)
            row, turns = spoken_round(
                configuration,
                round_,
                conversations=conversations,
                tokens=_seeded(tokens, seed + round_),
                progress=screen.at,
                **common,
                **hurried,
            )
            found.append(row)
            heard[configuration.name, round_] = turns
            screen.end()
        if with_outage:
            screen.begin("all on, the model refuses")
            row, _ = spoken_round(
                CONFIGURATIONS[ALL],
                rounds,
                conversations=8 * calls,
                tokens=_seeded(tokens, seed + rounds),
                outage_after_s=outage_after_s,
                outage_s=outage_s,
                progress=screen.at,
                **common,
                **hurried,
            )
            outages.append({**row, "case": "outage"})
            screen.end()
    sizes = {"calls": calls, "conversations": conversations, "rounds": rounds, "outage_s": outage_s, "seed": seed}
    report = _report(wanted, found, outages, heard, tokens, {**sizes, "quick": quick})
    _draw(report, out, wanted, heard, found, tokens)
    report.publish(out)
    return 0


def _seeded(tokens: FirstTokens, seed: int) -> FirstTokens:
    return msgspec.structs.replace(tokens, seed=seed)


def _rounds_of(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in found if row["configuration"] == name]


def _kept_turns(name: str, found: list[dict[str, Any]], heard: Turns) -> list[SpokenTurn]:
    kept, _ = clean(_rounds_of(name, found))
    return [turn for row in kept for turn in heard[name, int(row["round"])]]


def _report(
    wanted: list[Configuration],
    found: list[dict[str, Any]],
    outages: list[dict[str, Any]],
    heard: Turns,
    tokens: FirstTokens,
    settings: dict[str, Any],
) -> Report:
    off, rows = _rounds_of(OFF, found), []
    for configuration in wanted:
        own = _rounds_of(configuration.name, found)
        kept, unmixed = clean(own)
        medians = {key: median_of(kept, key) for key, value in kept[0].items() if isinstance(value, int | float)}
        shares = {f"within_{budget}_percent": 100 * medians[f"within_{budget}"] for budget in BUDGETS_MS}
        rows.append(
            {
                **medians,
                **shares,
                "configuration": configuration.name,
                "label": configuration.label + ("" if unmixed else " (!)"),
                "hedged_percent": 100 * medians["hedged"],
                "x_p50": ratios(kept, off, "sentence_p50_ms"),
                "x_p99": ratios(kept, off, "sentence_p99_ms"),
                "x_spoken_p99": ratios(kept, off, "audible_p99_ms"),
                "x_tokens": ratios(kept, off, "tokens_per_turn"),
                # A failure is a failure, whoever else was running.
                "failed": sum(row["failed"] + row["lost"] for row in own),
                "turns": sum(row["turns"] for row in kept),
            }
        )
    method = [
        how(tokens),
        f"Medians over interleaved rounds; {foreign_note(found)}, left out where possible, else marked (!). Ratios are "
        "taken within a round.",
    ]
    if _rounds_of(ALL, found):
        turns = _kept_turns(ALL, found, heard)
        at_best = best_of_patient(turns, BUDGET_MS, tokens, SENTENCE_S)
        measured = bands(turns, BUDGET_MS)
        method.append(in_bands(measured, best(turns, BUDGET_MS, tokens, SENTENCE_S), at_best, BUDGET_MS))
    method += [in_outage(row) for row in outages]
    return Report(
        name="first_sentence",
        title="How soon the first sentence comes, and what each lever gives",
        method="\n\n".join(method),
        silent_about=(
            "a real model and its prompt cache (the fake's first token comes no sooner for a warm one), networks, TLS, "
            "real speech recognition. The shares of errors, pauses and barge-ins are ours, not measured anywhere; "
            "tokens are reckoned (a quarter of the request's bytes, one a word of the answer), cached or not."
        ),
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=_claims(rows, outages),
        rounds=[*found, *outages],
        charts=["first_sentence.png", "first_sentence_shares.png", "first_sentence_delays.png"],
    )


def _claims(rows: list[dict[str, Any]], outages: list[dict[str, Any]]) -> list[Claim]:
    whole: dict[str, Any] = next((row for row in rows if row["configuration"] == ALL), {})
    longest = [row["outage_longest_ms"] / 1000 for row in outages]
    return [
        Claim("all on: first sentence of own words p50, × everything off", whole.get("x_p50", math.nan), 0.5),
        Claim("all on: first sentence of own words p99, × everything off", whole.get("x_p99", math.nan), 0.3),
        Claim("all on: first sentence spoken p99, × everything off", whole.get("x_spoken_p99", math.nan), 0.3),
        Claim(
            "all on: extra tokens of the model, in those of everything off", whole.get("x_tokens", math.nan) - 1, 0.35
        ),
        Claim("all on: hedged requests, of all", whole.get("hedged", math.nan), 0.05),
        Claim(
            "all on: turns beyond 300 ms when Retell waits 400 ms or more", whole.get("patient_miss_300", math.nan), 0.2
        ),
        Claim("all on, 529 for everything: longest silence, s", max(longest, default=math.nan), 1.5),
    ]


def _draw(
    report: Report,
    out: Path,
    wanted: list[Configuration],
    heard: Turns,
    found: list[dict[str, Any]],
    tokens: FirstTokens,
) -> None:
    turns = {configuration.name: _kept_turns(configuration.name, found, heard) for configuration in wanted}
    source = "fake model: p50 450 ms, p95 1600 ms to the first token, then 12 ms a word; loopback"
    if report.settings["quick"]:
        source = "a quick run, which measures nothing"
    charts.spans(
        out / report.charts[0],
        title="From Retell's request to the first sentence",
        x_label="ms, logarithmic: bar from p50 to p95, whisker to p99; dotted: the blueprints' budgets",
        rows=[
            charts.Span(
                str(row["label"]),
                COLOURS[row["configuration"]],
                (row["sentence_p50_ms"], row["sentence_p95_ms"], row["sentence_p99_ms"]),
            )
            for row in report.rows
        ],
        budgets=BUDGETS_MS,
        source=source,
    )
    charts.shares(
        out / report.charts[1],
        title="How many turns have their first sentence by when",
        x_label="ms from the request, logarithmic (below 10: at the edge); dotted: the budgets",
        y_label="% of turns",
        series=[
            (
                configuration.label,
                COLOURS[configuration.name],
                [sentence_ms(turn) for turn in turns[configuration.name]],
            )
            for configuration in wanted
        ],
        budgets=BUDGETS_MS,
        source=source,
    )
    shown = [configuration for configuration in wanted if configuration.name in (OFF, ALL)]
    by_band = {configuration.name: bands(turns[configuration.name], BUDGET_MS) for configuration in shown}
    places = next(iter(by_band.values()), [])
    series = [
        (configuration.label, COLOURS[configuration.name], [100 * band.share for band in by_band[configuration.name]])
        for configuration in shown
    ]
    if ALL in by_band:
        reachable = best(turns[ALL], BUDGET_MS, tokens, SENTENCE_S)
        series.append(("a perfect speculation", "#c9d8d2", [100 * band.share for band in reachable]))
    charts.columns(
        out / report.charts[2],
        title=f"First sentence within {BUDGET_MS} ms, by how long Retell waits before it asks",
        x_label="end-of-turn delay, ms from the last recognised word to Retell's request",
        y_label="% of turns",
        places=[f"{band.low_ms}–{band.high_ms}" for band in places],
        series=series,
        bound=(f"{100 * IN_TIME:.0f} % of turns", 100 * IN_TIME),
        source=source,
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
