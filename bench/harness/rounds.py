"""Interleaved rounds and the load process of each. It measures nothing itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.harness import plans
from bench.harness.machine import Cores
from bench.harness.plans import Answer
from bench.harness.processes import ROOT, pinned_to

__all__ = ["LoadFailed", "Screen", "carry_out", "interleaved"]

Item = TypeVar("Item")
Result = TypeVar(
    "Result",
    plans.PacedResult,
    plans.BargingResult,
    plans.IdleResult,
    plans.RecallingResult,
    plans.SpokenResult,
)
_answer = msgspec.json.Decoder(Answer)


class LoadFailed(Exception):
    """The load process ended without a result; the text is what it said."""


def interleaved(items: Sequence[Item], rounds: int) -> Iterator[tuple[int, Item]]:
    """Order a run: A B C in even rounds, C B A in odd ones, so that drift favours nobody."""
    for number in range(rounds):
        for item in items if number % 2 == 0 else reversed(items):
            yield number, item


class Screen:
    """Two progress bars: all measurements, and the one that runs."""

    def __init__(self, bars: Progress, whole: TaskID, part: TaskID) -> None:
        self._bars = bars
        self._whole = whole
        self._part = part

    @classmethod
    @contextmanager
    def shown(cls, title: str, steps: int) -> Iterator[Screen]:
        """Show the bars on stderr while the block runs."""
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # Two refreshes a second: drawing shares the load's core.
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bars:
            yield cls(bars, bars.add_task(title, total=steps), bars.add_task("", total=100))

    def begin(self, what: str) -> None:
        """Name the measurement that begins."""
        self._bars.reset(self._part, description=what, total=100)

    def at(self, done: float) -> None:
        """Tell how far it is, from 0 to 1."""
        self._bars.update(self._part, completed=round(100 * done))

    def end(self) -> None:
        """Count it as done."""
        self._bars.advance(self._whole)


def carry_out(plan: plans.Plan, result: type[Result], *, cores: Cores, progress: Callable[[float], None]) -> Result:
    """Carry out a plan in a load process on the load core.

    Args:
        plan: What to do.
        result: The kind of result this plan has.
        cores: Where.
        progress: Is told how far it is, from 0 to 1.

    Returns:
        What the load process told.

    Raises:
        LoadFailed: It told nothing.
    """
    plan.pids["bench"] = os.getpid()
    with pinned_to(cores.load):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.harness.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    with process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = _answer.decode(line)
                if isinstance(answer, result):
                    return answer
                if isinstance(answer, plans.Progress):
                    progress(answer.done)
            raise LoadFailed(process.stderr.read()[-2000:].decode(errors="replace"))
        except BaseException:
            process.kill()
            raise
