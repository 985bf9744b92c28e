"""Judges what came out of a bus against what callers know. Pure; each check is shown to fail on bad facts.

Delivery is at least once: the same entry may come again, with the same id, and counts once. Everything else that is
there twice, not at all, or before what it follows is a violation.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from bench.harness.events.known import Known
from bench.harness.faults.checks import Violation
from bench.harness.faults.words import question_in
from retell_ws.entries import Entry
from retell_ws.facts import (
    CallEnded,
    CallStarted,
    Resumed,
    ToolStarted,
    TurnFailed,
    TurnFinished,
    TurnMeasured,
    TurnSuperseded,
)
from retell_ws.speech_facts import CallerSaid, CallTranscript

__all__ = ["CHECKS", "OUTSIDE", "Arrived", "Told", "Verdict", "judge_facts", "number_of", "once", "told_in"]

CHECKS: Final = (
    "every call started once",
    "every question written down once",
    "every answer told once",
    "every call ended once",
    "one transcript a call, with the last question",
    "no gap in the facts of a call",
    "in the order they happened",
    "facts of nobody",
    "all that was journalled arrives",
)
"""What is checked, in the order of the table."""

OUTSIDE: Final = frozenset({"escalated", "webhook_received"})
"""Facts that are told of a call from outside of it: they have no place in its order."""

_CALL = re.compile(r"call_(\d{6})_")


class Arrived(msgspec.Struct, frozen=True):
    """One record of a bus.

    Attributes:
        topic: Where it lies.
        partition: Where there.
        offset: And where in that.
        entry: It.
    """

    topic: str
    partition: int
    offset: int
    entry: Entry


class Told(msgspec.Struct):
    """What the facts say of one call, each counted once.

    Attributes:
        kinds: How often each kind was told.
        ends: Per response id: how it ended, each time that was told.
        said: Per response id: the words that were written down.
        transcripts: Every transcript.
        seqs: Per epoch: the numbers that were told.
        measured: Ids whose times were told.
    """

    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    ends: defaultdict[int, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    said: defaultdict[int, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    transcripts: list[CallTranscript] = []
    seqs: defaultdict[int, list[int]] = msgspec.field(default_factory=lambda: defaultdict(list))
    measured: set[int] = msgspec.field(default_factory=set)


class Verdict(msgspec.Struct, frozen=True):
    """What the facts come to.

    Attributes:
        violations: In the order of the checks.
        counts: Records, duplicates, calls, turns and how they ended, tools.
    """

    violations: tuple[Violation, ...]
    counts: dict[str, int]

    @property
    def by_check(self) -> dict[str, int]:
        """Violations by check, zeros included."""
        found = Counter(violation.check for violation in self.violations)
        return {check: found[check] for check in CHECKS}


def number_of(call_id: str) -> int:
    """Give the number of a call of the bench; -1 when it is none."""
    found = _CALL.match(call_id)
    return int(found.group(1)) if found else -1


def once(arrived: Iterable[Arrived]) -> list[Arrived]:
    """Leave out what was there before, by its id; the first of each stays in its place."""
    seen: set[str] = set()
    kept = []
    for record in sorted(arrived, key=lambda record: (record.topic, record.partition, record.offset)):
        if record.entry.id not in seen:
            seen.add(record.entry.id)
            kept.append(record)
    return kept


def told_in(entries: Iterable[Entry]) -> dict[int, Told]:
    """Sort facts by call. Each entry is to come once."""
    calls: dict[int, Told] = defaultdict(Told)
    for entry in entries:
        call = calls[number_of(entry.call_id)]
        call.kinds[entry.kind] += 1
        if entry.kind not in OUTSIDE:
            call.seqs[entry.epoch].append(entry.seq)
        match entry.fact:
            case TurnFinished(response_id) | TurnFailed(response_id) | TurnSuperseded(response_id):
                call.ends[response_id].append(entry.kind)
            case CallerSaid(response_id, _, text):
                call.said[response_id].append(text)
            case TurnMeasured(response_id):
                call.measured.add(response_id)
            case CallTranscript():
                call.transcripts.append(entry.fact)
    return dict(calls)


def judge_facts(
    known: Mapping[int, Known],
    arrived: Sequence[Arrived],
    *,
    journalled: Iterable[str] = (),
    apart: Container[int] = (),
) -> Verdict:
    """Judge what arrived.

    Args:
        known: The callers' calls, by number.
        arrived: Everything that lies on the bus, in any order.
        journalled: Ids of entries that stood in the journal of a server that was killed.
        apart: Numbers of calls that are judged elsewhere.
    """
    kept = once(arrived)
    told = told_in(record.entry for record in kept)
    found: list[Violation] = []
    for number, call in known.items():
        facts = told.get(number) or Told()
        found += _started(call, facts)
        found += _said(call, facts)
        found += _answered(call, facts)
        found += _ended(call, facts)
        found += _transcribed(call, facts)
    for number, facts in told.items():
        found += _gaps(number, facts)
        if number not in known and number not in apart and number >= 0:
            found.append(Violation(CHECKS[7], number, 0.0, f"{facts.kinds.total()} facts of a call nobody made"))
    found += _order(kept)
    missing = set(journalled) - {record.entry.id for record in kept}
    found += [Violation(CHECKS[8], number_of(name), 0.0, f"{name} does not arrive") for name in sorted(missing)]
    order = {check: number for number, check in enumerate(CHECKS)}
    return Verdict(
        tuple(sorted(found, key=lambda violation: (order[violation.check], violation.call))),
        _counts(known, told, len(arrived), len(kept)),
    )


def _started(call: Known, facts: Told) -> Iterator[Violation]:
    times = facts.kinds[_tag(CallStarted)]
    # One that went on after a kill may have begun on a server that did not live to tell; then it was resumed.
    if times != 1 and not (not call.whole and times == 0 and facts.kinds[_tag(Resumed)]):
        yield Violation(CHECKS[0], call.number, 0.0, f"started {times} times")


def _said(call: Known, facts: Told) -> Iterator[Violation]:
    if not call.whole:
        return
    for number, question in call.asked.items():
        words = facts.said.get(number, [])
        if len(words) != 1 or question_in(words[0]) != question:
            yield Violation(CHECKS[1], call.number, 0.0, f"id {number} asks {question.text!r}, written down {words}")


def _answered(call: Known, facts: Told) -> Iterator[Violation]:
    for number in call.asked if call.whole else call.answered:
        ends = facts.ends.get(number, [])
        if len(ends) != 1:
            yield Violation(CHECKS[2], call.number, 0.0, f"id {number} ended as {ends or 'nobody tells'}")
        elif number in call.answered and ends[0] == _tag(TurnSuperseded):
            yield Violation(CHECKS[2], call.number, 0.0, f"id {number} was heard to its end, and told as {ends[0]}")


def _ended(call: Known, facts: Told) -> Iterator[Violation]:
    times = facts.kinds[_tag(CallEnded)]
    if call.ended and (times != 1 if call.whole else times < 1):
        yield Violation(CHECKS[3], call.number, 0.0, f"ended {times} times")


def _transcribed(call: Known, facts: Told) -> Iterator[Violation]:
    if not call.ended:
        return
    if len(facts.transcripts) != 1 if call.whole else not facts.transcripts:
        yield Violation(CHECKS[4], call.number, 0.0, f"{len(facts.transcripts)} transcripts")
        return
    if call.last is not None:
        asked = [question_in(line.text) for line in facts.transcripts[-1].lines if line.role == "user"]
        if call.last not in asked:
            yield Violation(CHECKS[4], call.number, 0.0, f"{call.last.text!r} does not stand in it")


def _gaps(number: int, facts: Told) -> Iterator[Violation]:
    for epoch, seqs in facts.seqs.items():
        if sorted(seqs) != list(range(1, len(seqs) + 1)):
            missing = sorted(set(range(1, max(seqs) + 1)) - set(seqs))
            yield Violation(CHECKS[5], number, 0.0, f"epoch {epoch}: missing {missing or 'none'}, of {max(seqs)}")


def _order(kept: Sequence[Arrived]) -> Iterator[Violation]:
    newest: dict[tuple[str, str], tuple[int, int, int]] = {}
    for record in kept:
        entry = record.entry
        if entry.kind in OUTSIDE:
            continue
        key = (record.topic, entry.call_id)
        partition, *place = newest.get(key, (record.partition, -1, -1))
        if partition != record.partition:
            detail = f"{record.topic}: on partitions {partition} and {record.partition}"
            yield Violation(CHECKS[6], number_of(entry.call_id), entry.at, detail)
        elif [entry.epoch, entry.seq] <= place:
            detail = f"{record.topic}: {entry.epoch}/{entry.seq} after {place[0]}/{place[1]}"
            yield Violation(CHECKS[6], number_of(entry.call_id), entry.at, detail)
        newest[key] = (record.partition, entry.epoch, entry.seq)


def _counts(known: Mapping[int, Known], told: Mapping[int, Told], records: int, kept: int) -> dict[str, int]:
    ends = Counter(end for call in told.values() for number in call.ends.values() for end in number)
    crossed = sum(
        told[number].ends.get(one) == [_tag(TurnFinished)]
        for number, call in known.items()
        if number in told
        for one in call.superseded
    )
    return {
        "records": records,
        "facts": kept,
        "duplicates": records - kept,
        "calls": len(known),
        "turns": sum(len(call.asked) for call in known.values()),
        "finished": ends[_tag(TurnFinished)],
        "superseded": ends[_tag(TurnSuperseded)],
        "failed": ends[_tag(TurnFailed)],
        # The end of the answer and the next question passed each other on the line: the server had finished.
        "crossed": crossed,
        "tools": sum(call.kinds[_tag(ToolStarted)] for call in told.values()),
        "transcripts": sum(len(call.transcripts) for call in told.values()),
    }


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]
