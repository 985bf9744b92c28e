"""Delivers a webhook: one signed POST, and what the receiver makes of it.

Receivers get what Retell's own webhooks have: the signature of protocol §5.4, over the bytes of the body. A redirect is
not followed, since it would lead what was meant for one receiver to another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from ..errands import Errand, Verdict, body_of, judged, retry_after_s, signature
from ..rules import Webhook

__all__ = ["Delivered", "Delivery"]

ATTEMPT_S: Final = 10.0
"""Seconds for one try, from the look-up of the host to the answer's head."""


class Delivered(msgspec.Struct, frozen=True):
    """What came of a try.

    Attributes:
        verdict: What.
        why: In words: a status, or the kind of the failure.
        after_s: Seconds for which the receiver wants to be left alone, when it said so.
    """

    verdict: Verdict
    why: str
    after_s: float | None = None


class Delivery:
    """Sends webhooks. Use it as an async context.

    Args:
        secrets: Of the webhooks, by the names of their variables.
        clock: Gives seconds since 1970.
    """

    def __init__(self, secrets: Mapping[str, bytes], clock: Callable[[], float] = time.time) -> None:
        self._secrets = secrets
        self._clock = clock
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Who bounds the connections is who bounds the tries; and no cookie of one errand goes with the next.
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def deliver(self, errand: Errand) -> Delivered:
        """Try once. Never raises but for cancellation."""
        webhook = errand.action
        if self._http is None or not isinstance(webhook, Webhook):
            raise AssertionError("only webhooks are delivered, while the block lasts")
        if (secret := self._secrets.get(webhook.secret_env)) is None:
            return Delivered("refused", f"there is no secret in {webhook.secret_env} any more")
        body = body_of(errand)
        now = self._clock()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": errand.id,
            "X-Retell-Ws-Signature": signature(body, secret, int(now * 1000)),
            "User-Agent": "retell_ws",
        }
        try:
            async with self._http.post(webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
                after_s = retry_after_s(answer.headers.get("Retry-After"), now)
                return Delivered(judged(answer.status), f"status {answer.status}", after_s)
        except TimeoutError:
            return Delivered("again", f"no answer within {ATTEMPT_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Delivered("again", type(exc).__name__)  # its words may quote the URL
