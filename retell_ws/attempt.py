"""One request for an answer, from its start to its first delta; whoever wins is then read like any stream.

A stream can only be raced by a task, and a task for each delta would cost more than the delta. So the first one is
awaited in a task of its own, where others wait beside it, and the rest of the stream where the answer is read: an
asynchronous generator does not mind who asks it for its next value.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from .errors import ModelError
from .ports import WRITING, Delta, Model, Rest
from .request import ModelRequest

__all__ = ["Attempt"]


class Attempt:
    """One request. Its maker waits by `first` or beside others by `race`, then reads `result`, and owes it `close`.

    Args:
        model: Who is asked.
        request: What is asked.
        rest: Tells for how long the next words are not needed; asked only once the first delta was there.
        name: The model's name.
        is_hedge: Whether it asks the same as another one that is slow.
        now: The loop's time, in seconds.

    Attributes:
        name: The model's name.
        is_hedge: Whether it asks the same as another one that is slow.
        asked_at: When it began, in seconds.
        stream: Its deltas, without the first one.
        is_over: The first delta is there, or none will come.
        is_silent: It was told of as silent for too long.
    """

    __slots__ = ("_error", "_first", "_rest", "_task", "asked_at", "is_hedge", "is_over", "is_silent", "name",
                 "stream")  # fmt: skip

    def __init__(
        self, model: Model, request: ModelRequest, rest: Rest, *, name: str, is_hedge: bool, now: float
    ) -> None:
        self.name = name
        self.is_hedge = is_hedge
        self.asked_at = now
        self.is_over = self.is_silent = False
        self._rest = rest
        self._first: Delta | None = None
        self._error: ModelError | None = None
        self._task: asyncio.Task[None] | None = None
        self.stream: AsyncGenerator[Delta, None] = model.stream(request, self._rest_of_the_winner)

    def _rest_of_the_winner(self) -> float:
        return self._rest() if self.is_over else 0.0

    async def first(self) -> None:
        """Wait for the first delta or a fault. Cancelling closes the stream.

        A call that is being written is none: when it breaks off there, another model may answer, as nobody has heard
        or done anything of it.
        """
        try:
            self._first = await anext(self.stream, None)
            while self._first is WRITING:
                self._first = await anext(self.stream, None)
        except ModelError as exc:
            self._error = exc
        self.is_over = True

    def race(self) -> asyncio.Task[None]:
        """Do so in a task, which is the same one every time."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.first())
        return self._task

    @property
    def is_racing(self) -> bool:
        """It waits in a task."""
        return self._task is not None

    @property
    def has_spoken(self) -> bool:
        """Its first delta is there."""
        return self.is_over and self._error is None

    def result(self) -> Delta | None:
        """Give the first delta once; None when the stream stopped without one.

        Raises:
            ModelError: A fault came first.
        """
        if self._task is not None:
            self._task.result()  # what no model may raise goes its way
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it leads back to this frame, and such a cycle waits for the collector
        first, self._first = self._first, None
        return first

    def stop(self) -> None:
        """Want nothing more: the stream closes at the loop's next step. Does not wait."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait until the stream is closed. Cancelling ends the waiting, not the closing."""
        self._error = None
        task = self._task
        if task is not None:
            if not task.done():
                if not task.cancelling():  # a second cancel would break into the stream's own clean-up
                    task.cancel()
                await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # nobody's affair any more
        with suppress(ModelError):
            await self.stream.aclose()
