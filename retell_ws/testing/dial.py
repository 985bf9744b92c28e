"""Dialling a server the way Retell does: the call id at the end of the path, three attempts, seven seconds each."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from ..errors import RetellWsError, UsageError
from ..loopback import is_loopback

__all__ = ["RETELLS_POLICY", "DialError", "DialPolicy", "call_url", "dial", "shown"]

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
"""All four may stand in the configured URL (§1.2)."""


_HINTS = {404: "the path is wrong, or the secret in it", 503: "it is full or about to leave"}
"""What the usual refusals mean, for people."""


class DialError(RetellWsError):
    """No attempt to open the socket succeeded.

    Attributes:
        status: HTTP status the server answered the last attempt with, or None when it gave none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class DialPolicy:
    """How often and how long to try (§1.4).

    Attributes:
        attempts: Attempts before giving up.
        timeout_s: Seconds for one attempt.
        pause_s: Seconds between two.
    """

    attempts: int = 3
    timeout_s: float = 7.0
    pause_s: float = 3.0


RETELLS_POLICY = DialPolicy()
"""Three attempts of seven seconds with three between (§1.4)."""


def call_url(url: str, call_id: str) -> str:
    """Put the call id behind the path of the configured URL; its query stays (§1.2).

    Raises:
        UsageError: The URL is no `ws`, `wss`, `http` or `https` URL with a host.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"{shown(url)!r} is not a URL") from None
    if parts.scheme not in _SCHEMES or not host:
        raise UsageError(f"{shown(url)!r} is not the URL of a server: it has to look like ws://host:8080/llm-websocket")
    path = f"{parts.path.rstrip('/')}/{call_id}"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def shown(url: str) -> str:
    """Write a URL as it may be shown: without who asks, and without what follows the host, where the secret is."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


async def dial(url: str, *, policy: DialPolicy = RETELLS_POLICY) -> ClientConnection:
    """Open one socket.

    No ping of the WebSocket layer is sent and no compression offered: neither is documented for Retell (§1.3).

    Args:
        url: The full URL, call id included.
        policy: How often to try.

    Raises:
        DialError: No attempt succeeded.
        UsageError: The URL cannot be dialled at all.
    """
    error = DialError("no attempt was made")
    for attempt in range(policy.attempts):
        if attempt:
            await asyncio.sleep(policy.pause_s)
        try:
            return await connect(
                url,
                open_timeout=policy.timeout_s,
                compression=None,
                ping_interval=None,
                max_size=None,
                close_timeout=2,
                # A proxy of the environment is for the outside; Retell itself uses none.
                proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
            )
        except InvalidStatus as exc:
            status = exc.response.status_code
            hint = f", {_HINTS[status]}" if status in _HINTS else ""
            error = DialError(f"the server refused with HTTP status {status}{hint}", status=status)
        except TimeoutError:
            error = DialError(f"the server did not accept within {policy.timeout_s:g} s")
        except (OSError, EOFError, InvalidHandshake) as exc:
            error = DialError(f"no connection: {str(exc) or type(exc).__name__}")
        except InvalidURI as exc:
            raise UsageError(f"{shown(url)!r} cannot be dialled: {exc.msg}") from None
        except (WebSocketException, ValueError) as exc:  # their texts may quote the URL
            raise UsageError(f"{shown(url)!r} cannot be dialled: {type(exc).__name__}") from None
    raise error
