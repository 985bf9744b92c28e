"""The call port: who may open a socket, which call it belongs to, and how the server leaves.

A socket ends by one of three verbs only. Two are in `peer.py`; *refuse* is here: an HTTP status before the
handshake. A handler never returns before its socket is gone, because the library would then close it with 1000,
and 1000 hangs up on the caller (protocol §1.6).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from http import HTTPStatus
from itertools import islice
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .agent import Agent
from .calls import Calls
from .connection import MUTE, Connection, making
from .console.sight import Sight
from .control import Command, Look, NotHere, Outcome, Reply, Status
from .entries import AnyFact
from .errors import CallError
from .facts import BadMessage, CallEnded, CallMoved, CallStarted, OverBudget, Resumed, TurnFailed
from .listening import cannot_listen
from .masking import mask
from .measures import Measures
from .peer import Peer
from .plural import many
from .ports import CallStore, Facts, Model, Switchboard, Traces
from .reach import Reach
from .route import PREFIX, call_id_of
from .settings import Settings
from .speech_facts import SPEECH
from .stalls import LoopWatch
from .verification import Verify
from .views import MAX_LIVE, ServerView

if TYPE_CHECKING:
    from .console.routes import Console
    from .http import HttpPort

__all__ = ["Server", "options"]

logger = logging.getLogger(__name__)

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of one message: the transcript of a two-hour call with tool items needs 2.6 MB (protocol §1.9)."""

MAX_QUEUE: Final = 4
"""Messages the library may hold for a reader that is behind; with `MAX_MESSAGE` the bound of one peer's memory."""

PENDING: Final = 32 * 1024
"""Bytes that may wait to be written before a peer counts as not reading: minutes of speech."""

HANDSHAKE_S: Final = 5.0
"""Seconds a client may take for its request; Retell gives up its own attempt after 7 (protocol §1.4)."""

