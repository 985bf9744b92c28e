"""Does a server stay as it is? An hour of short calls: is its memory flat, and is anything left when they are over?

Five hundred calls begin in a minute, each of some seconds: callers who hang up, speak into answers, book, are handed
on, redial, drop, send rubbish or are no calls at all. The server is `retell_ws serve --blueprint events` with its calls
in Redis, its facts in the journal and its consumers beside it; the model is the fake API, some of whose answers fail.
Every ten seconds its memory, descriptors, sockets, tasks, sessions and objects are counted.

Memory counts from the tenth minute on. What a call may leave is told by two counts: one after a few calls have come and
gone, which open what is kept for good, and one after the last.

Not shown: days of load, long calls, Kafka's client, several workers, TLS, calls that come in waves.
"""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cyclopts
import msgspec
import uvloop

from bench.harness import charts, machine
from bench.harness.faults.processes import Program, RedisServer
from bench.harness.ports import free_port
from bench.harness.processes import ROOT
from bench.harness.report import RESULTS, Claim, Column, Report, results_in
from bench.harness.rounds import Screen
from bench.harness.soak.agent import TOLD
from bench.harness.soak.callers import KINDS, WRONG
from bench.harness.soak.samples import Looks, Sample
from bench.harness.soak.verdict import course_of, left_over
from retell_ws.testing import FakeAnthropicProcess
from retell_ws.testing.fake_anthropic import FakeAnthropic

COLUMNS = [
    Column("what", "label"),
    Column("before the calls", "before"),
    Column("median", "median"),
    Column("farthest from it, %", "apart_percent"),
    Column("trend, %/h", "hourly_percent"),
    Column("most", "most"),
    Column("after them", "after"),
]
SHOWN = {
    "rss_mib": "server's memory, MiB",
    "beside_mib": "consumers' memory, MiB",
    "objects": "objects of the garbage collector",
    "tasks": "tasks",
    "threads": "threads, which the pool keeps",
    "sessions": "sessions of calls",
    "call_sockets": "sockets of calls",
    "closing_sockets": "sockets half closed",
    "descriptors": "descriptors, without pools",
    "model_sockets": "pooled sockets to the model",
    "store_sockets": "pooled sockets to Redis",
    "calls": "calls attached",
    "journal_mib": "journal, MiB",
    "keys": "keys in Redis",
}
LEFT = {
    "tasks": "tasks left after the last call",
    "sessions": "sessions left",
    "call_sockets": "sockets of calls left",
    "closing_sockets": "sockets left half closed",
    "descriptors": "descriptors left, without pools",
}
"""What must be as before. Not threads: those of the pool stay, up to as many as ever were wanted at once."""

# Not `slow_first`, `stall` and their like, which take seconds: a call lasts no longer.
FAULTS = ("529", "500", "reset_before", "reset", "cut", "error_event", "tool_cut", "slow_head", "no_message_stop")
"""What the model does wrong; a request each between two samples."""

FLAT_PERCENT = 5.0
SETTLE_S = 60.0
"""Longest wait until what the last calls left for Retell's redial has gone."""


