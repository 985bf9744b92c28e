"""The call port: who may open a socket, which call it belongs to, and how the server leaves.

A socket ends by one of three verbs only. Two are in `peer.py`; *refuse* is here: an HTTP status before the
handshake. A handler never returns before its socket is gone, because the library would then close it with 1000,
and 1000 hangs up on the caller (protocol §1.6).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .agent import Agent
from .connection import MUTE, Connection, making
from .errors import UsageError
from .facts import BadMessage, CallEnded, CallStarted, Fact, OverBudget, TurnFailed
from .http import HttpPort
from .measures import Measures
from .peer import Peer
from .ports import CallStore, Kept, Model
from .route import PREFIX, call_id_of
from .session import Session
from .settings import Settings
from .stalls import LoopWatch
from .verification import Verify
from .waste import Waste

__all__ = ["Server"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of one message: the transcript of a two-hour call with tool items needs 2.6 MB (protocol §1.9)."""

MAX_QUEUE: Final = 4
"""Messages the library may hold for a reader that is behind; with `MAX_MESSAGE` the bound of one peer's memory."""

PENDING: Final = 32 * 1024
"""Bytes that may wait to be written before a peer counts as not reading: minutes of speech."""

HANDSHAKE_S: Final = 5.0
"""Seconds a client may take for its request; Retell gives up its own attempt after 7 (protocol §1.4)."""

LAST_TURN_S: Final = 10.0
"""Seconds a running turn, or a side effect, may still take when its call is to leave."""

PACE_S: Final = 0.02
"""Seconds between two calls that leave: 50 redials a second, which the servers that take them do not notice."""

SPREAD_S: Final = 10.0
"""Seconds in which all have left, however many they are: whoever stops us does not wait for ever."""

HEADROOM: Final = 1.1
"""How far calls that another server had may go beyond `max_calls`: shed, they would be lost in mid-sentence."""

CLOSE_S: Final = 5.0
"""Seconds that cancelled turns may take to end; an agent's function that swallows its cancel must not hold the exit."""

LASTING_S: Final = 10.0
"""Seconds that side effects and the ends of calls may still take: what is on the wire should be known to be done."""

GOODBYE_S: Final = 2.0
"""Seconds a peer may keep its TCP connection open after the last frame."""

RETRY_AFTER_S: Final = 2
"""Seconds told with a 503; Retell itself pauses 3 (protocol §1.4)."""


def _why(exc: OSError) -> str:
    return os.strerror(exc.errno) if exc.errno else str(exc)  # asyncio's own text says the address once more


