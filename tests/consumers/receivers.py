"""A receiver of webhooks: a real HTTP server that answers as the test wants, and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from retell.lib.webhook_auth import verify

__all__ = ["SECRET", "Receiver", "receiving"]

_verify: Callable[[str, str, str], bool] = verify  # of retell-sdk: receivers have it

SECRET = "0123456789abcdef"


class Receiver:
    """One receiver.

    Attributes:
        url: Where it is.
        bodies: What it was sent, as it came, with each request's headers.
        statuses: What it answers, one after the other; then always 200.
        headers: Of its answers.
        hangs: It does not answer until this is set.
    """

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[tuple[bytes, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.hangs: asyncio.Event | None = None
        self.at_once = self.most = 0
        self.on_request: Callable[[], None] = lambda: None

    def told(self) -> list[dict[str, Any]]:
        """Give what it was sent, after a look at each signature."""
        for body, headers in self.bodies:
            assert _verify(body.decode(), SECRET, headers["X-Retell-Ws-Signature"])
            assert not _verify(body.decode() + " ", SECRET, headers["X-Retell-Ws-Signature"])
        return [msgspec.json.decode(body) for body, _ in self.bodies]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request."""
        self.bodies.append((await request.read(), dict(request.headers)))
        self.on_request()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.hangs is not None:
                await self.hangs.wait()
        finally:
            self.at_once -= 1
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, headers=self.headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver.

    Yields:
        It, listening.
    """
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield receiver
    finally:
        if receiver.hangs is not None:
            receiver.hangs.set()
        await runner.cleanup()
