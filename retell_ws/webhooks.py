"""Retell's webhooks: whether a body is Retell's, and what it tells of which call. No I/O.

Section marks (§) are those of `protocol.py`: 5 is about webhooks. Retell sends one again until it was answered, and
whoever recorded one may send it once more within its five minutes. So each is given an id made of what it tells, and
the same event has the same id however often it comes: it is kept once, and whoever reads it knows it again.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw

from .errors import WireError
from .speech_facts import WebhookReceived
from .wire import UNREADABLE, without_halves

__all__ = ["EVENTS", "HEADER", "MAX_BODY", "NoCall", "Told", "Webhook", "is_recent", "read", "signature", "verified"]

HEADER: Final = "X-Retell-Signature"

WINDOW_MS: Final = 300_000
"""How far the time of a signature may be from ours, in milliseconds, either way (§5.4)."""

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes of a body. That of a two-hour call has its transcript up to four times, with the times of all words."""

LIFE: Final = ("call_started", "call_ended", "call_analyzed")
TRANSFERS: Final = ("transfer_started", "transfer_bridged", "transfer_cancelled", "transfer_ended")
CHATS: Final = ("chat_started", "chat_ended", "chat_analyzed")

EVENTS: Final = (*LIFE, "transcript_updated", *TRANSFERS, *CHATS)
"""The events Retell documents (§5.2). Others are taken, too."""

_SIGNATURE: Final = re.compile(r"v=([1-9][0-9]{0,15}),d=([0-9a-f]{64})")
_CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")  # as on the call port (`route.py`)
_EVENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_WOVEN: Final = ("transcript_object", "transcript_with_tool_calls")
"""How the names of transcripts end whose items have `words`; there are scrubbed ones, too."""

_SECRETS: Final = ("access_token",)
"""What whoever reads of a call should not be able to do with it: with this one they could join it."""


DEPTH: Final = 64
"""How deep a value of the call may be nested: whoever made the call says what its metadata are."""


class Webhook(msgspec.Struct, frozen=True):
    """A webhook about a call.

    Attributes:
        id: Of its entry: the same each time the same event is told.
        call_id: The call's.
        fact: What it tells.
    """

    id: str
    call_id: str
    fact: WebhookReceived


class NoCall(msgspec.Struct, frozen=True):
    """A webhook about something else, as a chat: nothing is to be done about it."""

    event: str


Told: TypeAlias = Webhook | NoCall

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_items: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_sorted: Final = msgspec.json.Encoder(order="deterministic")


# ---------------------------------------------------------------------------- whose it is (§5.4)


def signature(body: bytes, key: bytes, at_ms: int) -> str:
    """Sign a body as Retell does; gives the header's value.

    Args:
        body: The body, byte for byte.
        key: The API key that has the webhook badge.
        at_ms: When, in milliseconds since 1970.
    """
    digest = hmac.new(key, digestmod=sha256)
    digest.update(body)
    digest.update(b"%d" % at_ms)
    return f"v={at_ms},d={digest.hexdigest()}"


def is_recent(header: str, now_ms: int) -> bool:
    """Tell whether this may be a signature of now: the only thing that can be told before the body was read."""
    found = _SIGNATURE.fullmatch(header)
    return found is not None and abs(now_ms - int(found[1])) <= WINDOW_MS


def verified(body: bytes, header: str, keys: Iterable[bytes], now_ms: int) -> bool:
    """Tell whether a body was signed with one of our keys, and not long ago.

    Args:
        body: The body, byte for byte as it came.
        header: The signature's.
        keys: Those valid now: two while they are changed. All of them are tried, each in constant time, so that the
            time of an answer tells nothing of them.
        now_ms: The time, in milliseconds since 1970.
    """
    if not is_recent(header, now_ms):
        return False
    at_ms = int(header[2:].partition(",")[0])
    is_ours = False
    for key in keys:
        is_ours |= hmac.compare_digest(signature(body, key, at_ms), header)
    return is_ours


# ---------------------------------------------------------------------------- what it tells (§5.2)


def read(body: bytes) -> Told:
    """Read a body.

    The call object is kept as it came, with two exceptions: the times of single words, which are nine tenths of it, and
    the token with which the call could be joined.

    Raises:
        WireError: It tells of no event, or of no call where it should. Nothing else is raised, and nothing quoted.
    """
    try:
        return _read(body)
    except UNREADABLE:
        pass
    try:
        return _read(without_halves(body))
    except UNREADABLE:
        raise WireError("no JSON object of an event") from None


def _read(body: bytes) -> Told:
    told = _object.decode(body)
    event = msgspec.json.decode(told.pop("event", b"null"))
    if not isinstance(event, str) or not _EVENT.fullmatch(event):
        raise WireError("no event is named")
    if event.startswith("chat_"):
        return NoCall(event)
    # An earlier edition sent the call under `data`, and for a while under both names.
    older, newer = (_call(told.pop(name, Raw(b"null"))) for name in ("data", "call"))
    call = older if newer is None else newer
    beside = _values(told)
    if call is None:
        if event in EVENTS:
            raise WireError(f"{event}: there is no call")
        return NoCall(event)
    started = beside.get("start_timestamp")  # of the transfer; the call's own is the same in all of them
    for name, value in beside.items():
        if call.get(name) is None:
            call[name] = value
    call_id = call.get("call_id")
    if not isinstance(call_id, str) or not _CALL_ID.fullmatch(call_id):
        raise WireError("the call has no id")
    if started is None:
        started = call.get("start_timestamp")
    return Webhook(_id_of(event, call_id, started, call, body), call_id, WebhookReceived(event, call))


def _call(raw: Raw) -> dict[str, Any] | None:
    try:
        return _values(_object.decode(raw))
    except msgspec.ValidationError:  # null, or what else is no object
        return None


def _values(fields: Mapping[str, Raw]) -> dict[str, Any]:
    return {
        name: _without_words(value) if name.endswith(_WOVEN) else _value(value)
        for name, value in fields.items()
        if name not in _SECRETS
    }


def _value(raw: Raw) -> Any:
    return _writable(msgspec.json.decode(raw), DEPTH)


def _writable(value: Any, room: int) -> Any:
    """Give a value as it can be written again."""
    match value:
        case str() | bool() | float() | None:
            return value
        case int():
            # JavaScript writes numbers of up to 21 digits so; ours are of 64 bits.
            return value if -(2**63) <= value < 2**63 else float(value) if abs(value) < 2**1000 else None
        case _ if not room:
            raise WireError("it is nested too deep")
        case list():
            return [_writable(item, room - 1) for item in value]
    return {name: _writable(item, room - 1) for name, item in value.items()}


def _without_words(raw: Raw) -> Any:
    # The words are stepped over where they lie: to make objects of them takes ten times as long as all the rest.
    try:
        items = _items.decode(raw)
    except msgspec.ValidationError:
        return _value(raw)
    return [{name: _value(value) for name, value in item.items() if name != "words"} for item in items]


def _id_of(event: str, call_id: str, started: Any, call: Mapping[str, Any], body: bytes) -> str:
    """Make the id of what tells two events apart (§5.3). Whatever else has changed, it is told once."""
    if event in LIFE:
        return f"webhook:{event}:{call_id}"
    if event in TRANSFERS:
        # Four digits tell two targets of a call apart, and nobody which they are: numbers can be guessed.
        target = sha256(_sorted.encode(call.get("transfer_destination"))).hexdigest()[:4]
        return f"webhook:{event}:{call_id}:{started if isinstance(started, int) else ''}:{target}"
    return f"webhook:{event}:{call_id}:{sha256(body).hexdigest()[:32]}"