HEADROOM: Final = 1.1
"""How far calls that another server had may go beyond `max_calls`: shed, they would be lost in mid-sentence."""

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; one that finds no room waits a second before it asks again."""

CLOSE_S: Final = 5.0
"""Seconds that handlers may take to end."""

GOODBYE_S: Final = 2.0
"""Seconds a peer may keep its TCP connection open after the last frame."""

RETRY_AFTER_S: Final = 2
"""Seconds told with a 503; Retell itself pauses 3 (protocol §1.4)."""


def options(*, send_s: float) -> dict[str, Any]:
    """Tell the library how each socket is to be: what `websockets.serve` takes, but for who is served and where.

    Args:
        send_s: Seconds a peer may leave what is sent unread.
    """
    return {
        "create_connection": making(send_s=send_s, close_s=GOODBYE_S),
        "compression": None,  # 27 KB a socket and a third of the CPU, for frames of 120 bytes
        "ping_interval": None,  # Retell's JSON ping is the keepalive; the library's would close with 1011
        "max_size": MAX_MESSAGE,
        "max_queue": MAX_QUEUE,
        "write_limit": PENDING,
        "open_timeout": HANDSHAKE_S,
        "close_timeout": GOODBYE_S,
        "server_header": None,
        "logger": MUTE,
    }


class Server:
    """One process's call port. Use it as an async context: it listens inside, and lets go of all calls at its end.

    Args:
        agent: Who answers.
        model: Who finds the words.
        store: What outlives a call's session.
        settings: The settings.
        verify: Asks Retell's API about a call; None when calls are not verified.
        switchboard: Speaks to the servers that share the store; None when there are none.
        facts: Takes all that happens, for the bus; None when nobody wants it.
        traces: Takes what spans are made from; None when nobody traces.
        webhook_keys: The API keys that may have signed Retell's webhooks.
        version: Of this package, for whoever looks.

    Raises:
        UsageError: On entering: the address cannot be listened on.
    """

    def __init__(
        self,
        agent: Agent,
        model: Model,
        store: CallStore,
        settings: Settings,
        *,
        verify: Verify | None = None,
        switchboard: Switchboard | None = None,
        facts: Facts | None = None,
        traces: Traces | None = None,
        webhook_keys: Sequence[bytes] = (),
        version: str = "",
    ) -> None:
        self._store = store
        self._settings = settings
        self._facts = facts
        self._traces = traces
        self._webhook_keys = webhook_keys
        self._agent = agent
        self._model = model
        self._began_at = time()
        self._version = version
        self._name = store.name or f"{socket.gethostname()}:{os.getpid()}"
        self._calls = Calls(
            agent,
            model,
            store,
            settings,
            verify=verify,
            record=self._record,
            tells_speech=facts is not None,
            is_watched=bool(settings.admin_token),
        )
        self._switchboard = switchboard
        self._reach = Reach(self._control, store, switchboard)
        self._sight = self._seen() if settings.admin_token else None
        self._secrets = settings.path_secrets()
        self._counted: Counter[str] = Counter()
        self._draining = False
        self._leaving = False  # for good
        self._moving: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._measures = Measures(
            settings.budget_s(),
            self._calls.attached,
            live=self._calls.live,
            is_read=settings.http_port is not None,
            store=store.figures if store.is_shared else None,
            outbox=None if facts is None else facts.figures,
            traces=None if traces is None else traces.figures,
            draining=lambda: self._draining,
            max_calls=settings.max_calls,
            build={"version": version, "blueprint": settings.blueprint, "model": model.name},
        )
        self._http: HttpPort | None = None
        self._beside = AsyncExitStack()  # the second port and the watch: they see the calls to their end

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._switchboard is not None:
                await stack.enter_async_context(self._switchboard.listening(self._reach.answer, self._sight))
            if (http_port := self._settings.http_port) is not None:
                self._http = await stack.enter_async_context(await self._second_port(http_port))
            stack.enter_context(LoopWatch(self._measures.late))  # until now nobody was there to be kept waiting
            await self._listen()
            self._beside = stack.pop_all()
        return self

    def _seen(self) -> Sight:
        return Sight(
            self._name,
            server=self._view,
            find=self._calls.get,
            mask=self._agent.mask or mask,
            store=self._store,
            switchboard=self._switchboard,
        )

    async def _second_port(self, port: int) -> HttpPort:
        from .admin import Admin  # with it comes aiohttp, which takes a tenth of a second to load
        from .http import HttpPort
        from .inbox import Inbox

        admin = Admin(
            self._settings.admin_token, calls=self._status, do=self.do, drain=self.move_calls, undrain=self._accept
        )
        inbox = Inbox(self._webhook_keys, facts=self._facts, server=self._store.name, count=self._measures.webhook)
        console = None if self._sight is None else await self._console(self._sight)
        return HttpPort(self._settings.http_host, port, self._measures, self._unready, admin, inbox, console)

    async def _console(self, sight: Sight) -> Console:
        from .console.files import PageFiles
        from .console.routes import Console

        return Console(
            await asyncio.to_thread(PageFiles),
            labels=tuple(self._agent.directory.targets),
            fleet=sight.fleet,
            view=sight.view,
            url=lambda: self._dialled,
        )

    async def _listen(self) -> None:
        host, port = self._settings.host, self._settings.port
        try:
            self._listener = await serve(
                self._handle,
                host,
                port,
                process_request=self._admit,
                reuse_port=self._settings.workers > 1,
                backlog=BACKLOG,
                **options(send_s=self._settings.send_ms / 1000),
            )
        except OSError as exc:
            raise cannot_listen(exc, host, port) from None

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._end()
        finally:
            await self._beside.aclose()

    async def _end(self) -> None:
        self._draining = True  # whoever dials from here on finds another server
        await self._calls.end()
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
    def _dialled(self) -> str:
        """What this process itself dials: an address that listens everywhere is none to dial."""
        return self.url.replace("ws://0.0.0.0:", "ws://127.0.0.1:", 1).replace("ws://[::]:", "ws://[::1]:", 1)

    @property
    def http_address(self) -> str | None:
        """Where the second port listens; None when there is none."""
        return None if self._http is None else self._http.address

    @property
    def verifies_webhooks(self) -> bool:
        """There is a key to tell Retell's webhooks from others', which are refused."""
        return bool(self._webhook_keys)

    def statistics(self) -> dict[str, float]:
        """Count what is and what was.

        Returns:
            `calls` attached now, `sessions` held, one count for each kind of fact, what `Measures.summary` gives, and
            the figures of the switchboard and of the outbox, with `switchboard_` and `facts_` before their names.
        """
        now: dict[str, float] = {"calls": self._calls.attached(), "sessions": len(self._calls)}
        if self._switchboard is not None:
            now |= {f"switchboard_{name}": figure for name, figure in self._switchboard.figures().items()}
        if self._facts is not None:
            now |= {f"facts_{name}": figure for name, figure in self._facts.figures().items()}
        return {**now, **self._measures.summary(), **self._counted}

    def live(self) -> int:
        """Count the calls with somebody on the line, or about to be again."""
        return self._calls.live()

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
                await self._calls.gone()
        except TimeoutError:
            logger.warning("%s dropped for Retell to redial", many(self.live(), "call is", "calls are"))
            await self._calls.leave()

    def move_calls(self) -> None:
        """Refuse new calls, and drop the live ones between turns for other servers to take, until `take_calls`.

        Returns at once. Again, it changes nothing. Without other servers the live calls stay.
        """
        if self._draining:
            return
        self._draining = True
        if self._store.is_shared:
            logger.warning("%s moved, and no new ones taken", many(self.live(), "call is", "calls are"))
            self._moving = self._calls.spawn(self._move_calls())
        else:
            logger.warning("no new calls are taken; %s live", many(self.live(), "is", "are"))

    def take_calls(self) -> None:
        """Take calls again after `move_calls`; those that have not left yet stay. No way back from `drain`."""
        if self._draining and not self._leaving:
            logger.warning("calls are taken again")
            self._draining = False
            if self._moving is not None:
                self._moving.cancel()

    async def _move_calls(self) -> None:
        await asyncio.sleep(self._settings.drain_delay())
        await self._calls.leave()

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
        if call_id in self._calls or await self._is_from_elsewhere(call_id):
            return None
        return self._busy(connection)

    async def _is_from_elsewhere(self, call_id: str) -> bool:
        """Tell whether this is a call another server had, that has to be taken beyond the cap. Asked only there."""
        cap = self._settings.max_calls
        if self._draining or not cap <= self._calls.attached() < cap * HEADROOM:
            return False
        return await self._store.owner(call_id) is not None and not self._draining

    def _unready(self) -> str:
        """Say why a new call would not be taken."""
        if self._draining:
            return "draining"
        return "at capacity" if self._calls.attached() >= self._settings.max_calls else ""

    def _busy(self, connection: ServerConnection) -> Response | None:
        if not (reason := self._unready()):
            return None
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response

    # ------------------------------------------------------------------------ from outside

    async def do(self, call_id: str, command: Command) -> Outcome:
        """Do something to a live call, on whichever server it is.

        Args:
            call_id: Retell's id of the call.
            command: What.

        Returns:
            What came of it; within some seconds.
        """
        outcome = await self._reach.do(call_id, command)
        self._measures.commanded(outcome)
        return outcome

    def _status(self) -> list[Status]:
        return [session.status() for session in self._calls if session.is_live]

    def _view(self) -> ServerView:
        live = islice((session for session in reversed(self._calls) if session.is_live), MAX_LIVE)
        return ServerView(
            name=self._name,
            version=self._version,
            blueprint=self._settings.blueprint,
            model=self._model.name,
            started_at=round(self._began_at, 3),
            draining=self._draining,
            calls=self._calls.attached(),
            max_calls=self._settings.max_calls,
            budget_ms=round(1000 * self._settings.budget_s()),
            speculates=self._agent.speculates(self._settings.speculates()),
            live=tuple(session.status() for session in live),
            first_sentences=self._measures.first_sentences(),
        )

    def _control(self, call_id: str, command: Command) -> Reply:
        session = self._calls.get(call_id)
        if session is None:
            return NotHere()
        reply = session.control(command, holds=self._switchboard is None)
        if not isinstance(command, Look):
            came, asked = str(reply.__struct_config__.tag), str(command.__struct_config__.tag)
            logger.info("%s from outside: %s", asked, came, extra={"call_id": call_id})
        return reply

    def _accept(self) -> None:
        if self._leaving:
            raise CallError("the server is leaving for good")
        self.take_calls()

    # ------------------------------------------------------------------------ calls

    async def _handle(self, connection: ServerConnection) -> None:
        if connection.request is None or not isinstance(connection, Connection):
            raise AssertionError("a handler runs after the handshake, on a connection of ours")
        call_id = call_id_of(connection.request.path, self._secrets) or ""
        peer = Peer(connection)
        try:
            if self._draining and call_id not in self._calls:
                return  # let in just before: the redial finds another server
            session = await self._calls.take(call_id, lambda: not self._draining)
            if session is not None:
                await session.serve(peer)
        except Exception:
            # A bug of ours must cost this socket at most, never the call: dropped, Retell redials.
            logger.exception("a socket failed", extra={"call_id": call_id})
        finally:
            self._calls.changed()
            peer.drop()
            await peer.ended()

    def _record(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        if self._facts is not None:
            self._facts.put(call_id, epoch, seq, fact)
        if isinstance(fact, SPEECH):
            return  # what people say is neither logged nor counted
        if self._traces is not None:
            self._traces.put(call_id, epoch, seq, fact)
        kind = str(fact.__struct_config__.tag)
        self._counted[kind] += 1
        self._measures.record(fact)
        match fact:
            case CallStarted() | Resumed() | CallMoved() | CallEnded():
                level = logging.INFO
            case TurnFailed() | OverBudget():
                level = logging.WARNING
            case BadMessage():
                level = logging.WARNING if self._counted[kind] <= 10 else logging.DEBUG  # a peer may send thousands
            case _:
                level = logging.DEBUG
        if logger.isEnabledFor(level):
            logger.log(level, "%s", kind, extra={"call_id": call_id, "fact": msgspec.to_builtins(fact)})
