"""The one question this server has for Retell's REST API: is this call one, and whose (protocol §1.8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx2
import msgspec

from .api_key import is_key
from .errors import SettingsError
from .wire import CallInfo

__all__ = ["RetellApi"]

logger = logging.getLogger(__name__)

ANSWER_S: Final = 2.0
"""Seconds for one answer; it runs beside the greeting, and the API is one trip away."""

LIVE: Final = frozenset({"registered", "ongoing"})
"""What `call_status` may be while the socket of a call is open."""

MAX_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read: the object of a call that goes on has its transcript in it."""

_call = msgspec.json.Decoder(CallInfo)


class RetellApi:
    """A client of the API.

    Args:
        key: The API's key; it appears in no log.
        base_url: Where the API is.
        agents: Ids of the agents whose calls are ours; empty for any of the key's.

    Raises:
        SettingsError: The URL or the key cannot be used.
    """

    def __init__(self, key: str, base_url: str, *, agents: Collection[str] = ()) -> None:
        if not is_key(key):
            raise SettingsError("RETELL_API_KEY holds no key: there is a space or a special character in it")
        if not base_url.startswith(("https://", "http://")):
            raise SettingsError(f"the URL of Retell's API, {base_url!r}, should begin with https://")
        self._agents = frozenset(agents)
        self._http = httpx2.AsyncClient(
            base_url=base_url.rstrip("/"), headers={"authorization": f"Bearer {key}"}, timeout=ANSWER_S
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ongoing_call(self, call_id: str) -> CallInfo | None:
        """Ask about a call.

        Returns:
            What the API knows of it; None when it is no call of our agents that goes on now, and when the API does not
            say. Nothing is raised.
        """
        try:
            # The client's own timeout is that of one read, and it would take any number of bytes.
            async with (
                asyncio.timeout(ANSWER_S),
                self._http.stream("GET", f"/v2/get-call/{quote(call_id, safe='')}") as answer,
            ):
                if answer.status_code != 200:
                    logger.warning("Retell's API answered %d", answer.status_code, extra={"call_id": call_id})
                    return None
                if (body := await _body(answer)) is None:
                    logger.warning("Retell's API gave no end of an answer", extra={"call_id": call_id})
                    return None
            details = _call.decode(body)
        except (httpx2.HTTPError, TimeoutError, msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
            logger.warning("Retell's API did not answer: %s", type(exc).__name__, extra={"call_id": call_id})
            return None
        if details.call_status not in LIVE or (self._agents and details.agent_id not in self._agents):
            return None
        return details


async def _body(answer: httpx2.Response) -> bytes | None:
    """Read a body; None when it is longer than any of a call."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            return None
    return bytes(body)
