"""What there is beside a server's calls for whoever runs it: the second port with the console, and the other servers.

By both, calls are looked at and told to do something. A command that comes in gets to the call it is for, wherever that
is (`reach.py`), and so does a look (`console/sight.py`). Which calls are taken, and when the server drains, is said in
`server.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from time import time
from typing import TYPE_CHECKING, NamedTuple

from .agent import Agent
from .calls import Calls
from .console.sight import Sight
from .control import Command, Look, NotHere, Outcome, Reply, Status
from .masking import mask
from .measures import Measures
from .ports import CallStore, Facts, Switchboard
from .reach import Reach
from .settings import Settings
from .views import MAX_LIVE, ServerView

if TYPE_CHECKING:
    from .console.routes import Console
    from .http import HttpPort

__all__ = ["Gate", "Management"]

logger = logging.getLogger(__name__)


class Gate(NamedTuple):
    """How a server is asked whether it takes calls, and told whether to.

    Attributes:
        draining: Tells whether new calls are refused.
        unready: Says why no new call would be taken; empty when one would.
        drain: Has it take no new calls, and moves those it has to other servers.
        undrain: Takes that back. Raises `CallError` when it cannot be.
    """

    draining: Callable[[], bool]
    unready: Callable[[], str]
    drain: Callable[[], None]
    undrain: Callable[[], None]


class Management:
    """What runs beside the calls of one server, while a block of `listening` lasts.

    Args:
        calls: The server's.
        measures: What it counts and times.
        settings: The settings.
        agent: Who answers.
        model: The name of the model.
        store: Knows which server has a call.
        switchboard: Speaks to the servers that share the store; None when there are none.
        facts: Takes Retell's webhooks, for the bus; None when nobody wants them.
        webhook_keys: The API keys that may have signed one.
        version: Of this package, for whoever looks.
        gate: Of the server.
        url: Gives what the console dials to speak to the agent.
    """

    def __init__(
        self,
        calls: Calls,
        measures: Measures,
        settings: Settings,
        *,
        agent: Agent,
        model: str,
        store: CallStore,
        switchboard: Switchboard | None,
        facts: Facts | None,
        webhook_keys: Sequence[bytes],
        version: str,
        gate: Gate,
        url: Callable[[], str],
    ) -> None:
        self._calls = calls
        self._measures = measures
        self._settings = settings
        self._agent = agent
        self._model = model
        self._store = store
        self._switchboard = switchboard
        self._facts = facts
        self._webhook_keys = webhook_keys
        self._version = version
        self._gate = gate
        self._url = url
        self._began_at = time()
        self._name = store.name or f"{socket.gethostname()}:{os.getpid()}"
        self._reach = Reach(self._control, store, switchboard)
        self._sight = self._seen() if settings.admin_token else None
        self._http: HttpPort | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear the other servers, and listen on the second port where there is one, in this block.

        Raises:
            UsageError: On entering: the address of the second port cannot be listened on.
        """
        async with AsyncExitStack() as stack:
            if self._switchboard is not None:
                await stack.enter_async_context(self._switchboard.listening(self._reach.answer, self._sight))
            if (port := self._settings.http_port) is not None:
                self._http = await stack.enter_async_context(await self._second_port(port))
            yield

    async def _second_port(self, port: int) -> HttpPort:
        from .admin import Admin  # with it comes aiohttp, which takes a tenth of a second to load
        from .http import HttpPort
        from .inbox import Inbox

        gate = self._gate
        admin = Admin(
            self._settings.admin_token, calls=self._status, do=self.do, drain=gate.drain, undrain=gate.undrain
        )
        inbox = Inbox(self._webhook_keys, facts=self._facts, server=self._store.name, count=self._measures.webhook)
        console = None if self._sight is None else await self._console(self._sight)
        return HttpPort(self._settings.http_host, port, self._measures, gate.unready, admin, inbox, console)

    async def _console(self, sight: Sight) -> Console:
        from .console.files import PageFiles
        from .console.routes import Console

        return Console(
            await asyncio.to_thread(PageFiles),
            labels=tuple(self._agent.directory.targets),
            fleet=sight.fleet,
            view=sight.view,
            url=self._url,
        )

    def _seen(self) -> Sight:
        return Sight(
            self._name,
            server=self._view,
            find=self._calls.get,
            mask=self._agent.mask or mask,
            store=self._store,
            switchboard=self._switchboard,
        )

    @property
    def http_address(self) -> str | None:
        """Where the second port listens; None when there is none."""
        return None if self._http is None else self._http.address

    # ------------------------------------------------------------------------ what is done to calls

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

    def _control(self, call_id: str, command: Command) -> Reply:
        session = self._calls.get(call_id)
        if session is None:
            return NotHere()
        reply = session.control(command, holds=self._switchboard is None)
        if not isinstance(command, Look):
            came, asked = str(reply.__struct_config__.tag), str(command.__struct_config__.tag)
            logger.info("%s from outside: %s", asked, came, extra={"call_id": call_id})
        return reply

    # ------------------------------------------------------------------------ what is seen of them

    def _status(self) -> list[Status]:
        return [session.status() for session in self._calls if session.is_live]

    def _view(self) -> ServerView:
        live = islice((session for session in reversed(self._calls) if session.is_live), MAX_LIVE)
        return ServerView(
            name=self._name,
            version=self._version,
            blueprint=self._settings.blueprint,
            model=self._model,
            started_at=round(self._began_at, 3),
            draining=self._gate.draining(),
            calls=self._calls.attached(),
            max_calls=self._settings.max_calls,
            budget_ms=round(1000 * self._settings.budget_s()),
            speculates=self._agent.speculates(self._settings.speculates()),
            live=tuple(session.status() for session in live),
            first_sentences=self._measures.first_sentences(),
        )
