"""What happened in a call: one record a happening, in the past tense. No I/O.

Facts hold no speech: whoever logs or counts them can log and count all of it. Those that do hold some are in
`speech_facts.py`, and `entries.py` has what stands around both on the bus.

A turn has one record of all its times, `TurnMeasured`, and not a fact for each of them: five facts for every turn would
cost five times as much on the way, and say no more.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "BadMessage",
    "CallEnded",
    "CallMoved",
    "CallStarted",
    "Degraded",
    "Detached",
    "DuplicateRequest",
    "Escalated",
    "Fact",
    "HookFailed",
    "IntentGiven",
    "Interrupted",
    "OverBudget",
    "Reattached",
    "Resumed",
    "SpeculationAdopted",
    "SpeculationDropped",
    "SpeculationStarted",
    "SpeechGuarded",
    "ToolFinished",
    "ToolStarted",
    "TurnFailed",
    "TurnFinished",
    "TurnMeasured",
    "TurnReasked",
    "TurnStarted",
    "TurnSuperseded",
    "UnknownMessage",
]


class _Fact(msgspec.Struct, frozen=True, tag_field="fact", gc=False):
    pass


class CallStarted(_Fact, frozen=True, tag="call_started"):
    """The first socket of a call was accepted."""


class Reattached(_Fact, frozen=True, tag="reattached"):
    """Retell dialled again.

    Attributes:
        replaced: The older socket still seemed alive.
    """

    replaced: bool


class Resumed(_Fact, frozen=True, tag="resumed"):
    """The call was begun on another server, or by an earlier process, and goes on here.

    Attributes:
        open: A request, or the greeting, was not answered to its end.
    """

    open: bool


class CallMoved(_Fact, frozen=True, tag="call_moved"):
    """Another server has taken the call."""


class Degraded(_Fact, frozen=True, tag="degraded"):
    """The store did not tell whether the call was begun elsewhere: it goes on from its transcript alone."""


class Detached(_Fact, frozen=True, tag="detached"):
    """The call's socket is gone; the grace time runs."""


class CallEnded(_Fact, frozen=True, tag="call_ended"):
    """No socket came back, or the server was told to let go.

    Attributes:
        turns: Requests answered, wholly or in part.
        duration_s: Seconds from the call's first socket to the end of its last.
    """

    turns: int
    duration_s: float


class TurnStarted(_Fact, frozen=True, tag="turn_started"):
    """A request got a generation of its own."""

    response_id: int
    kind: Literal["greeting", "response", "reminder"]


class TurnReasked(_Fact, frozen=True, tag="turn_reasked"):
    """Retell asked again in the same words, and the generation that answers went over to the new id."""

    response_id: int
    replaces: int


class TurnFinished(_Fact, frozen=True, tag="turn_finished"):
    """An id was answered to its end.

    Attributes:
        characters: Length of the answer.
        duration_s: Seconds from the request to the last piece.
    """

    response_id: int
    characters: int
    duration_s: float


class TurnFailed(_Fact, frozen=True, tag="turn_failed"):
    """An id was ended by one of the agent's `Lines`.

    Attributes:
        why: The kind of failure; never a text of the caller's or the model's.
    """

    response_id: int
    why: str
    duration_s: float


class SpeculationStarted(_Fact, frozen=True, tag="speculation_started"):
    """The model was asked before Retell asked.

    Attributes:
        why: What made the caller's words look finished: the mark at their `sentence_end`, or that they stayed the same
            for a while (`quiet`).
    """

    why: Literal["sentence_end", "quiet"]


class SpeculationAdopted(_Fact, frozen=True, tag="speculation_adopted"):
    """Retell asked in the words that were speculated on.

    Attributes:
        head_start_s: Seconds by which the model was asked sooner.
    """

    response_id: int
    head_start_s: float


class SpeculationDropped(_Fact, frozen=True, tag="speculation_dropped"):
    """Retell did not ask in these words, or not before something changed.

    Attributes:
        tokens: What it cost; an estimate, because a stream that is cut off is not counted by the provider.
    """

    tokens: int


