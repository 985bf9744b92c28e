"""The agent as Retell has it, asked of Retell's own client: the only file here that knows it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..errors import RetellWsError
from ..extras import needing

__all__ = ["ApiError", "Registered", "registered"]

ANSWER_S: Final = 8.0


class ApiError(RetellWsError):
    """Retell's API does not answer as it should. Its text quotes nothing of the request."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What Retell knows of an agent.

    Attributes:
        kind: Of its response engine; ours is `custom-llm`.
        url: Where Retell dials.
        webhook_url: Where its webhooks go; empty: to the account's.
        version: The newest version.
        is_published: That version takes calls of phone numbers that name none.
    """

    kind: str
    url: str
    webhook_url: str
    version: int
    is_published: bool


async def registered(key: str, base_url: str, agent_id: str) -> Registered:
    """Look an agent up.

    Args:
        key: Of Retell's API.
        base_url: Where it is.
        agent_id: The agent.

    Raises:
        ApiError: It is not known there, the key is refused, or nobody answers.
        SettingsError: The package is not installed.
    """
    with needing("retell", "looking the agent up"):
        from retell import APIError, APIStatusError, AsyncRetell
    async with AsyncRetell(api_key=key, base_url=base_url, timeout=ANSWER_S, max_retries=1) as client:
        try:
            agent = await client.agent.retrieve(agent_id)
        except APIStatusError as exc:
            raise ApiError(f"Retell's API answers with {exc.status_code}", status=exc.status_code) from None
        except APIError as exc:
            raise ApiError(f"Retell's API does not answer: {type(exc).__name__}") from None
    engine: Any = agent.response_engine
    return Registered(
        kind=str(getattr(engine, "type", "")),
        url=str(getattr(engine, "llm_websocket_url", "") or ""),
        webhook_url=agent.webhook_url or "",
        version=int(agent.version or 0),
        is_published=bool(agent.is_published),
    )
