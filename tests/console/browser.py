"""A browser's side of the console: it asks with the token, and opens sockets with tickets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import msgspec

from retell_ws.server import Server
from tests.http_client import ask, connected, status

__all__ = ["Ticket", "closed_with", "heard", "opened", "ticket", "upgraded"]


class Ticket(NamedTuple):
    """What opens one socket."""

    call_id: str
    ticket: str


async def ticket(server: Server, call_id: str = "") -> Ticket:
    """Ask for a ticket."""
    given = await ask(server, "POST", "/console/try", {"call_id": call_id} if call_id else None)
    assert given.status == 200
    return Ticket(**given.body)


@asynccontextmanager
async def opened(
    server: Server, shown: Ticket, *, origin: str | None = None, host: str | None = None, **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a socket.

    Raises:
        WSServerHandshakeError: It is refused.
    """
    address = server.http_address or ""
    headers = {"Origin": address if origin is None else origin}
    if host is not None:
        headers["Host"] = host
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{address}/console/socket/{shown.call_id}",
            protocols=(f"retell_ws.{shown.ticket}",),
            headers=headers,
            **options,
        ) as socket,
    ):
        yield socket


async def heard(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """Give the next message."""
    async with asyncio.timeout(5):
        message = await socket.receive()
    assert message.type is aiohttp.WSMsgType.TEXT, message
    decoded = msgspec.json.decode(message.data)
    assert isinstance(decoded, dict)
    return decoded


async def closed_with(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str | None]:
    """Read the socket to its end, and give code and reason."""
    async with asyncio.timeout(5):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


async def upgraded(server: Server, path: str, *headers: str) -> int:
    """Ask for a socket by hand, and give the status."""
    reader, writer = await connected(server.http_address)
    asked = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    asked.append("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *asked, *headers, "", ""]).encode())
    try:
        async with asyncio.timeout(5):
            return status((await reader.readuntil(b"\r\n\r\n")).decode())
    finally:
        writer.close()
