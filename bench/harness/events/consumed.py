"""Judges what consumers have made of facts: every call archived once, and totals that are the callers' own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from bench.harness.events.checks import number_of
from bench.harness.events.known import Known, Totals
from bench.harness.faults.checks import Violation

__all__ = ["ARCHIVED", "TOTALS", "expected", "judge_archive", "judge_totals"]

ARCHIVED: Final = "every call archived once"
TOTALS: Final = "totals as the callers count them"


def judge_archive(known: Mapping[int, Known], archived: Iterable[str]) -> Iterator[Violation]:
    """Compare the archive's rows with the calls that were made.

    Args:
        known: The callers' calls, by number.
        archived: The call id of each row.
    """
    rows = Counter(map(number_of, archived))
    for number, call in known.items():
        times = rows.pop(number, 0)
        if times > 1 or (times == 0 and call.ended):
            yield Violation(ARCHIVED, number, 0.0, f"stands there {times} times")
    for number, times in rows.items():
        yield Violation(ARCHIVED, number, 0.0, f"nobody made this call, and it stands there {times} times")


def expected(totals: Totals, crossed: int) -> dict[str, int]:
    """Say what a report must come to.

    Args:
        totals: As the callers count.
        crossed: Questions whose answer was finished in the moment it was spoken into: the caller counts an
            interruption, and nothing was interrupted.
    """
    return {
        "calls": totals.calls,
        "turns": totals.turns,
        "tools": totals.tools,
        "barge_ins": totals.superseded - crossed,
    }


def judge_totals(wanted: Mapping[str, int], reported: Mapping[str, float]) -> Iterator[Violation]:
    """Compare a report's totals with what they must be."""
    for name, count in wanted.items():
        if reported.get(name) != count:
            yield Violation(TOTALS, -1, 0.0, f"{name}: {count} happened, {reported.get(name)} reported")
