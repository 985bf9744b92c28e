"""Reading one frame of a server as Retell reads it: strict in types, tolerant of nulls. No I/O.

`wire.decode_outbound` reads what *our* server may send. Servers in general may do more: leave out options of
`config`, send `null` for an optional field (both official demos do, §3.3), or leave out `response_type`, which
Retell then takes for `response` (§3).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec
import orjson

from ..wire import AgentInterrupt, Metadata, Pong, Response, ToolCallInvocation, ToolCallResult, UpdateAgent

__all__ = ["Config", "Finding", "Frame", "Options", "ServerMessage", "Unreadable", "read_frame"]


class Finding(StrEnum):
    """What can be said about a frame beside "accepted"."""

    BINARY = "binary"
    """A binary frame: Retell closes with 1007 and the call is over (§1.6)."""
    NOT_JSON = "not_json"
    """No JSON object."""
    UNKNOWN_KIND = "unknown_kind"
    """A `response_type` the protocol does not have."""
    WRONG_TYPE = "wrong_type"
    """A field is missing or of another type than §3 gives it."""
    NO_RESPONSE_TYPE = "no_response_type"
    """`response_type` is missing; the frame counts as a `response`."""
    STALE = "stale"
    """Of an older id, sent after the server had certainly read the newer request."""
    CROSSED = "crossed"
    """Of an older id, but it may have left before the newer request was read. Nobody's fault."""
    NEVER_ASKED = "never_asked"
    """Of an id that was never requested."""
    AFTER_COMPLETION = "after_completion"
    """Of an id that was completed already."""
    CLOSED_AGAIN = "closed_again"
    """An empty completion repeated on a newer socket (§1.7.3). Harmless, and advised for id 0."""
    GREETED_AGAIN = "greeted_again"
    """The begin message spoken a second time in the call (§1.7.3)."""
    CANCELLED = "cancelled"
    """Of an id an `agent_interrupt` has cancelled. Dropped, expected (§9.15)."""
    OLD_INTERRUPT = "old_interrupt"
    """Of an `agent_interrupt` that a newer one discarded."""
    AFTER_END_CALL = "after_end_call"
    """Text after a completed response that carried `end_call`."""
    LATE_CONFIG = "late_config"
    """A `config` that was not the first frame of its socket (§3.1)."""
    STRAY_PONG = "stray_pong"
    """A `ping_pong` whose timestamp was never sent, or was answered before (§1.5)."""
    TOOL_TWICE = "tool_twice"
    """A `tool_call_id` that was used before (§3.5: it is unique)."""
    STRAY_RESULT = "stray_result"
    """A `tool_call_result` whose tool was never told of, or has ended before."""
    TOO_LONG = "too_long"
    """More text for one id than a call can speak."""

    @property
    def is_fault(self) -> bool:
        """Whether the server broke a rule, as far as one can tell from outside."""
        return self not in _HARMLESS


_HARMLESS = frozenset({Finding.CROSSED, Finding.CLOSED_AGAIN, Finding.CANCELLED})


class Options(msgspec.Struct, frozen=True):
    """What `config` asks for; every option is off unless set (§3.1)."""

    auto_reconnect: bool = False
    call_details: bool = False
    transcript_with_tool_calls: bool = False


class Config(msgspec.Struct, frozen=True, tag_field="response_type", tag="config"):
    """`config` as Retell takes it, with any of its options missing."""

    config: Options


ServerMessage: TypeAlias = (
    Config | Pong | Response | AgentInterrupt | ToolCallInvocation | ToolCallResult | UpdateAgent | Metadata
)

_KINDS = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (
        Config,
        Pong,
        Response,
        AgentInterrupt,
        ToolCallInvocation,
        ToolCallResult,
        UpdateAgent,
        Metadata,
    )
)


class Frame(msgspec.Struct, frozen=True):
    """A frame that is a message.

    Attributes:
        message: The message.
        named: False when `response_type` was missing.
    """

    message: ServerMessage
    named: bool = True


class Unreadable(msgspec.Struct, frozen=True):
    """A frame Retell drops, and why."""

    finding: Finding
    detail: str


def read_frame(data: str | bytes) -> Frame | Unreadable:
    """Read one frame of a server.

    Args:
        data: The payload: `str` of a text frame, `bytes` of a binary one.

    Returns:
        The message, or the reason for which Retell would drop it. Nothing is raised.
    """
    if not isinstance(data, str):
        return Unreadable(Finding.BINARY, f"a binary frame of {len(data)} bytes")
    try:
        fields = orjson.loads(data)
    except (orjson.JSONDecodeError, RecursionError):
        return Unreadable(Finding.NOT_JSON, "not JSON")
    if not isinstance(fields, dict):
        return Unreadable(Finding.NOT_JSON, f"JSON, but a {type(fields).__name__} and no object")
    # A null stands for an absent field; where the field is required, its absence is then the error.
    fields = {name: value for name, value in fields.items() if value is not None}
    named = "response_type" in fields
    kind = fields.setdefault("response_type", "response")
    if not isinstance(kind, str) or kind not in _KINDS:
        return Unreadable(Finding.UNKNOWN_KIND, f"response_type {str(kind)[:40]!r}")
    try:
        return Frame(msgspec.convert(fields, ServerMessage), named)
    except msgspec.ValidationError as exc:
        return Unreadable(Finding.WRONG_TYPE, f"{kind}: {exc}")
