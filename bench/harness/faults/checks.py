"""Judges a history: what must never happen, whatever fails. Pure; each check is shown to fail on a bad history.

Retell's rule of acceptance (protocol §4.1) is followed here once more, from the rows alone: text counts for the newest
id that was asked for, until that id is complete. What counts is what the caller heard.

Two losses are allowed, and counted: words that were written to a socket that died (speech is at most once), and a
request that its server cannot have read, because it was killed, stopped or cut off in the moment it was asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bench.harness.faults.history import Row
from bench.harness.faults.words import Question, Word, key_of, question_in, read

__all__ = ["CHECKS", "GREETING", "Asked", "Heard", "Losses", "Verdict", "Violation", "heard_in", "judge"]

GREETING: Final = "Harbor Clinic, this is Ana. How can I help?"

IN_FLIGHT_S: Final = 0.25
"""A request this young when its server was killed may not have been read, or not written down yet."""

CHECKS: Final = (
    "every call goes on",
    "greeted once",
    "words in order, none twice",
    "no word lost without a takeover",
    "no answer of an older id",
    "every id completed once",
    "side effects at most once",
    "told done, done once",
    "no write by a stale owner",
    "nothing against the protocol",
)
"""What is checked, in the order of the table."""


class Violation(msgspec.Struct, frozen=True):
    """Something that must not happen, and did."""

    check: str
    call: int
    t: float
    detail: str


class Losses(msgspec.Struct):
    """What is allowed to be lost, counted.

    Attributes:
        words: Words that were skipped over by an answer that went on after a takeover.
        greetings: Greetings that nobody heard, because the socket died just then.
        requests: Requests that no server can have read.
        endings: Answers cut by the end of the call.
        phrases: Phrases of the server's own: holding phrases, apologies.
        unknown: Side effects of which nobody can tell whether they were done.
    """

    words: int = 0
    greetings: int = 0
    requests: int = 0
    endings: int = 0
    phrases: int = 0
    unknown: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What a history comes to.

    Attributes:
        violations: In the order of the checks.
        losses: What was lost within bounds.
        counts: Calls, questions, answers, words, sockets, takeovers of an open answer, side effects.
    """

    violations: tuple[Violation, ...]
    losses: Losses
    counts: dict[str, int]

    @property
    def by_check(self) -> dict[str, int]:
        """Violations by check, zeros included."""
        found = Counter(violation.check for violation in self.violations)
        return {check: found[check] for check in CHECKS}


@dataclass(slots=True)
class Asked:
    """One id of a call, as the caller saw it.

    Attributes:
        response_id: The id; 0 is the greeting.
        question: What was asked; None for the greeting.
        t: When.
        sockets: Numbers of the sockets on which text was heard, and that of the request.
        pieces: What was heard, with its time and socket.
        completed: When, and how often, it was completed as it counts.
        superseded_at: When a newer request left.
    """

    response_id: int
    question: Question | None
    t: float
    socket: int
    pieces: list[tuple[float, int, str]] = field(default_factory=list)
    completed_at: float | None = None
    completions: list[tuple[int, str]] = field(default_factory=list)
    superseded_at: float | None = None

    @property
    def text(self) -> str:
        """Everything heard of it."""
        return "".join(text for _, _, text in self.pieces)


@dataclass(slots=True)
class Heard:
    """One call as the caller heard it.

    Attributes:
        number: The call's.
        asked: By id.
        opened: When each socket was accepted, and by which server.
        gone: When each socket that broke did.
        older: Frames of an older id after one of a newer.
        findings: What the fake Retell has against its frames.
        reason: Why it ended; empty when nobody knows.
        hung_up_at: When the caller hung up.
    """

    number: int
    asked: dict[int, Asked]
    opened: list[tuple[float, str]] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    older: list[Row] = field(default_factory=list)
    findings: list[Row] = field(default_factory=list)
    began_at: float = 0.0
    reason: str = ""
    hung_up_at: float | None = None
    _answered: int = 0

    def take(self, row: Row) -> None:
        """Take the next row of this call."""
        match row.event:
            case "open":
                self.opened.append((row.t, row.server))
            case "gone":
                self.gone.append(row.t)
            case "asked":
                self._latest.superseded_at = row.t
                self.asked[row.response_id] = Asked(row.response_id, question_in(row.text), row.t, len(self.opened))
            case "frame":
                self._frame(row)
            case "finding":
                self.findings.append(row)
            case "hung_up":
                self.hung_up_at = row.t
            case "ended":
                self.reason = row.text

    @property
    def _latest(self) -> Asked:
        return self.asked[max(self.asked)]

    def _frame(self, row: Row) -> None:
        # An empty completion on a newer socket is harmless, and advised for the greeting (protocol §1.7.3); one that
        # is not empty greets twice.
        if 0 < row.response_id < self._answered and (row.text or not row.complete):
            self.older.append(row)
        self._answered = max(self._answered, row.response_id)
        asked = self.asked.get(row.response_id)
        if asked is None:
            return  # a finding says so
        if row.complete:
            asked.completions.append((len(self.opened), row.text))
        if asked is self._latest and asked.completed_at is None:
            asked.pieces.append((row.t, len(self.opened), row.text))
            if row.complete:
                asked.completed_at = row.t


