"""The contracts between the drivers and what is picked at start. A Protocol stands here only where two
implementations exist."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from .answers import Answer
from .control import Reply
from .entries import AnyFact, Entry, Weight
from .letters import Request
from .request import ModelRequest
from .views import CallView, ServerView

__all__ = [
    "WRITING",
    "AnswerStore",
    "Asked",
    "Bus",
    "CallStore",
    "Delta",
    "Effect",
    "End",
    "Facts",
    "Kept",
    "Missed",
    "Model",
    "Rest",
    "Source",
    "Sights",
    "Switchboard",
    "Text",
    "ToolCall",
    "Traces",
    "TurnModel",
    "Usage",
    "Why",
    "Writing",
    "Written",
    "no_rest",
    "unasked",
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
    fallback: bool = False
    source: Literal["model", "cache"] = "model"


class Writing(msgspec.Struct, frozen=True):
    """A piece of a tool call has come, which is given when it is whole: the model has not come to a standstill."""


WRITING: Final = Writing()

Delta: TypeAlias = Text | ToolCall | Writing | End
"""What comes out of a model."""

Rest: TypeAlias = Callable[[], float]
"""Says for how many seconds the next words are not needed."""


def no_rest() -> float:
    """Want the next words as soon as they exist."""
    return 0.0


Why: TypeAlias = Literal["first", "slow", "failed"]
"""Why a request is made: it is the first one, another is slow, or others have failed, if only by long silence."""

Asked: TypeAlias = Callable[[Why], None]
"""Hears of each request to a model as it is made."""


def unasked(_: Why) -> None:
    """Let nobody count the requests."""


class Model(Protocol):
    """A model that streams. Each stream is one request."""

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


class TurnModel(Model, Protocol):
    """A model as turns ask it: a stream may take several requests, or none."""

    def stream(
        self, request: ModelRequest, rest: Rest = no_rest, asked: Asked = unasked
    ) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `Model.stream`.

        `asked` is told of every request that is made, when it is made: a stream that fails has no end that could tell
        of them, and one that is closed neither.
        """
        ...


class Effect(msgspec.Struct, frozen=True):
    """What the ledger knows of one side effect.

    Attributes:
        outcome: `begun` while it runs, and for ever when whoever ran it died; `done`; `unknown` when it broke in the
            middle; `refused`, which is only told and never kept, when it may not begin here: another server has the
            call, or nobody can tell what was done in it before.
        result: What the model was told of it.
    """

    outcome: Literal["begun", "done", "unknown", "refused"] = "begun"
    result: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What a store knows of a call that a server takes.

    Attributes:
        epoch: Of this hold of the call: greater than that of whoever had it before. 0 when the store counts none.
        is_known: The store has answered. Otherwise nobody can tell whether the call was begun elsewhere.
        has_moved: Another server had the call since this one did: what this one remembers of it is out of date.
        parts: What was written last, by name; empty for a call nobody had.
        said: What `say` has added since.
        effects: The side effects, by key.
    """

    epoch: int = 0
    is_known: bool = True
    has_moved: bool = False
    parts: Mapping[str, bytes] = {}
    said: str = ""
    effects: Mapping[str, Effect] = {}


class CallStore(Protocol):
    """What outlives a session of a call: where it stands, its side effects, and the agent's own state.

    Where servers share it, the last one to `attach` a call has it: whatever another one writes is refused, and that
    one is told that it has lost the call. It is kept for some hours after the last write, bounded, and oldest first
    forgotten. No method raises but for cancellation: a store that cannot answer says so in its result, and is written
    what it missed when it is back.
    """

    @property
    def name(self) -> str:
        """The name of this server among those that share it."""
        ...

    @property
    def is_shared(self) -> bool:
        """Other servers see it, so that each step of a call is worth writing down."""
        ...

    async def attach(self, call_id: str, lost: Callable[[], None]) -> Kept:
        """Take a call, from whichever server has it, for a socket of its that was accepted here.

        Args:
            call_id: The call.
            lost: Called, later and once, when it turns out that another server has taken it.
        """
        ...

    def vouch(self, call_id: str) -> None:
        """Say of a call whose past the store could not tell that it has none: it was begun here."""
        ...

    def write(self, call_id: str, parts: Mapping[str, bytes]) -> None:
        """Write down where a call stands, over what these parts held; what `say` has added is in them.

        Waits for nothing. What is written to a socket after this was called is known to whoever takes the call.
        """
        ...

    def say(self, call_id: str, text: str) -> None:
        """Write down that these words are about to be said, after all the others. Waits for nothing, as `write`."""
        ...

    def detach(self, call_id: str) -> None:
        """Let go of a call. What was written stays, and side effects that still run may be settled."""
        ...

    async def owner(self, call_id: str) -> str | None:
        """Look up which server has a call, by the name it gave its store; None when nobody has, or can tell."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Count what it did.

        Returns:
            `written`, `refused` (of calls that another server has) and `failed` writes, and `degraded`: 1 while it
            cannot be reached.
        """
        ...

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

    @property
    def missed(self) -> int:
        """How many answers were put that other servers of the store do not have: it was away, or refused them."""
        ...

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


Missed: TypeAlias = Literal["gone", "silent", "down"]
"""Why another server gave no reply.

