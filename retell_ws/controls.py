"""Does to a call what its agent's functions ask for, from the loop or from a thread of theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from .errors import CallError
from .intent import Intent
from .line import Line
from .speech import split
from .wire import AgentConfig, Metadata

__all__ = ["CallControls"]

LOOP_S: Final = 5.0
"""Seconds a thread waits for the loop; a loop that takes longer is stopping."""

_Result = TypeVar("_Result")


class CallControls:
    """Implements `handle.Controls`. Make it in the loop.

    Args:
        line: The call's end of the line.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        """Let this happen; see `handle.Controls.place`."""
        self._in_loop(lambda: self._line.place(generation, intent, words))

    def say(self, generation: int | None, text: str) -> None:
        """Say this now; see `handle.Controls.say`."""
        self._in_loop(lambda: self._say(generation, text))

    def update(self, config: AgentConfig) -> None:
        """Change how the agent behaves; see `handle.Controls.update`."""
        self._in_loop(lambda: self._line.later(lambda call, _: call.update(config)))

    def send(self, metadata: dict[str, Any]) -> None:
        """Hand this to the browser; see `handle.Controls.send`."""
        self._in_loop(lambda: self._line.note(Metadata(metadata=metadata)))

    def _say(self, generation: int | None, text: str) -> None:
        if not text.strip():
            return
        if generation is None:
            self._line.later(lambda call, now: call.speak(text, now))
            return
        # A turn the caller has spoken into is mute: its tools' words would cut off the answer to what they said.
        space = " " if not text[0].isspace() and self._line.call.answer.needs_space(generation) else ""
        for piece in split(f"{space}{text}" if text[-1:].isspace() else f"{space}{text} "):
            self._line.say(generation, piece)

    def _in_loop(self, do: Callable[[], _Result]) -> _Result:
        """Run this in the loop's thread, whichever thread asks."""
        if threading.get_ident() == self._thread:
            return do()
        done: Future[_Result] = Future()

        def run() -> None:
            try:
                done.set_result(do())
            except BaseException as exc:
                done.set_exception(exc)

        try:
            self._loop.call_soon_threadsafe(run)
            return done.result(timeout=LOOP_S)
        except (RuntimeError, TimeoutError):
            raise CallError("the server is stopping") from None
