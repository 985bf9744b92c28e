"""The call's end of the line: words go through the machine to whichever socket is there, in one step.

Between the machine's "this may leave" and the write there is no await, no queue and no task.
"""

from __future__ import annotations

from collections.abc import Callable

from .actions import Action
from .call import CallMachine, State
from .errors import CallError
from .intent import Intent
from .peer import Peer
from .wire import Metadata, ToolCallInvocation, ToolCallResult

__all__ = ["Line"]


class Line:
    """What a turn holds of its call.

    Args:
        call: The machine.
        perform: Performs the machine's actions.
        lost: Called when the socket turns out to be gone before its reader noticed.
        now: The time in seconds.

    Attributes:
        peer: The present socket; None while the call is away.
        keep: Writes down what is about to be said; None where nobody else would read it.
        changed: Writes down, in a moment, what else has changed; likewise.
    """

    __slots__ = ("_lost", "_now", "_perform", "call", "changed", "keep", "peer")

    def __init__(
        self,
        *,
        call: CallMachine,
        perform: Callable[[tuple[Action, ...]], None],
        lost: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self.call = call
        self.keep: Callable[[str], None] | None = None
        self.changed: Callable[[], None] | None = None
        self.peer: Peer | None = None
        self._perform = perform
        self._lost = lost
        self._now = now

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
        sent = self.call.answer.sent
        frame, peer = self.call.say(generation, text), self.peer
        if frame is None or peer is None:
            return False
        if self.keep is not None:
            self.keep(self.call.answer.said_since(sent))
        return peer.write(frame)

    def finish(self, generation: int, text: str) -> None:
        """Say the last piece of a generation and complete its id."""
        self.do(lambda call, now: call.finish(generation, now, text))

    def fail(self, generation: int, why: str, line: str) -> None:
        """Say `line` instead of the rest of a generation and complete its id."""
        self.do(lambda call, now: call.fail(generation, now, why, line))

    def insist(self, generation: int) -> bool:
        """Answer with what was about to happen, when the caller only agreed; tells whether the id is answered so."""
        self.do(lambda call, now: call.insist(generation, now))
        return not self.call.answer.wants(generation)

    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        """Let this happen to the call. Raises `CallError` when it cannot."""
        self.look()
        actions = self.call.place(generation, intent, words, self._now())
        if actions is None:
            raise CallError("not possible: the agent is leaving already, or the caller has spoken since")
        self._performed(actions)

    def note(self, message: ToolCallInvocation | ToolCallResult | Metadata) -> bool:
        """Tell Retell something beside the talk; says whether it is told: nothing is once the agent leaves."""
        is_told = self.call.state not in (State.ENDING, State.CLOSED)
        self.do(lambda call, _: call.note(message))
        return is_told

    def do(self, what: Callable[[CallMachine, float], tuple[Action, ...]]) -> None:
        """Ask the machine, which is given the time, and do what it says."""
        self.look()
        self._perform(what(self.call, self._now()))

    def later(self, what: Callable[[CallMachine, float], tuple[Action, ...]]) -> None:
        """The same for a step that may have nothing to do before the answer has ended, or a socket has come."""
        self.look()
        self._performed(what(self.call, self._now()))

    def _performed(self, actions: tuple[Action, ...]) -> None:
        self._perform(actions)
        if not actions and self.changed is not None:  # what is to come must be known to whoever takes the call
            self.changed()

    def write(self, frame: bytes) -> None:
        """Write a frame of the machine's now."""
        if self.peer is not None:
            self.peer.write(frame)

    def close(self) -> None:
        """Let go of the call. Without this the call would be freed by the cycle collector only, which runs rarely."""
        self.peer = self.keep = self.changed = None
        self._perform = _nothing
        self._lost = _nothing

    async def room(self) -> None:
        """Wait until the peer has read on or is gone, so that the model is slowed down with it."""
        if self.peer is not None:
            await self.peer.room()


def _nothing(*_: object) -> None:
    pass
