"""What the load process is told, and what it tells back: the structs on its stdin and stdout. No logic."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from bench.harness.machine import Cost
from retell_ws.testing.fake_anthropic_totals import Totals

__all__ = [
    "Answer",
    "Barging",
    "BargingResult",
    "Floor",
    "Idle",
    "IdleResult",
    "Paced",
    "PacedResult",
    "Plan",
    "Progress",
    "Recalling",
    "RecallingResult",
    "Spoken",
    "SpokenResult",
    "SpokenTurn",
]


class Paced(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Calls that ask, listen, and ask again after a fixed cycle.

    Attributes:
        url: The server's URL without the call id.
        pids: Processes whose CPU is read at both ends of the window.
        calls: How many at once, their starts spread evenly over a cycle.
        cycle_s: From one request of a call to its next.
        warm_s: Load before the window, after every call has begun; nothing of it counts.
        window_s: What counts: the turns whose request was sent inside it.
        transcript_bytes: Size of the transcript in every message.
        updates: `update_only` messages per turn.
        ping_s: From one ping of a call to its next.
        deltas: Pieces the model sends per answer.
        spacing_ms: Between two of them.
    """

    url: str
    pids: dict[str, int]
    calls: int
    cycle_s: float
    warm_s: float
    window_s: float
    transcript_bytes: int = 4096
    updates: int = 4
    ping_s: float = 2.0
    deltas: int = 40
    spacing_ms: float = 15.0


