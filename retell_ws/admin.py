"""What may be done to calls over the second port, by whoever has the admin token; and how such requests are answered.

The token comes in a header that no browser sends by itself, so a page somebody looks at can do nothing here.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from .control import Command, Done, End, Look, Outcome, Refused, Say, Seen, Status, Transfer, Update, Why, read
from .errors import CallError, WireError

__all__ = ["BODY_S", "CALL_ID", "Admin", "answered", "refusal", "refused"]

BODY_S: Final = 5.0
"""Seconds a client may take for its body."""

COMMANDS: Final[dict[str, type[Command]]] = {"say": Say, "end": End, "transfer": Transfer, "update": Update}

STATUSES: Final[dict[Why, HTTPStatus]] = {
    "impossible": HTTPStatus.CONFLICT,
    "no_target": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown": HTTPStatus.NOT_FOUND,
    "moved": HTTPStatus.CONFLICT,
    "unanswered": HTTPStatus.GATEWAY_TIMEOUT,
    "unreachable": HTTPStatus.SERVICE_UNAVAILABLE,
}

NOBODY: Final = "nobody may: set admin_token"

_GUARDED: Final = ("/calls", "/drain", "/servers", "/directory", "/console/try")

CALL_ID: Final = "{call_id:[A-Za-z0-9_-]{1,128}}"
"""A call's id in the path of a route."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The routes, and who may take them.

    Args:
        token: What whoever asks must show; empty: nobody may.
        calls: Lists the calls of this server.
        do: Does something to a call, wherever it is.
        drain: Has this server take no new calls, and moves those it has to other ones.
        undrain: Takes that back. Raises `CallError` when it cannot be.
    """

    def __init__(
        self,
        token: str,
        *,
        calls: Callable[[], list[Status]],
        do: Callable[[str, Command], Awaitable[Outcome]],
        drain: Callable[[], None],
        undrain: Callable[[], None],
    ) -> None:
        self._token = token.encode()
        self._calls = calls
        self._do = do
        self._drain = drain
        self._undrain = undrain

    def routes(self) -> Iterable[web.RouteDef]:
        """Give the routes."""
        return (
            web.get("/calls", self._list),
            web.get(f"/calls/{CALL_ID}", self._look),
            web.post(f"/calls/{CALL_ID}/{{command:{'|'.join(COMMANDS)}}}", self._command),
            web.post("/drain", self._start_drain),
            web.delete("/drain", self._stop_drain),
        )

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Look at the token before anything else is told: not even which calls there are."""
        if request.path.startswith(_GUARDED):
            if not self._token:
                return refusal(HTTPStatus.FORBIDDEN, NOBODY)
            kind, _, given = request.headers.get("Authorization", "").partition(" ")
            shown = given.strip().encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(shown, self._token) or kind.lower() != "bearer":
                unauthorized = refusal(HTTPStatus.UNAUTHORIZED, "unauthorized")
                unauthorized.headers["WWW-Authenticate"] = "Bearer"
                return unauthorized
        return await handler(request)

    async def _list(self, _: web.Request) -> web.Response:
        return answered(HTTPStatus.OK, {"calls": self._calls()})

    async def _look(self, request: web.Request) -> web.Response:
        return _told(await self._do(request.match_info["call_id"], Look()))

    async def _command(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
        try:
            command = read(body, COMMANDS[request.match_info["command"]])
        except WireError as exc:
            return refusal(HTTPStatus.BAD_REQUEST, str(exc))
        return _told(await self._do(request.match_info["call_id"], command))

    async def _start_drain(self, _: web.Request) -> web.Response:
        self._drain()
        return answered(HTTPStatus.ACCEPTED, {"draining": True, "calls": len(self._calls())})

    async def _stop_drain(self, _: web.Request) -> web.Response:
        try:
            self._undrain()
        except CallError as exc:
            return refusal(HTTPStatus.CONFLICT, str(exc))
        return answered(HTTPStatus.OK, {"draining": False, "calls": len(self._calls())})


def _told(outcome: Outcome) -> web.Response:
    match outcome:
        case Seen(status=status):
            return answered(HTTPStatus.OK, status)
        case Done(waits_for=""):
            return answered(HTTPStatus.OK, {"done": True})
        case Done(waits_for=waits_for):
            return answered(HTTPStatus.ACCEPTED, {"done": False, "waits_for": waits_for})
        case Refused():
            return refused(outcome)


def refused(why: Refused) -> web.Response:
    """Answer that nothing was done."""
    return refusal(STATUSES[why.kind], why.why)


def refusal(status: HTTPStatus, why: str) -> web.Response:
    """Answer that it was in vain, with the reason for a person."""
    return answered(status, {"error": why})


def answered(status: HTTPStatus, what: Any) -> web.Response:
    """Answer with JSON, which no browser keeps or takes for anything else."""
    return web.Response(
        body=msgspec.json.encode(what) + b"\n",
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )
