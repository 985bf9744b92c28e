"""What servers write for one another: letters, commands, facts, errands, memos. Whoever is at the same Redis, Kafka or
disk may have written them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws import entries, errands, letters
from retell_ws.control import Command, Done, End, Look, Refused, Say, Seen, Status, Transfer, Update, read
from retell_ws.entries import KINDS, UnknownFact
from retell_ws.errands import Errand
from retell_ws.errors import WireError
from retell_ws.memo import MAX_PART, AnswerMemo, AsidesMemo, CallMemo, StandingMemo
from retell_ws.memo import read as read_memo
from retell_ws.memo import written as write_memo
from retell_ws.rules import Say as SayAction
from retell_ws.rules import Webhook
from tests.made_entries import filled
from tests.test_memo import MEMO

from .strategies import FUZZ, mutated

COMMANDS: list[Command] = [
    Say("Kestrel"),
    End("Kestrel"),
    Transfer("billing", "Kestrel"),
    Update(responsiveness=0.5),
    Look(),
]
LETTERS = [
    *(letters.encode(letters.Request("1", "host:1:a", "call_1", command)) for command in COMMANDS),
    *(
        letters.encode(letters.Told("1", "host:1:a", reply))
        for reply in (Done("redial"), Seen(Status("call_1", 1.5, True, "idle")), Refused("impossible", "Kestrel"))
    ),
]
ENTRIES = [entries.encode(filled(kind)) for kind in KINDS.values()]
ERRANDS = [
    errands.encode(Errand(id="esc_1", call_id="call_1", rule="one", action=action, at=1.0, made=2.0, words="Kestrel"))
    for action in (SayAction("Kestrel"), Webhook("https://example.com/"))
]
MEMOS: list[tuple[type[Any], bytes]] = [
    (type(part), write_memo(part) or b"") for part in (MEMO, MEMO.answer, MEMO.standing, MEMO.asides)
]


@FUZZ
@given(mutated(LETTERS))
def test_a_letter_is_one_or_an_error_that_quotes_nothing(data: bytes) -> None:
    try:
        letter = letters.decode(data)
    except WireError as exc:
        assert "Kestrel" not in str(exc)
        return
    assert letters.decode(letters.encode(letter)) == letter
    names = [letter.id, letter.sender, *([letter.call_id] if isinstance(letter, letters.Request) else [])]
    assert all(name.isascii() and name.isprintable() and 0 < len(name) <= 128 for name in names)


@FUZZ
@given(mutated([msgspec.json.encode(command) for command in COMMANDS]), st.sampled_from(COMMANDS))
def test_a_command_is_one_or_an_error_that_quotes_no_value(data: bytes, kind: Command) -> None:
    try:
        command = read(data, type(kind))
    except WireError as exc:
        assert "Kestrel" not in str(exc)
        return
    assert read(msgspec.json.encode(command), type(kind)) == command


@FUZZ
@given(mutated(ENTRIES))
def test_an_entry_is_one_and_stays_it_or_is_none(data: bytes) -> None:
    try:
        entry = entries.decode(data)
    except WireError as exc:
        assert str(exc) == "no entry of a fact"
        return
    assert entries.decode(entries.encode(entry)) == entry
    assert isinstance(entry.fact, (UnknownFact, *KINDS.values()))


@FUZZ
@given(mutated(ERRANDS))
def test_an_errand_is_one_and_stays_it_or_is_none(data: bytes) -> None:
    try:
        errand = errands.decode(data)
    except WireError as exc:
        assert str(exc) == "no errand of ours"
        return
    assert errands.decode(errands.encode(errand)) == errand
    errands.body_of(errand)


@FUZZ
@given(st.data())
def test_a_memo_is_one_and_stays_it_or_is_none(data: st.DataObject) -> None:
    part = data.draw(mutated([part for _, part in MEMOS]))
    for kind in (CallMemo, AnswerMemo, StandingMemo, AsidesMemo):
        if (memo := read_memo(part, kind)) is not None:
            again = write_memo(memo)
            assert again is None or read_memo(again, kind) == memo
            assert again is None or len(again) <= MAX_PART


@pytest.mark.parametrize(("kind", "part"), MEMOS)
def test_the_memos_that_are_changed_are_right_to_begin_with(kind: type[Any], part: bytes) -> None:
    assert read_memo(part, kind) is not None
