"""A model whose every word the test decides, and a server to put it behind. No timing of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.errors import ModelError
from retell_ws.ports import WRITING, Delta, End, Model, Rest, Text, ToolCall, no_rest
from retell_ws.race import RacingModel
from retell_ws.request import ModelRequest
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore

GREETING = "Harbor Clinic."


class Stream:
    """One answer in the making.

    Attributes:
        request: What was asked.
        closed: Set when nobody listens any more, or the answer came to its end.
        rests: Whether it tells when it has no more at the moment, as a model may.
    """

    def __init__(self, request: ModelRequest) -> None:
        self.request = request
        self.closed = asyncio.Event()
        self.rests = True
        self._calls = 0
        self._deltas: asyncio.Queue[Delta | ModelError | Exception | None] = asyncio.Queue()

    def say(self, *texts: str) -> None:
        """Let the model say these pieces."""
        for text in texts:
            self._deltas.put_nowait(Text(text))

    def write(self) -> None:
        """Let the model write on a call."""
        self._deltas.put_nowait(WRITING)

    def call(self, tool: str, **arguments: Any) -> None:
        """Let the model call a tool."""
        self._calls += 1
        text = msgspec.json.encode(arguments).decode()
        self._deltas.put_nowait(ToolCall(f"toolu_{id(self)}_{self._calls}", tool, text))

    def end(self, stop_reason: str = "end_turn") -> None:
        """Let the answer come to its end."""
        self._deltas.put_nowait(End(stop_reason))
        self._deltas.put_nowait(None)

    def stop(self) -> None:
        """Let the stream stop without an end, which no real model may do."""
        self._deltas.put_nowait(None)

    def fail(self, error: Exception) -> None:
        """Let the stream raise."""
        self._deltas.put_nowait(error)

    async def deltas(self, rest: Rest) -> AsyncGenerator[Delta, None]:
        try:
            while True:
                if self.rests and self._deltas.empty():
                    rest()
                if (delta := await self._deltas.get()) is None:
                    break
                if isinstance(delta, Exception):
                    raise delta
                yield delta
        finally:
            self.closed.set()


class Facts(logging.Handler):
    """Hears every fact the server records, so that a test can wait for one."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: Counter[str] = Counter()
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        fact = getattr(record, "fact", None)
        if fact is not None:
            self.seen[fact["fact"]] += 1
            self._news.set()

    async def wait(self, kind: str, times: int = 1) -> None:
        """Wait until a kind of fact was recorded so many times."""
        async with asyncio.timeout(5):
            while self.seen[kind] < times:
                self._news.clear()
                await self._news.wait()


class Puppet:
    """A `Model` that waits for the test.

    Attributes:
        streams: Every answer asked for, in order.
        facts: What the server records.
        at_once: What each answer begins with, as soon as it is asked for.
    """

    name = "puppet"
    at_once: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.facts = Facts()
        self._asked = asyncio.Condition()

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        stream = Stream(request)
        stream.say(*self.at_once)
        async with self._asked:
            self.streams.append(stream)
            self._asked.notify_all()
        async for delta in stream.deltas(rest):
            yield delta

    async def asked(self, number: int) -> Stream:
        """Wait for the nth request, counted from 1, and give its stream."""
        async with asyncio.timeout(5), self._asked:
            await self._asked.wait_for(lambda: len(self.streams) >= number)
        return self.streams[number - 1]

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        for stream in self.streams:
            stream.stop()


def single(model: Model) -> RacingModel:
    """Put a model behind turns as a server does at its start; it is asked once, and no other one."""
    return RacingModel(model, model_name="", hedge=False)


@asynccontextmanager
async def serving(
    *,
    greeting: Any = GREETING,
    agent: Agent | None = None,
    shares: bool = False,
    raced: Callable[[Puppet], Model] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Server, Puppet]]:
    """Run a server with a puppet behind it; one that `shares` keeps its calls where others could take them.

    What `raced` makes of the puppet stands between the two.
    """
    puppet = Puppet()
    agent = agent or Agent("You are Ana.", greeting=greeting)
    log = logging.getLogger("retell_ws")
    level = log.level
    log.addHandler(puppet.facts)
    log.setLevel(logging.DEBUG)
    try:
        store = MemoryCallStore(asyncio.get_running_loop().time, is_shared=shares)
        async with running(
            agent, Settings(port=0, **settings), model=raced(puppet) if raced else puppet, store=store
        ) as server:
            yield server, puppet
    finally:
        log.removeHandler(puppet.facts)
        log.setLevel(level)
