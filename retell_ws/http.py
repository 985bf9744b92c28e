"""The second port: how the server is doing, for whoever runs it. Never on the call port, which anybody may reach.

It is websockets' own listener, asked for handshakes that never come: that is here already, it bounds what a client may
send and how long it may take, and it answers on the loop. `prometheus_client` has a server too, in a thread, which
would say `/livez` for a loop that stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .connection import MUTE, making
from .errors import UsageError
from .measures import Measures

__all__ = ["HttpPort"]

PATIENCE_S: Final = 5.0
"""Seconds a client may take for its request, and as many to read the answer."""

GOODBYE_S: Final = 1.0
"""Seconds it may keep its connection open after that."""


class HttpPort:
    """Listens while the block lasts.

    Args:
        host: The address to listen on.
        port: The port; 0 picks a free one.
        measures: What `/metrics` shows.
        unready: Why no new call would be taken; empty when one would.

    Raises:
        UsageError: On entering: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, measures: Measures, unready: Callable[[], str]) -> None:
        self._host = host
        self._port = port
        self._measures = measures
        self._unready = unready
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        try:
            self._listener = await serve(
                _no_call,
                self._host,
                self._port,
                create_connection=making(send_s=PATIENCE_S, close_s=GOODBYE_S),
                process_request=self._answer,
                open_timeout=PATIENCE_S,
                close_timeout=GOODBYE_S,
                server_header=None,
                logger=MUTE,
            )
        except OSError as exc:
            raise UsageError(f"cannot listen on {self._host}:{self._port}: {exc.strerror or exc}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._listener.wait_closed()

    @property
    def address(self) -> str:
        """Where it listens."""
        if self._listener is None:
            raise AssertionError("the port does not listen yet")
        host, port = next(iter(self._listener.sockets)).getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def _answer(self, connection: ServerConnection, request: Request) -> Response:
        if request.method != "GET":
            return connection.respond(HTTPStatus.METHOD_NOT_ALLOWED, "only GET\n")
        match request.path.partition("?")[0]:
            case "/metrics":
                response = connection.respond(HTTPStatus.OK, self._measures.text().decode())
                del response.headers["Content-Type"]
                response.headers["Content-Type"] = CONTENT_TYPE_PLAIN_0_0_4
                return response
            case "/livez":
                return connection.respond(HTTPStatus.OK, "ok\n")
            case "/readyz":
                if why := self._unready():
                    return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}\n")
                return connection.respond(HTTPStatus.OK, "ok\n")
        return connection.respond(HTTPStatus.NOT_FOUND, "not found\n")


async def _no_call(connection: ServerConnection) -> None:
    raise AssertionError("no handshake is let through")
