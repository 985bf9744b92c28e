"""The spans of a call: one of the call, one of each turn, and under it what the turn waited for. No I/O.

```
call                          one, from the first socket to the last
└─ turn                       from the arrival of Retell's request to the last frame
   ├─ queued  decode  prompt  connect      what came before the model
   ├─ chat MODEL              the model, over all rounds; it begins before the turn when it was asked ahead
   └─ execute_tool NAME
```

Names and attributes of the last two are those of OpenTelemetry's conventions for generative AI; content is never among
them. What they have no word for begins with `retell_ws.`. A turn that failed is an error, and so is its model when the
last request did not come to its end.

Every id follows from the call's: whichever server has a call, its spans are of one trace, below one span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import msgspec

from .facts import CallEnded, ToolFinished, TurnMeasured

__all__ = ["SCHEMA", "Event", "Place", "Span", "call_span", "call_span_of", "tool_span", "trace_of", "turn_spans"]

Value: TypeAlias = str | int | float | bool | tuple[str, ...]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.41.0"
"""The conventions that have all of these names: the last ones before those for generative AI went their own way."""


class Event(msgspec.Struct, frozen=True):
    """A moment within a span.

    Attributes:
        name: What happened.
        at_ns: When, in nanoseconds since 1970.
    """

    name: str
    at_ns: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span, whole.

    Attributes:
        name: What it is of.
        trace: Of the call.
        id: No other span of the trace has it.
        parent: The id of the span it belongs to; None for the call's own.
        start_ns: Its begin, in nanoseconds since 1970.
        end_ns: Its end.
        kind: Whether somebody asked us, we asked somebody, or neither.
        attributes: What else is known.
        events: Moments within it.
        error: What failed; empty when nothing did.
    """

    name: str
    trace: int
    id: int
    parent: int | None
    start_ns: int
    end_ns: int
    kind: Literal["internal", "server", "client"] = "internal"
    attributes: Mapping[str, Value]
    events: tuple[Event, ...] = ()
    error: str = ""


class Place(msgspec.Struct, frozen=True):
    """Where a span stands: what its id follows from.

    Attributes:
        call_id: The call.
        epoch: Of the server's hold of it.
        number: Of the fact it begins with, within the epoch.
    """

    call_id: str
    epoch: int
    number: int

    def id(self, name: str) -> int:
        """Give the id of a span."""
        return _digest(f"{self.call_id}\0{self.epoch}\0{self.number}\0{name}", 8)


def trace_of(call_id: str) -> int:
    """Give the id of a call's trace, the same on every server."""
    return _digest(call_id, 16)


def call_span_of(call_id: str) -> int:
    """Give the id of the span of the whole call, the same on every server."""
    return Place(call_id, 0, 0).id("call")


def call_span(call_id: str, left_ns: int, fact: CallEnded) -> Span:
    """Make the span of a call.

    Args:
        call_id: The call.
        left_ns: When its last socket was gone.
        fact: Its end.
    """
    return Span(
        name="call",
        trace=trace_of(call_id),
        id=call_span_of(call_id),
        parent=None,
        start_ns=left_ns - _ns(fact.duration_s),
        end_ns=left_ns,
        kind="server",
        attributes={"gen_ai.conversation.id": call_id, "retell_ws.turns": fact.turns},
    )


def tool_span(place: Place, parent: int, at_ns: int, fact: ToolFinished) -> Span:
    """Make the span of a tool.

    Args:
        place: Its own.
        parent: The id of its turn's span.
        at_ns: When it ended.
        fact: Its end.
    """
    error = fact.outcome if fact.outcome in ("failed", "late", "unknown") else ""
    return Span(
        name=f"execute_tool {fact.tool}",
        trace=trace_of(place.call_id),
        id=place.id("tool"),
        parent=parent,
        start_ns=at_ns - _ns(fact.duration_s),
        end_ns=at_ns,
        attributes={
            "gen_ai.conversation.id": place.call_id,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": fact.tool,
            "gen_ai.tool.type": "function",
            "retell_ws.outcome": fact.outcome,
            **_error_type(error),
        },
        error=error,
    )


