"""Calls kept in Redis: what `distributed` has. Any server can take any call, and the last one that did has it.

This process holds an *image* of each call it has taken (`call_image.py`). What is written changes the image and goes to
Redis at once, fenced by the epoch of the attach (`redis_scripts.py`), over a connection on which nothing ever waits
(`redis_pipe.py`); what did not arrive is brought when Redis is there again (`redis_images.py`). So a Redis that is gone
costs a call nothing but its takeover meanwhile, and lacks nothing afterwards.

| Redis | attach | write, say | claim |
|---|---|---|---|
| answers | waits for it | sent at once | waits for it |
| is slow | waits, a second at most | sent at once | waits, a second at most |
| is gone | goes on, `is_known=False` | into the image | by the image; refused where it may lack something |

A user of an ACL needs `+evalsha +eval +script|load +hset +hget +hgetall +hsetnx +hdel +del +expire +time`, in a cluster
`+cluster|slots +asking`, and `~<prefix>*`; no channels. For the answers (`redis_answers.py`) add `+getrange +set +get`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from ..ports import Effect, Kept
from .call_image import Image, decoded, effect_field, encoded, paired
from .redis_images import Images
from .redis_nodes import Nodes, word_of
from .redis_pipe import Gone
from .redis_scripts import ATTACH, CLAIM, REFUSED, SAY, WRITTEN

__all__ = ["RedisCallStore"]

LIMIT_S: Final = 1.0
"""Seconds an attach or a claim waits for a Redis that may be slow: greeting twice, or booking twice, is worse."""

AGAIN_S: Final = 0.3
"""Seconds an attach waits for another connection, when its own broke."""

REFUSED_EFFECT: Final = Effect("refused")


class RedisCallStore:
    """Implements `ports.CallStore`. Use it as an async context; entering never fails for want of a Redis.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://…` for TLS, `unix://…`; of a cluster any node.
        name: Of this server, different from that of every other one.
        prefix: What every key begins with.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, url: str, *, name: str, prefix: str = "retell_ws:") -> None:
        self._name = name
        self._name_bytes = name.encode("utf-8", "surrogatepass")
        self._prefix = prefix
        self._images = Images(url, name=self._name_bytes, prefix=prefix)
        self._nodes = self._images.nodes

    def __repr__(self) -> str:
        return f"RedisCallStore(name={self._name!r}, prefix={self._prefix!r})"  # not the URL: it may hold a password

    def __len__(self) -> int:
        return len(self._images)

    async def __aenter__(self) -> Self:
        await self._images.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let what is under way arrive, for a second at most, and close the connections."""
        await self._images.aclose()

    @property
    def name(self) -> str:
        """See `ports.CallStore.name`."""
        return self._name

    @property
    def is_shared(self) -> bool:
        """See `ports.CallStore.is_shared`."""
        return True

    # ------------------------------------------------------------------------ where a call stands

    async def attach(self, call_id: str, lost: Callable[[], None]) -> Kept:
        """Take a call; see `ports.CallStore.attach`."""
        image = self._images.taken(call_id)
        if image.is_detached:
            image.is_known = False  # it may have been elsewhere since
        image.is_detached, image.is_confirmed, image.lost = False, False, lost
        image.attached_at = time.monotonic()  # the loop's own time may be milliseconds old
        image.attaching += 1  # what is written meanwhile waits for the new epoch
        try:
            reply, is_repeated = await self._take(image, LIMIT_S)
        finally:
            image.attaching -= 1
        if isinstance(reply, list):
            return self._attached(call_id, image, int(reply[1]), paired(reply[2]), is_repeated=is_repeated)
        image.is_known = False  # it may have been elsewhere since
        self._images.tell(reply)
        self._images.soil(call_id, image)
        return Kept(is_known=False)

    async def _take(self, image: Image, limit_s: float) -> tuple[Any, bool]:
        """Give the reply, and whether it is to a second try: the first may have been carried out."""
        began, pipe = time.monotonic(), self._nodes.pipe(image.slot)
        reply = await self._nodes.run(ATTACH, image.slot, image.key, (self._name_bytes,), limit_s)
        is_replica = word_of(reply) in ("READONLY", "MASTERDOWN")
        if pipe is not None and is_replica:
            self._nodes.wrong(pipe, reply)
        if pipe is not None and (is_replica or isinstance(reply, Gone)):
            # Perhaps only the connection broke in this moment, or leads to what is no longer the master: another one
            # may be there in no time.
            await self._nodes.news(min(AGAIN_S, began + limit_s - time.monotonic()))
            if (left_s := began + limit_s - time.monotonic()) > 0:
                reply = await self._nodes.run(ATTACH, image.slot, image.key, (self._name_bytes,), left_s)
                return reply, not is_replica
        return reply, False

    def _attached(self, call_id: str, image: Image, epoch: int, kept: dict[bytes, bytes], *, is_repeated: bool) -> Kept:
        owner, was_known = kept.get(b"owner"), image.is_known
        has_moved = owner is not None and owner != self._name_bytes
        since = int(number) if (number := kept.get(b"since", b"")).isdigit() else 0
        if is_repeated and not has_moved:  # unless it was the first try that took it from another one
            has_moved = since > image.epoch
        # Nobody else had it since: what is here is all there is, and what is missing was taken back.
        is_own = owner == self._name_bytes and 0 < image.epoch >= since
        is_same = owner == self._name_bytes and kept.get(b"epoch") == b"%d" % image.epoch and not image.is_dirty
        self._images.confirm(image, epoch)
        if has_moved or (image.is_empty() and not is_own):
            if not image.is_dirty:
                image.effects.clear()  # Redis knows better what was done, and what was taken back
            if image.take(kept) or image.is_dirty:
                self._images.soil(call_id, image)
        elif not is_same:  # what is here is newer than the record, which may have been lost
            if not was_known and not is_own:  # but what was done before this server had the call stands there alone
                image.add(kept)
            self._images.soil(call_id, image)
        return Kept(
            epoch=epoch,
            has_moved=has_moved,
            parts=dict(image.parts),
            said=image.said_text(),
            effects=dict(image.effects),
        )

    def vouch(self, call_id: str) -> None:
        """Say that a call was begun here; see `ports.CallStore.vouch`."""
        if (image := self._images.get(call_id)) is not None:
            image.is_known = True

    def write(self, call_id: str, parts: Mapping[str, bytes]) -> None:
        """Write down where a call stands; see `ports.CallStore.write`."""
        if (image := self._images.own(call_id)) is not None:
            self._images.apply(call_id, image, *image.write(parts))

    def say(self, call_id: str, text: str) -> None:
        """Write down what is about to be said; see `ports.CallStore.say`."""
        if (image := self._images.own(call_id)) is not None and (data := image.say(text)):
            self._images.send(call_id, image, SAY.sha, data)

    def detach(self, call_id: str) -> None:
        """Let go of a call; see `ports.CallStore.detach`."""
        self._images.detach(call_id)

    async def owner(self, call_id: str) -> str | None:
        """Look up which server has a call; see `ports.CallStore.owner`."""
        key = self._images.key(call_id)
        reply = await self._nodes.ask(Nodes.slot_of(key), ("HGET", key, "owner"), LIMIT_S)
        return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None

    def figures(self) -> Mapping[str, float]:
        """Count; see `ports.CallStore.figures`."""
        return {**self._images.counted, "degraded": float(self._nodes.is_degraded())}

    # ------------------------------------------------------------------------ side effects

    async def claim(self, call_id: str, key: str) -> Effect | None:
        """Write down that a side effect begins; see `ports.CallStore.claim`."""
        image = self._images.own(call_id)
        if image is None or not image.has_room_for(key):
            return REFUSED_EFFECT
        # What an attach will tell is not known yet either: the call may have been elsewhere.
        if not image.is_known or image.is_dirty or image.attaching:
            image.in_flight += 1  # a call without a session is let go of when nothing is
            try:
                await self._images.ready(call_id, image)
            finally:
                image.in_flight -= 1
            if self._images.get(call_id) is not image:
                return REFUSED_EFFECT
            if not image.is_known or image.attaching:
                return image.effects.get(key, REFUSED_EFFECT)
        if (effect := image.effects.get(key)) is not None:
            return effect
        mine = Effect()
        changed, gone = image.put(key, mine)
        image.changes += 1
        if self._images.pipe(image) is None:
            self._images.soil(call_id, image)
            return None  # what was done before is known, and nobody else can ask either
        arguments = (image.epoch, self._name_bytes, effect_field(key), encoded(mine))
        uploads = image.uploads
        image.in_flight += 1
        try:
            reply = await self._nodes.run(CLAIM, image.slot, image.key, arguments, LIMIT_S)
        finally:
            image.in_flight -= 1
        if reply == WRITTEN:
            self._images.counted["written"] += 1
            if gone:
                self._images.apply(call_id, image, [], gone)
            return None
        if isinstance(reply, bytes):
            effect = decoded(reply)
            if effect == mine and image.uploads != uploads:
                return None  # all of the image was brought before this came to be: what stands there is this claim
            image.put(key, effect)
            return effect
        if reply == REFUSED:
            image.remove(key)
            self._images.refuse(call_id, image, arguments[0])
            return REFUSED_EFFECT
        # Perhaps it was written and perhaps not; the image has it, and so will Redis.
        self._images.counted["failed"] += 1
        self._images.tell(reply)
        self._images.soil(call_id, image)
        return None

    async def settle(self, call_id: str, key: str, effect: Effect) -> None:
        """Write down what came of it; see `ports.CallStore.settle`."""
        if (image := self._images.own(call_id)) is not None:
            self._images.apply(call_id, image, *image.put(key, effect))
            self._images.let_go(call_id, image)

    async def release(self, call_id: str, key: str) -> None:
        """Forget a claim; see `ports.CallStore.release`."""
        if (image := self._images.own(call_id)) is not None:
            image.remove(key)
            self._images.apply(call_id, image, [], [effect_field(key)])
            self._images.let_go(call_id, image)

    async def forget(self, call_id: str, prefix: str) -> None:
        """Forget what was done under such keys; see `ports.CallStore.forget`."""
        if (image := self._images.own(call_id)) is not None:
            done = [key for key, effect in image.effects.items() if effect.outcome == "done" and key.startswith(prefix)]
            for key in done:
                image.remove(key)
            if done:
                self._images.apply(call_id, image, [], [effect_field(key) for key in done])

    # ------------------------------------------------------------------------ the agent's state

    async def load(self, call_id: str) -> bytes | None:
        """Read the agent's state; see `ports.CallStore.load`."""
        image = self._images.get(call_id)
        if image is not None and (image.is_known or image.state is not None):
            return image.state
        key = self._images.key(call_id)
        reply = await self._nodes.ask(Nodes.slot_of(key), ("HGET", key, "state"), LIMIT_S)
        return reply if isinstance(reply, bytes) else None

    async def save(self, call_id: str, state: bytes) -> None:
        """Write the agent's state; see `ports.CallStore.save`."""
        if (image := self._images.own(call_id)) is not None:
            self._images.apply(call_id, image, *image.save(state))
