"""The figures of a report, as they are printed by `--json`: the names here are its keys. No I/O.

Times end in `_ms` or `_s`, a share is between 0 and 1, and null says that there is nothing to tell. Percentiles are
those of the nearest rank: times that were really measured. The greeting (id 0) is no turn here: nobody asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = [
    "Bucket",
    "CallFigures",
    "Count",
    "Escalations",
    "Figures",
    "Hangup",
    "LongCall",
    "ModelUse",
    "PromptCache",
    "SlowTurn",
    "Source",
    "Speculation",
    "Stage",
    "Times",
    "ToolUse",
    "TurnFigures",
    "Whose",
]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took.

    Attributes:
        count: How often it was measured.
        p50_ms: Half of them took no longer.
        p95_ms: Nor did 95 of a hundred.
        p99_ms: Nor did 99.
    """

    count: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class CallFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Calls.

    Attributes:
        count: Calls of which anything was told.
        ended: Those that ended.
        minutes: Their length together; Retell's figure where a webhook told it, otherwise ours.
        redialled: Times Retell dialled again into a call that was here.
        moved: Times a call that another server had, or an earlier process, went on here.
        degraded: Calls that went on without what the store knew.
        retell_usd: What Retell's webhooks say these calls cost; null when none said.
    """

    count: int = 0
    ended: int = 0
    minutes: float = 0.0
    redialled: int = 0
    moved: int = 0
    degraded: int = 0
    retell_usd: float | None = None


class TurnFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Turns: requests of Retell's, and what became of them.

    Attributes:
        count: All.
        finished: Answered to their end.
        failed: Ended by one of the agent's lines.
        superseded: A newer request came.
        barge_ins: The caller spoke into them.
        spoken_unasked: The agent spoke without being asked.
        reasked: Retell asked again in the same words.
        held: Turns with a holding phrase.
        hedged: Turns for which a slow model was asked once more.
        fallback: Turns another model than the agent's has answered.
        cached: Turns answered from the cache of answers.
        attempts: Requests to a model.
    """

    count: int = 0
    finished: int = 0
    failed: int = 0
    superseded: int = 0
    barge_ins: int = 0
    spoken_unasked: int = 0
    reasked: int = 0
    held: int = 0
    hedged: int = 0
    fallback: int = 0
    cached: int = 0
    attempts: int = 0


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The first sentence by what answered.

    Attributes:
        source: `model`, `speculation` or `cache`; `all`.
        turns: Turns.
        times: From the request to the first sentence on Retell's socket.
        judged: Turns that can be held against the budget: they had a first sentence, or failed without one.
        within: The share of those that kept it.
    """

    source: str
    turns: int = 0
    times: Times = Times()
    judged: int = 0
    within: float | None = None


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time; those without turns are left out.

    Attributes:
        at: Its beginning, in seconds since 1970.
        calls: Calls with a turn in it.
        turns: Turns.
        p50_ms: Of their first sentences.
        p95_ms: Of them.
        within: The share within the budget.
    """

    at: float
    calls: int
    turns: int
    p50_ms: float | None
    p95_ms: float | None
    within: float | None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of turns.

    Attributes:
        stage: `queued`, `decoded`, `prompt`, `connect`: each from the end of the one before. `first_token`,
            `first_sentence`, `done`: from the request.
        times: How long.
    """

    stage: str
    times: Times


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Whose milliseconds they are, in calls whose latency a webhook told: medians over calls of each call's median.

    Attributes:
        calls: How many.
        e2e_ms: From the caller's last word to the agent's first, as Retell heard it.
        llm_ms: What Retell waited for us, the network in it.
        network_ms: There and back on the socket.
        ours_ms: From the request to our first sentence.
        asr_ms: Speech to text.
        tts_ms: Text to speech.
    """

    calls: int = 0
    e2e_ms: float | None = None
    llm_ms: float | None = None
    network_ms: float | None = None
    ours_ms: float | None = None
    asr_ms: float | None = None
    tts_ms: float | None = None


