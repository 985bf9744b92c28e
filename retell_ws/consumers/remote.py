"""Does something to a live call from outside, by the second port of a server: where there is no Redis between them."""

from __future__ import annotations

from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from ..control import Done, Order, Outcome, Refused, Why
from ..errors import SettingsError

__all__ = ["Remote"]

REPLY_S: Final = 5.0
"""Seconds for the reply; a server gives up after three."""

MAX_REPLY: Final = 4096
"""Bytes of a reply that are read."""

REFUSALS: Final[dict[int, Why]] = {
    HTTPStatus.NOT_FOUND: "unknown",
    HTTPStatus.CONFLICT: "impossible",
    HTTPStatus.UNPROCESSABLE_ENTITY: "no_target",
    HTTPStatus.GATEWAY_TIMEOUT: "unanswered",
}


class _Reply(msgspec.Struct):
    error: str = ""
    waits_for: str = ""


class Remote:
    """A server's second port, seen from outside. Use it as an async context.

    Args:
        url: Where it is: `http://127.0.0.1:8081`.
        token: The server's `admin_token`.

    Raises:
        SettingsError: The URL cannot be used, or there is no token.
    """

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"control_url: {url!r} should begin with http://")
        if not token:
            raise SettingsError("escalation moves calls over the second port of a server, which wants its admin_token")
        self._url = url.rstrip("/")
        self._token = token
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=REPLY_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def do(self, call_id: str, command: Order) -> Outcome:
        """Do this to a call. Never raises but for cancellation."""
        if self._http is None:
            raise AssertionError("only while the block lasts")
        asked = msgspec.to_builtins(command)
        kind = asked.pop("command")
        try:
            async with self._http.post(
                f"{self._url}/calls/{call_id}/{kind}", data=msgspec.json.encode(asked), allow_redirects=False
            ) as answer:
                return _outcome(answer.status, _read(await answer.content.read(MAX_REPLY)))
        except aiohttp.ClientConnectorError as exc:
            return Refused("unreachable", f"nothing was done: the server cannot be reached ({type(exc).__name__})")
        except (aiohttp.ClientError, OSError) as exc:  # a TimeoutError is an OSError
            return Refused("unanswered", f"nobody knows whether it was done: {type(exc).__name__}")


def _read(body: bytes) -> _Reply:
    try:
        return msgspec.json.decode(body, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Reply()


def _outcome(status: int, reply: _Reply) -> Outcome:
    if status in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        waits: Any = reply.waits_for if reply.waits_for in ("answer", "redial") else ""
        return Done(waits)
    if status == HTTPStatus.CONFLICT and reply.error.startswith("nothing was done"):
        return Refused("moved", reply.error)
    return Refused(REFUSALS.get(status, "unreachable"), reply.error or f"status {status}")