def turn_spans(
    place: Place,
    at_ns: int,
    fact: TurnMeasured,
    *,
    kind: str,
    why: str,
    model: str,
    provider: str,
    server: tuple[str, int] | None,
) -> Iterator[Span]:
    """Make the span of a turn, and those of its stages.

    Args:
        place: The turn's.
        at_ns: When its last frame was written.
        fact: Its record.
        kind: What Retell asked for.
        why: What failed; empty when nothing did.
        model: The model that was asked first.
        provider: Who runs it, in the words of the conventions.
        server: The host and port where; None in this process.
    """
    asked_ns = at_ns - _ns(fact.done_s)

    def after(seconds: float | None) -> int:
        return asked_ns + _ns(seconds)

    trace, turn = trace_of(place.call_id), place.id("turn")
    arrived_ns, prompted_ns = asked_ns - _ns(fact.queued_s), after(fact.prompt_s)
    error = (why or "failed") if fact.outcome == "failed" else ""
    moments = (
        ("first_token", fact.first_token_s),
        ("first_frame", fact.first_frame_s),
        ("first_sentence", fact.first_sentence_s),
    )
    yield Span(
        name="turn",
        trace=trace,
        id=turn,
        parent=call_span_of(place.call_id),
        start_ns=arrived_ns,
        end_ns=at_ns,
        attributes={"gen_ai.conversation.id": place.call_id, **_about_turn(kind, fact), **_error_type(error)},
        events=tuple(Event(name, after(seconds)) for name, seconds in moments if seconds is not None),
        error=error,
    )
    for name, seconds, start_ns, end_ns in (
        ("queued", fact.queued_s, arrived_ns, asked_ns),
        ("decode", fact.decoded_s, asked_ns, after(fact.decoded_s)),
        # What a speculation had done before the request nobody has waited for.
        ("prompt", None if fact.adopted else fact.prompt_s, after(fact.decoded_s), prompted_ns),
        ("connect", None if fact.adopted else fact.connect_s, prompted_ns, prompted_ns + _ns(fact.connect_s)),
    ):
        if seconds is not None:
            yield Span(
                name=name,
                trace=trace,
                id=place.id(name),
                parent=turn,
                start_ns=min(start_ns, end_ns),
                end_ns=end_ns,
                attributes={},
            )
    if fact.attempts and not fact.cached:
        failed = "" if fact.stop_reason else error
        start_ns = asked_ns - _ns(fact.head_start_s) if fact.adopted else prompted_ns
        asked = fact.model if fact.fallback and fact.model else model
        yield Span(
            name=f"chat {asked}",
            trace=trace,
            id=place.id("chat"),
            parent=turn,
            start_ns=min(start_ns, at_ns),
            end_ns=at_ns,
            kind="client",
            attributes={
                "gen_ai.conversation.id": place.call_id,
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": asked,
                **({} if server is None else {"server.address": server[0], "server.port": server[1]}),
                **_about_chat(fact),
                **_error_type(failed),
            },
            error=failed,
        )


def _about_turn(kind: str, fact: TurnMeasured) -> dict[str, Value]:
    told: dict[str, Value] = {
        "retell_ws.response_id": fact.response_id,
        "retell_ws.kind": kind,
        "retell_ws.outcome": fact.outcome,
        "retell_ws.source": "cache" if fact.cached else "speculation" if fact.adopted else "model",
        "retell_ws.hedged": fact.hedged,
        "retell_ws.fallback": fact.fallback,
        "retell_ws.held": fact.held,
    }
    if fact.first_sentence_s is not None:
        told["retell_ws.first_sentence_s"] = fact.first_sentence_s
    if fact.adopted:
        told["retell_ws.head_start_s"] = fact.head_start_s
    return told


def _about_chat(fact: TurnMeasured) -> dict[str, Value]:
    told: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "text",
        "retell_ws.attempts": fact.attempts,
        "retell_ws.rounds": fact.rounds,
    }
    # In the conventions the tokens of a prompt include those of the cache; in the API they do not.
    prompt = fact.input_tokens + fact.cache_read_tokens + fact.cache_write_tokens
    if prompt or fact.output_tokens:  # otherwise nobody has counted: it is told at the end of an answer
        told["gen_ai.usage.input_tokens"] = prompt
        told["gen_ai.usage.output_tokens"] = fact.output_tokens
        told["gen_ai.usage.cache_read.input_tokens"] = fact.cache_read_tokens
        told["gen_ai.usage.cache_creation.input_tokens"] = fact.cache_write_tokens
    if fact.stop_reason:
        told["gen_ai.response.finish_reasons"] = (fact.stop_reason,)
    if fact.model:
        told["gen_ai.response.model"] = fact.model
    if fact.first_token_s is not None and not fact.adopted:  # that of a speculation may lie before the request
        told["gen_ai.response.time_to_first_chunk"] = max(0.0, fact.first_token_s - (fact.prompt_s or 0.0))
    if fact.cache_miss:
        told["retell_ws.cache_miss"] = fact.cache_miss
    return told


def _error_type(error: str) -> dict[str, Value]:
    return {"error.type": error} if error else {}


def _ns(seconds: float | None) -> int:
    return 0 if seconds is None else max(0, round(seconds * 1e9))


def _digest(words: str, size: int) -> int:
    """Make an id. Zero means none to whoever reads it."""
    return int.from_bytes(blake2b(words.encode(), digest_size=size).digest()) or 1
