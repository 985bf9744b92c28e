"""The calls of one server: each has one session, however many sockets, and who has it is the store's to say.

A call is taken at each of its sockets, because another server may have had it since the last one. It is let go of when
it has ended, when this server gives it up, or when another one has taken it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from .agent import Agent
from .entries import AnyFact
from .ports import CallStore, Kept, TurnModel
from .session import Session
from .settings import Settings
from .verification import Verify
from .waste import Waste

__all__ = ["Calls"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

LAST_TURN_S: Final = 10.0
"""Seconds a running turn, or a side effect, may still take when its call is to leave."""

PACE_S: Final = 0.02
"""Seconds between two calls that leave: 50 redials a second, which the servers that take them do not notice."""

SPREAD_S: Final = 10.0
"""Seconds in which all have left, however many they are: whoever stops us does not wait for ever."""

CLOSE_S: Final = 5.0
"""Seconds that cancelled turns may take to end; an agent's function that swallows its cancel must not hold the exit."""

LASTING_S: Final = 10.0
"""Seconds that side effects and the ends of calls may still take: what is on the wire should be known to be done."""


class Calls:
    """The calls that one server has.

    Args:
        agent: Who answers.
        model: Who finds the words.
        store: What outlives a call's session.
        settings: The settings.
        verify: Asks Retell's API about a call; None when calls are not verified.
        record: Takes each fact, with the call's id, the epoch and the number; a plain function that never waits.
        tells_speech: It takes facts with speech in them, too.
        is_watched: Somebody may look on.
    """

    def __init__(
        self,
        agent: Agent,
        model: TurnModel,
        store: CallStore,
        settings: Settings,
        *,
        verify: Verify | None,
        record: Callable[[str, int, int, AnyFact], None],
        tells_speech: bool = False,
        is_watched: bool = False,
    ) -> None:
        self._agent = agent
        self._model = model
        self._store = store
        self._settings = settings
        self._verify = verify
        self._record = record
        self._tells_speech = tells_speech
        self._is_watched = is_watched
        self._waste = Waste(settings.speculation_percent / 100)
        self._sessions: dict[str, Session] = {}
        self._leases: dict[str, object] = {}  # by call: the newest time this server took it
        self._taking: Counter[str] = Counter()  # by call: sockets for which the store has not answered yet
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lasting: set[asyncio.Task[Any]] = set()
        self._freed = asyncio.Event()

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._sessions

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __reversed__(self) -> Iterator[Session]:
        return reversed(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, call_id: str) -> Session | None:
        """Give the session of a call; None when it is not here."""
        return self._sessions.get(call_id)

    def attached(self) -> int:
        """Count the calls with a socket."""
        return sum(session.is_attached for session in self._sessions.values())

    def live(self) -> int:
        """Count the calls with somebody on the line, or about to be again."""
        return sum(session.is_live for session in self._sessions.values())

    # ------------------------------------------------------------------------ come

    async def take(self, call_id: str, wanted: Callable[[], bool]) -> Session | None:
        """Take a call, from whichever server has it, for one more socket of its.

        Args:
            call_id: The call.
            wanted: Asked when the store has answered: whether a call that has no session here may get one.

        Returns:
            Its session; None when it is not wanted any more.
        """
        lease = self._leases[call_id] = object()
        self._taking[call_id] += 1
        try:
            kept = await self._store.attach(call_id, lambda: self._lost(call_id, lease))
        finally:
            self._taking[call_id] -= 1
            if not self._taking[call_id]:
                del self._taking[call_id]
        session = self._sessions.get(call_id)
        if session is not None and kept.has_moved:
            session.moved()  # it was elsewhere meanwhile: what this server remembers of it is out of date
            session = None
        if session is None and not wanted():
            self._detach_unused(call_id)
            return None
        return session or self._begun(call_id, kept)

    def _begun(self, call_id: str, kept: Kept) -> Session:
        session = self._sessions[call_id] = Session(
            call_id,
            agent=self._agent,
            model=self._model,
            store=self._store,
            kept=kept,
            settings=self._settings,
            verify=self._verify,
            spawn=self.spawn,
            spawn_lasting=self._spawn_lasting,
            record=self._record,
            tells_speech=self._tells_speech,
            is_watched=self._is_watched,
            ended=self._forget,
            waste=self._waste,
        )
        return session

    # ------------------------------------------------------------------------ go

    def _lost(self, call_id: str, lease: object) -> None:
        """Another server has taken the call, unless it has come back since."""
        if self._leases.get(call_id) is lease and (session := self._sessions.get(call_id)) is not None:
            session.moved()

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.call_id, None)
        self._freed.set()
        self._spawn_lasting(self._let_go(session))

    async def _let_go(self, session: Session) -> None:
        """Let go of a call in the store, when all of it is written."""
        await session.settled()
        self._detach_unused(session.call_id)

    def _detach_unused(self, call_id: str) -> None:
        if call_id not in self._sessions and call_id not in self._taking:  # it may have come back, or be about to
            self._leases.pop(call_id, None)
            self._store.detach(call_id)

    def changed(self) -> None:
        """A socket has ended."""
        self._freed.set()

    async def gone(self) -> None:
        """Wait until nobody is on the line any more."""
        while self.live():
            self._freed.clear()
            await self._freed.wait()

    async def leave(self) -> None:
        """Give every call up, between turns and one after the other, for other servers to take."""
        sessions = list(self._sessions.values())
        pace_s = min(PACE_S, SPREAD_S / max(1, len(sessions)))
        async with asyncio.TaskGroup() as leaving:
            for session in sessions:
                is_live = session.is_live
                leaving.create_task(self._leave(session))
                if is_live:
                    await asyncio.sleep(pace_s)

    async def _leave(self, session: Session) -> None:
        try:
            await session.leave(LAST_TURN_S)
        except Exception:  # a bug of ours must cost one call at most, and not even that: dropped, Retell redials
            logger.exception("a call did not leave", extra={"call_id": session.call_id})
            session.give_up()

    async def end(self) -> None:
        """Let go of every call at once, and wait, within limits, for what still runs for them."""
        for session in list(self._sessions.values()):
            session.give_up()
        for task in self._tasks:
            task.cancel()
        if self._lasting:
            _, unfinished = await asyncio.wait(self._lasting, timeout=LASTING_S)
            for task in unfinished:
                task.cancel()
        if tasks := self._tasks | self._lasting:
            _, stuck = await asyncio.wait(tasks, timeout=CLOSE_S)
            if stuck:
                logger.error("%d tasks of the agent's functions do not end: left behind", len(stuck))

    # ------------------------------------------------------------------------ tasks

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a task that is cancelled at the server's end."""
        return self._own(work, self._tasks)

    def _spawn_lasting(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        return self._own(work, self._lasting)

    def _own(self, work: Coroutine[Any, Any, _T], owner: set[asyncio.Task[Any]]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        owner.add(task)
        task.add_done_callback(owner.discard)
        return task
