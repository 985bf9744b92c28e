"""The part of the composition root that puts the escalation consumer together: from settings to something to run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from .blueprints import keeping_calls, speaking_redis, switching
from .consumers.acting import Do
from .consumers.delivery import Delivery
from .consumers.escalation import Escalation
from .consumers.remote import Remote
from .control import Command, NotHere, Outcome, Refused, Reply
from .errors import SettingsError
from .ports import Source
from .reach import Reach
from .rules import Rule, Webhook, read, secrets_of
from .settings import Settings
from .stores.sqlite_watches import SqliteWatchStore
from .text_file import read_text
from .watch import Rulebook
from .watch_store import WatchStore

__all__ = ["escalating", "read_rules"]

FILE = "escalation.sqlite"
"""In the data folder, where there is no Redis."""


@asynccontextmanager
async def escalating(
    settings: Settings, source: Source, *, do: Do | None = None, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Escalation]:
    """Make the escalation consumer.

    Args:
        settings: The settings; `rules` names the file.
        source: The bus.
        do: Does something to a live call; by default the servers are asked, by Redis or by `control_url`.
        environment: Where the secrets of webhooks are.

    Yields:
        The consumer; whoever runs it enters it.

    Raises:
        SettingsError: There are no rules, or the settings do not let them be followed.
    """
    if not settings.rules:
        raise SettingsError("escalation needs rules: --rules FILE")
    path = Path(settings.rules)
    rules = await asyncio.to_thread(read_rules, path)
    secrets = secrets_of(rules, environment, str(path))
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_watches(settings))
        if do is None:
            do = await stack.enter_async_context(_doing(settings, rules))
        yield Escalation(Rulebook(rules, settings.budget_s()), source, store, do, Delivery(secrets))


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read a file of rules.

    Raises:
        SettingsError: It cannot be read, or a rule in it cannot be meant.
    """
    return read(read_text(path), str(path))


@asynccontextmanager
async def _watches(settings: Settings) -> AsyncIterator[WatchStore]:
    if settings.is_shared():
        with speaking_redis():
            from .stores.redis_watches import RedisWatchStore

            shared = RedisWatchStore(settings.redis_url, prefix=settings.redis_prefix)
        async with shared:
            yield shared
        return
    if not (folder := settings.data_folder()):
        raise SettingsError("escalation keeps what it knows in Redis, or in the data folder: --data DIR")
    async with SqliteWatchStore(Path(folder) / FILE) as alone:
        yield alone


@asynccontextmanager
async def _doing(settings: Settings, rules: tuple[Rule, ...]) -> AsyncIterator[Do]:
    if all(isinstance(action, Webhook) for rule in rules for action in rule.then):
        yield _nothing
        return
    if not settings.is_shared():
        async with Remote(settings.control_url, settings.admin_token) as remote:
            yield remote.do
        return
    async with keeping_calls(settings) as calls, switching(settings, calls.name) as switchboard:
        if switchboard is None:
            raise AssertionError("servers that share calls have a switchboard")
        reach = Reach(_nowhere, calls, switchboard)
        async with switchboard.listening(reach.answer):
            yield reach.do


async def _nothing(_: str, __: Command) -> Outcome:
    return Refused("impossible", "no rule does anything in a call any more")


def _nowhere(_: str, __: Command) -> Reply:
    return NotHere()  # no call is ours
