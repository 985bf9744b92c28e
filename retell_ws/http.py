"""The second port: how the server is doing, for whoever runs it. Never on the call port, which anybody may reach.

It is aiohttp's, because commands come in bodies, which the server of the call port does not read. And on the loop, not
in a thread: a thread would say `/livez` for a loop that stands still.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from .admin import Admin
from .connection import MUTE
from .console.routes import Console
from .inbox import Inbox
from .listening import cannot_listen
from .measures import Measures
from .process_figures import ProcessFigures

__all__ = ["HttpPort"]

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0
"""Seconds a client may take for its request's head, as many for its body, and to send another one."""

GOODBYE_S: Final = 1.0
"""Seconds that requests under way may still take when the port closes."""

MAX_BODY: Final = 64 * 1024
"""Bytes of a request's body; a webhook may be longer (`inbox.py`)."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpPort:
    """Listens while the block lasts.

    Args:
        host: The address to listen on.
        port: The port; 0 picks a free one.
        measures: What `/metrics` shows.
        unready: Why no new call would be taken; empty when one would.
        admin: What may be done to calls.
        inbox: Takes Retell's webhooks.
        console: The page that shows the calls; None when there is none.

    Raises:
        UsageError: On entering: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        measures: Measures,
        unready: Callable[[], str],
        admin: Admin,
        inbox: Inbox,
        console: Console | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._measures = measures
        self._process = ProcessFigures()
        self._unready = unready
        app = web.Application(middlewares=[_plainly, admin.guard], client_max_size=MAX_BODY)
        app.on_response_prepare.append(_unsigned)
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                *admin.routes(),
                *inbox.routes(),
                *(() if console is None else console.routes()),
            ]
        )
        self._runner = web.AppRunner(
            app,
            access_log=None,  # paths hold call ids
            logger=MUTE,  # it would quote what strangers send; what fails in here is logged by `_plainly`
            keepalive_timeout=PATIENCE_S,  # also for the first request on a connection
            lingering_time=GOODBYE_S,
            shutdown_timeout=GOODBYE_S,
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as exc:
            await self._runner.cleanup()
            raise cannot_listen(exc, self._host, self._port, "--http-port") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        self._process.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        if not self._runner.addresses:
            raise AssertionError("the port does not listen yet")
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def _metrics(self, _: web.Request) -> web.Response:
        process = await self._process.text()
        return web.Response(body=self._measures.text() + process, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if why := self._unready():
            return web.Response(text=f"{why}\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="ok\n")


@web.middleware
async def _plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what goes wrong in one line, and with nothing of the request."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as exc:
        allowed = ", ".join(sorted(exc.allowed_methods))
        return web.Response(text=f"only {allowed}\n", status=exc.status, headers={"Allow": allowed})
    except web.HTTPException as exc:
        return web.Response(text=f"{exc.reason.lower()}\n", status=exc.status)
    except TimeoutError:
        return web.Response(text="the body is late\n", status=HTTPStatus.REQUEST_TIMEOUT)
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("a request failed")
        return web.Response(text="this is a bug\n", status=HTTPStatus.INTERNAL_SERVER_ERROR)


async def _unsigned(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
