"""The calls this process has taken, as images, and how Redis learns of each change of them.

What changes goes at once, fenced by the epoch of the attach, over a pipe on which nothing waits. Whatever did not
arrive, or found that Redis has lost the call, makes the call *dirty*: nothing more of it is sent, and all of its image
is uploaded as soon as that can be done. A new connection makes every call dirty: it may lead to a Redis that has
forgotten everything, and what the old one still carries must not overtake what is sent over it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from .call_image import Image, paired
from .redis_nodes import Nodes, word_of
from .redis_pipe import Pipe, pack
from .redis_scripts import ALL, APPLY, REFUSED, UPLOAD, WRITTEN

__all__ = ["Images"]

logger = logging.getLogger(__name__)

READY_S: Final = 1.0
"""Seconds waited for a call to be brought to Redis before one of its side effects."""

BATCH: Final = 64
"""Calls uploaded at one time."""

PAUSE_S: Final = 0.05
"""Seconds between two tries to upload what Redis did not take; twice as many each time."""

LONGEST_PAUSE_S: Final = 1.0

FLUSH_S: Final = 1.0
"""Seconds that what is under way may take at the end."""

MAX_DETACHED: Final = 5000
"""Calls without a session whose image is kept because Redis still lacks something of them."""

MAX_LOST: Final = 10_000
"""Calls remembered to have been lost, so that what their sessions still write is refused."""

FOREVER_US: Final = 10**18
"""Microseconds since the attach of a call that was never attached: whoever has it was there before."""


class Images:
    """The images of one server's calls.

    Args:
        url: As of `redis_client.client_of`.
        name: Of this server.
        prefix: What every key begins with.

    Attributes:
        nodes: The servers of Redis.
        counted: Writes that were `written`, `refused` or `failed`.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, url: str, *, name: bytes, prefix: str) -> None:
        self.nodes = Nodes(url, what="calls", scripts=ALL, opened=self._opened)
        self.counted = {"written": 0.0, "refused": 0.0, "failed": 0.0}
        self._name = name
        self._prefix = prefix
        self._images: dict[str, Image] = {}
        self._detached: OrderedDict[str, None] = OrderedDict()
        self._lost: OrderedDict[str, None] = OrderedDict()
        self._dirty: dict[str, Image] = {}
        self._work = asyncio.Event()
        self._uploading: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._images)

    async def start(self) -> None:
        """Connect, if that can be done, and begin to upload."""
        await self.nodes.start()
        self._uploading = asyncio.create_task(self._upload_dirty())

    async def aclose(self) -> None:
        """Let what is under way arrive, for a second at most, and close the connections."""
        try:
            async with asyncio.timeout(FLUSH_S):
                begun = [self._upload(call_id, image) for call_id, image in list(self._dirty.items())]
                await _all(begun)
                # Replies come in order: with this one all are there. Every user may ask it.
                await _all([pipe.ask(pack(("HELLO",))) for pipe in self.nodes.pipes()])
        except TimeoutError:
            pass
        if self._uploading is not None:
            self._uploading.cancel()
            await asyncio.wait((self._uploading,))
        await self.nodes.aclose()

    # ------------------------------------------------------------------------ what is held

    def key(self, call_id: str) -> bytes:
        """Give the key of a call's hash: the id is its hash tag."""
        return f"{self._prefix}{{{call_id}}}".encode("utf-8", "surrogatepass")

    def get(self, call_id: str) -> Image | None:
        """Give the image of a call, if there is one."""
        return self._images.get(call_id)

    def taken(self, call_id: str) -> Image:
        """Give the image of a call that is being attached."""
        self._lost.pop(call_id, None)
        self._detached.pop(call_id, None)
        return self._images.get(call_id) or self._new(call_id)

    def _new(self, call_id: str) -> Image:
        key = self.key(call_id)
        image = self._images[call_id] = Image(key, Nodes.slot_of(key))
        return image

    def detach(self, call_id: str) -> None:
        """Note that a call has no session any more."""
        self._lost.pop(call_id, None)
        if (image := self._images.get(call_id)) is not None:
            image.is_detached, image.lost = True, None
            self._leave(call_id)
            self.let_go(call_id, image)

    def own(self, call_id: str) -> Image | None:
        """Give the image to change; None when another server has the call."""
        image = self._images.get(call_id)
        if image is None:
            if call_id in self._lost:
                self.counted["refused"] += 1
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

    def let_go(self, call_id: str, image: Image) -> None:
        """Forget a call that has no session, once Redis lacks nothing of it."""
        if self._images.get(call_id) is not image:
            return  # it was dropped, and the call may have been taken again
        if image.is_detached and not (image.in_flight or image.is_dirty or image.attaching or image.runs()):
            self._detached.pop(call_id, None)
            self._drop(call_id)

    def _drop(self, call_id: str) -> None:
        self._images.pop(call_id, None)
        self._dirty.pop(call_id, None)

    def soil(self, call_id: str, image: Image) -> None:
        """Note that Redis lacks something of a call."""
        image.is_dirty = True
        self._dirty[call_id] = image
        self._work.set()

    def refuse(self, call_id: str, image: Image, epoch: int) -> None:
        """Note that a write under an epoch was refused: another server has the call, or this one has a newer epoch."""
        self.counted["refused"] += 1
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

    def pipe(self, image: Image) -> Pipe | None:
        """Give the pipe on which a change of a call may be sent; None while Redis lacks something else of it."""
        if not image.is_confirmed or image.is_dirty or image.attaching:
            return None
        pipe = self.nodes.pipe(image.slot)
        return pipe if pipe is not None and pipe is image.pipe and pipe.has_room() else None

    def confirm(self, image: Image, epoch: int) -> None:
        """Note the epoch under which Redis knows this server to have a call."""
        image.epoch, image.pipe = epoch, self.nodes.pipe(image.slot)
        image.is_confirmed = image.is_known = True

    def apply(self, call_id: str, image: Image, changed: list[Any], gone: list[Any]) -> None:
        """Send a change that the image has already: fields and values, and fields that are gone."""
        self.send(call_id, image, APPLY.sha, len(changed), *changed, *gone)

    def send(self, call_id: str, image: Image, sha: str, *arguments: Any) -> None:
        """Send a change that the image has already, at once, or later with all the rest."""
        image.changes += 1
        if (pipe := self.pipe(image)) is None:
            self.counted["failed"] += 1
            self.soil(call_id, image)
            return
        image.in_flight += 1
        command = pack(("EVALSHA", sha, 1, image.key, image.epoch, self._name, *arguments))
        pipe.send(command, self._answered, call_id, (image, image.epoch, pipe))

    def _answered(self, reply: Any, call_id: str, about: tuple[Image, int, Pipe]) -> None:
        image, epoch, pipe = about
        image.in_flight -= 1
        if reply == WRITTEN:
            self.counted["written"] += 1
        elif reply == REFUSED:
            self.refuse(call_id, image, epoch)
        else:
            self._failed(call_id, image, pipe, reply)
        if image.is_detached:
            self.let_go(call_id, image)

    def _failed(self, call_id: str, image: Image, pipe: Pipe, reply: Any) -> None:
        self.counted["failed"] += 1
        self.tell(reply)
        self.nodes.wrong(pipe, reply)
        if self._images.get(call_id) is image:
            self.soil(call_id, image)

    def tell(self, reply: Any) -> None:
        """Log an error of Redis's that somebody should see, once each."""
        word = word_of(reply)
        if word and word not in self._told and word not in ("NOSCRIPT", "MOVED", "ASK", "TRYAGAIN"):
            self._told.add(word)
            logger.error("calls: Redis does not do as it is told: %s", word)

    # ------------------------------------------------------------------------ what is brought again

    def _opened(self) -> None:
        # It may lead to a Redis that has forgotten everything.
        for call_id, image in self._images.items():
            if (pipe := self.nodes.pipe(image.slot)) is not None and pipe is not image.pipe:
                self.soil(call_id, image)
        self._work.set()

    async def _upload_dirty(self) -> None:
        pause = PAUSE_S
        while True:
            await self._work.wait()
            self._work.clear()
            # There is news when a connection is made, and when something is written: without a pipe nothing is to do.
            waiting = [(call_id, image) for call_id, image in self._dirty.items() if self.nodes.pipe(image.slot)]
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
        pipe = self.nodes.pipe(image.slot)
        if pipe is None or not pipe.has_room() or image.attaching:
            return None
        image.pending = asyncio.get_running_loop().create_future()
        image.in_flight += 1
        image.uploads += 1
        mode = "attach" if not image.is_confirmed else "same" if pipe is image.pipe else "again"
        if mode == "same":  # what comes after it on the pipe finds it done
            self._clean(call_id, image)
        age_us = FOREVER_US if image.attached_at is None else int((time.monotonic() - image.attached_at) * 1e6)
        arguments = (image.epoch, self._name, mode, age_us, *image.fields())
        command = pack(("EVALSHA", UPLOAD.sha, 1, image.key, *arguments))
        pipe.send(command, self._uploaded, call_id, (image, image.epoch, pipe, mode, image.changes))
        return image.pending

    def _uploaded(self, reply: Any, call_id: str, about: tuple[Image, int, Pipe, str, int]) -> None:
        image, epoch, pipe, mode, changes = about
        pending, image.pending = image.pending, None
        image.in_flight -= 1
        is_stored = isinstance(reply, list) and reply[0] == WRITTEN
        if is_stored:
            self.counted["written"] += 1
            # Another attach of ours that is under way comes after this, and is told of what was stored.
            if not image.attaching and image.epoch == epoch:
                self.confirm(image, int(reply[1]))
                image.add(paired(reply[2]))
                if mode != "same" and image.changes == changes:
                    self._clean(call_id, image)
        elif isinstance(reply, list):
            self.refuse(call_id, image, epoch)
        else:
            self._failed(call_id, image, pipe, reply)
        if image.is_detached:
            self.let_go(call_id, image)
        if pending is not None and not pending.done():
            pending.set_result(is_stored)

    def _clean(self, call_id: str, image: Image) -> None:
        image.is_dirty = False
        self._dirty.pop(call_id, None)

    async def ready(self, call_id: str, image: Image) -> None:
        """Wait until Redis has all of a call, a second at most; not for one that is gone when the past is known."""
        deadline = asyncio.get_running_loop().time() + READY_S
        while self.pipe(image) is None and self._images.get(call_id) is image:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                return
            uploading = self._upload(call_id, image)
            if uploading is not None:
                await asyncio.wait((uploading,), timeout=left_s)
                if uploading.done() and not uploading.result():
                    await self.nodes.news(min(left_s, PAUSE_S))
            elif image.is_known and not image.attaching:
                return
            else:
                await self.nodes.news(min(left_s, PAUSE_S))


async def _all(begun: Sequence[asyncio.Future[Any] | None]) -> bool:
    """Wait for all that was begun, and leave it alone when the wait is cancelled; tell whether all went well."""
    if futures := [future for future in begun if future is not None]:
        await asyncio.wait(futures)
    return len(futures) == len(begun) and all(future.result() for future in futures)
