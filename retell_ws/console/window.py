"""A window for a browser on the port of calls, which takes no browsers: what one side sends the other gets, unchanged.

It dials as Retell does, at the same address, with the path's secret, over a socket of its own. So whatever a call does
there a call from the browser does: it is counted, capped, drained, moved.

| one side ends                                   | the other side                                       |
|-------------------------------------------------|------------------------------------------------------|
| the browser closes with 1000, or without a code | gets 1000: the caller has hung up                    |
| the browser closes otherwise, or is gone        | is aborted: the line broke                           |
| the server closes                               | gets the same code                                   |
| the server aborts                               | gets 4006: a browser cannot be shown an abort        |
| the server refuses the socket                   | gets 4503, and the HTTP status as the reason         |
| either does not read for 5 s                    | as if it had broken                                  |
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import WSMsgType, web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ..connection import MUTE

__all__ = ["DROPPED", "MAX_MESSAGE", "REFUSED", "relay"]

DROPPED: Final = 4006
"""How a browser is told that the server has aborted the socket: what Retell sees is 1006, which nobody may send."""

REFUSED: Final = 4503
"""How it is told that the server takes no socket."""

HANG_UP: Final = 1000

UNSENDABLE: Final = frozenset((1004, 1005, 1006, 1015))
"""Codes that no close frame may have (RFC 6455 §7.4.1)."""

GONE: Final = 1006
"""A side is no more, and has not said why."""

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of one message: as the port of calls has it."""

MAX_QUEUE: Final = 4

DIAL_S: Final = 5.0
"""Seconds the server may take to accept."""

SEND_S: Final = 5.0
"""Seconds a side may leave unread what is sent to it."""

CLOSE_S: Final = 2.0


async def relay(browser: web.WebSocketResponse, transport: asyncio.Transport | None, url: str) -> None:
    """Dial, and pass on what comes until one side has ended; then end the other one.

    Args:
        browser: The browser's socket, accepted.
        transport: What is under it; None when it is gone already.
        url: What is dialled.
    """
    try:
        line = await connect(
            url,
            compression=None,
            ping_interval=None,
            open_timeout=DIAL_S,
            close_timeout=CLOSE_S,
            max_size=MAX_MESSAGE,
            max_queue=MAX_QUEUE,
            proxy=None,
            user_agent_header=None,
            logger=MUTE,
        )
    except InvalidStatus as exc:
        await browser.close(code=REFUSED, message=str(exc.response.status_code).encode())
        return
    except (OSError, EOFError, InvalidHandshake, TimeoutError):
        await browser.close(code=REFUSED, message=b"no connection")
        return
    up = asyncio.create_task(_up(browser, line))
    down = asyncio.create_task(_down(browser, line))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if up.done() and up.result() == HANG_UP:
            await line.close()
        elif down.done() and down.result() != GONE:
            await browser.close(code=down.result())
    finally:  # nothing may be left half open, whatever has stopped us
        for task in (up, down):
            task.cancel()
        await asyncio.wait((up, down))
        line.transport.abort()
        if transport is not None and not browser.closed:
            transport.abort()


async def _up(browser: web.WebSocketResponse, line: ClientConnection) -> int:
    """Pass on what the browser sends; give the code it has closed with."""
    while True:
        message = await browser.receive()
        if message.type is WSMsgType.CLOSE:
            return int(message.data) or HANG_UP
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return GONE
        try:
            async with asyncio.timeout(SEND_S):
                with suppress(ConnectionClosed):  # the other direction will notice, and knows why
                    await line.send(message.data)
        except TimeoutError:
            return GONE


async def _down(browser: web.WebSocketResponse, line: ClientConnection) -> int:
    """Pass on what the server sends; give the code the browser is to be closed with."""
    while True:
        try:
            message = await line.recv()
        except ConnectionClosed as exc:
            return DROPPED if exc.rcvd is None or exc.rcvd.code in UNSENDABLE else exc.rcvd.code
        try:
            async with asyncio.timeout(SEND_S):
                await (browser.send_str(message) if isinstance(message, str) else browser.send_bytes(message))
        except (TimeoutError, ConnectionError):
            return GONE