def heard_in(rows: Iterable[Row]) -> dict[int, Heard]:
    """Tell what each call's caller heard, from the rows in the order of their time."""
    calls: dict[int, Heard] = {}
    for row in sorted(rows, key=lambda row: row.t):
        if row.call >= 0 and row.event not in ("ran", "stale_write"):
            if row.call not in calls:
                calls[row.call] = Heard(row.call, {0: Asked(0, None, row.t, 1)}, began_at=row.t)
            calls[row.call].take(row)
    return calls


def judge(rows: Sequence[Row]) -> Verdict:
    """Judge a history.

    Args:
        rows: In any order.
    """
    calls = heard_in(rows)
    faults = sorted((row for row in rows if row.event == "fault"), key=lambda row: row.t)
    losses = Losses()
    found: list[Violation] = []
    for heard in calls.values():
        found += _goes_on(heard)
        found += _greeted(heard, losses)
        found += _words(heard, losses)
        found += _older(heard)
        found += _completed(heard, faults, losses)
        found += _protocol(heard)
    found += _effects(calls, rows, losses)
    found += [
        Violation("no write by a stale owner", row.call, row.t, f"{row.server}: {row.text}")
        for row in rows
        if row.event == "stale_write"
    ]
    order = {check: number for number, check in enumerate(CHECKS)}
    return Verdict(
        tuple(sorted(found, key=lambda violation: (order[violation.check], violation.t))),
        losses,
        _counts(calls, rows),
    )


def _goes_on(heard: Heard) -> Iterator[Violation]:
    check = CHECKS[0]
    if heard.reason != "user_hangup":
        yield Violation(check, heard.number, heard.began_at, f"ended by {heard.reason or 'nobody knows what'}")


def _greeted(heard: Heard, losses: Losses) -> Iterator[Violation]:
    check, greeting = CHECKS[1], heard.asked[0]
    times = greeting.text.count(GREETING)
    for row in heard.findings:
        if row.text.startswith("greeted_again"):
            yield Violation(check, heard.number, row.t, row.text)
    if times > 1 or greeting.text.replace(GREETING, "", 1).strip():
        yield Violation(check, heard.number, greeting.t, f"heard {greeting.text!r}")
    elif times == 0:
        if heard.gone and (greeting.completed_at is None or heard.gone[0] < greeting.completed_at):
            losses.greetings += 1
        elif greeting.completed_at is not None or greeting.superseded_at is not None:
            yield Violation(check, heard.number, greeting.t, "never greeted")


def _words(heard: Heard, losses: Losses) -> Iterator[Violation]:
    """Words rise strictly over the whole call; what is skipped is a loss, allowed where a socket broke."""
    newest: Word | None = None
    for asked in heard.asked.values():
        question = asked.question
        if question is None:
            continue
        said = read(asked.text)
        losses.phrases += bool(said.other)
        if said.glued:
            yield Violation(CHECKS[2], heard.number, asked.t, f"id {asked.response_id}: words glued: {asked.text!r}")
        for one in said.words:
            place = (one.question, one.place)
            if one.call != heard.number or one.question != question.number:
                detail = f"id {asked.response_id} asks {question.text!r}, heard {one}"
                yield Violation(CHECKS[2], heard.number, asked.t, detail)
            elif newest is not None and place <= (newest.question, newest.place):
                again = f"id {asked.response_id}: {one.question}.{one.place} after {newest.question}.{newest.place}"
                yield Violation(CHECKS[2], heard.number, asked.t, f"{again}: {_pieces(asked)}")
            else:
                newest = one
        if asked.completed_at is not None:
            missing = question.words - len({one.place for one in said.words if one.place})
            broke = any(asked.t <= gone <= asked.completed_at for gone in heard.gone)
            if missing > 0 and broke:
                losses.words += missing
            elif missing > 0 and not said.other:
                detail = f"id {asked.response_id}: {missing} of {question.words} words missing: {_pieces(asked)}"
                yield Violation(CHECKS[3], heard.number, asked.t, detail)


