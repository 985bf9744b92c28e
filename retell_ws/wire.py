"""Retell's messages, both ways: bytes to typed structs and back. No I/O.

What comes in is read with tolerance: unknown kinds and fields are ignored and nulls taken as absent, because
Retell may add to its protocol any day. What goes out is strict. Section marks (§) are those of
`protocol.py`: 2 for what Retell sends, 3 for what the server sends.

The transcript stays raw JSON (`msgspec.Raw`) until a response is required: Retell sends all of it in every
message, several times a second, and most of those messages need only their kind. `transcript.py` reads it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from math import isnan
from typing import Annotated, Any, TypeAlias, get_type_hints

import msgspec
from msgspec import Meta, Raw

from .errors import WireError

__all__ = [
    "AgentConfig",
    "AgentInterrupt",
    "CallDetails",
    "CallInfo",
    "Config",
    "ConfigOptions",
    "Inbound",
    "Metadata",
    "Outbound",
    "NO_ITEMS",
    "PingPong",
    "Pong",
    "ReminderRequired",
    "Response",
    "ResponseRequired",
    "ToolCallInvocation",
    "ToolCallResult",
    "UNREADABLE",
    "UnknownKind",
    "UpdateAgent",
    "UpdateOnly",
    "decode",
    "decode_outbound",
    "encode",
    "without_halves",
]

ResponseId: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
"""An id of the call's own counter; 0 is the begin message (§2.4). The bound is JavaScript's last exact integer."""

NO_ITEMS = Raw(b"[]")
"""An absent transcript."""


# ---------------------------------------------------------------------------- Retell → server (§2)


class _Inbound(msgspec.Struct, frozen=True, tag_field="interaction_type", gc=False):
    pass


class PingPong(_Inbound, frozen=True, tag="ping_pong"):
    """Retell's keepalive, every 2 s once `config.auto_reconnect` is on (§2.1).

    Attributes:
        timestamp: Retell's clock in milliseconds since the epoch; echoed unchanged.
    """

    timestamp: int


class CallInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The call as Retell knows it (§2.2). Only `call_id` can be relied on.

    `from_number`, `to_number` and `direction` are absent on web calls.
    """

    call_id: str
    call_type: str | None = None
    agent_id: str | None = None
    agent_version: int | None = None
    agent_name: str | None = None
    call_status: str | None = None
    direction: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] | None = None
    retell_llm_dynamic_variables: dict[str, Any] | None = None
    custom_sip_headers: dict[str, Any] | None = None
    start_timestamp: int | None = None
    opt_out_sensitive_data_storage: bool | None = None


class CallDetails(_Inbound, frozen=True, tag="call_details"):
    """Who is calling; sent once, soon after our `config` asked for it (§2.2)."""

    call: CallInfo


class UpdateOnly(_Inbound, frozen=True, tag="update_only", kw_only=True):
    """The transcript moved on; no answer is wanted and no request is withdrawn (§2.3).

    Attributes:
        turntaking: `agent_turn` just before the agent starts to speak, `user_turn` when the caller takes the
            floor, otherwise absent.
    """

    transcript: Raw = NO_ITEMS
    transcript_with_tool_calls: Raw = NO_ITEMS
    turntaking: str | None = None


class ResponseRequired(_Inbound, frozen=True, tag="response_required", kw_only=True):
    """Retell believes the agent should speak now (§2.4)."""

    response_id: ResponseId
    transcript: Raw = NO_ITEMS
    transcript_with_tool_calls: Raw = NO_ITEMS


class ReminderRequired(_Inbound, frozen=True, tag="reminder_required", kw_only=True):
    """The caller has been silent after the agent spoke (§2.5)."""

    response_id: ResponseId
    transcript: Raw = NO_ITEMS
    transcript_with_tool_calls: Raw = NO_ITEMS


class UnknownKind(msgspec.Struct, frozen=True):
    """A message of a kind this version does not know: to be ignored (§2)."""


Inbound: TypeAlias = PingPong | CallDetails | UpdateOnly | ResponseRequired | ReminderRequired