class Floor(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """One raw connection through the relay, at the pace of one call.

    Attributes:
        port: The relay's.
        pids: Processes whose CPU is read at both ends.
        request_bytes: What is sent each time.
        reply_bytes: What comes back.
        turns: How many exchanges.
        cycle_s: From one to the next.
    """

    port: int
    pids: dict[str, int]
    request_bytes: int
    reply_bytes: int
    turns: int
    cycle_s: float


class Barging(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Calls that supersede every request of theirs after a random time.

    Attributes:
        calls: How many at once.
        turns: Superseded turns of all calls together.
        least_ms: Shortest time until the next request.
        most_ms: Longest.
        seed: Of the random times.
        batch: Marks this run's words, so that the model's log can be matched.
    """

    url: str
    pids: dict[str, int]
    calls: int
    turns: int
    least_ms: float
    most_ms: float
    seed: int
    batch: int


class Spoken(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Spoken conversations: callers who speak word by word, wait, listen, and break in.

    Attributes:
        model_url: The fake model's, whose totals are read at the end.
        calls: How many at once; one that ends is followed by the next.
        conversations: How many in all.
        spread_s: Time over which the first ones begin.
        seed: Of the conversations.
        turns: The most of one conversation that is played.
        hurry: Factor on everybody's pace, to see that it runs; 1 for a measurement.
        outage_after_s: When the model begins to refuse everything with 529, from the first call on; 0 for never.
        outage_s: For how long. Some seconds after it no caller speaks any more.
    """

    url: str
    model_url: str
    pids: dict[str, int]
    calls: int
    conversations: int
    spread_s: float
    seed: int
    turns: int = 100
    hurry: float = 1.0
    outage_after_s: float = 0.0
    outage_s: float = 0.0


class Idle(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Calls that are greeted and then only pinged.

    Attributes:
        calls: How many.
        few: The first so many are the base from which a call's memory is reckoned.
        hold_s: How long all of them stay before memory is read.
    """

    url: str
    pids: dict[str, int]
    calls: int
    few: int
    hold_s: float


class Recalling(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Calls that ask common questions, each right after the greeting.

    Attributes:
        calls: How many at once.
        cycle_s: From one question of a call to its next; 0 for as soon as it has its answer.
        warm_s: Load before the window; nothing of it counts.
        window_s: What counts: the questions asked inside it.
    """

    url: str
    pids: dict[str, int]
    calls: int
    cycle_s: float
    warm_s: float
    window_s: float


Plan: TypeAlias = Paced | Floor | Barging | Idle | Recalling | Spoken


class Progress(msgspec.Struct, tag=True, frozen=True):
    """How far the plan is, from 0 to 1."""

    done: float


class PacedResult(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """What paced calls saw; times in nanoseconds, one entry a turn or ping of the window.

    Attributes:
        overhead_ns: Request sent → first frame with words read, less the model's own time.
        inward_ns: Request sent → the model has read the server's request.
        outward_ns: The model wrote its first delta → its frame was read. Empty in the floor's result.
        tail_ns: Last delta due at the model → completion read. Holds the model's timer jitter as well.
        frames: Frames with words per turn.
        pongs_ns: Ping sent → pong read.
        turns: Turns whose request was sent in the window.
        failed: Of these, the ones that lost their socket, got no words of the model or no completion.
        late: Turns that had not ended when the call's next request was due.
        unopened: Calls that got no greeting.
        rss_bytes: Memory of the server at the end of the window.
    """

    overhead_ns: list[int]
    inward_ns: list[int] = []
    outward_ns: list[int] = []
    tail_ns: list[int] = []
    frames: list[int] = []
    pongs_ns: list[int] = []
    turns: int
    failed: int = 0
    late: int = 0
    unopened: int = 0
    rss_bytes: int = 0
    cost: Cost | None = None


class BargingResult(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """What barging callers saw.

    Attributes:
        superseded: Words of each superseded request, and when the next request was sent (monotonic ns).
        after_newer_frame: Frames of an older id read after a frame of a newer id: the server had read the newer
            request, and sent old words all the same.
        after_pong: Frames of an older id read after the pong to a ping sent behind the newer request.
        crossed: Frames of an older id before either proof: they may have been under way.
        failed: Last turns of a call that did not end in words and a completion.
    """

    superseded: dict[str, int]
    after_newer_frame: int
    after_pong: int
    crossed: int
    failed: int
    cost: Cost


class IdleResult(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """Memory of the server in bytes, with few calls and with all; the cost of holding all of them."""

    few: int
    few_rss_bytes: int
    calls: int
    calls_rss_bytes: int
    held: Cost


class SpokenTurn(msgspec.Struct, frozen=True, array_like=True):
    """One turn as the caller lived it. Milliseconds from when the final words were first asked about.

    Attributes:
        number: Of the conversation.
        kind: `common`, `opening` or `later`.
        delay_ms: The end-of-turn delay before it.
        outage: Whether it was asked while the model refused everything.
        outcome: See `own_words.Outcome`.
        first_ms: To the first word; None for none.
        audible_ms: To the first sentence of anything.
        sentence_ms: To the first sentence of the model's own.
        ended_ms: To the end of the answer, or to the caller's patience.
    """

    number: int
    kind: str
    delay_ms: float
    outage: bool
    outcome: str
    first_ms: float | None
    audible_ms: float | None
    sentence_ms: float | None
    ended_ms: float


class SpokenResult(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """What the callers heard, what was asked of the model, and what it cost the machine.

    Attributes:
        turns: All of them.
        lost: Calls whose socket was not opened, or went before their end.
        asked: Requests sent, early and repeated ones among them.
        updates: `update_only` messages sent.
        model: The fake model's totals.
    """

    turns: list[SpokenTurn]
    lost: int
    asked: int
    updates: int
    model: Totals
    cost: Cost
    wall_s: float


class RecallingResult(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """What calls that ask common questions saw; times in nanoseconds, one entry an answer.

    Attributes:
        first_ns: Question sent → first frame with words read.
        complete_ns: Question sent → completion read.
        frames: Frames with words per answer.
        turns: Answers that were completed.
        failed: Questions without a completion.
        wrong: Answers that are not the model's to that question.
    """

    first_ns: list[int]
    complete_ns: list[int]
    frames: list[int]
    turns: int
    failed: int
    wrong: int
    cost: Cost


Answer: TypeAlias = Progress | PacedResult | BargingResult | IdleResult | RecallingResult | SpokenResult