def _pieces(asked: Asked) -> str:
    """What was heard, by socket."""
    by_socket: dict[int, str] = defaultdict(str)
    for _, socket, text in asked.pieces:
        by_socket[socket] += text
    return " | ".join(f"socket {socket}: {text[:60]}…{text[-40:]}" for socket, text in by_socket.items())


def _older(heard: Heard) -> Iterator[Violation]:
    stale = [row for row in heard.findings if row.text.startswith("stale")]
    for row in (*heard.older, *stale):
        yield Violation(CHECKS[4], heard.number, row.t, f"id {row.response_id}: {row.text!r}")


def _completed(heard: Heard, faults: Sequence[Row], losses: Losses) -> Iterator[Violation]:
    check = CHECKS[5]
    for asked in heard.asked.values():
        sockets = [socket for socket, text in asked.completions if text]
        twice = len(sockets) > 1 and asked.response_id > 0
        if twice or len(asked.completions) != len({socket for socket, _ in asked.completions}):
            detail = f"id {asked.response_id} completed {len(asked.completions)} times, on sockets {asked.completions}"
            yield Violation(check, heard.number, asked.t, detail)
        if asked.completed_at is not None or (asked.response_id == 0 and not asked.pieces and asked.superseded_at):
            continue
        if asked.superseded_at is None and heard.reason != "user_hangup":
            continue  # the call broke off: that is said of the whole call
        if _unread(heard, asked, faults):
            losses.requests += 1
        elif asked.superseded_at is not None and not _gave_up(asked):
            continue
        elif asked.superseded_at is None and heard.hung_up_at is not None and not _gave_up_at(asked, heard.hung_up_at):
            losses.endings += 1
        else:
            yield Violation(
                check, heard.number, asked.t, f"id {asked.response_id} never completed: {_pieces(asked) or 'no word'}"
            )


PATIENCE_S: Final = 8.0
"""How long a caller waits for the end of an answer before asking something else; see `calls`."""


def _gave_up(asked: Asked) -> bool:
    """The caller asked something else because no end came, not to interrupt."""
    return asked.superseded_at is not None and _gave_up_at(asked, asked.superseded_at)


def _gave_up_at(asked: Asked, at: float) -> bool:
    return at - asked.t >= PATIENCE_S


def _unread(heard: Heard, asked: Asked, faults: Sequence[Row]) -> bool:
    """Its server was struck before it can have read the request, or written down that it did."""
    if asked.pieces or not 0 < asked.socket <= len(heard.opened):
        return False
    server = heard.opened[asked.socket - 1][1]
    ended = [gone for gone in heard.gone if gone >= asked.t]
    if not ended:
        return False
    return any(
        row.server == server
        and row.text in ("kill", "stop", "cut")
        and asked.t > row.t - IN_FLIGHT_S
        and row.t <= ended[0]
        for row in faults
    )


def _protocol(heard: Heard) -> Iterator[Violation]:
    for row in heard.findings:
        if not row.text.startswith(("stale", "greeted_again")):
            yield Violation(CHECKS[9], heard.number, row.t, row.text)


def _effects(calls: dict[int, Heard], rows: Sequence[Row], losses: Losses) -> Iterator[Violation]:
    ran: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.event == "ran":
            ran[row.text].append(row)
    for key, runs in ran.items():
        if len(runs) > 1:
            detail = f"{key} ran {len(runs)} times, on {', '.join(row.server for row in runs)}"
            yield Violation(CHECKS[6], runs[0].call, runs[0].t, detail)
    for heard in calls.values():
        for asked in heard.asked.values():
            if asked.question is None or not asked.question.books:
                continue
            for one in read(asked.text).words:
                if one.outcome == "unknown":
                    losses.unknown += 1
                elif one.outcome == "done" and len(ran[key_of(asked.question)]) != 1:
                    detail = f"{key_of(asked.question)} was told done and ran {len(ran[key_of(asked.question)])} times"
                    yield Violation(CHECKS[7], heard.number, asked.t, detail)


def _counts(calls: dict[int, Heard], rows: Sequence[Row]) -> dict[str, int]:
    every = [asked for heard in calls.values() for asked in heard.asked.values() if asked.question is not None]
    return {
        "calls": len(calls),
        "questions": len(every),
        "answers": sum(asked.completed_at is not None for asked in every),
        "words": sum(len(read(asked.text).words) for asked in every),
        "sockets": sum(len(heard.opened) for heard in calls.values()),
        "takeovers": sum(len({socket for _, socket, _ in asked.pieces}) > 1 for asked in every),
        "effects": sum(row.event == "ran" for row in rows),
    }
