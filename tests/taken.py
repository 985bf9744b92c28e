"""Facts as a test takes them: in a list, where the server has the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from retell_ws.agent import Agent
from retell_ws.entries import AnyFact, Entry
from retell_ws.ports import CallStore
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore

from .puppet import GREETING, Puppet, single

__all__ = ["Put", "Taken", "telling"]


class Put(NamedTuple):
    """One fact, and where it stands."""

    call_id: str
    epoch: int
    seq: int
    fact: AnyFact


class Taken:
    """What a server told.

    Attributes:
        puts: The facts of its calls, in order.
        kept: The entries that were to be kept, each once, by their ids.
        may_keep: What `keep` says.
    """

    def __init__(self) -> None:
        self.puts: list[Put] = []
        self.kept: dict[str, Entry] = {}
        self.may_keep = True

    def put(self, call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        self.puts.append(Put(call_id, epoch, seq, fact))

    async def keep(self, entry: Entry) -> bool:
        if self.may_keep:
            self.kept.setdefault(entry.id, entry)
        return self.may_keep

    def figures(self) -> Mapping[str, float]:
        names = ("recorded", "written", "dropped_metric", "dropped_event", "dropped_kept", "queued", "waiting")
        return dict.fromkeys((*names, "waiting_bytes", "oldest_s", "degraded"), 0.0)

    def of(self, kind: type[Any]) -> list[Any]:
        """Give the facts of one kind, in order."""
        return [put.fact for put in self.puts if type(put.fact) is kind]


@asynccontextmanager
async def telling(
    *,
    facts: Taken | None,
    agent: Agent | None = None,
    store: CallStore | None = None,
    webhook_keys: Sequence[bytes] = (),
    **settings: Any,
) -> AsyncIterator[tuple[Server, Puppet]]:
    """Run a server that tells what happens, with a puppet behind it."""
    puppet = Puppet()
    agent = agent or Agent("You are Ana.", greeting=GREETING)
    if store is None:
        store = MemoryCallStore(asyncio.get_running_loop().time)
    made = Server(agent, single(puppet), store, Settings(port=0, **settings), facts=facts, webhook_keys=webhook_keys)
    async with made as server:
        try:
            yield server, puppet
        finally:
            await puppet.aclose()