def main(
    *,
    per_minute: float = 500,
    minutes: float = 60,
    warm_minutes: float = 10,
    every_s: float = 10,
    rehearsal_s: float = 30,
    seed: int = 0,
    quick: bool = False,
    out: Path = RESULTS,
) -> int:
    """Let people call for an hour.

    Args:
        per_minute: How many calls begin in a minute.
        minutes: For how long.
        warm_minutes: What of it does not count for memory.
        every_s: Seconds between two samples.
        rehearsal_s: For how long people call before the first count.
        seed: Of everything that is drawn; 0 draws one.
        quick: Some seconds: shows that the bench runs, and that nothing is left.
        out: Folder of the results.
    """
    out = results_in(out, quick=quick)
    seed = seed or random.SystemRandom().randrange(1, 10**6)
    if quick:
        per_minute, minutes, warm_minutes = 120, 0.1, 0.05
    sizes = Sizes(per_minute, minutes * 60, every_s, rehearsal_s, seed)
    if quick:
        sizes = sizes._replace(every_s=1, rehearsal_s=2, grace_s=2, faults=FAULTS[:1])
    machine.raise_file_limit()
    load = machine.Load()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with Screen.shown("soak", 1) as screen:
        screen.begin(f"{per_minute:g} calls a minute, seed {seed}")
        soaked = uvloop.run(_soak(folder, sizes, screen.at))
        screen.end()
    settings = {
        "per_minute": per_minute, "minutes": minutes, "warm_minutes": warm_minutes, "every_s": sizes.every_s,
        "seed": seed, "quick": quick,
    }  # fmt: skip
    report = _report(soaked, settings, warm_s=warm_minutes * 60, busy_percent=load.percent())
    _draw(out / "soak.png", soaked, settings, warm_s=warm_minutes * 60)
    report.publish(out)
    if missed := any(claim.verdict == "missed" for claim in report.claims):
        print(f"logs and data: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return int(missed)


class Sizes(NamedTuple):
    """How large a run is.

    Attributes:
        per_minute: How many calls begin in a minute.
        seconds: For how long.
        every_s: Seconds between two samples.
        rehearsal_s: For how long people call before the first count.
        seed: Of everything that is drawn.
        grace_s: How long the server keeps a call for Retell's redial.
        faults: What the model does wrong between two samples.
    """

    per_minute: float
    seconds: float
    every_s: float
    rehearsal_s: float
    seed: int
    grace_s: float = 10
    faults: Sequence[str] = FAULTS


class Soaked(NamedTuple):
    """What was seen.

    Attributes:
        before: After the rehearsal.
        during: While people called.
        after: When all was over.
        counts: What the callers tell.
    """

    before: Sample
    during: list[Sample]
    after: Sample
    counts: dict[str, int]


async def _soak(folder: Path, sizes: Sizes, at: Callable[[float], None]) -> Soaked:
    async with _serving(folder, sizes.grace_s) as (url, model, looks):
        await _called(url, sizes.per_minute, sizes.rehearsal_s, seed=sizes.seed + 1)
        before = await _settled(looks, None, sizes.every_s)
        calling = asyncio.create_task(_called(url, sizes.per_minute, sizes.seconds, seed=sizes.seed))
        looks.begin()
        began = time.monotonic()
        during: list[Sample] = []
        while not calling.done():
            await model.control(faults=list(sizes.faults))
            during.append(await asyncio.to_thread(looks.sample))
            at(min(1.0, (time.monotonic() - began) / sizes.seconds))
            await asyncio.wait((calling,), timeout=sizes.every_s)
        await model.control(faults=[])
        after = await _settled(looks, before, sizes.every_s)
        return Soaked(before, during, after, calling.result())


@asynccontextmanager
async def _serving(folder: Path, grace_s: float) -> AsyncIterator[tuple[str, FakeAnthropic, Looks]]:
    """Run the server and what it needs."""
    redis_port = free_port()
    told, data = folder / "told.jsonl", folder / "data"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(RedisServer(redis_port, folder))
        model = await stack.enter_async_context(FakeAnthropicProcess(ttft_ms=100, spacing_ms=10))
        argv = [
            *(sys.executable, "-m", "retell_ws", "serve", "bench/harness/soak/agent.py"),
            *("--port", "0", "--http-port", "0", "--model", "anthropic", "--model-url", model.url),
            *("--blueprint", "events", "--redis-url", f"redis://127.0.0.1:{redis_port}/0", "--data", str(data)),
            *("--grace-s", str(grace_s), "--drain-s", "0", "--drain-delay-s", "0", "--log-level", "error"),
        ]
        # A key of no account: the fake API takes any.
        env = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": "", TOLD: str(told)}
        server = await stack.enter_async_context(Program("server", argv, folder / "server.log", env))
        ready = server.ready
        yield (
            ready["ws"],
            model,
            Looks(
                server.pid, ws=ready["ws"], http=ready["http"], model=model.url, redis=redis_port, data=data, told=told
            ),
        )


async def _called(url: str, per_minute: float, seconds: float, *, seed: int) -> dict[str, int]:
    """Let people call from a process of their own, to the end of the last call; give what they tell."""
    flags = ("--url", url, "--per-minute", f"{per_minute:g}", "--seconds", f"{seconds:g}", "--seed", str(seed))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.harness.soak.callers", *flags), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"the callers ended with {process.returncode}")
    return msgspec.json.decode(out, type=dict[str, int])


async def _settled(looks: Looks, before: Sample | None, every_s: float) -> Sample:
    """Look until nothing is left of the calls, but for `SETTLE_S` at most."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        sample = await asyncio.to_thread(looks.sample)
        if before is None:
            is_quiet = sample.sessions == sample.call_sockets == sample.calls == 0
        else:
            is_quiet = not any(left_over(_figures(before), _figures(sample), [*LEFT]).values())
        if is_quiet or time.monotonic() > deadline:
            return sample
        await asyncio.sleep(min(every_s, 2.0))


def _figures(sample: Sample) -> dict[str, float]:
    return msgspec.structs.asdict(sample)


def _report(soaked: Soaked, settings: dict[str, Any], *, warm_s: float, busy_percent: float) -> Report:
    before, after = _figures(soaked.before), _figures(soaked.after)
    during = [_figures(sample) for sample in soaked.during]
    rows: list[dict[str, Any]] = []
    for name, label in SHOWN.items():
        course = course_of([(sample["at_s"], sample[name]) for sample in during], warm_s=warm_s)
        figures = {"before": before[name], "most": max(sample[name] for sample in during), "after": after[name]}
        rows.append({"what": name, "label": label, **figures, **msgspec.structs.asdict(course)})
    memory = rows[0] if not settings["quick"] else {"apart_percent": math.nan, "hourly_percent": math.nan}
    left = left_over(before, after, [*LEFT])
    counts = soaked.counts
    wrong = {name: number for name, number in counts.items() if name.startswith(WRONG) and number}
    calls = sum(counts.get(kind, 0) for kind in KINDS)
    return Report(
        name="soak",
        title="An hour of calls that come and go",
        method=(
            f"{calls} calls with {counts.get('turns', 0)} questions, in every way in which calls go: "
            + ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in KINDS)
            + f". The server keeps calls in Redis and facts in its journal, its consumers run beside it, and every "
            f"{settings['every_s']:g} s {len(FAULTS)} answers of the model fail. Median, distance and trend are those "
            f"of the samples after {settings['warm_minutes']:g} minutes. Everything shared one machine, which was "
            f"{busy_percent:.0f} % busy."
        ),
        silent_about="days of load, long calls, Kafka's client, several workers, TLS, calls that come in waves.",
        settings={**settings, "wrong": wrong or "nothing"},
        rows=rows,
        columns=COLUMNS,
        claims=[
            Claim("memory: farthest from its median, %", memory["apart_percent"], FLAT_PERCENT),
            Claim("memory: trend, up or down, % an hour", abs(memory["hourly_percent"]), FLAT_PERCENT),
            *(Claim(text, left[name], 0.0) for name, text in LEFT.items()),
            Claim("calls lost, refused, or that waited in vain", float(sum(wrong.values())), 0.0),
        ],
        rounds=[before, *during, after],
        charts=["soak.png"],
    )


def _draw(path: Path, soaked: Soaked, settings: dict[str, Any], *, warm_s: float) -> None:
    def line(name: str, label: str, colour: str) -> charts.Line:
        points = {sample.at_s / 60: float(getattr(sample, name)) for sample in soaked.during}
        return charts.Line(label, colour, points)

    course = course_of([(sample.at_s, sample.rss_mib) for sample in soaked.during], warm_s=warm_s)
    share = FLAT_PERCENT / 100
    charts.courses(
        path,
        title="An hour of calls that come and go",
        x_label="minutes",
        panels=[
            charts.Panel(
                "memory, MiB",
                [line("rss_mib", "server", "#0b6e4f"), line("beside_mib", "consumers", "#8a8a8a")],
                (f"median ± {FLAT_PERCENT:g} %", course.median * (1 - share), course.median * (1 + share)),
            ),
            charts.Panel(
                "in the process",
                [
                    line("tasks", "tasks", "#4a6fa5"),
                    line("descriptors", "descriptors", "#d08c2f"),
                    line("sessions", "sessions", "#0b6e4f"),
                    line("calls", "calls attached", "#58b09c"),
                ],
            ),
            charts.Panel("objects", [line("objects", "of the collector", "#7d6b91")]),
        ],
        source=f"{settings['per_minute']:g} calls a minute; a sample every {settings['every_s']:g} s; loopback",
    )


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    sys.exit(app())
