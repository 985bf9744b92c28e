"""The agent as Retell has it, asked by the one module that knows Retell's client."""

from __future__ import annotations

from typing import Any

import msgspec

from ..registration.api import RetellRest

__all__ = ["Registered", "registered"]


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
        RetellApiError: It is not known there (`NotThere`), nobody answers (`NotReached`), or not as they should.
        SettingsError: The key is refused, or the package is not installed.
    """
    async with RetellRest(key, base_url) as api:
        agent = await api.agent(agent_id)
    engine: Any = agent.get("response_engine")
    engine = engine if isinstance(engine, dict) else {}
    return Registered(
        kind=str(engine.get("type") or ""),
        url=str(engine.get("llm_websocket_url") or ""),
        webhook_url=str(agent.get("webhook_url") or ""),
        version=int(agent.get("version") or 0),
        is_published=bool(agent.get("is_published")),
    )
