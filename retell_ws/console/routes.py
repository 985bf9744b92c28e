"""The console's routes on the second port. They are there when there is an admin token.

The page itself is files, for anybody. What it asks comes with the token in a header, like every command (`admin.py`):
no other page can send it, and the page holds it nowhere but in its own memory. A socket can bring no header, so it
brings a ticket that was asked for with the token. A name that somebody points at this address (DNS rebinding) makes
their page one of ours to the browser, with the same `Origin`; but it has no token, and without it nothing to see.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta

from ..admin import BODY_S, CALL_ID, answered, refusal, refused
from ..control import Refused
from ..views import CallView
from .files import INDEX, PageFiles
from .sight import Fleet
from .tickets import CALL_ID as TRY_ID
from .tickets import Tickets
from .window import MAX_MESSAGE, relay

__all__ = ["Console"]

MAX_WINDOWS: Final = 8
"""Sockets of browsers at once."""

PROTOCOL: Final = re.compile(r"retell_ws\.([A-Za-z0-9_-]{1,64})")
"""What our page says in `Sec-WebSocket-Protocol`, and nothing else beside it: the ticket."""

NO_TICKET: Final = "the ticket is used, too old, or none"

HEARTBEAT_S: Final = 20.0
"""Seconds between two pings of a browser, which answers them by itself."""

CLOSE_S: Final = 2.0
"""Seconds a browser may take to close."""


class _Try(msgspec.Struct, forbid_unknown_fields=True):
    call_id: Annotated[str, Meta(pattern=rf"\A{TRY_ID.pattern}\Z")] = ""


class Console:
    """The routes.

    Args:
        page: The files.
        labels: Whom a caller may be handed on to, by the names of the agent's directory; never by number.
        fleet: Tells how the servers are doing.
        view: Looks at a call.
        url: Where this server's port of calls is dialled, path secret and all, but for the call id.
    """

    def __init__(
        self,
        page: PageFiles,
        *,
        labels: Sequence[str],
        fleet: Callable[[], Awaitable[Fleet]],
        view: Callable[[str], Awaitable[CallView | Refused]],
        url: Callable[[], str],
    ) -> None:
        self._page = page
        self._labels = labels
        self._fleet = fleet
        self._view = view
        self._url = url
        self._tickets = Tickets(lambda: secrets.token_urlsafe(18))
        self._windows = 0

    def routes(self) -> Iterable[web.RouteDef]:
        """Give the routes. `Admin.guard` wants the token at `/console/try`, and at all not below `/console`."""
        return (
            web.get("/console", self._file),
            web.get("/console/", self._there),
            web.get(f"/console/{INDEX}", self._there),
            web.get("/console/{file:[A-Za-z0-9_.-]{1,64}}", self._file),
            web.get("/servers", self._servers),
            web.get("/directory", self._directory),
            web.get(f"/calls/{CALL_ID}/view", self._look),
            web.post("/console/try", self._try),
            web.get(f"/console/socket/{{call_id:{TRY_ID.pattern}}}", self._socket),
        )

    async def _file(self, request: web.Request) -> web.Response:
        if (found := self._page.answer(request.match_info.get("file", INDEX))) is None:
            raise web.HTTPNotFound
        return found

    async def _there(self, _: web.Request) -> web.Response:
        # The page's links are relative, for a proxy may have it under a prefix: they are right at `/console` alone.
        return web.Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": "../console"})

    async def _servers(self, _: web.Request) -> web.Response:
        return answered(HTTPStatus.OK, await self._fleet())

    async def _directory(self, _: web.Request) -> web.Response:
        return answered(HTTPStatus.OK, {"labels": self._labels})

    async def _look(self, request: web.Request) -> web.Response:
        view = await self._view(request.match_info["call_id"])
        return refused(view) if isinstance(view, Refused) else answered(HTTPStatus.OK, view)

    # ------------------------------------------------------------------------ try it

    async def _try(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
        try:
            asked = msgspec.json.decode(body or b"{}", type=_Try)
        except msgspec.ValidationError as exc:
            return refusal(HTTPStatus.BAD_REQUEST, str(exc))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return refusal(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
        return answered(HTTPStatus.OK, self._tickets.issue(monotonic(), asked.call_id)._asdict())

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not _is_own(request):
            return refusal(HTTPStatus.FORBIDDEN, "the page is another server's")
        if (offered := PROTOCOL.fullmatch(request.headers.get("Sec-WebSocket-Protocol", ""))) is None:
            return refusal(HTTPStatus.FORBIDDEN, NO_TICKET)
        browser = web.WebSocketResponse(
            protocols=(offered[0],),
            timeout=CLOSE_S,
            heartbeat=HEARTBEAT_S,
            compress=False,
            max_msg_size=MAX_MESSAGE,
        )
        if not browser.can_prepare(request).ok:
            return refusal(HTTPStatus.BAD_REQUEST, "this is for sockets")
        call_id = request.match_info["call_id"]
        if not self._tickets.redeem(monotonic(), call_id, offered[1]):
            return refusal(HTTPStatus.FORBIDDEN, NO_TICKET)
        if self._windows >= MAX_WINDOWS:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_WINDOWS} sockets are open already")
        self._windows += 1
        try:
            await browser.prepare(request)
            await relay(browser, request.transport, f"{self._url()}/{call_id}")
        finally:
            self._windows -= 1
        return browser


def _is_own(request: web.Request) -> bool:
    """Tell whether the page that asks came from where it asks: a browser says so itself, and no page can change it."""
    try:
        origin = urlsplit(request.headers.get("Origin", ""))
    except ValueError:
        return False
    host = request.headers.get("Host", "")
    return origin.scheme in ("http", "https") and bool(host) and origin.netloc.lower() == host.lower()
