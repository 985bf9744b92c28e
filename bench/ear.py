"""What does it cost to make a model's text fit for the voice? It shows nothing about sockets, models or servers.

The same answers are fed to an `Ear`, piece by piece as a model streams them, in one process: prose in deltas of one
word and of two, prose whose spaces come after the words, and an answer full of markdown. The floor is the same loop
with a function that does nothing. An answer's cost holds a new ear, all its deltas and the close.

Not shown: caches cooled by other work between two deltas, many calls at once, what the pauses sound like.
"""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts

from bench.harness import machine
from bench.harness.figures import clean, median_of
from bench.harness.report import RESULTS, Claim, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen, interleaved
from retell_ws.ear import Ear

COLUMNS = [
    Column("answer", "label"),
    Column("deltas", "deltas"),
    Column("ns/delta", "delta_ns"),
    Column("less the floor", "own_ns"),
    Column("µs/answer", "answer_us"),
    Column("% held a delta", "held_percent"),
]

WORDS = (
    "Sure, I can help you with that now. The deluxe room is free on Tuesday and it costs ninety dollars a night, "
    "with breakfast. Would you like me to book it for you, or shall I look at another day?"
).split()

MARKDOWN = """# Our rooms

Here are **three** rooms, see [our page](https://rooms.example/all) 🎉:

1. **Deluxe** - $90, `two` beds
2. *Suite* - $120, see https://rooms.example/suite.
3. __Family__ - $150

| room | free |
|------|-----:|
| Deluxe | 2 |
| Suite | 1 |

Which one do you like?
"""

ANSWERS = {
    "words": ("prose, a word a delta", [word if at == 0 else f" {word}" for at, word in enumerate(WORDS)]),
    "pairs": (
        "prose, two words a delta",
        [f" {first} {second}" for first, second in zip(WORDS[::2], WORDS[1::2], strict=True)],
    ),
    "trailing": ("prose, spaces after words", [f"{word} " for word in WORDS]),
    "markdown": ("markdown, a word a delta", re.findall(r"\s*\S+|\s+$", MARKDOWN)),
}


def time_answers(answer: list[str], answers: int, listener: Callable[[], tuple[Callable[[str], str], Any]]) -> float:
    """Feed an answer over and over.

    Args:
        answer: Its deltas.
        answers: How often.
        listener: Makes what takes a delta, and what ends the answer.

    Returns:
        Nanoseconds per answer.
    """
    begun = time.perf_counter_ns()
    for _ in range(answers):
        feed, close = listener()
        for delta in answer:
            feed(delta)
        close()
    return (time.perf_counter_ns() - begun) / answers


def _ear() -> tuple[Callable[[str], str], Any]:
    ear = Ear()
    return ear.feed, ear.close


def _floor() -> tuple[Callable[[str], str], Any]:
    return str, str


def held_percent(answer: list[str]) -> float:
    """Tell how many deltas, in percent, leave something waiting."""
    ear = Ear()
    held = 0
    for delta in answer:
        ear.feed(delta)
        held += ear.held > 0
    return 100 * held / len(answer)


def main(*, answers: int = 2000, rounds: int = 9, quick: bool = False, out: Path = RESULTS) -> int:
    """Measure an ear.

    Args:
        answers: How many answers a round.
        rounds: How often each is measured.
        quick: A few answers: shows that the bench runs, nothing else.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    if quick:
        answers, rounds = 20, 1
    found: list[dict[str, Any]] = []
    watched = {"bench": os.getpid()}
    with Screen.shown("an ear", rounds * len(ANSWERS)) as screen:
        for number, name in interleaved(list(ANSWERS), rounds):
            label, answer = ANSWERS[name]
            screen.begin(label)
            before = machine.sample(watched)
            floor_ns = time_answers(answer, answers, _floor)
            answer_ns = time_answers(answer, answers, _ear)
            held = machine.cost(before, machine.sample(watched))
            found.append(
                {
                    "answer": name,
                    "round": number,
                    "deltas": len(answer),
                    "delta_ns": answer_ns / len(answer),
                    "own_ns": (answer_ns - floor_ns) / len(answer),
                    "answer_us": answer_ns / 1e3,
                    "held_percent": held_percent(answer),
                    "foreign_percent": held.foreign_percent,
                    "stolen_percent": held.stolen_percent,
                }
            )
            screen.end()
    rows: list[dict[str, Any]] = []
    for name, (label, answer) in ANSWERS.items():
        kept, unmixed = clean([row for row in found if row["answer"] == name])
        figures = {key: median_of(kept, key) for key in ("delta_ns", "own_ns", "answer_us", "held_percent")}
        rows.append(
            {"answer": name, "label": label + ("" if unmixed else " (!)"), "deltas": len(answer), **figures},
        )
    _report(rows, found, {"answers": answers, "rounds": rounds, "quick": quick}).publish(out)
    return 0


def _report(rows: list[dict[str, Any]], found: list[dict[str, Any]], settings: dict[str, Any]) -> Report:
    by_name = {row["answer"]: row for row in rows}
    return Report(
        name="ear",
        title="What it costs to make a model's text fit for the voice",
        method=(
            "The same answers, fed delta by delta to a new `Ear` each, in one process; a new ear and its close are in "
            f"the figures. Medians over interleaved rounds; {foreign_note(found)}."
        ),
        silent_about="caches cooled by other work between two deltas, many calls at once, what the pauses sound like.",
        settings=settings,
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim("prose, a word a delta: ns per delta", by_name.get("words", {}).get("delta_ns", math.nan), 500.0),
            Claim("markdown: µs per delta", by_name.get("markdown", {}).get("delta_ns", math.nan) / 1e3, 5.0),
        ],
        rounds=found,
        charts=[],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