class TurnMeasured(_Fact, frozen=True, tag="turn_measured"):
    """Where the time of a turn went. Times are seconds after Retell's request was read; None when it never came to
    that, or nobody knows. What a speculation had done before the request counts as done at 0.

    Attributes:
        outcome: As the turn ended.
        adopted: A speculation answered.
        head_start_s: Seconds by which it was ahead of the request.
        cached: The answer came from the cache.
        hedged: The model was asked once more because it was slow.
        fallback: Another model than the agent's has answered.
        attempts: Requests to a model, over all rounds, whatever came of them.
        rounds: How often the model was asked: once more than tools made it necessary.
        held: Holding phrases were said.
        queued_s: From the message's arrival in the process to its reading: before the request was read.
        decoded_s: The message was understood.
        prompt_s: The model's request was built.
        connect_s: From there to its being written: the wait for a connection.
        first_token_s: The first text of the model came.
        first_frame_s: The first words were written to Retell's socket, if only a holding phrase.
        first_sentence_s: The first sentence was written to Retell's socket.
        done_s: The last frame was.
        cache_miss: Why the provider's prompt cache missed; empty when it did not, or nobody knows.
        cache_read_tokens: Tokens of the request that the provider had in its prompt cache.
        cache_write_tokens: Tokens it put there.
        input_tokens: The others.
        output_tokens: Tokens of the answer, over all rounds.
        model: Who answered; empty when nobody knows.
        stop_reason: How the last request ended, in the provider's word; empty when it did not come to its end.
    """

    response_id: int
    outcome: Literal["finished", "failed", "superseded"]
    adopted: bool = False
    head_start_s: float = 0.0
    cached: bool = False
    hedged: bool = False
    fallback: bool = False
    attempts: int = 0
    rounds: int = 0
    held: int = 0
    queued_s: float | None = None
    decoded_s: float | None = None
    prompt_s: float | None = None
    connect_s: float | None = None
    first_token_s: float | None = None
    first_frame_s: float | None = None
    first_sentence_s: float | None = None
    done_s: float | None = None
    cache_miss: str = ""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    stop_reason: str = ""


class TurnSuperseded(_Fact, frozen=True, tag="turn_superseded"):
    """A newer request made this one mute; without `by` it was an interruption of the agent's own."""

    response_id: int
    by: int | None


class Interrupted(_Fact, frozen=True, tag="interrupted"):
    """The agent spoke unasked."""


class IntentGiven(_Fact, frozen=True, tag="intent_given"):
    """Retell was told what shall happen once everything was spoken.

    Attributes:
        kind: What.
        times: How often it was told by now; more than once when the caller spoke into it.
    """

    kind: Literal["end_call", "transfer_call", "press_digit"]
    times: int


class ToolStarted(_Fact, frozen=True, tag="tool_started"):
    """A tool runs."""

    tool: str


class ToolFinished(_Fact, frozen=True, tag="tool_finished"):
    """What came of a tool the model called.

    Attributes:
        outcome: `done`; `refused` by the tool or by its arguments; `failed` by an exception, when nobody knows what was
            done; `late` past its deadline; `repeated` from the ledger; `unknown`, a call whose first outcome nobody
            knows; `withdrawn`, when the caller had spoken before it began, or into a look-up.
        duration_s: Seconds since the model called it.
    """

    tool: str
    outcome: Literal["done", "refused", "failed", "late", "repeated", "unknown", "withdrawn"]
    duration_s: float


class SpeechGuarded(_Fact, frozen=True, tag="speech_guarded"):
    """Something in an answer was not fit for the voice and was taken out.

    Attributes:
        kinds: What: `markup`, `link`, `emoji`, `leak`.
    """

    response_id: int
    kinds: tuple[str, ...]


class HookFailed(_Fact, frozen=True, tag="hook_failed"):
    """A function of the agent's, around the turn, raised."""

    hook: str


class OverBudget(_Fact, frozen=True, tag="over_budget"):
    """The call had used up its budget and was ended politely."""

    tokens: int
    usd: float


class Escalated(_Fact, frozen=True, tag="escalated"):
    """A rule about calls was met, and what it says was done, or could not be.

    Attributes:
        rule: Its name.
        action: What: `webhook`, `transfer`, `say` or `end`.
        outcome: `done`; `refused`, when the call or whoever was told would not have it; `failed`.
        after_s: Seconds from the fact that met the rule to its end.
    """

    rule: str
    action: Literal["webhook", "transfer", "say", "end"]
    outcome: Literal["done", "refused", "failed"]
    after_s: float


class DuplicateRequest(_Fact, frozen=True, tag="duplicate_request"):
    """An id came again, or one below the latest."""

    response_id: int


class BadMessage(_Fact, frozen=True, tag="bad_message"):
    """Bytes came that are no message.

    Attributes:
        reason: What is wrong with them; quotes nothing of them.
    """

    reason: str


class UnknownMessage(_Fact, frozen=True, tag="unknown_message"):
    """A message of an unknown kind was ignored."""


Fact: TypeAlias = (
    CallStarted
    | Reattached
    | Resumed
    | CallMoved
    | Degraded
    | Detached
    | CallEnded
    | TurnStarted
    | TurnReasked
    | TurnFinished
    | TurnFailed
    | TurnSuperseded
    | TurnMeasured
    | SpeculationStarted
    | SpeculationAdopted
    | SpeculationDropped
    | Interrupted
    | IntentGiven
    | ToolStarted
    | ToolFinished
    | SpeechGuarded
    | HookFailed
    | OverBudget
    | Escalated
    | DuplicateRequest
    | BadMessage
    | UnknownMessage
)
