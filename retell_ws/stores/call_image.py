"""One call's hash as this process holds it: what Redis is told of, and is brought again when it missed it.

What goes in is bounded, and what does not fit is left out: calls are strangers', and their tools' arguments a model's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from ..ports import Effect
from .limits import MAX_EFFECTS
from .redis_pipe import Pipe

__all__ = ["MAX_LEDGER", "MAX_TALK", "Image", "decoded", "effect_field", "encoded", "paired"]

logger = logging.getLogger(__name__)

MAX_TALK: Final = 512 * 1024
"""Bytes of a call's parts, state and what was said."""

MAX_LEDGER: Final = 512 * 1024
"""Bytes of a call's side effects, with their keys."""

OVERHEAD: Final = 32
"""Bytes of a side effect beside its key and result."""

PART: Final = b"p:"
EFFECT: Final = b"e:"
SAID: Final = b"said"
STATE: Final = b"state"

_decode = msgspec.json.Decoder(Effect).decode


class Image:
    """What is known here of one call.

    Args:
        key: Of its hash.
        slot: Of the key, in a cluster.

    Attributes:
        epoch: Of the last attach that Redis has confirmed; 0 for none.
        attached_at: When it was attached, in monotonic time; None when it never was.
        is_confirmed: The last attach is known to Redis, under `epoch`.
        pipe: Over which it was: what is sent over another one might be overtaken by what was sent over this one.
        is_known: What was done before is known.
        is_dirty: Redis lacks something of it.
        is_detached: No session has it.
        attaching: Attaches that are under way.
        in_flight: Commands for it that are under way.
        changes: Counts them.
        uploads: Counts how often all of it was sent.
        lost: Called when another server has taken it.
        pending: Becomes whether the upload that is under way was stored.
        parts: By name.
        said: Since the parts were written.
        state: The agent's.
        effects: By key, the oldest first.
    """

    __slots__ = (
        *("_complained", "_ledger", "_talk", "attached_at", "attaching", "changes", "effects", "epoch", "in_flight"),
        *(
            "is_confirmed",
            "is_detached",
            "is_dirty",
            "is_known",
            "key",
            "lost",
            "parts",
            "pending",
            "pipe",
            "said",
            "slot",
        ),
        *("state", "uploads"),
    )

    def __init__(self, key: bytes, slot: int) -> None:
        self.key = key
        self.slot = slot
        self.epoch = 0
        self.attached_at: float | None = None
        self.is_confirmed = self.is_known = self.is_dirty = self.is_detached = False
        self.attaching = self.in_flight = self.changes = self.uploads = 0
        self.pipe: Pipe | None = None
        self.lost: Callable[[], None] | None = None
        self.pending: asyncio.Future[bool] | None = None
        self.parts: dict[str, bytes] = {}
        self.said = b""
        self.state: bytes | None = None
        self.effects: dict[str, Effect] = {}
        self._talk = self._ledger = 0
        self._complained = False

    # ------------------------------------------------------------------------ what is written: each gives the fields

    def write(self, parts: Mapping[str, bytes]) -> tuple[list[Any], list[Any]]:
        """Take parts.

        Returns:
            Fields and values that changed, and fields to delete.
        """
        changed: list[Any] = [SAID, b""]
        gone: list[Any] = []
        self._talk -= len(self.said)
        self.said = b""
        for name, value in parts.items():
            before = self.parts.get(name)
            if before == value:
                continue
            if self._fits(len(value) - len(before or b"")):
                self.parts[name] = value
                changed += (PART + _bytes(name), value)
            else:  # the old one would be wrong
                self._talk -= len(self.parts.pop(name, b""))
                gone.append(PART + _bytes(name))
        return changed, gone

    def say(self, text: str) -> bytes:
        """Take what is about to be said.

        Returns:
            What is to be added; empty when there is no room.
        """
        data = _bytes(text)
        if not self._fits(len(data)):
            return b""
        self.said += data
        return data

    def save(self, state: bytes) -> tuple[list[Any], list[Any]]:
        """Take the agent's state; see `write`."""
        if self._fits(len(state) - len(self.state or b"")):
            self.state = state
            return [STATE, state], []
        self._talk -= len(self.state or b"")
        self.state = None
        return [], [STATE]

    def put(self, key: str, effect: Effect) -> tuple[list[Any], list[Any]]:
        """Take a side effect; the oldest ones make room. See `write`."""
        if OVERHEAD + len(key) + len(effect.result) > MAX_LEDGER // 4:
            self._complain()
            effect = Effect(effect.outcome)
        self._weigh(key, effect)
        gone: list[Any] = []
        while len(self.effects) > MAX_EFFECTS or self._ledger > MAX_LEDGER:
            oldest = next(iter(self.effects))
            if oldest == key:
                break
            self.remove(oldest)
            gone.append(effect_field(oldest))
        return [effect_field(key), encoded(effect)], gone

    def has_room_for(self, key: str) -> bool:
        """Tell whether a side effect can be written down under such a key at all."""
        return len(key) <= MAX_LEDGER // 4

    def remove(self, key: str) -> None:
        """Forget a side effect."""
        effect = self.effects.pop(key, None)
        if effect is not None:
            self._ledger -= OVERHEAD + len(key) + len(effect.result)

    def _weigh(self, key: str, effect: Effect) -> None:
        before = self.effects.get(key)
        self._ledger += len(effect.result) - len(before.result) if before else OVERHEAD + len(key) + len(effect.result)
        self.effects[key] = effect

    def _fits(self, more: int) -> bool:
        if more > 0 and self._talk + more > MAX_TALK:
            self._complain()
            return False
        self._talk += more
        return True

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("a call has more to keep than there is room for: the rest is left out")

    # ------------------------------------------------------------------------ the whole of it

    def fields(self) -> list[Any]:
        """Give all of it: fields and values."""
        flat: list[Any] = [SAID, self.said] if self.said or self.parts else []
        for name, value in self.parts.items():
            flat += (PART + _bytes(name), value)
        if self.state is not None:
            flat += (STATE, self.state)
        for key, effect in self.effects.items():
            flat += (effect_field(key), encoded(effect))
        return flat

    def take(self, kept: Mapping[bytes, bytes]) -> bool:
        """Become what Redis keeps, but for side effects that it lacks.

        Returns:
            It lacks some.
        """
        own, self.effects, self.parts, self.said, self.state = self.effects, {}, {}, b"", None
        self._talk = self._ledger = 0
        self.add(kept)
        lacking = {key: effect for key, effect in own.items() if key not in self.effects}
        for key, effect in lacking.items():
            self._weigh(key, effect)
        return bool(lacking)

    def add(self, kept: Mapping[bytes, bytes]) -> None:
        """Learn what Redis keeps, where it is not known better here."""
        if not self.parts and not self.said:
            self.said = kept.get(SAID, b"")
            self._talk += len(self.said)
        if self.state is None and (state := kept.get(STATE)) is not None:
            self.state = state
            self._talk += len(state)
        for field, value in kept.items():
            try:
                name = field[2:].decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                continue  # nobody of ours wrote that
            if field.startswith(PART) and name not in self.parts:
                self.parts[name] = value
                self._talk += len(value)
            elif field.startswith(EFFECT) and name not in self.effects:
                self._weigh(name, decoded(value))

    def is_empty(self) -> bool:
        """Tell whether nothing was written yet."""
        return not (self.parts or self.said or self.effects or self.state is not None)

    def said_text(self) -> str:
        """Give what was said."""
        return self.said.decode("utf-8", "replace")

    def runs(self) -> bool:
        """Tell whether a side effect that was claimed may still be settled."""
        return any(effect.outcome == "begun" for effect in self.effects.values())


def effect_field(key: str) -> bytes:
    """Name the field of a side effect."""
    return EFFECT + _bytes(key)


def encoded(effect: Effect) -> bytes:
    """Write a side effect down."""
    try:
        return msgspec.json.encode(effect)
    except UnicodeEncodeError:  # half of a surrogate pair, out of some tool
        return msgspec.json.encode(Effect(effect.outcome, effect.result.encode("utf-8", "replace").decode()))


def decoded(value: bytes) -> Effect:
    """Read a side effect; one that cannot be read was begun, at least, and nobody knows what came of it."""
    try:
        effect = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Effect("unknown")
    return effect if effect.outcome != "refused" else Effect("unknown")


def paired(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    """Give fields and values of a flat list as a mapping."""
    it = iter(flat)
    return dict(zip(it, it, strict=False))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
