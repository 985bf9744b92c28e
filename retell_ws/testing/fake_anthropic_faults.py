"""What the fake API does with a request, healthy or faulty, decided before the first byte. Pure.

Every way the API is known to fail has a name here. Faults in mid-stream come after half the deltas.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..models.scripted import pieces, reply
from ..prompt import Message
from . import fake_anthropic_events as events

__all__ = ["FAULTS", "Play", "Request", "Script", "script"]

FAULTS: Final = {
    "429": "refused, with retry-after",
    "529": "refused: overloaded",
    "500": "refused: their fault",
    "401": "refused: the key",
    "slow_head": "headers after `fault_s`",
    "hang": "never a byte",
    "reset_before": "connection reset before a byte",
    "reset": "connection reset in mid-stream",
    "cut": "connection closed in mid-stream",
    "stall": "silence in mid-stream, socket open",
    "error_event": "an overloaded_error event in mid-stream",
    "pings_only": "pings, never a text",
    "no_message_stop": "a clean end of the body without message_stop",
    "refusal": "stop_reason refusal",
    "max_tokens": "stop_reason max_tokens",
    "slow_first": "first delta after `fault_s` * 10, pings before it",
    "slicer": "one byte a write",
    "burst": "everything in one write",
}

RETRY_AFTER_S: Final = 2


class Play(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the fake plays; each field is an option of the command line and a key of `POST /control`.

    Attributes:
        ttft_ms: Milliseconds from the whole request to the first text.
        deltas: Number of canned words to say; None for the scripted model's answer.
        spacing_ms: Milliseconds between two deltas.
        fault: Played by every request, unless `faults` says otherwise.
        faults: One for each coming request (None for a healthy one), until used up.
        stamp: Make the first text `@{recv_ns},{write_ns} `, on the system's monotonic clock.
        text: Say this.
        fault_s: Length of the slow faults, in seconds.
        ping_ms: Milliseconds between pings, in the faults that ping.
    """

    ttft_ms: float = 200
    deltas: int | None = None
    spacing_ms: float = 15
    fault: str | None = None
    faults: list[str | None] = []
    stamp: bool = False
    text: str | None = None
    fault_s: float = 3
    ping_ms: float = 1000


class Request(msgspec.Struct):
    """As much of a request's body as the answer depends on."""

    model: str = ""
    max_tokens: int = 0
    stream: bool = False
    messages: msgspec.Raw = msgspec.Raw(b"[]")


class Script(msgspec.Struct, kw_only=True):
    """What to write and when.

    Attributes:
        opening: Written one by one as soon as the request is here, or after `wait_ms`.
        deltas: Written one by one, paced, the first after the time to first token.
        closing: Written with the last delta.
        then: What follows: the connection waits for a request, is reset, is closed, stays silent, or pings.
        wait_ms: Milliseconds before the opening.
        ping: Whether pings come until the first delta.
        at_once: Whether all of it is one write, after the time to first token.
        sliced: The same, but a byte a write.
    """

    opening: tuple[bytes, ...] = ()
    deltas: tuple[bytes, ...] = ()
    closing: bytes = b""
    then: Literal["keep", "reset", "close", "silence", "pings"] = "keep"
    wait_ms: float = 0
    ping: bool = False
    at_once: bool = False
    sliced: bool = False


def script(play: Play, fault: str | None, request: Request, *, request_id: int, input_tokens: int) -> Script:
    """Decide on an answer.

    Args:
        play: How the fake plays.
        fault: The fault of this request.
        request: What was asked.
        request_id: Counts requests.
        input_tokens: What to put into `usage`.
    """
    match fault:
        case "429":
            return Script(opening=(events.refused(429, request_id=request_id, retry_after_s=RETRY_AFTER_S),))
        case "529" | "500" | "401":
            return Script(opening=(events.refused(int(fault), request_id=request_id),))
        case "hang":
            return Script(then="silence")
        case "reset_before":
            return Script(then="reset")
    if not request.stream:
        body = events.message(request_id, request.model, input_tokens)
        return Script(opening=(events.plain(200, body, request_id=request_id),))
    whole = Script(
        opening=(
            events.stream_head(request_id),
            events.message_start(request_id, request.model, input_tokens),
            events.block_start,
            events.PING,
        ),
        deltas=tuple([events.delta(text) for text in _texts(play, request)]),
    )
    half = whole.deltas[: max(1, len(whole.deltas) // 2)]
    ended = _closing("end_turn", len(whole.deltas))
    match fault:
        case "reset":
            whole.deltas, whole.then = half, "reset"
        case "cut":
            whole.deltas, whole.then = half, "close"
        case "stall":
            whole.deltas, whole.then = half, "silence"
        case "error_event":
            whole.deltas = half
            whole.closing = events.error_event + events.LAST_CHUNK
        case "no_message_stop":
            whole.closing = ended.replace(events.message_stop, b"")
        case "refusal" | "max_tokens":
            whole.deltas = half
            whole.closing = _closing(fault, len(half))
        case "pings_only":
            whole.deltas, whole.then = (), "pings"
        case _:
            whole.closing = ended
            if 0 < request.max_tokens < len(whole.deltas):  # a delta is a token here
                whole.deltas = whole.deltas[: request.max_tokens]
                whole.closing = _closing("max_tokens", request.max_tokens)
            whole.wait_ms = play.fault_s * 1000 if fault == "slow_head" else 0
            whole.ping = fault == "slow_first"
            whole.at_once = fault == "burst"
            whole.sliced = fault == "slicer"
    return whole


def _closing(stop_reason: str, output_tokens: int) -> bytes:
    return (
        events.block_stop + events.message_delta(stop_reason, output_tokens) + events.message_stop + events.LAST_CHUNK
    )


def _texts(play: Play, request: Request) -> list[str] | tuple[str, ...]:
    if play.text is not None:
        return pieces(play.text)
    if play.deltas is not None or play.stamp:
        return events.words(40 if play.deltas is None else play.deltas)
    try:
        messages = msgspec.json.decode(request.messages, type=list[Message])
    except msgspec.ValidationError:
        messages = []  # content in blocks, which our clients do not send
    return pieces(reply(messages))
