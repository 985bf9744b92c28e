"""What do so many calls at once need: cores, servers, Redis, Kafka, consumers?

What one call and one turn cost is measured: facts, bytes in the journal and in Kafka, commands of Redis, CPU of the
server, of Redis, and of each consumer. Two stretches of load, one of short calls and one of long ones, tell calls and
turns apart. From that a straight line leads to a hundred thousand calls: those figures are derived, not measured.

Not shown: whether anything but the figures stands in the way, such as a balancer's limits, the model provider's, a
Redis cluster that reshards or brokers that fail; machines other than this one.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import cyclopts
import msgspec
import uvloop

from bench.harness import machine
from bench.harness.capacity_model import CALLS, Assumed, Cost, Measured, Need, need
from bench.harness.events.cost import KAFKA, OFF, Pace, cost, summed_up
from bench.harness.events.site import Sizes
from bench.harness.events.stretches import CONSUMERS, Stretch, measured_by, stretch
from bench.harness.faults.calls import Habits
from bench.harness.paced_round import Speech
from bench.harness.report import RESULTS, Column, Report, foreign_note, results_in
from bench.harness.rounds import Screen

COLUMNS = [
    Column("calls at once", "calls"),
    Column("turns/s", "turns_s"),
    Column("facts/s", "facts_s"),
    Column("cores for servers", "cores"),
    Column("servers", "servers"),
    Column("Redis commands/s", "redis_commands_s"),
    Column("cores for Redis", "redis_cores"),
    Column("Kafka MB/s", "kafka_mb_s"),
    Column("GB kept there", "kafka_gb"),
    Column("journals, 10 min outage, MB", "journal_mb_outage"),
    Column("transcripts a day", "transcripts_day"),
    Column("partitions", "partitions"),
    Column(" + ".join(CONSUMERS), "processes"),
]
SHORT_CALLS = Habits(shortest_s=2.0, longest_s=3.0, pause_s=0.6, words=18, barge_in=0.1)
LONG_CALLS = Habits(shortest_s=14.0, longest_s=18.0, pause_s=0.6, words=18, barge_in=0.1)


def main(
    *,
    calls: int = 60,
    seconds: float = 40.0,
    paced: int = 100,
    rounds: int = 3,
    window_s: float = 12.0,
    seed: int = 0,
    short: bool = False,
    out: Path = RESULTS,
) -> int:
    """Measure what a call and a turn cost, and reckon what many need.

    Args:
        calls: How many at once while facts, bytes and commands are counted.
        seconds: How long each of four stretches lasts.
        paced: How many at once while the server's CPU is measured.
        rounds: How often.
        window_s: Seconds of such a round that count.
        seed: Of everything that is drawn; 0 draws one.
        short: A few calls and seconds: shows that the bench runs.
        out: Folder of the results.
    """
    out = results_in(out, quick=short)
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    pace = Pace(calls=paced, rounds=rounds, window_s=window_s)
    if short:
        calls, seconds = 5, 4.0
        pace = Pace(calls=4, rounds=1, cycle_s=1, warm_s=0.3, window_s=2, speech=Speech(50, 10, 10))
    machine.raise_file_limit()
    habits = (SHORT_CALLS, msgspec.structs.replace(LONG_CALLS, shortest_s=5, longest_s=6) if short else LONG_CALLS)
    stretches: list[Stretch] = []
    with Screen.shown("capacity", 2 + 3 * pace.rounds) as screen, tempfile.TemporaryDirectory() as place:
        for number, one in enumerate(habits):
            screen.begin("short calls" if number == 0 else "long calls")
            sizes = Sizes(calls=calls, fault_s=seconds, seed=seed, habits=one)
            folder = Path(place, str(number))
            folder.mkdir()
            stretches.append(uvloop.run(stretch(sizes, folder, screen.at)))
            screen.end()
        paced_rounds = uvloop.run(cost(pace, machine.cores(), Path(place), screen))
    turns = {row["stack"]: float(row["cpu_per_turn_ms"]) for row in summed_up(paced_rounds)}
    measured = measured_by(*stretches, cpu_per_turn_ms=turns[KAFKA])
    assumed = Assumed()
    needs = [need(count, measured, assumed) for count in CALLS]
    report = _report(needs, measured, assumed, turns[OFF], paced_rounds, {"seed": seed, "short": short})
    report.publish(out)
    return 0


def _row(one: Need) -> dict[str, Any]:
    return {**msgspec.to_builtins(one), "derived": True, "processes": " + ".join(map(str, one.consumers.values()))}


def _each(name: str, cost: Cost, unit: str) -> str:
    return f"{name} {cost.call:.3g} a call and {cost.turn:.3g} a turn{unit}"


def _report(
    needs: list[Need],
    measured: Measured,
    assumed: Assumed,
    cpu_without_ms: float,
    rounds: list[dict[str, Any]],
    settings: dict[str, Any],
) -> Report:
    each = (
        _each("facts", measured.facts, ""),
        _each("bytes in the journal", measured.journal_bytes, ""),
        _each("bytes in Kafka", measured.kafka_bytes, ", compressed"),
        _each("Redis commands", measured.redis_commands, ", those of scripts included"),
        _each("CPU of Redis", measured.redis_cpu_ms, " ms"),
        _each("CPU of the server", measured.cpu_ms, f" ms ({cpu_without_ms:.3g} without facts)"),
        *(f"CPU of {name} {cpu:.3g} ms for a thousand facts" for name, cpu in measured.consumer_cpu_ms.items()),
    )
    return Report(
        name="capacity",
        title="What so many calls need: derived, not measured",
        method=(
            f"Measured: {'; '.join(each)}. Assumed: calls of {assumed.call_s:.0f} s with a question every "
            f"{assumed.turn_s:.0f} s, all day; cores half busy ({assumed.busy:.0%}), servers of {assumed.server_cores} "
            f"cores with a worker on each, at most {assumed.worker_calls} calls a worker, and a server to spare; "
            f"{assumed.copies} copies in Kafka for {assumed.kept_days} days. The figures of the table are these, "
            f"multiplied: nobody has made so many calls. {foreign_note(rounds).capitalize()}."
        ),
        silent_about=(
            "whether anything but these figures stands in the way: a balancer's limits, the model provider's, a Redis "
            "cluster that reshards, brokers that fail; other machines than this one."
        ),
        settings={**settings, "measured": msgspec.to_builtins(measured), "assumed": msgspec.to_builtins(assumed)},
        rows=[_row(one) for one in needs],
        columns=COLUMNS,
        claims=[],
        rounds=rounds,
        charts=[],
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
