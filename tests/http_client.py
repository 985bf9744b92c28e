"""Clients of a server's plain HTTP: one that asks as whoever runs it would, one by hand, one for other processes."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any, NamedTuple

import aiohttp
import msgspec

from retell_ws.server import Server

from .machine import place_of

__all__ = ["TOKEN", "Answer", "ask", "connected", "fetched", "http", "status"]

TOKEN = "0123456789abcdef-admin"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any


async def ask(server: Server, method: str, path: str, body: Any = None, *, token: str | None = TOKEN) -> Answer:
    """Send one request to the second port; the body is written as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{server.http_address}{path}", data=data, headers=headers) as response,
    ):
        text = await response.read()
        assert "Server" not in response.headers
        is_json = response.content_type == "application/json"
        return Answer(response.status, msgspec.json.decode(text) if is_json else text.decode())


async def connected(address: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect with a port, by its URL, and say nothing."""
    return await asyncio.open_connection(*place_of(address or ""))


async def http(address: str | None, path: str, *headers: str, method: str = "GET", upgrade: bool = False) -> str:
    """Send one request by hand and give everything that comes back, without its date."""
    reader, writer = await connected(address)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines.append("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    else:
        lines.append("Connection: close")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with asyncio.timeout(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            body = "" if head.startswith("HTTP/1.1 101") else (await reader.read()).decode()
    finally:
        writer.close()
    return "\r\n".join(line for line in head.split("\r\n") if not line.startswith("Date:")) + body


def status(response: str) -> int:
    """Read the status of what `http` gave."""
    return int(response.split(" ", 2)[1])


def fetched(url: str) -> str:
    """Get something from another process. It blocks, so that it can be looked at in `until`.

    Raises:
        OSError: It cannot be reached, or does not answer with 200.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return str(answer.read().decode())
