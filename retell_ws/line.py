"""The call's end of the line: words go through the machine to whichever socket is there, in one step.

Between the machine's "this may leave" and the write there is no await, no queue and no task.
"""

from __future__ import annotations

from collections.abc import Callable

from .actions import Action
from .call import CallMachine
from .handle import Call
from .peer import Peer

__all__ = ["Line"]


class Line:
    """What a turn holds of its call.

    Args:
        call: The machine.
        view: The call as the agent's functions see it.
        perform: Performs the machine's actions.
        lost: Called when the socket turns out to be gone before its reader noticed.

    Attributes:
        peer: The present socket; None while the call is away.
    """

    __slots__ = ("_lost", "_perform", "call", "peer", "view")

    def __init__(
        self,
        *,
        call: CallMachine,
        view: Call,
        perform: Callable[[tuple[Action, ...]], None],
        lost: Callable[[], None],
    ) -> None:
        self.call = call
        self.view = view
        self.peer: Peer | None = None
        self._perform = perform
        self._lost = lost

    def look(self) -> None:
        """Notice a socket that ended an instant ago: it would swallow a frame, and the words must be held instead."""
        if self.peer is not None and not self.peer.is_open:
            self._lost()

    def say(self, generation: int, text: str) -> bool:
        """Say a piece of a generation's text, of at most `speech.MAX_PIECE` characters, if it is still wanted.

        Returns:
            Whether the peer is slow to read, so that `room` should be waited for.
        """
        self.look()
        frame, peer = self.call.say(generation, text), self.peer
        return frame is not None and peer is not None and peer.write(frame)

    def finish(self, generation: int, now: float, text: str) -> None:
        """Say the last piece of a generation and complete its id."""
        self.look()
        self._perform(self.call.finish(generation, now, text))

    def fail(self, generation: int, now: float, why: str, line: str) -> None:
        """Say `line` instead of the rest of a generation and complete its id."""
        self.look()
        self._perform(self.call.fail(generation, now, why, line))

    def write(self, frame: bytes) -> None:
        """Write a frame of the machine's now."""
        if self.peer is not None:
            self.peer.write(frame)

    def close(self) -> None:
        """Let go of the call. Without this the call would be freed by the cycle collector only, which runs rarely."""
        self.peer = None
        self._perform = _nothing
        self._lost = _nothing

    async def room(self) -> None:
        """Wait until the peer has read on or is gone, so that the model is slowed down with it."""
        if self.peer is not None:
            await self.peer.room()


def _nothing(*_: object) -> None:
    pass
