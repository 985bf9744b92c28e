"""Asks a server's second port, as whoever runs it would."""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
import msgspec

from retell_ws.server import Server

__all__ = ["TOKEN", "Answer", "ask"]

TOKEN = "0123456789abcdef-admin"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any


async def ask(server: Server, method: str, path: str, body: Any = None, *, token: str | None = TOKEN) -> Answer:
    """Send one request; the body is written as JSON unless it is bytes."""
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
