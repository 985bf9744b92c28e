"""Retell's messages, both ways, and the transcripts in them."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from retell_ws.errors import WireError
from retell_ws.transcript import decode_transcript, decode_transcript_items, decode_words, decode_woven
from retell_ws.wire import (
    Inbound,
    ReminderRequired,
    ResponseRequired,
    UnknownKind,
    UpdateOnly,
    decode,
    decode_outbound,
    encode,
    without_halves,
)

from .strategies import FUZZ, mutated

EXAMPLES = Path(__file__).parent.parent / "wire"
IN = [file.read_bytes() for file in sorted(EXAMPLES.glob("*.json")) if not file.name.startswith("out_")]
OUT = [file.read_bytes() for file in sorted(EXAMPLES.glob("out_*.json"))]

LOUD = b'{"interaction_type":"response_required","response_id":1,"transcript":[{"role":"user","content":"Kestrel"}]}'


@FUZZ
@given(st.binary(max_size=400) | mutated([*IN, *OUT, LOUD]))
def test_a_message_is_one_or_a_wire_error_that_quotes_nothing(data: bytes) -> None:
    try:
        message = decode(data)
    except WireError as exc:
        assert "Kestrel" not in str(exc) and len(str(exc)) < 200 and str(exc).isprintable()
        return
    assert isinstance(message, Inbound | UnknownKind)
    match message:
        case UpdateOnly() | ResponseRequired() | ReminderRequired():
            for raw in (message.transcript, message.transcript_with_tool_calls):
                reads(raw)


def reads(raw: Raw) -> None:
    """Read it every way there is; nothing is raised, and what is whole has as many parts as were sent."""
    utterances, whole = decode_transcript(raw)
    items, items_whole = decode_transcript_items(raw)
    decode_words(raw)
    woven, _ = decode_woven(raw)
    assert len(woven) <= len(items)
    if whole and items_whole:
        assert len(items) == len(utterances)


@FUZZ
@given(mutated(OUT))
def test_what_is_a_servers_message_is_one_when_it_is_written_again(data: bytes) -> None:
    try:
        message = decode_outbound(data)
    except WireError:
        return
    again = decode_outbound(encode(message))
    assert encode(again) == encode(message)  # out of range was clamped the first time, and stays


@FUZZ
@given(st.binary(max_size=60) | mutated([b'{"a":"\\ud83d\\ude00 b\\\\ud83d \\ud83d"}']))
def test_mending_halves_changes_what_is_broken_and_nothing_else(data: bytes) -> None:
    mended = without_halves(data)
    assert without_halves(mended) == mended
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    assert msgspec.json.decode(mended) == value
