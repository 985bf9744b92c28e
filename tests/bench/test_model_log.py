"""Matching superseded requests with what the fake model saw."""

from __future__ import annotations

import orjson
from msgspec import Raw

from bench.harness.messages import Script
from bench.harness.model_log import Entry, match

SCRIPT = Script("b0c0001", 0)
SUPERSEDED = {SCRIPT.words(1): 1000, SCRIPT.words(2): 2000}


def entry(turn: int, *, ended: str | None, closed_ns: int | None, deltas: int = 3) -> Entry:
    """A log entry for the request of one turn."""
    body = orjson.dumps({"messages": [{"role": "user", "content": SCRIPT.words(turn)}]})
    return Entry(deltas_sent=deltas, ended=ended, closed_ns=closed_ns, body=Raw(body))


def test_a_cut_stream_is_timed_from_the_superseding_request() -> None:
    found = match(SUPERSEDED, [entry(1, ended="peer_closed", closed_ns=1400)])
    assert (found.closed_ns, found.deltas, found.unseen) == ([400], 3, 1)


def test_an_answer_that_ended_after_it_was_superseded_ran_on() -> None:
    found = match(SUPERSEDED, [entry(1, ended="done", closed_ns=1400), entry(2, ended=None, closed_ns=None)])
    assert (found.ran_on, found.over, found.closed_ns) == (2, 0, [])


def test_an_answer_that_had_ended_before_was_over() -> None:
    found = match(SUPERSEDED, [entry(1, ended="done", closed_ns=900)])
    assert (found.ran_on, found.over) == (0, 1)


def test_requests_that_nobody_superseded_do_not_count() -> None:
    found = match(SUPERSEDED, [entry(3, ended="done", closed_ns=9000), Entry(body=Raw(b"null"))])
    assert (found.deltas, found.unseen, found.ran_on) == (0, 2, 0)
