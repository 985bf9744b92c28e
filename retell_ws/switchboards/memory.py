"""Servers of one process ask each other: for tests of what servers do to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ..control import Reply
from ..letters import Request
from ..ports import Missed, Sights
from ..views import CallView, ServerView

__all__ = ["MemorySwitchboard"]


class MemorySwitchboard:
    """Implements `ports.Switchboard`.

    Args:
        name: The server's.
        beside: That of another server, which can then be asked, and can ask this one.
    """

    def __init__(self, name: str, *, beside: MemorySwitchboard | None = None) -> None:
        self._name = name
        self._servers: dict[str, Callable[[Request], Reply]] = {} if beside is None else beside._servers
        self._sights: dict[str, Sights | None] = {} if beside is None else beside._sights
        self._counted = {"asked": 0.0, "answered": 0.0, "ignored": 0.0, "degraded": 0.0}

    @property
    def name(self) -> str:
        """See `ports.Switchboard.name`."""
        return self._name

    @property
    def is_up(self) -> bool:
        """See `ports.Switchboard.is_up`."""
        return self._name in self._servers

    def listening(
        self, answer: Callable[[Request], Reply], sights: Sights | None = None
    ) -> AbstractAsyncContextManager[object]:
        """Take requests; see `ports.Switchboard.listening`."""
        return self._listening(answer, sights)

    @asynccontextmanager
    async def _listening(self, answer: Callable[[Request], Reply], sights: Sights | None) -> AsyncIterator[None]:
        def counted(request: Request) -> Reply:
            self._counted["answered"] += 1
            return answer(request)

        self._servers[self._name], self._sights[self._name] = counted, sights
        try:
            yield
        finally:
            del self._servers[self._name], self._sights[self._name]

    async def ask(self, server: str, request: Request, limit_s: float) -> Reply | Missed:
        """Have another server do something; see `ports.Switchboard.ask`."""
        self._counted["asked"] += 1
        answer = self._servers.get(server)
        return "gone" if answer is None else answer(request)

    async def show(self, server: str, call_id: str, limit_s: float) -> CallView | Missed | None:
        """Have another server show a call; see `ports.Switchboard.show`."""
        sights = self._sights.get(server)
        if sights is None:
            return None if server in self._servers else "gone"
        return await sights.call(call_id)

    async def roll_call(self, limit_s: float) -> tuple[Sequence[ServerView], bool]:
        """Ask all others how they are doing; see `ports.Switchboard.roll_call`."""
        others = (sights for name, sights in self._sights.items() if sights is not None and name != self._name)
        return [sights.server() for sights in others], self.is_up

    def figures(self) -> Mapping[str, float]:
        """Count; see `ports.Switchboard.figures`."""
        return self._counted
