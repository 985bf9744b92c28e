"""Calls kept in Redis: what `distributed` has. Any server can take any call, and the last one that did has it.

This process holds an *image* of each call it has taken (`call_image.py`). What is written changes the image and goes to
Redis at once, fenced by the epoch of the attach (`redis_scripts.py`), over a connection on which nothing ever waits
(`redis_pipe.py`). Whatever did not arrive makes the call *dirty*, and all of its image is uploaded when Redis is there
again. So a Redis that is gone costs a call nothing but its takeover meanwhile, and lacks nothing afterwards.

| Redis | attach | write, say | claim |
|---|---|---|---|
| answers | waits for it | sent at once | waits for it |
| is slow | waits, a second at most | sent at once | waits, a second at most |
| is gone | goes on, `is_known=False` | into the image | by the image; refused where the past is not known |

A user of an ACL needs `+evalsha +eval +script|load +hset +hget +hgetall +hsetnx +hdel +del +expire +time`, in a cluster
`+cluster|slots`, and `~<prefix>*`; the answers need `+get +set +del`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from ..ports import Effect, Kept
from .call_image import Image, decoded, effect_field, encoded, paired
from .redis_nodes import Nodes, word_of
from .redis_pipe import Pipe, pack
from .redis_scripts import ALL, APPLY, ATTACH, CLAIM, REFUSED, SAY, UPLOAD, WRITTEN

__all__ = ["RedisCallStore"]

logger = logging.getLogger(__name__)

LIMIT_S: Final = 1.0
"""Seconds an attach or a claim waits for a Redis that may be slow: greeting twice, or booking twice, is worse."""

BATCH: Final = 64
"""Calls uploaded at one time."""

PAUSE_S: Final = 0.05
"""Seconds between two tries to upload what Redis did not take; twice as many each time."""

LONGEST_PAUSE_S: Final = 1.0

FLUSH_S: Final = 1.0
"""Seconds that what is under way may take when the store is closed."""

MAX_DETACHED: Final = 5000
"""Calls without a session whose image is kept because Redis still lacks something of them."""

MAX_LOST: Final = 10_000
"""Calls remembered to have been lost, so that what their sessions still write is refused."""

FOREVER_US: Final = 10**18
"""Microseconds since the attach of a call that was never attached: whoever has it was there before."""

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
        self._nodes = Nodes(url, what="calls", scripts=ALL, opened=self._opened)
        self._name = name
        self._name_bytes = name.encode("utf-8", "surrogatepass")
        self._prefix = prefix
        self._images: dict[str, Image] = {}
        self._detached: OrderedDict[str, None] = OrderedDict()
        self._lost: OrderedDict[str, None] = OrderedDict()
        self._dirty: dict[str, Image] = {}
        self._work = asyncio.Event()
        self._uploading: asyncio.Task[None] | None = None
        self._counted = {"written": 0.0, "refused": 0.0, "failed": 0.0}
        self._told: set[str] = set()

    def __repr__(self) -> str:
        return f"RedisCallStore(name={self._name!r}, prefix={self._prefix!r})"  # not the URL: it may hold a password

    def __len__(self) -> int:
        return len(self._images)

    async def __aenter__(self) -> Self:
        try:
            await self._nodes.start()
        except BaseException:
            await self._nodes.aclose()
            raise
        self._uploading = asyncio.create_task(self._upload_dirty())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let what is under way arrive, for a second at most, and close the connections."""
        try:
            async with asyncio.timeout(FLUSH_S):
                begun = [self._upload(call_id, image) for call_id, image in list(self._dirty.items())]
                await _all(begun)
                # Replies come in order: with this one all are there. Every user may ask it.
                await _all([pipe.ask(pack(("HELLO",))) for pipe in self._nodes.pipes()])
        except TimeoutError:
            pass
        if self._uploading is not None:
            self._uploading.cancel()
            await asyncio.wait((self._uploading,))
        await self._nodes.aclose()

    @property
    def is_shared(self) -> bool:
        """See `ports.CallStore.is_shared`."""
        return True

    # ------------------------------------------------------------------------ where a call stands

    async def attach(self, call_id: str, lost: Callable[[], None]) -> Kept:
        """Take a call; see `ports.CallStore.attach`."""
        image = self._images.get(call_id) or self._new(call_id)
        self._lost.pop(call_id, None)
        self._detached.pop(call_id, None)
        if image.is_detached:
            image.is_known = False  # it may have been elsewhere since
        image.is_detached, image.is_confirmed, image.lost = False, False, lost
        image.attached_at = time.monotonic()  # the loop's own time may be milliseconds old
        image.attaching += 1  # what is written meanwhile waits for the new epoch
        try:
            reply = await self._nodes.run(ATTACH, image.slot, image.key, (self._name_bytes,), LIMIT_S)
        finally:
            image.attaching -= 1
        self._images[call_id] = image  # it may have been lost, or let go of, meanwhile
        if isinstance(reply, list):
            return self._attached(call_id, image, int(reply[1]), paired(reply[2]))
        self._tell(reply)
        self._soil(call_id, image)
        return Kept(is_known=False)

    def _attached(self, call_id: str, image: Image, epoch: int, kept: dict[bytes, bytes]) -> Kept:
        owner = kept.get(b"owner")
        has_moved = owner is not None and owner != self._name_bytes
        is_same = owner == self._name_bytes and kept.get(b"epoch") == b"%d" % image.epoch and not image.is_dirty
        self._confirm(image, epoch)
        if has_moved or image.is_empty():
            if not image.is_dirty:
                image.effects.clear()  # Redis knows better what was done, and what was taken back
            if image.take(kept) or image.is_dirty:
                self._soil(call_id, image)
        elif not is_same:  # what is here is newer than the record, which may have been lost
            self._soil(call_id, image)
        return Kept(has_moved=has_moved, parts=dict(image.parts), said=image.said_text(), effects=dict(image.effects))

    def write(self, call_id: str, parts: Mapping[str, bytes]) -> None:
        """Write down where a call stands; see `ports.CallStore.write`."""
        if (image := self._own(call_id)) is not None:
            self._apply(call_id, image, *image.write(parts))

    def say(self, call_id: str, text: str) -> None:
        """Write down what is about to be said; see `ports.CallStore.say`."""
        if (image := self._own(call_id)) is not None and (data := image.say(text)):
            self._send(call_id, image, SAY.sha, data)

    def detach(self, call_id: str) -> None:
        """Let go of a call; see `ports.CallStore.detach`."""
        self._lost.pop(call_id, None)
        if (image := self._images.get(call_id)) is not None:
            image.is_detached, image.lost = True, None
            self._leave(call_id)
            self._let_go(call_id, image)

    async def owner(self, call_id: str) -> str | None:
        """Look up which server has a call; see `ports.CallStore.owner`."""
        key = self._key(call_id)
        reply = await self._nodes.ask(Nodes.slot_of(key), ("HGET", key, "owner"), LIMIT_S)
        return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None

    def figures(self) -> Mapping[str, float]:
        """Count; see `ports.CallStore.figures`."""
        return {**self._counted, "degraded": float(self._nodes.is_degraded())}

    # ------------------------------------------------------------------------ side effects

    async def claim(self, call_id: str, key: str) -> Effect | None:
        """Write down that a side effect begins; see `ports.CallStore.claim`."""
        image = self._own(call_id)
        if image is None or not image.has_room_for(key):
            return REFUSED_EFFECT
        if not image.is_known or image.is_dirty:
            image.in_flight += 1  # a call without a session is let go of when nothing is
            try:
                await self._ready(call_id, image)
            finally:
                image.in_flight -= 1
            if self._images.get(call_id) is not image or not image.is_known:
                return REFUSED_EFFECT
        if (effect := image.effects.get(key)) is not None:
            return effect
        mine = Effect()
        changed, gone = image.put(key, mine)
        image.changes += 1
        if self._pipe(image) is None:
            self._soil(call_id, image)
            return None  # what was done before is known, and nobody else can ask either
        arguments = (image.epoch, self._name_bytes, effect_field(key), encoded(mine))
        image.in_flight += 1
        try:
            reply = await self._nodes.run(CLAIM, image.slot, image.key, arguments, LIMIT_S)
        finally:
            image.in_flight -= 1
        if reply == WRITTEN:
            self._counted["written"] += 1
            if gone:
                self._apply(call_id, image, [], gone)
            return None
        if isinstance(reply, bytes):
            effect = decoded(reply)
            image.put(key, effect)
            return effect
        if reply == REFUSED:
            image.remove(key)
            self._refuse(call_id, image, arguments[0])
            return REFUSED_EFFECT
        # Perhaps it was written and perhaps not; the image has it, and so will Redis.
        self._counted["failed"] += 1
        self._tell(reply)
        self._soil(call_id, image)
        return None

    async def settle(self, call_id: str, key: str, effect: Effect) -> None:
        """Write down what came of it; see `ports.CallStore.settle`."""
        if (image := self._own(call_id)) is not None:
            self._apply(call_id, image, *image.put(key, effect))
            self._let_go(call_id, image)

    async def release(self, call_id: str, key: str) -> None:
        """Forget a claim; see `ports.CallStore.release`."""
        if (image := self._own(call_id)) is not None:
            image.remove(key)
            self._apply(call_id, image, [], [effect_field(key)])
            self._let_go(call_id, image)

    async def forget(self, call_id: str, prefix: str) -> None:
        """Forget what was done under such keys; see `ports.CallStore.forget`."""
        if (image := self._own(call_id)) is not None:
            done = [key for key, effect in image.effects.items() if effect.outcome == "done" and key.startswith(prefix)]
            for key in done:
                image.remove(key)
            if done:
                self._apply(call_id, image, [], [effect_field(key) for key in done])

    # ------------------------------------------------------------------------ the agent's state

    async def load(self, call_id: str) -> bytes | None:
        """Read the agent's state; see `ports.CallStore.load`."""
        image = self._images.get(call_id)
        if image is not None and (image.is_known or image.state is not None):
            return image.state
        key = self._key(call_id)
        reply = await self._nodes.ask(Nodes.slot_of(key), ("HGET", key, "state"), LIMIT_S)
        return reply if isinstance(reply, bytes) else None

    async def save(self, call_id: str, state: bytes) -> None:
        """Write the agent's state; see `ports.CallStore.save`."""
        if (image := self._own(call_id)) is not None:
            self._apply(call_id, image, *image.save(state))

    # ------------------------------------------------------------------------ images

    def _key(self, call_id: str) -> bytes:
        return f"{self._prefix}{{{call_id}}}".encode("utf-8", "surrogatepass")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _new(self, call_id: str) -> Image:
        key = self._key(call_id)
        image = self._images[call_id] = Image(key, Nodes.slot_of(key))
        return image

    def _own(self, call_id: str) -> Image | None:
        """Give the image to change; None when another server has the call."""
        image = self._images.get(call_id)
        if image is None:
            if call_id in self._lost:
                self._counted["refused"] += 1
                return None
            image = self._new(call_id)
            image.is_detached = True
            self._leave(call_id)
        return image

    def _leave(self, call_id: str) -> None:
        """Note that no session has a call. There is room for so many: a Redis may be gone for long."""
        self._detached[call_id] = None
        self._detached.move_to_end(call_id)
        if len(self._detached) > MAX_DETACHED:
            oldest, _ = self._detached.popitem(last=False)
            self._drop(oldest)

    def _let_go(self, call_id: str, image: Image) -> None:
        if image.is_detached and not (image.in_flight or image.is_dirty or image.attaching or image.runs()):
            self._detached.pop(call_id, None)
            self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        self._images.pop(call_id, None)
        self._dirty.pop(call_id, None)

    def _soil(self, call_id: str, image: Image) -> None:
        image.is_dirty = True
        self._dirty[call_id] = image
        self._work.set()

    def _refuse(self, call_id: str, image: Image, epoch: int) -> None:
        """Note that a write under an epoch was refused: another server has the call, or this one has a newer epoch."""
        self._counted["refused"] += 1
        if self._images.get(call_id) is not image or image.attaching or image.epoch != epoch:
            return
        lost = image.lost
        self._drop(call_id)
        if self._detached.pop(call_id, 0) == 0:  # a session has it
            self._lost[call_id] = None
            if len(self._lost) > MAX_LOST:
                self._lost.popitem(last=False)
        if lost is not None:
            asyncio.get_running_loop().call_soon(lost)  # not now: whoever writes is in the middle of something

    # ------------------------------------------------------------------------ what goes at once

    def _pipe(self, image: Image) -> Pipe | None:
        """Give the pipe on which a change of a call may be sent; None while Redis lacks something else of it."""
        if not image.is_confirmed or image.is_dirty or image.attaching:
            return None
        pipe = self._nodes.pipe(image.slot)
        return pipe if pipe is not None and pipe is image.pipe and pipe.has_room() else None

    def _confirm(self, image: Image, epoch: int) -> None:
        image.epoch, image.pipe = epoch, self._nodes.pipe(image.slot)
        image.is_confirmed = image.is_known = True

    def _apply(self, call_id: str, image: Image, changed: list[Any], gone: list[Any]) -> None:
        self._send(call_id, image, APPLY.sha, len(changed), *changed, *gone)

    def _send(self, call_id: str, image: Image, sha: str, *arguments: Any) -> None:
        image.changes += 1
        if (pipe := self._pipe(image)) is None:
            self._counted["failed"] += 1
            self._soil(call_id, image)
            return
        image.in_flight += 1
        command = pack(("EVALSHA", sha, 1, image.key, image.epoch, self._name_bytes, *arguments))
        pipe.send(command, self._answered, call_id, (image, image.epoch, pipe))

    def _answered(self, reply: Any, call_id: str, about: tuple[Image, int, Pipe]) -> None:
        image, epoch, pipe = about
        image.in_flight -= 1
        if reply == WRITTEN:
            self._counted["written"] += 1
        elif reply == REFUSED:
            self._refuse(call_id, image, epoch)
        else:
            self._counted["failed"] += 1
            self._wrong(pipe, reply)
            if self._images.get(call_id) is image:
                self._soil(call_id, image)
        if image.is_detached:
            self._let_go(call_id, image)

    def _wrong(self, pipe: Pipe, reply: Any) -> None:
        self._tell(reply)
        self._nodes.wrong(pipe, reply)

    def _tell(self, reply: Any) -> None:
        word = word_of(reply)
        if word and word not in self._told and word not in ("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN"):
            self._told.add(word)
            logger.error("calls: Redis does not do as it is told: %s", word)

    # ------------------------------------------------------------------------ what is brought again

    def _opened(self) -> None:
        # It may lead to a Redis that has forgotten everything.
        for call_id, image in self._images.items():
            if (pipe := self._nodes.pipe(image.slot)) is not None and pipe is not image.pipe:
                self._soil(call_id, image)
        self._work.set()

    async def _upload_dirty(self) -> None:
        pause = PAUSE_S
        while True:
            await self._work.wait()
            self._work.clear()
            # There is news when a connection is made, and when something is written: without a pipe nothing is to do.
            waiting = [(call_id, image) for call_id, image in self._dirty.items() if self._nodes.pipe(image.slot)]
            try:
                begun = [self._upload(call_id, image) for call_id, image in waiting[:BATCH]]
                is_done = await _all(begun)
            except Exception as exc:  # a bug of ours; the other calls are to be brought all the same
                logger.error("calls: they could not be brought to Redis: %s", type(exc).__name__)
                logger.debug("calls: they could not be brought to Redis", exc_info=exc)
                is_done = False
            if is_done:
                pause = PAUSE_S
            else:
                for call_id, _ in waiting[:BATCH]:  # others first
                    if (image := self._dirty.pop(call_id, None)) is not None:
                        self._dirty[call_id] = image
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            if waiting and self._dirty:
                self._work.set()

    def _upload(self, call_id: str, image: Image) -> asyncio.Future[bool] | None:
        """Bring all of a call, unless that is under way; None when it cannot be done now."""
        if image.pending is not None:
            return image.pending
        pipe = self._nodes.pipe(image.slot)
        if pipe is None or not pipe.has_room() or image.attaching:
            return None
        image.pending = asyncio.get_running_loop().create_future()
        image.in_flight += 1
        mode = "attach" if not image.is_confirmed else "same" if pipe is image.pipe else "again"
        if mode == "same":  # what comes after it on the pipe finds it done
            self._clean(call_id, image)
        age_us = FOREVER_US if image.attached_at is None else int((time.monotonic() - image.attached_at) * 1e6)
        arguments = (image.epoch, self._name_bytes, mode, age_us, *image.fields())
        command = pack(("EVALSHA", UPLOAD.sha, 1, image.key, *arguments))
        pipe.send(command, self._uploaded, call_id, (image, image.epoch, pipe, mode, image.changes))
        return image.pending

    def _uploaded(self, reply: Any, call_id: str, about: tuple[Image, int, Pipe, str, int]) -> None:
        image, epoch, pipe, mode, changes = about
        pending, image.pending = image.pending, None
        image.in_flight -= 1
        is_stored = isinstance(reply, list) and reply[0] == WRITTEN
        if is_stored:
            self._counted["written"] += 1
            # Another attach of ours that is under way comes after this, and is told of what was stored.
            if not image.attaching and image.epoch == epoch:
                self._confirm(image, int(reply[1]))
                image.add(paired(reply[2]))
                if mode != "same" and image.changes == changes:
                    self._clean(call_id, image)
        elif isinstance(reply, list):
            self._refuse(call_id, image, epoch)
        else:
            self._counted["failed"] += 1
            self._wrong(pipe, reply)
            if self._images.get(call_id) is image:
                self._soil(call_id, image)
        if image.is_detached:
            self._let_go(call_id, image)
        if pending is not None and not pending.done():
            pending.set_result(is_stored)

    def _clean(self, call_id: str, image: Image) -> None:
        image.is_dirty = False
        self._dirty.pop(call_id, None)

    async def _ready(self, call_id: str, image: Image) -> None:
        """Wait until Redis has all of a call, a second at most; not for one that is gone when the past is known."""
        deadline = self._now() + LIMIT_S
        while self._pipe(image) is None and self._images.get(call_id) is image:
            left_s = deadline - self._now()
            if left_s <= 0:
                return
            uploading = self._upload(call_id, image)
            if uploading is not None:
                await asyncio.wait((uploading,), timeout=left_s)
                if uploading.done() and not uploading.result():
                    await self._nodes.news(min(left_s, PAUSE_S))
            elif image.is_known and not image.attaching:
                return
            else:
                await self._nodes.news(min(left_s, PAUSE_S))


async def _all(begun: Sequence[asyncio.Future[Any] | None]) -> bool:
    """Wait for all that was begun, and leave it alone when the wait is cancelled; tell whether all went well."""
    if futures := [future for future in begun if future is not None]:
        await asyncio.wait(futures)
    return len(futures) == len(begun) and all(future.result() for future in futures)
