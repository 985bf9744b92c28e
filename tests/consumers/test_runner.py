"""The driver of consumers: what is committed when, what is tried again, and what is buried."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retell_ws.consumers import runner
from retell_ws.consumers.runner import Runner
from retell_ws.entries import Entry
from retell_ws.errors import BusError, SinkError
from retell_ws.facts import CallStarted

from ..waiting import until
from .sources import MemorySource


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(runner, "LONGEST_PAUSE_S", 0.002)


def entry(name: str) -> Entry:
    return Entry(id=name, call_id="call_1", epoch=1, seq=1, at=0.0, server="a", fact=CallStarted())


def entries(*names: str) -> list[Entry]:
    return [entry(name) for name in names]


class Listing:
    """A consumer that writes down what it was given, and fails as it is told."""

    def __init__(self, fails: Callable[[list[str]], Exception | None] = lambda _: None, gather_s: float = 0.0) -> None:
        self.name, self.limit, self.gather_s = "listing", 3, gather_s
        self.batches: list[list[str]] = []
        self.tries = self.idled = 0
        self._fails = fails

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    async def handle(self, entries: Sequence[Entry]) -> None:
        self.tries += 1
        names = [entry.id for entry in entries]
        if (failure := self._fails(names)) is not None:
            raise failure
        self.batches.append(names)

    async def idle(self) -> None:
        self.idled += 1

    async def __aenter__(self) -> Listing:
        return self

    async def __aexit__(self, *_: Any) -> None:
        pass


@asynccontextmanager
async def running(source: MemorySource, consumer: Listing, *, drain_s: float = 0.0) -> AsyncIterator[Runner]:
    made, stop = Runner(source, consumer), asyncio.Event()
    task = asyncio.create_task(made.run(stop, drain_s=drain_s))
    try:
        yield made
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await task


async def test_what_was_handled_is_committed_and_nothing_else() -> None:
    source, consumer = MemorySource(entries("a", "b", "c", "d")), Listing()
    async with running(source, consumer) as made:
        await until(lambda: source.committed == 4)
    assert consumer.batches == [["a", "b", "c"], ["d"]]
    assert (made.handled, made.repeated, made.buried) == (4, 0, 0)
    assert consumer.idled >= 2


async def test_what_comes_again_is_left_out() -> None:
    source, consumer = MemorySource(entries("a", "b", "a")), Listing()
    async with running(source, consumer) as made:
        await until(lambda: source.committed == 3)
        source.committed = 0
        source.again()
        source.add(entry("c"))
        await until(lambda: source.committed == 4)
    assert consumer.names == ["a", "b", "c"]
    assert made.repeated == 4


async def test_a_commit_that_was_left_to_the_next_one_does_not_wait_for_more_entries() -> None:
    class Rebalancing(MemorySource):
        late = 1

        async def commit(self) -> None:
            if self.late:
                self.late -= 1
            else:
                await super().commit()

    source, consumer = Rebalancing(entries("a")), Listing()
    async with running(source, consumer):
        await until(lambda: source.committed == 1)
    assert consumer.names == ["a"]


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REMEMBERED", 2)
    source, consumer = MemorySource(entries("a", "b", "c")), Listing()
    async with running(source, consumer):
        await until(lambda: source.committed == 3)
        source.add(entry("c"), entry("b"), entry("a"))
        await until(lambda: source.committed == 6)
    assert consumer.names == ["a", "b", "c", "a"]


async def test_a_batch_gathers_for_as_long_as_it_may() -> None:
    source, consumer = MemorySource(entries("a")), Listing(gather_s=30)
    async with running(source, consumer):
        await until(lambda: source.lag() == 0)
        source.add(entry("b"))
        await until(lambda: source.lag() == 0)
        assert source.committed == 0 and not consumer.batches
        source.add(entry("c"))  # as many as it wants at once
        await until(lambda: source.committed == 3)
    assert consumer.batches == [["a", "b", "c"]]


async def test_a_stop_ends_the_gathering_and_nothing_is_lost() -> None:
    source, consumer = MemorySource(entries("a")), Listing(gather_s=0.5)
    async with running(source, consumer):
        await until(lambda: source.lag() == 0)
    assert consumer.batches == [["a"]]
    assert source.committed == 1


async def test_a_sink_that_is_away_is_waited_for_and_nothing_is_buried(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "retell_ws")
    failures: list[Exception] = [SinkError("no room"), OSError("gone")] * 10

    def fails(_: list[str]) -> Exception | None:
        return failures.pop() if failures else None

    source, consumer = MemorySource(entries("a", "b")), Listing(fails)
    async with running(source, consumer) as made:
        await until(lambda: source.committed == 2)
    assert consumer.batches == [["a", "b"]]
    assert (consumer.tries, made.buried, source.dead) == (21, 0, [])
    assert len(caplog.records) == 1, "once a minute is enough"


async def test_what_cannot_be_handled_is_buried_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fails(names: list[str]) -> Exception | None:
        return ValueError("the caller said: 4111 1111 1111 1111") if "b" in names else None

    source, consumer = MemorySource(entries("a", "b", "c")), Listing(fails)
    async with running(source, consumer) as made:
        await until(lambda: source.committed == 3)
    assert consumer.names == ["a", "c"]
    assert [(dead.id, why) for dead, why in source.dead] == [("b", "listing: ValueError")]
    assert (made.handled, made.buried) == (2, 1)
    assert "4111" not in caplog.text and "test_runner.py" in caplog.text


async def test_a_stop_ends_the_tries_and_commits_nothing() -> None:
    source, consumer = MemorySource(entries("a")), Listing(lambda _: SinkError("away"))
    async with running(source, consumer):
        await until(lambda: consumer.tries > 2)
    assert (source.committed, source.dead) == (0, [])


async def test_a_stop_while_entries_are_looked_at_one_by_one_commits_nothing() -> None:
    def fails(names: list[str]) -> Exception | None:
        return KeyError("x") if len(names) > 1 else SinkError("away")

    source, consumer = MemorySource(entries("a", "b")), Listing(fails)
    async with running(source, consumer):
        await until(lambda: consumer.tries > runner.TRIES + 2)
    assert (source.committed, source.dead) == (0, [])


async def test_what_lies_there_at_the_stop_is_drained_when_asked_for() -> None:
    source, consumer = MemorySource(entries("a", "b", "c", "d", "e")), Listing()
    stop = asyncio.Event()
    stop.set()
    await Runner(source, consumer).run(stop, drain_s=5.0)
    assert (consumer.names, source.committed) == (["a", "b", "c", "d", "e"], 5)


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c", "d")], ids=["nothing after it", "more after it"])
async def test_a_drain_commits_nothing_past_what_could_not_be_handled_at_the_stop(names: tuple[str, ...]) -> None:
    source = MemorySource(entries(*names))
    consumer = Listing(lambda batch: SinkError("away") if "a" in batch else None)
    async with running(source, consumer, drain_s=5.0):
        await until(lambda: consumer.tries > 2)
    assert (source.committed, consumer.names) == (0, [])


async def test_a_failing_idle_stops_nothing() -> None:
    class Restless(Listing):
        async def idle(self) -> None:
            await super().idle()
            raise RuntimeError("not now")

    source, consumer = MemorySource(entries("a")), Restless()
    async with running(source, consumer):
        await until(lambda: source.committed == 1)
        source.add(entry("b"))
        await until(lambda: source.committed == 2)


async def test_a_bus_that_refuses_us_ends_it() -> None:
    class Refusing(MemorySource):
        async def read(self, limit: int, wait_s: float) -> Sequence[Entry]:
            raise BusError("not allowed to read the topic")

    with pytest.raises(BusError, match="not allowed"):
        await Runner(Refusing(), Listing()).run(asyncio.Event())


@given(
    names=st.lists(st.sampled_from("abcdefgh"), max_size=20),
    poison=st.sets(st.sampled_from("abcdefgh"), max_size=3),
    crashes=st.lists(st.integers(0, 5), max_size=4),
)
@settings(deadline=None, max_examples=60)
def test_every_entry_is_handled_or_buried_whatever_happens(
    names: list[str], poison: set[str], crashes: list[int]
) -> None:
    source = MemorySource([])
    source.entries = entries(*names)
    done: set[str] = set()

    async def play() -> None:
        source._news = asyncio.Event()
        for steps in (*crashes, len(names) + 1):
            source.again()  # a new process, which remembers nothing
            consumer = Listing(lambda batch: ValueError() if poison & set(batch) else None)
            made, stop = Runner(source, consumer), asyncio.Event()
            for _ in range(steps):
                await made._step(stop, 0.0)
            done.update(consumer.names)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runner, "FIRST_PAUSE_S", 0.0)
        patched.setattr(runner, "LONGEST_PAUSE_S", 0.0)
        asyncio.run(play())
    assert source.committed == len(names)
    assert done == set(names) - poison
    assert {dead.id for dead, _ in source.dead} == set(names) & poison
