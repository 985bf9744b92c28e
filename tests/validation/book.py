"""A set-up for a check, and the lines it gives."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from retell_ws.agent import Agent
from retell_ws.agent_file import load as load_agent
from retell_ws.settings import load
from retell_ws.validation.book import Book
from retell_ws.validation.line import Line
from retell_ws.validation.setup import Setup

__all__ = ["AGENT", "lines_of", "setup_of"]

AGENT = "retell_ws.examples.receptionist"

_agent = load_agent(AGENT)  # now, and not on the loop of a test


def setup_of(
    folder: Path,
    *,
    agent: Agent | None = None,
    target: str = AGENT,
    url: str = "",
    callers: int = 2,
    agent_id: str = "",
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Setup:
    """Make a set-up with settings as they are given to `serve`."""
    return Setup(
        target=target,
        agent=agent or _agent,
        settings=load(settings, environment={}),
        folder=folder,
        run=f"validate_{secrets.token_hex(4)}",
        url=url,
        callers=callers,
        agent_id=agent_id,
        environment=environment or {},
    )


async def lines_of(topic: str, check: Callable[[Setup, Book], Awaitable[Any]], setup: Setup) -> dict[str, Line]:
    """Run a check, and give its lines by name."""
    lines: list[Line] = []
    await check(setup, Book(topic, lines.append))
    assert len({line.name for line in lines}) == len(lines)
    for line in lines:
        assert line.seen
        if line.outcome in ("warn", "fail"):
            assert line.advice, f"{line.name} does not say what to do"
    return {line.name: line for line in lines}