class Server:
    """One process's call port. Use it as an async context: it listens inside, and lets go of all calls at its end.

    Args:
        agent: Who answers.
        model: Who finds the words.
        store: What outlives a call's session.
        settings: The settings.
        verify: Asks Retell's API about a call; None when calls are not verified.

    Raises:
        UsageError: On entering: the address cannot be listened on.
    """

    def __init__(
        self, agent: Agent, model: Model, store: CallStore, settings: Settings, *, verify: Verify | None = None
    ) -> None:
        self._agent = agent
        self._model = model
        self._store = store
        self._settings = settings
        self._verify = verify
        self._secrets = settings.path_secrets()
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lasting: set[asyncio.Task[Any]] = set()
        self._counted: Counter[str] = Counter()
        self._waste = Waste(settings.speculation_percent / 100)
        self._draining = False
        self._leaving = False  # for good
        self._moving: asyncio.Task[None] | None = None
        self._freed = asyncio.Event()
        self._leases: dict[str, object] = {}  # by call: the newest time this server took it
        self._listener: Listener | None = None
        self._measures = Measures(settings.budget_s(), self._attached, is_read=settings.http_port is not None)
        self._http: HttpPort | None = None
        self._beside = AsyncExitStack()  # the second port and the watch: they see the calls to their end

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.enter_context(LoopWatch(self._measures.late))
            if (http_port := self._settings.http_port) is not None:
                port = HttpPort(self._settings.http_host, http_port, self._measures, self._unready)
                self._http = await stack.enter_async_context(port)
            await self._listen()
            self._beside = stack.pop_all()
        return self

    async def _listen(self) -> None:
        host, port = self._settings.host, self._settings.port
        try:
            self._listener = await serve(
                self._handle,
                host,
                port,
                create_connection=making(send_s=self._settings.send_ms / 1000, close_s=GOODBYE_S),
                process_request=self._admit,
                reuse_port=self._settings.workers > 1,
                compression=None,  # 27 KB a socket and a third of the CPU, for frames of 120 bytes
                ping_interval=None,  # Retell's JSON ping is the keepalive; the library's would close with 1011
                max_size=MAX_MESSAGE,
                max_queue=MAX_QUEUE,
                write_limit=PENDING,
                open_timeout=HANDSHAKE_S,
                close_timeout=GOODBYE_S,
                server_header=None,
                logger=MUTE,
            )
        except OSError as exc:
            raise UsageError(f"cannot listen on {host}:{port}: {_why(exc)}; --port 0 picks a free one") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._end()
        finally:
            await self._beside.aclose()

    async def _end(self) -> None:
        self._draining = True  # whoever dials from here on finds another server
        for session in list(self._sessions.values()):
            session.close()
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
        if self._listener is not None:
            self._listener.close(close_connections=False)
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._listener.wait_closed()

    @property
    def address(self) -> str:
        """Where the server listens, without secret and call id."""
        if self._listener is None:
            raise AssertionError("the server does not listen yet")
        host, port = next(iter(self._listener.sockets)).getsockname()[:2]
        return f"ws://{f'[{host}]' if ':' in host else host}:{port}{PREFIX}"

    @property
    def url(self) -> str:
        """What Retell is given: the address, with the first secret when one is set."""
        return f"{self.address}/{self._secrets[0].decode()}" if self._secrets else self.address

    @property
    def http_address(self) -> str | None:
        """Where the second port listens; None when there is none."""
        return None if self._http is None else self._http.address

    def statistics(self) -> dict[str, float]:
        """Count what is and what was.

        Returns:
            `calls` attached now, `sessions` held, one count for each kind of fact, and what `Measures.summary` gives.
        """
        now = {"calls": self._attached(), "sessions": len(self._sessions)}
        return {**now, **self._measures.summary(), **self._counted}

    def live(self) -> int:
        """Count the calls with somebody on the line, or about to be again."""
        return sum(session.is_live for session in self._sessions.values())

    @property
    def is_draining(self) -> bool:
        """New calls are refused, for now or for good."""
        return self._draining

    async def drain(self) -> None:
        """Give up every call: refuse new ones, let the live ones finish for `drain_s`, then drop them between turns.

        Retell redials a dropped call. It finds another server even where a balancer that asks for `/readyz` has not
        looked yet, if it tries another one on 503; others have looked after `drain_delay_s`.
        """
        self._draining = self._leaving = True
        try:
            async with asyncio.timeout(max(self._settings.drain_s, self._settings.drain_delay())):
                while live := self.live():
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            logger.warning("%d calls are dropped for Retell to redial", live)
            await self._give_up_calls()

    def move_calls(self) -> None:
        """Refuse new calls, and drop the live ones between turns for other servers to take, until `take_calls`.

        Returns at once. Again, it changes nothing.
        """
        if not self._draining:
            logger.warning("%d calls are moved, and no new ones taken", self.live())
            self._draining = True
            self._moving = self._spawn(self._move_calls())

    def take_calls(self) -> None:
        """Take calls again after `move_calls`; those that have not left yet stay. No way back from `drain`."""
        if self._draining and not self._leaving:
            logger.warning("calls are taken again")
            self._draining = False
            if self._moving is not None:
                self._moving.cancel()

    async def _move_calls(self) -> None:
        await asyncio.sleep(self._settings.drain_delay())
        await self._give_up_calls()

    async def _give_up_calls(self) -> None:
        sessions = list(self._sessions.values())
        pace_s = min(PACE_S, SPREAD_S / max(1, len(sessions)))
        async with asyncio.TaskGroup() as leaving:
            for session in sessions:
                is_live = session.is_live
                leaving.create_task(session.leave(LAST_TURN_S))
                if is_live:
                    await asyncio.sleep(pace_s)

    # ------------------------------------------------------------------------ who may come in

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is refused, or is none for a socket; None lets the handshake go on."""
        if request.method != "GET":
            return connection.respond(HTTPStatus.METHOD_NOT_ALLOWED, "only GET\n")
        match request.path.partition("?")[0]:
            case "/livez":
                return connection.respond(HTTPStatus.OK, "ok\n")
            case "/readyz":
                return self._busy(connection) or connection.respond(HTTPStatus.OK, "ok\n")
        call_id = call_id_of(request.path, self._secrets)
        if call_id is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "not found\n")
        if "Origin" in request.headers:  # a browser; Retell is none
            return connection.respond(HTTPStatus.FORBIDDEN, "no browsers\n")
        # A redial must find its call, however busy we are.
        if call_id in self._sessions or await self._is_from_elsewhere(call_id):
            return None
        return self._busy(connection)

    async def _is_from_elsewhere(self, call_id: str) -> bool:
        """Tell whether this is a call another server had, that has to be taken beyond the cap. Asked only there."""
        cap = self._settings.max_calls
        if self._draining or not cap <= self._attached() < cap * HEADROOM:
            return False
        return await self._store.owner(call_id) is not None and not self._draining

    def _unready(self) -> str:
        """Say why a new call would not be taken."""
        if self._draining:
            return "draining"
        return "at capacity" if self._attached() >= self._settings.max_calls else ""

    def _busy(self, connection: ServerConnection) -> Response | None:
        if not (reason := self._unready()):
            return None
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    def _attached(self) -> int:
        return sum(session.is_attached for session in self._sessions.values())

    # ------------------------------------------------------------------------ calls

    async def _handle(self, connection: ServerConnection) -> None:
        if connection.request is None or not isinstance(connection, Connection):
            raise AssertionError("a handler runs after the handshake, on a connection of ours")
        call_id = call_id_of(connection.request.path, self._secrets) or ""
        peer = Peer(connection)
        try:
            if self._draining and call_id not in self._sessions:
                return  # let in just before: the redial finds another server
            kept = await self._attach(call_id)
            if self._draining and call_id not in self._sessions:
                return
            await self._session(call_id, kept).serve(peer)
        except Exception:
            # A bug of ours must cost this socket at most, never the call: dropped, Retell redials.
            logger.exception("a socket failed", extra={"call_id": call_id})
        finally:
            self._freed.set()
            peer.drop()
            await peer.ended()

    async def _attach(self, call_id: str) -> Kept:
        """Take a call from whichever server has it, at each of its sockets."""
        lease = self._leases[call_id] = object()
        return await self._store.attach(call_id, lambda: self._lost(call_id, lease))

    def _lost(self, call_id: str, lease: object) -> None:
        """Another server has taken the call, unless it has come back since."""
        if self._leases.get(call_id) is lease and (session := self._sessions.get(call_id)) is not None:
            session.moved()

    def _session(self, call_id: str, kept: Kept) -> Session:
        session = self._sessions.get(call_id)
        if session is not None and kept.has_moved:
            session.moved()  # it was elsewhere meanwhile: what this server remembers of it is out of date
            session = None
        if session is None:
            session = self._sessions[call_id] = Session(
                call_id,
                agent=self._agent,
                model=self._model,
                store=self._store,
                kept=kept,
                settings=self._settings,
                verify=self._verify,
                spawn=self._spawn,
                spawn_lasting=self._spawn_lasting,
                record=self._record,
                ended=self._forget,
                waste=self._waste,
            )
        return session

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.call_id, None)
        self._freed.set()
        self._spawn_lasting(self._let_go(session))

    async def _let_go(self, session: Session) -> None:
        """Let go of a call in the store, when all of it is written."""
        await session.settled()
        if session.call_id not in self._sessions:  # it may have come back
            self._leases.pop(session.call_id, None)
            self._store.detach(session.call_id)

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        return self._own(work, self._tasks)

    def _spawn_lasting(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        return self._own(work, self._lasting)

    def _own(self, work: Coroutine[Any, Any, _T], owner: set[asyncio.Task[Any]]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        owner.add(task)
        task.add_done_callback(owner.discard)
        return task

    def _record(self, call_id: str, fact: Fact) -> None:
        kind = str(fact.__struct_config__.tag)
        self._counted[kind] += 1
        self._measures.record(fact)
        match fact:
            case CallStarted() | CallEnded():
                level = logging.INFO
            case TurnFailed() | OverBudget():
                level = logging.WARNING
            case BadMessage():
                level = logging.WARNING if self._counted[kind] <= 10 else logging.DEBUG  # a peer may send thousands
            case _:
                level = logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", kind, extra={"call_id": call_id, "fact": msgspec.to_builtins(fact)})