class Speculation(msgspec.Struct, frozen=True, kw_only=True):
    """Models asked before Retell asked.

    Attributes:
        started: All.
        adopted: Those whose answer was given.
        dropped: Those that were in vain.
        head_start: By how much the adopted ones were ahead.
        head_start_s: Together.
        wasted_tokens: An estimate of what the others cost.
    """

    started: int = 0
    adopted: int = 0
    dropped: int = 0
    head_start: Times = Times()
    head_start_s: float = 0.0
    wasted_tokens: int = 0


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How often something happened.

    Attributes:
        what: A word for it.
        count: How often.
    """

    what: str
    count: int


class PromptCache(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's cache of prompts.

    Attributes:
        read_tokens: Tokens of requests it had.
        written_tokens: Tokens put there.
        other_tokens: All others.
        read_share: Of the first in all three; null without any.
        misses: Why it missed.
    """

    read_tokens: int = 0
    written_tokens: int = 0
    other_tokens: int = 0
    read_share: float | None = None
    misses: Sequence[Count] = ()


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """A tool.

    Attributes:
        tool: Its name, as the model wrote it.
        count: Calls of it.
        outcomes: How they ended, in the words of `tool_finished`; the most frequent first.
        times: From the model's call to the outcome.
    """

    tool: str
    count: int
    outcomes: Sequence[Count]
    times: Times


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one model was asked.

    Attributes:
        model: Its name; empty when nobody knows.
        turns: Turns it answered.
        input_tokens: Neither read from a cache nor written to one.
        output_tokens: Of answers.
        cache_read_tokens: Read from the cache.
        cache_write_tokens: Written to it.
        usd: At the list price; null when there is none for it.
    """

    model: str
    turns: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    usd: float | None


class Hangup(msgspec.Struct, frozen=True, kw_only=True):
    """Why calls ended.

    Attributes:
        reason: Retell's `disconnection_reason`; without a webhook `agent_left` or `caller_left`, as the socket told.
        told_by: `retell` or `socket`.
        calls: How many.
    """

    reason: str
    told_by: str
    calls: int


class Escalations(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule about calls did.

    Attributes:
        rule: Its name.
        action: `webhook`, `transfer`, `say` or `end`.
        count: How often.
        outcomes: What came of it: `done`, `refused`, `failed`.
        times: From the fact that met the rule to the end of the action.
    """

    rule: str
    action: str
    count: int
    outcomes: Sequence[Count]
    times: Times


class SlowTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to look into.

    Attributes:
        call_id: Its call.
        response_id: Retell's id of it.
        at: When it was over, in seconds since 1970.
        first_sentence_ms: How long the caller waited.
        first_token_ms: How long the model took.
        source: What answered.
        server: Where.
    """

    call_id: str
    response_id: int
    at: float
    first_sentence_ms: float
    first_token_ms: float | None
    source: str
    server: str


class LongCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call to look into.

    Attributes:
        call_id: It.
        at: When its first turn here was over, in seconds since 1970.
        turns: Turns.
        failed: Those of them that failed.
        over_budget: Those whose first sentence came too late, or not at all.
    """

    call_id: str
    at: float
    turns: int
    failed: int
    over_budget: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a report.

    Attributes:
        since: From when on, in seconds since 1970.
        until: Until when.
        budget_ms: What first sentences are held against.
        bucket_s: How long a bucket of `over_time` is.
        calls: Calls.
        turns: Turns.
        first_sentence: First sentences of all turns.
        by_source: The same by what answered.
        over_time: The same by time.
        stages: Where the time went.
        whose: Whose milliseconds they were.
        speculation: Models asked ahead.
        prompt_cache: The provider's cache.
        models: Tokens and cost by model.
        usd: Of the models with a price.
        unpriced: The others.
        tools: The agent's tools.
        failures: Why turns failed.
        hangups: Why calls ended.
        escalations: What rules about calls did.
        trouble: What should not happen, by the fact's name.
        longest_calls: Those with the most turns.
        slowest_turns: Those whose first sentence took longest.
    """

    since: float
    until: float
    budget_ms: float
    bucket_s: int
    calls: CallFigures = CallFigures()
    turns: TurnFigures = TurnFigures()
    first_sentence: Source = Source(source="all")
    by_source: Sequence[Source] = ()
    over_time: Sequence[Bucket] = ()
    stages: Sequence[Stage] = ()
    whose: Whose = Whose()
    speculation: Speculation = Speculation()
    prompt_cache: PromptCache = PromptCache()
    models: Sequence[ModelUse] = ()
    usd: float = 0.0
    unpriced: Sequence[str] = ()
    tools: Sequence[ToolUse] = ()
    failures: Sequence[Count] = ()
    hangups: Sequence[Hangup] = ()
    escalations: Sequence[Escalations] = ()
    trouble: Sequence[Count] = ()
    longest_calls: Sequence[LongCall] = ()
    slowest_turns: Sequence[SlowTurn] = ()

    @property
    def is_priced(self) -> bool:
        """Whether `usd` tells anything: of the models that were used, one at least has a price."""
        return len(self.unpriced) < len(self.models) or not self.models
