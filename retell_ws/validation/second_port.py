"""What a validation asks the second port of a spare server: its metrics, and what it says to webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import ClientSession, ClientTimeout
from prometheus_client.parser import text_string_to_metric_families

from ..webhooks import HEADER

__all__ = ["SecondPort", "asking"]

ANSWER: Final = ClientTimeout(total=5.0)


class SecondPort:
    """A client of one.

    Args:
        session: The client's connections.
        url: Of the port.
    """

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def count(self, name: str, **labels: str) -> float:
        """Give the sum of a metric, over all that have these labels.

        Args:
            name: As it is written in the text.
            labels: Those it must have.
        """
        async with self._session.get(f"{self._url}/metrics") as response:
            text = await response.text()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def tell(self, body: bytes, signature: str) -> int:
        """Send a webhook, and give the status it is answered with."""
        headers = {HEADER: signature, "Content-Type": "application/json"}
        async with self._session.post(f"{self._url}/webhook", data=body, headers=headers) as response:
            return response.status


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[SecondPort]:
    """Have a client of a second port."""
    async with ClientSession(timeout=ANSWER) as session:
        yield SecondPort(session, url)
