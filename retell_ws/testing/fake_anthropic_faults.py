"""What the fake API does with a request, healthy or faulty, decided before the first byte. Pure.

Every way the API is known to fail has a name here. Faults in mid-stream come after half the deltas; those of tools
strike the first tool's input, and an answer without a tool stays whole.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..models.scripted import pieces
from . import fake_anthropic_events as events
from .fake_anthropic_blocks import Block, Request, Step, scripted, steps_of, text_steps
from .fake_anthropic_events import Prompt
from .first_tokens import FirstTokens

__all__ = ["FAULTS", "UNREAD", "Play", "Script", "script"]

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
    "pings_only": "pings after the message has begun, never a text",
    "no_message_stop": "a clean end of the body without message_stop",
    "refusal": "stop_reason refusal",
    "max_tokens": "stop_reason max_tokens",
    "tool_cut": "connection closed inside a tool's input",
    "tool_max_tokens": "stop_reason max_tokens inside a tool's input, its block ended",
    "tool_no_input": "the same, before the first of it",
    "tool_bad_json": "a tool's input that is no JSON",
    "slow_first": "first delta after `fault_s` * 10, pings before it",
    "slicer": "one byte a write",
    "burst": "everything in one write",
}

UNREAD: Final = frozenset({"429", "529", "500", "401", "hang", "reset_before"})
"""Faults after which the prompt cache holds no more than before."""


class Play(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the fake plays; each field is a key of `POST /control`, and an option of the command line unless a list.

    Attributes:
        ttft_ms: Milliseconds from the whole request to the first text.
        first_tokens: A distribution to draw that time from, by the words asked about, in place of `ttft_ms`. A request
            that draws a hang is played as `pings_only`.
        deltas: Number of canned words to say; None for the scripted model's answer.
        spacing_ms: Milliseconds between two deltas.
        fault: Played by every request, unless `faults` says otherwise.
        faults: One for each coming request (None for a healthy one), until used up.
        fault_models: Models whose requests play faults and use them up; the others are healthy. Empty for all.
        retry_after_s: What the fault `429` sends as `retry-after`.
        stamp: Make the first text `@{recv_ns},{write_ns} `, on the system's monotonic clock.
        text: Say this.
        texts: Say one of these, always the same one to the same words.
        blocks: Answer with these.
        answers: The same for each coming streamed request (None for what the others say), until used up.
        fault_s: Length of the slow faults, in seconds.
        ping_ms: Milliseconds between pings, in the faults that ping.
    """

    ttft_ms: float = 200
    first_tokens: FirstTokens | None = None
    deltas: int | None = None
    spacing_ms: float = 15
    fault: str | None = None
    faults: list[str | None] = []
    fault_models: list[str] = []
    retry_after_s: int = 2
    stamp: bool = False
    text: str | None = None
    texts: list[str] = []
    blocks: list[Block] | None = None
    answers: list[list[Block] | None] = []
    fault_s: float = 3
    ping_ms: float = 1000


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
        stamp: Whether the first delta is a text and holds the times.
        ttft_ms: Milliseconds to the first delta, when they are not those of `Play`.
        about: The messages of a streamed request, for the totals.
    """

    opening: tuple[bytes, ...] = ()
    deltas: tuple[bytes, ...] = ()
    closing: bytes = b""
    then: Literal["keep", "reset", "close", "silence", "pings"] = "keep"
    wait_ms: float = 0
    ping: bool = False
    at_once: bool = False
    sliced: bool = False
    stamp: bool = False
    ttft_ms: float | None = None
    about: bytes = b""


def script(
    play: Play, fault: str | None, blocks: list[Block] | None, request: Request, *, request_id: int, prompt: Prompt
) -> Script:
    """Decide on an answer.

    Args:
        play: How the fake plays.
        fault: The fault of this request.
        blocks: The answer to this request; None for what `play` says.
        request: What was asked.
        request_id: Counts requests.
        prompt: How the prompt was read, for `usage` and `diagnostics`.
    """
    match fault:
        case "429":
            return Script(opening=(events.refused(429, request_id=request_id, retry_after_s=play.retry_after_s),))
        case "529" | "500" | "401":
            return Script(opening=(events.refused(int(fault), request_id=request_id),))
        case "hang":
            return Script(then="silence")
        case "reset_before":
            return Script(then="reset")
    if request.stream and not request.max_tokens:
        return Script(opening=(events.refused(400, request_id=request_id),))
    if not request.stream:
        body = events.message(request_id, request.model, prompt)
        return Script(opening=(events.plain(200, body, request_id=request_id),))
    steps = _steps(play, blocks, request, request_id)
    whole = Script(
        opening=(
            events.stream_head(request_id),
            events.message_start(request_id, request.model, prompt),
            *(step.start for step in steps[:1]),
            events.PING,
        ),
        stamp=play.stamp and bool(steps) and steps[0].json is None,
    )
    half = steps[: max(1, len(steps) // 2)]
    tool = _first_tool(steps)
    match fault:
        case "reset":
            steps, whole.then = half, "reset"
        case "cut":
            steps, whole.then = half, "close"
        case "stall":
            steps, whole.then = half, "silence"
        case "error_event":
            steps = half
            whole.closing = events.error_event + events.LAST_CHUNK
        case "no_message_stop":
            whole.closing = _closing(steps).replace(events.message_stop, b"")
        case "refusal" | "max_tokens":
            steps = half
            whole.closing = _closing(steps, fault)
        case "pings_only":
            steps, whole.then = [], "pings"
            whole.opening = (*whole.opening[:2], events.PING)  # no block: nothing that would promise a text
        case "tool_cut" if tool:
            steps, whole.then = steps[: max(tool[0] + 1, tool[-1])], "close"
        case "tool_max_tokens" | "tool_no_input" if tool:
            steps = steps[: tool[0] + 1 if fault == "tool_no_input" else max(tool[0] + 1, tool[-1])]
            whole.closing = _closing(steps, "max_tokens")
        case "tool_bad_json" if tool:
            last = steps[tool[-1]]
            last.data = events.input_delta(f"{(last.json or '')[:-1]}]", last.index)
            whole.closing = _closing(steps)
        case _:
            whole.closing = _closing(steps)
            if 0 < request.max_tokens < len(steps):  # a delta is a token here
                steps = steps[: request.max_tokens]
                whole.closing = _closing(steps, "max_tokens")
            whole.wait_ms = play.fault_s * 1000 if fault == "slow_head" else 0
            whole.ping = fault == "slow_first"
            whole.at_once = fault == "burst"
            whole.sliced = fault == "slicer"
    whole.deltas = tuple([step.start + step.data if count else step.data for count, step in enumerate(steps)])
    return whole


def _closing(steps: list[Step], stop_reason: str = "") -> bytes:
    """End the last block and the answer; by the API's own reason, when no other is given."""
    if not stop_reason:
        stop_reason = "end_turn" if all(step.json is None for step in steps) else "tool_use"
    ends = [events.block_stop(step.index) for step in steps[-1:]]
    ends += [events.message_delta(stop_reason, len(steps)), events.message_stop, events.LAST_CHUNK]
    return b"".join(ends)


def _first_tool(steps: list[Step]) -> list[int]:
    """Where the steps of the first call stand."""
    of = next((step.index for step in steps if step.json is not None), None)
    return [count for count, step in enumerate(steps) if step.index == of]


def _steps(play: Play, blocks: list[Block] | None, request: Request, request_id: int) -> list[Step]:
    blocks = play.blocks if blocks is None else blocks
    if blocks is None:
        if play.text is not None:
            return text_steps(pieces(play.text), 0)
        if play.deltas is not None or play.stamp:
            return text_steps(events.words(40 if play.deltas is None else play.deltas), 0)
        blocks = scripted(request)
    return steps_of(blocks, request_id=request_id)
