"""Facts that hold what people said: never logged, and masked (`masking.py`) before they leave the process. No I/O."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

__all__ = ["SPEECH", "CallTranscript", "CallerSaid", "Line", "SpeechFact", "WebhookReceived"]


class _SpeechFact(msgspec.Struct, frozen=True, tag_field="fact", omit_defaults=True):
    pass


class CallerSaid(_SpeechFact, frozen=True, tag="caller_said"):
    """Retell asked for an answer, or to check in with a silent caller.

    Attributes:
        response_id: Retell's id of the request. The same words may come under several ids (protocol §4.2).
        kind: `reminder` when the caller said nothing.
        text: The caller's words since the agent spoke last.
    """

    response_id: int
    kind: Literal["response", "reminder"]
    text: str = ""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a transcript.

    Attributes:
        role: `agent`, `user`, or what else Retell names: `dtmf`, `tool_call_invocation`, `tool_call_result`, …
        text: What was said, pressed, or given by a tool.
        name: The tool's.
        start_s: When it began, in seconds from the beginning of the call; None when Retell did not say.
        end_s: When it ended.
    """

    role: str
    text: str = ""
    name: str = ""
    start_s: float | None = None
    end_s: float | None = None


class CallTranscript(_SpeechFact, frozen=True, tag="call_transcript"):
    """What was said in a call that has ended, as Retell's last message on the socket told it.

    A call has one; another one, of a later epoch, only when it was taken up again after it had seemed to be over.

    Attributes:
        lines: Oldest first.
        duration_s: Seconds from the call's first socket to the end of its last.
        turns: Requests answered, wholly or in part.
        agent_left: The agent hung up, or handed the call on.
        call_type: `web_call` or `phone_call`, when Retell told.
        direction: `inbound` or `outbound`, when Retell told.
        agent_id: Retell's id of the agent, when it told.
        from_number: Who called, masked.
        to_number: Who was called, masked.
    """

    lines: tuple[Line, ...]
    duration_s: float
    turns: int
    agent_left: bool = False
    call_type: str = ""
    direction: str = ""
    agent_id: str = ""
    from_number: str = ""
    to_number: str = ""


class WebhookReceived(_SpeechFact, frozen=True, tag="webhook_received"):
    """Retell told of a call over HTTP (protocol §5), with a signature that is its own.

    Attributes:
        event: `call_started`, `call_ended`, `call_analyzed`, `transcript_updated`, `transfer_…`, or a later one.
        call: Retell's call object, as it came; with what stood beside it in the body (`transfer_destination`,
            `transcript_with_tool_calls`, …) under those names, where the object has none of its own.
    """

    event: str
    call: dict[str, Any]


SpeechFact: TypeAlias = CallerSaid | CallTranscript | WebhookReceived

SPEECH: Final = (CallerSaid, CallTranscript, WebhookReceived)
"""The types of all of them."""
