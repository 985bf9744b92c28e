"""The contracts between the drivers and what is picked at start. A Protocol stands here only where two
implementations exist."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from .answers import Answer
from .request import ModelRequest

__all__ = [
    "AnswerStore",
    "CallStore",
    "Delta",
    "Effect",
    "End",
    "Model",
    "Rest",
    "Text",
    "ToolCall",
    "Usage",
    "no_rest",
]


class Text(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer, as it came; never empty."""

    text: str


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """The model wants a tool run; comes when its arguments are whole.

    Attributes:
        id: The model's id of this call.
        name: The tool's, as the model wrote it: perhaps no tool at all.
        arguments: JSON as it came: perhaps none, empty for no arguments.
    """

    id: str
    name: str
    arguments: str


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer, as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0


class End(msgspec.Struct, frozen=True, gc=False):
    """The answer came to its end: the last delta of every stream that did not raise.

    Attributes:
        stop_reason: The provider's word: `end_turn`, `tool_use`, `max_tokens`, `stop_sequence`, `refusal`, …
        usage: Tokens counted.
        model: The model that answered.
        request_id: The provider's id of the request, for its support; empty when it gave none.
        message_id: The provider's id of the answer; `ModelRequest.previous_id` of the call's next request.
        cache_miss: Why the provider's prompt cache did not hold the beginning of the request, in its own word; empty
            when it did, or nobody knows.
        connect_s: Seconds from the call of `stream` until the request was written; None when nobody knows.
        attempts: Requests that were made for this answer.
        hedged: One of them because another was slow.
        fallback: Another model than the one that was to be asked has answered.
        source: `cache` when no model was asked.
    """

    stop_reason: str = "end_turn"
    usage: Usage = Usage()
    model: str = ""
    request_id: str = ""
    message_id: str = ""
    cache_miss: str = ""
    connect_s: float | None = None
    attempts: int = 1
    hedged: bool = False
    fallback: bool = False
    source: Literal["model", "cache"] = "model"


Delta: TypeAlias = Text | ToolCall | End
"""What comes out of a model."""

Rest: TypeAlias = Callable[[], float]
"""Says for how many seconds the next words are not needed."""


def no_rest() -> float:
    """Want the next words as soon as they exist."""
    return 0.0


class Model(Protocol):
    """A model that streams."""

    @property
    def name(self) -> str:
        """The implementation's name, as `--model` takes it."""
        ...

    def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Answer `request`, one delta at a time.

        Before it waits for more of the answer, when everything that has come was given out, a stream may call
        `rest` and then look away for as many seconds as that says: what comes meanwhile is read in one go, which
        costs a fraction of waking up for every token. It must not look away while it has something to give.

        Every stream either ends with exactly one `End` or raises a `ModelError`, which is all it raises beside
        cancellation. Closing the generator (`aclose`, or cancelling the task that iterates it) closes the
        provider's stream at once, so that nothing more is generated or billed.

        No deadline is kept here on the first or the next piece of *text*: that is the turn's affair, because a
        provider's keep-alive pings must not count (`patience.py`). A silent connection, on
        which not even a ping arrives, does end in `ModelBroken`.

        Raises:
            ModelError: The provider refused, failed or fell silent.
        """
        ...

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have a connection ready, so that the next `stream` need not open one. Never raises `ModelError`.

        Args:
            request: Have its beginning (tools and instructions) in the provider's prompt cache as well.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. Streams still open end in `ModelBroken`."""
        ...


class Effect(msgspec.Struct, frozen=True):
    """What the ledger knows of one side effect.

    Attributes:
        outcome: `begun` while it runs, and for ever when whoever ran it died; `done`; `unknown` when it broke in the
            middle.
        result: What the model was told of it.
    """

    outcome: Literal["begun", "done", "unknown"] = "begun"
    result: str = ""


class CallStore(Protocol):
    """What outlives a session of a call: its side effects, and the agent's own state.

    It is kept for some hours after the last write, bounded, and oldest first forgotten. No method raises but for
    cancellation: a store that cannot answer says so in its result.
    """

    async def claim(self, call_id: str, key: str) -> Effect | None:
        """Write down that a side effect begins, unless it is there.

        Args:
            call_id: The call.
            key: The tool and its canonical arguments.

        Returns:
            What is there already; None when it is the caller's now to run.
        """
        ...

    async def settle(self, call_id: str, key: str, effect: Effect) -> None:
        """Write down what came of a side effect that was claimed."""
        ...

    async def release(self, call_id: str, key: str) -> None:
        """Forget a claim: nothing was done, and it may be tried again."""
        ...

    async def forget(self, call_id: str, prefix: str) -> None:
        """Forget every side effect of a call that was done and whose key begins so: it may be done anew."""
        ...

    async def load(self, call_id: str) -> bytes | None:
        """Read the agent's state of a call; None when there is none."""
        ...

    async def save(self, call_id: str, state: bytes) -> None:
        """Write the agent's state of a call."""
        ...


class AnswerStore(Protocol):
    """Answers that may be given to other callers (`answers.py`).

    It is bounded; what was not asked for longest goes first. No method raises but for cancellation, nor waits long:
    a caller listens. A store that cannot answer has nothing. What it gives is judged by whoever asks: it need not be
    trusted.
    """

    async def get(self, key: str) -> Answer | None:
        """Look an answer up; None when there is none, or its time is over."""
        ...

    async def put(self, key: str, answer: Answer, *, ttl_s: float) -> None:
        """Keep an answer, in place of an older one.

        Args:
            key: Of `answers.key_of`.
            answer: The answer.
            ttl_s: Seconds for which it may be given out.
        """
        ...
