"""Retell's webhooks: bodies that somebody else has signed, changed or made up."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.entries import Entry, decode, encode
from retell_ws.errors import WireError
from retell_ws.webhooks import EVENTS, WINDOW_MS, Webhook, is_recent, read, signature, verified

from .strategies import FUZZ, mutated

KEY, NOW = b"key_0123456789", 1_790_000_000_000

BODIES = [
    msgspec.json.encode(
        {
            "event": event,
            "call": {
                "call_id": "call_1",
                "from_number": "+14155550123",
                "start_timestamp": NOW,
                "transcript_object": [
                    {"role": "user", "content": "Kestrel 😀", "words": [{"word": "a", "start": 0.1}]}
                ],
                "metadata": {"a": [1, {"b": None}]},
                "access_token": "Kestrel",
            },
        }
    )
    for event in EVENTS
]


@FUZZ
@given(mutated(BODIES) | st.binary(max_size=200))
def test_only_the_bytes_that_were_signed_are_verified(body: bytes) -> None:
    for original in BODIES[:2]:
        header = signature(original, KEY, NOW)
        assert verified(body, header, (b"other", KEY), NOW) == (body == original)


@FUZZ
@given(mutated([signature(BODIES[0], KEY, NOW).encode()]), st.integers(-2 * WINDOW_MS, 2 * WINDOW_MS))
def test_only_the_signature_of_a_body_verifies_it_and_only_for_so_long(header: bytes, later_ms: int) -> None:
    shown = header.decode("utf-8", "surrogateescape")
    is_right = shown == signature(BODIES[0], KEY, NOW) and abs(later_ms) <= WINDOW_MS
    assert verified(BODIES[0], shown, (KEY,), NOW + later_ms) == is_right
    if is_right:
        assert is_recent(shown, NOW + later_ms)


@FUZZ
@given(mutated(BODIES))
def test_a_body_tells_of_something_that_can_be_kept_or_is_refused_unquoted(body: bytes) -> None:
    try:
        told = read(body)
    except WireError as exc:
        assert "Kestrel" not in str(exc) and "415555" not in str(exc) and len(str(exc)) < 200
        return
    if not isinstance(told, Webhook):
        return
    assert read(body) == told
    entry = Entry(id=told.id, call_id=told.call_id, epoch=0, seq=0, at=1.5, server="here", fact=told.fact)
    assert decode(encode(entry)) == entry
