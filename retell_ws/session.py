"""One call, outliving its sockets: performs what the call machine says, and keeps its clocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

from websockets.exceptions import ConnectionClosed

from .actions import (
    Action,
    AwaitDetails,
    CancelTurn,
    DropSocket,
    Record,
    Send,
    StartGrace,
    StartTurn,
    StopGrace,
)
from .agent import Agent
from .call import CallMachine, State
from .facts import Fact
from .handle import Call
from .line import Line
from .peer import Peer
from .ports import Model
from .settings import Settings
from .turn import Turn

__all__ = ["Session", "Spawn"]

logger = logging.getLogger(__name__)

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Starts a task that somebody who outlives it owns."""


class Session:
    """The driver of one call.

    Args:
        call_id: Retell's id of the call.
        agent: Who answers.
        model: Who finds the words.
        settings: The deadlines.
        spawn: Starts the turns' tasks.
        record: Takes each fact; a plain function that never waits.
        ended: Called once, when the call is over.
    """

    def __init__(
        self,
        call_id: str,
        *,
        agent: Agent,
        model: Model,
        settings: Settings,
        spawn: Spawn,
        record: Callable[[str, Fact], None],
        ended: Callable[[Session], None],
    ) -> None:
        self.call_id = call_id
        self._agent = agent
        self._model = model
        self._settings = settings
        self._spawn = spawn
        self._record = record
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._call = CallMachine(call_id, agent)
        self._newest: Peer | None = None
        self._older: Peer | None = None
        self._turn: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._details: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._was_dropped = False
        self._line = Line(call=self._call, view=Call(call_id), perform=self._perform, lost=self._lost)

    @property
    def is_attached(self) -> bool:
        """A socket is there."""
        return self._line.peer is not None

    @property
    def is_live(self) -> bool:
        """Somebody is on the line, or will be: a socket is there, or it broke and Retell is about to redial."""
        return self.is_attached or self._was_dropped

    # ------------------------------------------------------------------------ sockets

    async def serve(self, peer: Peer) -> None:
        """Take a socket, perhaps in place of an older one, and read it to its end.

        The reader is also who answers pings, and it waits for nothing but the next message: no turn, no slow
        peer and no full buffer comes between a ping and its echo (protocol §1.5).
        """
        self._older, self._line.peer = self._line.peer, peer
        self._newest = peer
        self._stop_silence()
        self._perform(self._call.attached(self._loop.time()))
        self._warm()
        try:
            while True:
                data = await peer.recv()
                if self._newest is not peer:
                    break
                # Retell's last messages may lie here when the line is known to be gone: what they ask is still open.
                self._line.look()
                now = self._heard_at = self._loop.time()
                self._perform(self._call.receive(data, now))
                if self._silence is None and self._call.has_pinged and self._line.peer is peer:
                    self._silence = self._loop.call_at(now + self._settings.silence_s, self._still_silent)
        except ConnectionClosed as exc:
            if self._newest is peer:
                self._was_dropped = exc.rcvd is None
        finally:
            if self._line.peer is peer:
                self._lost()

    def _lost(self) -> None:
        """The socket is gone, or as good as gone: from here on words are held."""
        self._line.peer = None
        self._stop_silence()
        self._perform(self._call.detached(self._loop.time()))

    def _still_silent(self) -> None:
        self._silence = None
        due = self._heard_at + self._settings.silence_s
        if self._loop.time() < due:
            self._silence = self._loop.call_at(due, self._still_silent)
        elif self._line.peer is not None:
            logger.warning("silent for %g s: socket dropped", self._settings.silence_s, extra={"call_id": self.call_id})
            self._line.peer.drop()
            self._lost()

    # ------------------------------------------------------------------------ leaving

    async def leave(self, turn_s: float) -> None:
        """Give the call up to another server, between turns: wait for the running turn, then drop the socket.

        Args:
            turn_s: Longest wait for the running turn, in seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(turn_s):
                while self._turn is not None and not self._turn.done():  # a barge-in may have started another
                    await asyncio.wait((self._turn,))
        self.close()

    def close(self) -> None:
        """The call is over: stop everything that runs for it."""
        if self._call.state is State.CLOSED:
            return
        for timer in (self._grace, self._details, self._silence):
            if timer is not None:
                timer.cancel()
        peer, self._line.peer, self._newest = self._line.peer, None, None
        if peer is not None:
            peer.release()
        self._perform(self._call.closed(self._loop.time()))
        self._line.close()
        self._turn = None
        self._ended(self)

    # ------------------------------------------------------------------------ what the machine says

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send(frame=frame):
                    self._line.write(frame)
                case Record(fact=fact):
                    self._record(self.call_id, fact)
                case StartTurn():
                    self._line.view.details = self._call.details
                    turn = Turn(action, line=self._line, agent=self._agent, model=self._model, settings=self._settings)
                    self._turn = self._spawn(turn.run())
                case CancelTurn():
                    if self._turn is not None:
                        self._turn.cancel()
                        self._warm()
                case AwaitDetails():
                    if self._details is not None:
                        self._details.cancel()
                    wait_s = self._settings.details_wait_ms / 1000
                    self._details = self._loop.call_later(wait_s, self._details_due)
                case StartGrace():
                    self._grace = self._loop.call_later(self._settings.grace_s, self.close)
                case StopGrace():
                    if self._grace is not None:
                        self._grace.cancel()
                        self._grace = None
                case DropSocket():
                    if self._older is not None:
                        self._older.drop()
                        self._older = None

    def _warm(self) -> None:
        # A call will soon ask, and a cancelled stream has just cost its connection (HTTP/1.1 can stop no other way).
        self._spawn(self._model.warm())

    def _details_due(self) -> None:
        self._perform(self._call.details_due(self._loop.time()))

    def _stop_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
