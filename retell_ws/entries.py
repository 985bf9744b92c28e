"""Facts as they stand on the bus: what happened, in which call, when, and as which of its facts. No I/O.

An entry is told apart from all others by its `id`, which it keeps however often it is delivered. Within one epoch of a
call, `seq` grows by one; a server that takes a call begins a greater epoch. So the facts of a call are in order by
`(epoch, seq)`, whichever servers it was on, and whoever has seen a pair knows what is older.

Other versions read what this one wrote, and the other way round: fields are only added, with defaults; a fact of an
unknown kind is read as `UnknownFact`, and so is one of a greater version that this one cannot read. `VERSION` rises
when a field changes its meaning, or takes a word that it did not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final, TypeAlias, get_args

import msgspec

from .errors import WireError
from .facts import (
    BadMessage,
    CallEnded,
    CallStarted,
    DuplicateRequest,
    Escalated,
    Fact,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    SpeechGuarded,
    TurnMeasured,
    TurnReasked,
    UnknownMessage,
)
from .speech_facts import CallTranscript, SpeechFact, WebhookReceived

__all__ = [
    "VERSION",
    "AnyFact",
    "Chronicle",
    "Entry",
    "KINDS",
    "UnknownFact",
    "Weight",
    "decode",
    "encode",
    "weight_of",
]

VERSION: Final = 1
"""Of the entries this version writes."""


class UnknownFact(msgspec.Struct, frozen=True):
    """A fact of a kind that this version does not know: to be passed on, or over.

    Attributes:
        kind: Its name.
        fields: All of it.
    """

    kind: str
    fields: dict[str, Any]


AnyFact: TypeAlias = Fact | SpeechFact


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One fact on the bus.

    Attributes:
        id: No other entry has it.
        call_id: Retell's id of the call.
        epoch: Of the server's hold of the call; a later one's is greater. In microseconds since 1970, about.
        seq: Grows by one from fact to fact within the epoch.
        at: When it happened, in seconds since 1970.
        server: Where.
        fact: What.
        v: Version of the schema.
    """

    id: str
    call_id: str
    epoch: int
    seq: int
    at: float
    server: str
    fact: AnyFact | UnknownFact
    v: int = VERSION

    @property
    def kind(self) -> str:
        """The fact's name, in the words of the schema."""
        fact = self.fact
        return fact.kind if isinstance(fact, UnknownFact) else str(fact.__struct_config__.tag)


class Chronicle:
    """Puts the facts of one call in order, while one server has it.

    Args:
        call_id: The call.
        epoch: Of this server's hold of it.
        take: Takes each: the call's id, the epoch, the number, the fact. A plain function that never waits.
    """

    __slots__ = ("_call_id", "_epoch", "_seq", "_take")

    def __init__(self, call_id: str, epoch: int, take: Callable[[str, int, int, AnyFact], None]) -> None:
        self._call_id = call_id
        self._epoch = epoch
        self._seq = 0
        self._take = take

    def __call__(self, fact: AnyFact) -> None:
        """Take down what has happened."""
        self._seq += 1
        self._take(self._call_id, self._epoch, self._seq, fact)


class Weight(IntEnum):
    """What is given up first when there is no room: the lower, the sooner."""

    METRIC = 0
    """Only figures are made of it."""

    EVENT = 1
    """It tells how a call went."""

    KEPT = 2
    """Never given up: without it a call would be missing."""


_WEIGHTS: Final[Mapping[type, Weight]] = {
    **dict.fromkeys(
        (
            BadMessage,
            DuplicateRequest,
            SpeculationAdopted,
            SpeculationDropped,
            SpeculationStarted,
            SpeechGuarded,
            TurnMeasured,
            TurnReasked,
            UnknownMessage,
        ),
        Weight.METRIC,
    ),
    **dict.fromkeys((CallEnded, CallStarted, CallTranscript, Escalated, WebhookReceived), Weight.KEPT),
}

KINDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    str(kind.__struct_config__.tag): kind for union in (Fact, SpeechFact) for kind in get_args(union)
}
"""All facts by their names."""


def weight_of(fact: AnyFact | UnknownFact) -> Weight:
    """Tell how much a fact is worth when there is no room for all."""
    if type(fact) is WebhookReceived and fact.event == "transcript_updated":
        # Each has all that was said so far, and what Retell tells at the end of the call has it all.
        return Weight.EVENT
    return _WEIGHTS.get(type(fact), Weight.EVENT)


class _Envelope(msgspec.Struct):
    id: str
    call_id: str
    epoch: int
    seq: int
    at: float
    server: str
    fact: msgspec.Raw
    v: int = 1


class _Kind(msgspec.Struct):
    fact: str


_encoder: Final = msgspec.json.Encoder()
_envelope: Final = msgspec.json.Decoder(_Envelope)
_kind: Final = msgspec.json.Decoder(_Kind)
_fact: Final[msgspec.json.Decoder[AnyFact]] = msgspec.json.Decoder(AnyFact)
_fields: Final = msgspec.json.Decoder(dict[str, Any])


def encode(entry: Entry) -> bytes:
    """Write an entry as JSON."""
    if isinstance(entry.fact, UnknownFact):
        return _encoder.encode({**msgspec.structs.asdict(entry), "fact": entry.fact.fields})
    return _encoder.encode(entry)


def _read(envelope: _Envelope, kind: str) -> AnyFact | UnknownFact:
    if kind in KINDS:
        try:
            return _fact.decode(envelope.fact)
        except msgspec.ValidationError:
            if envelope.v <= VERSION:
                raise
    return UnknownFact(kind, _fields.decode(envelope.fact))


def decode(data: bytes) -> Entry:
    """Read an entry that this version, an older or a newer one wrote.

    Raises:
        WireError: It is none. Its words quote nothing of it.
    """
    try:
        envelope = _envelope.decode(data)
        kind = _kind.decode(envelope.fact).fact
        fact = _read(envelope, kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise WireError("no entry of a fact") from None
    return Entry(
        id=envelope.id,
        call_id=envelope.call_id,
        epoch=envelope.epoch,
        seq=envelope.seq,
        at=envelope.at,
        server=envelope.server,
        fact=fact,
        v=envelope.v,
    )
