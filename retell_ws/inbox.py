"""Where Retell's webhooks come in on the second port: each is answered once it is kept, and worked on by others.

Whoever cannot show a signature learns nothing and costs little: its body is not even read when the signature is missing
or too old. One that was kept before is answered as it was then, since Retell sends again what it saw no answer to. And
one that cannot be kept is refused, so that Retell sends it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from socket import gethostname
from time import time
from typing import Final

from aiohttp import web

from .entries import Entry
from .errors import WireError
from .ports import Facts
from .webhooks import HEADER, MAX_BODY, NoCall, Told, is_recent, read, verified

__all__ = ["Inbox"]

logger = logging.getLogger(__name__)

BODY_S: Final = 5.0
"""Seconds a client may take for its body; Retell itself waits 10 for the answer."""

AT_ONCE: Final = 64
"""Webhooks under way at once; Retell sends those of one call one after the other."""

MAX_HELD: Final = 4 * MAX_BODY
"""Bytes of their bodies that are held at once: strangers can send some, before they are found out."""

LARGE: Final = 128 * 1024
"""Bytes of a body from which on it is read in a thread: it takes a millisecond for each quarter of a megabyte."""

THREAD_S: Final = 3.0
"""Seconds to wait for a thread: the agent's own functions use them, too."""

RETRY_AFTER_S: Final = 2
"""Seconds told with a 503."""

LOGGED: Final = 10
"""Refusals of strangers that are worth a warning: a wrong key shows in them, and after these nobody reads on."""

UNREAD: Final = "unread"
"""What is counted as the event of a webhook that nobody knows."""


class Inbox:
    """The route of the webhooks.

    Args:
        keys: The API keys that may have signed one; without any none is taken.
        facts: Keeps them; without it they are counted, and that is all.
        server: This server's name, for the entries; the machine's when it has none.
        count: Counts each, by its event and what came of it: `kept`; `counted`, where nothing is kept; `ignored`, of no
            call; `unsigned`; `no_key`; `unreadable`; `too_large`; `late` and `broken`, whose body did not come; `busy`,
            when too much is under way; `failed`, when it could not be kept.
    """

    def __init__(
        self, keys: Sequence[bytes], *, facts: Facts | None, server: str, count: Callable[[str, str], None]
    ) -> None:
        self._keys = keys
        self._facts = facts
        self._server = server or gethostname()
        self._count = count
        self._at_once = self._held = self._strangers = 0

    def routes(self) -> Iterable[web.RouteDef]:
        """Give the routes."""
        return (web.post("/webhook", self._take),)

    async def _take(self, request: web.Request) -> web.Response:
        at = time()
        if not self._keys:
            return self._refused(UNREAD, "no_key", "webhooks cannot be verified: set RETELL_API_KEY")
        header = request.headers.get(HEADER, "")
        if not is_recent(header, round(at * 1000)):
            return self._stranger()
        if (request.content_length or 0) > MAX_BODY:
            return self._too_large()
        if self._at_once >= AT_ONCE:
            return self._refused(UNREAD, "busy", "too many at once")
        self._at_once += 1
        body = bytearray()
        try:
            if (refusal := await self._receive(request, body)) is not None:
                return refusal
            return await self._taken(bytes(body), header, at)
        finally:
            self._at_once -= 1
            self._held -= len(body)

    async def _receive(self, request: web.Request, body: bytearray) -> web.Response | None:
        """Read a body, and give the answer when it cannot be read."""
        try:
            async with asyncio.timeout(BODY_S):
                async for piece in request.content.iter_any():
                    body += piece
                    self._held += len(piece)
                    if len(body) > MAX_BODY:
                        return self._too_large()
                    if self._held > MAX_HELD:
                        return self._refused(UNREAD, "busy", "too much at once")
        except TimeoutError:
            self._count(UNREAD, "late")
            raise
        except (web.RequestPayloadError, ConnectionError):  # it broke off, and nobody reads an answer
            self._count(UNREAD, "broken")
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        return None

    async def _taken(self, body: bytes, header: str, at: float) -> web.Response:
        try:
            if len(body) < LARGE:
                told = self._opened(body, header, at)
            else:
                async with asyncio.timeout(THREAD_S):
                    told = await asyncio.to_thread(self._opened, body, header, at)
        except TimeoutError:
            return self._refused(UNREAD, "busy", "too much at once")
        except WireError as exc:
            logger.warning("a webhook of Retell's cannot be read: %s", exc)
            self._count(UNREAD, "unreadable")
            return web.Response(text=f"{exc}\n", status=HTTPStatus.BAD_REQUEST)
        match told:
            case None:
                return self._stranger()
            case NoCall(event=event):
                return self._done(event, "ignored")
        event = told.fact.event
        if self._facts is None:
            return self._done(event, "counted")
        # It belongs to no server's hold of the call, and may even come before there is one.
        entry = Entry(id=told.id, call_id=told.call_id, epoch=0, seq=0, at=at, server=self._server, fact=told.fact)
        if not await self._facts.keep(entry):
            logger.warning("a webhook could not be kept: Retell sends it again", extra={"call_id": told.call_id})
            return self._refused(event, "failed", "it cannot be kept now")
        return self._done(event, "kept")

    def _opened(self, body: bytes, header: str, at: float) -> Told | None:
        """Read a body; None when nobody of ours has signed it.

        Raises:
            WireError: It was signed, and tells of nothing all the same.
        """
        return read(body) if verified(body, header, self._keys, round(at * 1000)) else None

    def _done(self, event: str, outcome: str) -> web.Response:
        self._count(event, outcome)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _stranger(self) -> web.Response:
        self._strangers += 1
        logger.log(
            logging.WARNING if self._strangers <= LOGGED else logging.DEBUG,
            "a webhook was refused: it was not signed with a key of ours within the last minutes",
        )
        self._count(UNREAD, "unsigned")
        return web.Response(text="unauthorized\n", status=HTTPStatus.UNAUTHORIZED)

    def _too_large(self) -> web.Response:
        self._count(UNREAD, "too_large")
        return web.Response(text="too large\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _refused(self, event: str, outcome: str, why: str) -> web.Response:
        self._count(event, outcome)
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return web.Response(text=f"{why}\n", status=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