class _Head(msgspec.Struct):
    interaction_type: str


class _RawDetails(msgspec.Struct):
    call: dict[str, Raw]


_raw_details = msgspec.json.Decoder(_RawDetails)
_detail_types = get_type_hints(CallInfo)
_inbound: msgspec.json.Decoder[Inbound] = msgspec.json.Decoder(Inbound)
_head = msgspec.json.Decoder(_Head)

_KINDS = frozenset(
    kind.__struct_config__.tag for kind in (PingPong, CallDetails, UpdateOnly, ResponseRequired, ReminderRequired)
)

UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for bytes it cannot read; deep nesting is a RecursionError, outside its own tree."""


_SURROGATES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""A lone half of a surrogate pair, escaped; group 1 holds what only looks like one.

JavaScript writes such halves when a string was cut inside an emoji, and msgspec refuses the whole message; a
request must not go unanswered for that."""


def without_halves(data: bytes) -> bytes:
    """Mend JSON in which an emoji was cut in two."""
    return _SURROGATES.sub(lambda match: match[1] or rb"\ufffd", data)


def decode(data: bytes) -> Inbound | UnknownKind:
    """Read one message of Retell's.

    Args:
        data: The payload of one text frame.

    Returns:
        The message, or `UnknownKind` for one this version does not know.

    Raises:
        WireError: The bytes are no JSON object, or a known kind with a wrong type in it. Nothing else is raised.
    """
    try:
        return _inbound.decode(data)
    except UNREADABLE:
        data = without_halves(data)
    try:
        return _inbound.decode(data)
    except UNREADABLE as exc:
        try:
            kind = _head.decode(data).interaction_type
        except UNREADABLE:
            raise WireError("not a message: no JSON object with an interaction_type") from None
        if kind not in _KINDS:
            return UnknownKind()
        if kind == CallDetails.__struct_config__.tag and (details := _sparse_details(data)):
            return details
        raise WireError(f"{kind}: wrong type or missing field at {_where(exc)}") from None


def _sparse_details(data: bytes) -> CallDetails | None:
    """Read what can be read of `call_details`: one odd field must not cost the agent the caller's name (§2.2)."""
    try:
        given = _raw_details.decode(data).call
    except UNREADABLE:
        return None
    read = {}
    for name, hint in _detail_types.items():
        with suppress(*UNREADABLE):
            read[name] = msgspec.json.decode(given.get(name, b"null"), type=hint)
    return CallDetails(call=CallInfo(**read)) if isinstance(read.get("call_id"), str) else None


def _where(exc: Exception) -> str:
    # Only the path is told: msgspec's sentence may quote the value, and the value may be speech.
    return str(exc).rpartition(" - at ")[2] if " - at " in str(exc) else "its JSON"


# ---------------------------------------------------------------------------- server → Retell (§3)


class _Outbound(msgspec.Struct, frozen=True, tag_field="response_type", omit_defaults=True, kw_only=True):
    pass


class ConfigOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What we ask of Retell for this connection (§3.1); every option is off unless set."""

    auto_reconnect: bool
    call_details: bool
    transcript_with_tool_calls: bool


class Config(_Outbound, frozen=True, tag="config"):
    """The first message of a connection (§3.1)."""

    config: ConfigOptions


class Pong(_Outbound, frozen=True, tag="ping_pong"):
    """The echo of Retell's ping, its timestamp unchanged (§3.2)."""

    timestamp: int


class Response(_Outbound, frozen=True, tag="response"):
    """A piece of the answer to `response_id`; 0 is the begin message (§3.3).

    Attributes:
        content: Text to append; Retell joins pieces without adding spaces.
        content_complete: True on the last piece of this id only.
        no_interruption_allowed: The caller cannot interrupt this piece.
        end_call: Hang up once everything of this id was spoken; lost if the caller barges in.
        transfer_number: Cold transfer, likewise. Phone calls only.
        show_transferee_as_caller: The transfer target sees the caller's number.
        digit_to_press: DTMF digits to send, likewise.
    """

    response_id: int
    content: str
    content_complete: bool
    no_interruption_allowed: bool = False
    end_call: bool = False
    transfer_number: str | None = None
    show_transferee_as_caller: bool = False
    digit_to_press: str | None = None


class AgentInterrupt(_Outbound, frozen=True, tag="agent_interrupt"):
    """Speak now, unasked; cancels any response in flight (§3.4).

    Attributes:
        interrupt_id: Our own counter, from 1; pieces of one interruption share it.
    """

    interrupt_id: int
    content: str
    content_complete: bool
    no_interruption_allowed: bool = False
    end_call: bool = False
    transfer_number: str | None = None
    digit_to_press: str | None = None


class ToolCallInvocation(_Outbound, frozen=True, tag="tool_call_invocation"):
    """A tool started: bookkeeping for Retell's records (§3.5). `arguments` is a string holding a JSON object."""

    tool_call_id: str
    name: str
    arguments: str


class ToolCallResult(_Outbound, frozen=True, tag="tool_call_result"):
    """A tool ended (§3.5). `successful` absent means "not said", not "failed"."""

    tool_call_id: str
    content: str
    successful: bool | None = None


class AgentConfig(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What `update_agent` changes for the rest of the call (§3.6); None leaves a value as it is.

    Attributes:
        responsiveness: 0–1; lower waits longer before answering.
        interruption_sensitivity: 0–1; 0 is never interrupted.
        reminder_trigger_ms: Milliseconds of silence before a reminder, above 0.
        reminder_max_count: How many reminders; 0 for none.
    """

    responsiveness: float | None = None
    interruption_sensitivity: float | None = None
    reminder_trigger_ms: int | None = None
    reminder_max_count: int | None = None


class UpdateAgent(_Outbound, frozen=True, tag="update_agent"):
    """Change how eagerly the agent speaks in this call (§3.6)."""

    agent_config: AgentConfig


class Metadata(_Outbound, frozen=True, tag="metadata"):
    """Any JSON object, forwarded to the browser of a web call (§3.7)."""

    metadata: dict[str, Any]


Outbound: TypeAlias = (
    Config | Pong | Response | AgentInterrupt | ToolCallInvocation | ToolCallResult | UpdateAgent | Metadata
)

_encoder = msgspec.json.Encoder()
_outbound: msgspec.json.Decoder[Outbound] = msgspec.json.Decoder(Outbound)


def encode(message: Outbound) -> bytes:
    """Write one message, as the payload of one text frame.

    Ranges that Retell states are kept here (§3.6: out of range is clamped), and text that is no Unicode (a lone
    surrogate) is mended, because Retell would drop the whole message without a word.
    """
    if isinstance(message, UpdateAgent):
        message = UpdateAgent(agent_config=_clamped(message.agent_config))
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError:
        return _encoder.encode(_mended(msgspec.to_builtins(message)))


def _clamped(config: AgentConfig) -> AgentConfig:
    def within(value: float | None, low: float, high: float) -> float | None:
        return None if value is None or isnan(value) else min(max(value, low), high)

    trigger, count = config.reminder_trigger_ms, config.reminder_max_count
    return AgentConfig(
        responsiveness=within(config.responsiveness, 0, 1),
        interruption_sensitivity=within(config.interruption_sensitivity, 0, 1),
        reminder_trigger_ms=None if trigger is None else max(trigger, 1),
        reminder_max_count=None if count is None else max(count, 0),
    )


_HALVES = re.compile("[\ud800-\udfff]")


def _mended(value: Any) -> Any:
    match value:
        case str():
            return _HALVES.sub("\ufffd", value)
        case dict():
            return {_mended(key): _mended(item) for key, item in value.items()}
        case list() | tuple():
            return [_mended(item) for item in value]
    return value


def decode_outbound(data: bytes) -> Outbound:
    """Read a message of the server's: the other half, for tests, fakes and clients.

    Raises:
        WireError: The bytes are none of the eight kinds, or Retell's own type checks would drop them (§3.3).
    """
    try:
        return _outbound.decode(data)
    except UNREADABLE as exc:
        raise WireError(f"not a message of a server: wrong type or missing field at {_where(exc)}") from None
