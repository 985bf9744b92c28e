"""Escalation in a test: facts of a call, rules, and a call that notes what is done to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from retell_ws.consumers.acting import Do
from retell_ws.consumers.delivery import Delivery
from retell_ws.consumers.escalation import Escalation
from retell_ws.consumers.runner import Runner
from retell_ws.control import Command, Done, Outcome
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import Escalated
from retell_ws.rules import Rule
from retell_ws.speech_facts import CallerSaid
from retell_ws.watch import Rulebook
from retell_ws.watch_store import WatchStore

from .receivers import SECRET
from .sources import MemorySource

__all__ = ["Call", "asks", "consuming", "entry", "hook", "rule", "told"]

SECRETS = {"RETELL_WS_WEBHOOK_SECRET": SECRET.encode()}


def rule(*then: dict[str, Any], name: str = "one", **when: Any) -> Rule:
    """Make a rule; by default the one that is met by `asks`."""
    return msgspec.convert({"name": name, "when": when or {"phrases": ["manager"]}, "then": then}, Rule)


def hook(url: str, **more: Any) -> dict[str, Any]:
    """Make the action of a webhook."""
    return {"action": "webhook", "url": url, **more}


def entry(fact: AnyFact, seq: int = 1, *, call_id: str = "call_1", at: float | None = None) -> Entry:
    """Make an entry, of this moment."""
    at = time.time() if at is None else at
    return Entry(id=f"{call_id}-{seq}", call_id=call_id, epoch=1, seq=seq, at=at, server="a", fact=fact)


def asks(call_id: str = "call_1", seq: int = 1, at: float | None = None) -> Entry:
    """Let the caller ask for a manager."""
    return entry(CallerSaid(1, "response", "A manager, please."), seq, call_id=call_id, at=at)


class Call:
    """Takes commands for calls.

    Attributes:
        done: What it was told.
        outcomes: What it says, one after the other; then always `Done`.
        waits: It says nothing before this.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, Command]] = []
        self.outcomes: list[Outcome] = []
        self.waits: Callable[[str], Awaitable[object]] = lambda _: asyncio.sleep(0)

    async def do(self, call_id: str, command: Command) -> Outcome:
        """Take a command."""
        self.done.append((call_id, command))
        await self.waits(call_id)
        return self.outcomes.pop(0) if self.outcomes else Done()


def told(source: MemorySource) -> list[tuple[str, str, str, str]]:
    """Give what the bus was told came of escalations: call, rule, action, outcome."""
    return [
        (each.call_id, each.fact.rule, each.fact.action, each.fact.outcome)
        for each in source.entries
        if isinstance(each.fact, Escalated)
    ]


@asynccontextmanager
async def consuming(
    store: WatchStore, source: MemorySource, do: Do, *rules: Rule, secrets: dict[str, bytes] | None = None
) -> AsyncIterator[Escalation]:
    """Run the consumer on a source, driven as in production.

    Yields:
        It.
    """
    delivery = Delivery(SECRETS if secrets is None else secrets)
    stop = asyncio.Event()
    async with Escalation(Rulebook(rules, 0.3), source, store, do, delivery) as consumer:
        running = asyncio.create_task(Runner(source, consumer).run(stop))
        try:
            yield consumer
        finally:
            stop.set()
            source.add()
            await running


def ids(entries: Sequence[Entry]) -> list[str]:
    """Give their ids."""
    return [each.id for each in entries]