`gone`: nobody has heard the request. `silent`: it was sent, and nobody knows what came of it. `down`: it could not be
sent.
"""


class Sights(Protocol):
    """What one server lets others see."""

    def server(self) -> ServerView:
        """Tell how the server is doing."""
        ...

    async def call(self, call_id: str) -> CallView | None:
        """Show a call; None when it is not here, or cannot be shown now. Takes a second or so at most."""
        ...


class Switchboard(Protocol):
    """How servers ask each other to do something to a call, and what others may see of them."""

    @property
    def name(self) -> str:
        """This server's name, as its `CallStore` tells it to others. No other server has or had it."""
        ...

    @property
    def is_up(self) -> bool:
        """Others can be reached, and can reach this one."""
        ...

    def listening(
        self, answer: Callable[[Request], Reply], sights: Sights | None = None
    ) -> AbstractAsyncContextManager[object]:
        """Take requests while the block lasts.

        Entering waits a moment for the others to be reachable, and no longer: calls come first, and it goes on trying.

        Args:
            answer: Does what is asked for; waits for nothing. The same request may be given to it twice.
            sights: What others may see of this server; None: it answers no roll call, and shows no call.
        """
        ...

    async def ask(self, server: str, request: Request, limit_s: float) -> Reply | Missed:
        """Have another server do something. Never raises but for cancellation.

        Args:
            server: Its name.
            request: What.
            limit_s: Seconds to wait for its reply.
        """
        ...

    async def show(self, server: str, call_id: str, limit_s: float) -> CallView | Missed | None:
        """Have another server show a call. Never raises but for cancellation.

        Args:
            server: Its name.
            call_id: The call.
            limit_s: Seconds to wait for it.

        Returns:
            The call; None when that server says that it cannot show it.
        """
        ...

    async def roll_call(self, limit_s: float) -> tuple[Sequence[ServerView], bool]:
        """Ask all other servers how they are doing. Never raises but for cancellation.

        Args:
            limit_s: Seconds to wait for them; less where it is known how many there are.

        Returns:
            Those that have answered, and whether all of them could be asked.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """Count what it did.

        Returns:
            `asked` and `answered` requests, `ignored` messages that were none of ours, and `degraded`: 1 while nobody
            can be reached.
        """
        ...


class Written(msgspec.Struct, frozen=True):
    """One entry as the journal has it.

    Attributes:
        position: Grows from entry to entry; never given twice.
        id: The entry's.
        call_id: The entry's.
        kind: The fact's name.
        weight: What it is worth when there is no room.
        at: When it happened, in seconds since 1970.
        data: The entry, masked, in the JSON of `entries.encode`.
    """

    position: int
    id: str
    call_id: str
    kind: str
    weight: Weight
    at: float
    data: bytes


class Bus(Protocol):
    """Where facts go from a server's journal, for consumers on other machines. Used by one thread, the outbox's.

    It loses nothing: what it has taken it sends until that is acknowledged, and what was not acknowledged when this
    process ended is given to the next one's. So an entry may come twice, with the same id; and those of a call come in
    the order of the journal.
    """

    @property
    def name(self) -> str:
        """The implementation's name, as the ready line tells it."""
        ...

    def send(self, entries: Sequence[Written]) -> int:
        """Take entries, in order, as many as there is room for; waits for nothing.

        Returns:
            How many of them, from the first on.
        """
        ...

    def acknowledged(self, wait_s: float) -> Sequence[int]:
        """Give the positions that were acknowledged since the last time, in any order; wait so long for the first.

        Raises:
            BusError: Something is wrong that waiting will not mend; its words say what, and for whom.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """Count what it did.

        Returns:
            `sent`, `acknowledged` and `failed` entries, and `degraded`: 1 while nothing is acknowledged.
        """
        ...

    def close(self, wait_s: float) -> Sequence[int]:
        """Wait so long at most for what was sent, then let go.

        Returns:
            The positions acknowledged meanwhile.
        """
        ...


class Facts(Protocol):
    """Takes what happens, for the bus. It is what a server knows of the outbox."""

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """Take a fact. Takes some microseconds, waits for nothing, and never raises."""
        ...

    async def keep(self, entry: Entry) -> bool:
        """Take an entry, and wait until it would survive this process.

        Returns:
            False when nobody can say so within a second.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """Count what became of the facts; see `outbox.Outbox.figures`."""
        ...


class Traces(Protocol):
    """Takes what happens, for whoever traces calls."""

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        """Take a fact. Takes some microseconds, waits for nothing, and never raises."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Count what became of the spans; see `tracing.Tracing.figures`."""
        ...


class Source(Protocol):
    """What a consumer reads: the entries of a bus, from where it was committed last. An async context.

    Delivered at least once, in the order of the bus for each call. Whoever reads an entry twice knows it by its id.
    """

    async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
        """Give the next entries.

        What is no entry is buried, and passed over.

        Args:
            limit: At most so many.
            wait_s: Seconds to wait for the first.

        Raises:
            BusError: Something is wrong that waiting will not mend.
        """
        ...

    async def commit(self) -> None:
        """Never read again what was given so far. An error is retried, and then left to the next one."""
        ...

    async def put(self, entry: Entry) -> None:
        """Tell the bus a fact of the consumer's own."""
        ...

    async def bury(self, entry: Entry, why: str) -> None:
        """Put an entry with the dead letters: the consumer could not handle it, and goes on.

        Args:
            entry: It.
            why: In words that hold no speech.
        """
        ...

    def lag(self) -> int | None:
        """Count the entries that wait to be read; None when nobody knows."""
        ...
