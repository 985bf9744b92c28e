"""Memos: read back as they were written, and left out when they cannot be."""

from __future__ import annotations

import pytest

from retell_ws.intent import EndCall, TransferCall
from retell_ws.memo import MAX_PART, AnswerMemo, AsidesMemo, CallMemo, StandingMemo, read, written
from retell_ws.transcript import Place
from retell_ws.wire import AgentConfig

MEMO = CallMemo(
    answer=AnswerMemo(3, 7, "We open", 7, started=True, intent=EndCall()),
    standing=StandingMemo((TransferCall("+14155550100"), "Bye."), EndCall(), 1, 2, 3, ((3, Place(2, "hi")),)),
    asides=AsidesMemo(AgentConfig(responsiveness=0.5), 2, (b"{}", b"\xff")),
    sockets=2,
    heard_on=1,
    began_ms=1,
    turns=4,
    generations=5,
    after=("Then.",),
)


def test_a_memo_is_read_as_it_was_written() -> None:
    part = written(MEMO)
    assert part is not None
    assert read(part, CallMemo) == MEMO


@pytest.mark.parametrize("part", [None, b"", b"{", b"null", b'{"answer":1}', b"\xff", b"[" * 10_000])
def test_what_another_version_wrote_is_left_out(part: bytes | None) -> None:
    assert read(part, CallMemo) is None


def test_what_is_too_large_or_no_json_is_not_written() -> None:
    assert written("x" * (MAX_PART - 2)) is not None
    assert written("x" * MAX_PART) is None
    assert written(object()) is None
    assert written("\ud800") is None
