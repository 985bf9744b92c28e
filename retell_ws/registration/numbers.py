"""Which agent answers a phone number, and which shall. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..errors import UsageError

__all__ = ["Binding", "binding_of", "checked", "inbound"]


_MOVES: Final = (None, "latest", "latest_published")
"""Versions of a binding that come along with the agent. A number of one version, or of a tag, which points at one until
somebody moves it, dials the URL of that."""


class Binding(msgspec.Struct, frozen=True):
    """A number that another agent answers, or nobody.

    Attributes:
        number: In E.164.
        before: Who answers it now, in words.
    """

    number: str
    before: str


def checked(number: str) -> str:
    """Read a number in E.164.

    Raises:
        UsageError: It is none.
    """
    if not (number.startswith("+") and number[1:].isascii() and number[1:].isdigit() and 7 <= len(number) <= 16):
        raise UsageError(f"--number {number!r}: a number is written like +14155550123")
    return number


def inbound(agent_id: str, *, publish: bool) -> list[dict[str, Any]]:
    """Write who shall answer: this agent alone, in its latest version, or in the latest that is published."""
    return [{"agent_id": agent_id, "weight": 1, "agent_version": "latest_published" if publish else "latest"}]


def binding_of(number: str, now: Mapping[str, Any], agent_id: str | None) -> Binding | None:
    """Compare who answers a number with who shall.

    Args:
        number: It.
        now: It, as Retell's API gives it.
        agent_id: Who shall answer it; None when that agent has still to be made.

    Returns:
        What has to change; None when the agent answers alone, in a version that comes along with it.
    """
    listed = now.get("inbound_agents")
    agents = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    if len(agents) == 1 and agents[0].get("agent_id") == agent_id and agents[0].get("agent_version") in _MOVES:
        return None
    return Binding(number, ", ".join(map(_written, agents)) or "nobody")


def _written(agent: Mapping[str, Any]) -> str:
    version = agent.get("agent_version")
    of_them = agent.get("weight")
    part = f" for {of_them:.0%} of calls" if isinstance(of_them, (int, float)) and of_them != 1 else ""
    return f"{agent.get('agent_id')}{'' if version is None else f' ({_version(version)})'}{part}"


def _version(version: Any) -> str:
    if type(version) is int:
        return f"version {version}"
    return str(version) if version in _MOVES else f"tag {version}"
