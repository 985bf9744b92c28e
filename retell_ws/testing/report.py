"""What one synthetic call showed: the answers, and everything that was dropped. No I/O."""

from __future__ import annotations

from statistics import median

import msgspec

from .acceptance import Acceptance, Action, Exchange, Note, ToolSeen
from .frames import Finding

__all__ = ["Answer", "CallReport", "answer_of", "report_of"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One completed answer. Times are seconds from the moment the request left (for id 0: the socket opened).

    Attributes:
        response_id: The id; 0 is the begin message.
        text: Everything accepted for it.
        pieces: The text as it came.
        frames: How many frames it took.
        first_frame_s: Until the first frame.
        first_sentence_s: Until the first complete sentence, when Retell begins to speak.
        total_s: Until the completion.
        action: What Retell does after the speech, or None.
    """

    response_id: int
    text: str
    pieces: tuple[str, ...]
    frames: int
    first_frame_s: float
    first_sentence_s: float
    total_s: float
    action: Action | None


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one call.

    Attributes:
        call_id: The call.
        frames: Frames received on the sockets that counted.
        counts: How often each finding was made, harmless ones included.
        faults: The notes on what the server did wrong.
        stale: Frames of an older id sent after the server had read the newer request.
        crossed: Frames of an older id that may have crossed the newer request on the wire.
        dropped: Frames Retell would have ignored, for any reason.
        completions: Frames with `content_complete: true` by id.
        unclosed: Ids that were not superseded, cancelled or completed.
        rtt_ms: Round trips of the answered pings, in milliseconds.
        sockets: Sockets opened in the call.
        old_socket_frames: Frames that came on a socket after a newer one had taken its place.
        digits: What the agent dialled with `digit_to_press`.
        tools: The tools the server told of, in the order of their beginnings.
        disconnection_reason: Retell's word for how the call ended, or None while it lasts.
    """

    call_id: str
    frames: int
    counts: dict[str, int]
    faults: tuple[Note, ...]
    stale: int
    crossed: int
    dropped: int
    completions: dict[int, int]
    unclosed: tuple[int, ...]
    rtt_ms: tuple[float, ...]
    sockets: int
    old_socket_frames: int
    digits: str
    tools: tuple[ToolSeen, ...]
    disconnection_reason: str | None

    @property
    def median_rtt_ms(self) -> float | None:
        """The middle round trip, or None without pings."""
        return median(self.rtt_ms) if self.rtt_ms else None


def answer_of(exchange: Exchange) -> Answer:
    """Make the answer of a completed exchange.

    Raises:
        ValueError: It is not complete.
    """
    asked = exchange.asked_at
    if exchange.first_frame_at is None or exchange.first_sentence_at is None or exchange.completed_at is None:
        raise ValueError(f"id {exchange.response_id} is not complete")
    return Answer(
        response_id=exchange.response_id,
        text=exchange.text,
        pieces=tuple(exchange.pieces),
        frames=len(exchange.pieces),
        first_frame_s=exchange.first_frame_at - asked,
        first_sentence_s=exchange.first_sentence_at - asked,
        total_s=exchange.completed_at - asked,
        action=exchange.action,
    )


def report_of(
    acceptance: Acceptance,
    *,
    call_id: str,
    frames: int,
    dropped: int,
    rtt_s: tuple[float, ...],
    old_socket_frames: int,
    digits: str,
    disconnection_reason: str | None,
) -> CallReport:
    """Sum up one call."""
    exchanges = acceptance.exchanges
    latest = exchanges[acceptance.latest]
    return CallReport(
        call_id=call_id,
        frames=frames,
        counts={str(finding): count for finding, count in acceptance.counts.items()},
        faults=tuple(note for note in acceptance.notes if note.finding.is_fault),
        stale=acceptance.counts[Finding.STALE],
        crossed=acceptance.counts[Finding.CROSSED],
        dropped=dropped,
        completions={number: exchange.completions for number, exchange in exchanges.items()},
        unclosed=(latest.response_id,) if acceptance.is_open else (),
        rtt_ms=tuple(round(rtt * 1000, 3) for rtt in rtt_s),
        sockets=acceptance.socket,
        old_socket_frames=old_socket_frames,
        digits=digits,
        tools=tuple(acceptance.tools.values()),
        disconnection_reason=disconnection_reason,
    )
