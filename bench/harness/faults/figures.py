"""From a history to times: how long a takeover takes, what callers wait for, what was cut. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from bench.harness.faults.checks import Asked, Heard
from bench.harness.figures import percentile

__all__ = ["Takeover", "cut_turns", "first_frames", "greetings", "lost_calls", "redials", "summary", "takeovers"]


class Takeover(msgspec.Struct, frozen=True):
    """An answer that went on after its socket broke. Times in milliseconds.

    Attributes:
        resumed_ms: From the accepted handshake to the first text of the answer on the new socket, the model's own time
            to the first token taken off: what the takeover costs.
        silent_ms: From the break to that text, the model's time included: what the caller waits.
        redial_ms: From the break to the accepted handshake.
        moved: Another server took it.
    """

    resumed_ms: float
    silent_ms: float
    redial_ms: float
    moved: bool


def takeovers(calls: Iterable[Heard], ttft_ms: float) -> list[Takeover]:
    """Find the answers that went on, or began, on a newer socket than they were asked on.

    Those with a side effect are left out: how long they wait depends on where in it they were cut. So is one that
    needed two redials.
    """
    found = []
    for heard in calls:
        for asked in heard.asked.values():
            if asked.question is None or asked.question.books:
                continue
            piece = next(((t, socket) for t, socket, text in asked.pieces if socket > asked.socket), None)
            if piece is None or piece[1] != asked.socket + 1 or asked.socket > len(heard.gone):
                continue
            at, socket = piece
            gone, (opened, server) = heard.gone[asked.socket - 1], heard.opened[socket - 1]
            if gone < asked.t:
                continue
            found.append(
                Takeover(
                    (at - opened) * 1000 - ttft_ms,
                    (at - gone) * 1000,
                    (opened - gone) * 1000,
                    heard.opened[asked.socket - 1][1] != server,
                )
            )
    return found


def redials(calls: Iterable[Heard]) -> list[float]:
    """Give the milliseconds from each break to the next accepted handshake."""
    return [
        (opened - gone) * 1000
        for heard in calls
        for gone, (opened, _) in zip(heard.gone, heard.opened[1:], strict=False)
    ]


def first_frames(calls: Iterable[Heard], begin: float, end: float) -> list[float]:
    """Give the milliseconds from request to first text, of questions asked in a window, with nothing in between.

    Answers with a side effect are left out, and those whose socket broke.
    """
    return [
        (asked.pieces[0][0] - asked.t) * 1000
        for heard in calls
        for asked in heard.asked.values()
        if asked.question is not None and not asked.question.books and begin <= asked.t < end and _unbroken(asked)
    ]


def greetings(calls: Iterable[Heard], begin: float, end: float) -> list[float]:
    """Give the milliseconds from the first accepted handshake to the greeting, of calls that began in a window."""
    return [
        (heard.asked[0].pieces[0][0] - heard.opened[0][0]) * 1000
        for heard in calls
        if heard.opened and begin <= heard.opened[0][0] < end and _unbroken(heard.asked[0])
    ]


def _unbroken(asked: Asked) -> bool:
    return bool(asked.pieces) and asked.pieces[0][1] == asked.socket


def cut_turns(calls: Iterable[Heard]) -> int:
    """Count the answers whose socket broke between their first text and their completion."""
    return sum(
        any(asked.pieces[0][0] < gone < (asked.completed_at or asked.superseded_at or gone + 1) for gone in heard.gone)
        for heard in calls
        for asked in heard.asked.values()
        if asked.pieces
    )


def lost_calls(calls: Iterable[Heard]) -> int:
    """Count the calls that did not end by their caller's hanging up."""
    return sum(heard.reason != "user_hangup" for heard in calls)


def summary(calls: Mapping[int, Heard], ttft_ms: float) -> dict[str, float]:
    """Sum up what every scenario has."""
    taken = takeovers(calls.values(), ttft_ms)
    back = redials(calls.values())
    return {
        "lost_calls": lost_calls(calls.values()),
        "cut_turns": cut_turns(calls.values()),
        "resumed": len(taken),
        "resumed_p50_ms": percentile([one.resumed_ms for one in taken], 50),
        "resumed_p99_ms": percentile([one.resumed_ms for one in taken], 99),
        "silent_p50_ms": percentile([one.silent_ms for one in taken], 50),
        "silent_p99_ms": percentile([one.silent_ms for one in taken], 99),
        "redial_p50_ms": percentile(back, 50),
        "redial_p99_ms": percentile(back, 99),
    }
