"""One body of tests for every implementation of `ports.AnswerStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from retell_ws.answers import Answer
from retell_ws.ports import AnswerStore
from retell_ws.stores.answers import OVERHEAD, MemoryAnswerStore
from retell_ws.stores.redis_answers import RedisAnswerStore
from tests.redis_servers import RedisCluster

from .conftest import ServerOf

pytestmark = pytest.mark.usefixtures("clean_loop")


class Clock:
    """A time that the test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


KINDS = ("memory", "valkey", "redis", "cluster")

Passing = Callable[[float], None]
"""Lets so many seconds pass, or makes it so for what is kept."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, server_of: ServerOf, clock: Clock, prefix: str
) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        yield MemoryAnswerStore(clock)
        return
    async with RedisAnswerStore(server_of(request.param).url, prefix=prefix) as store:
        yield store


@pytest.fixture
def passing(request: pytest.FixtureRequest, server_of: ServerOf, clock: Clock, prefix: str) -> Passing:
    kind = request.node.callspec.params["store"]

    def pass_(seconds: float) -> None:
        clock.now += seconds
        if kind != "memory":
            found = server_of(kind)
            for server in found.servers if isinstance(found, RedisCluster) else (found,):
                for key in server.told("KEYS", f"{prefix}*"):
                    server.told("PEXPIRE", key, server.told("PTTL", key) - int(seconds * 1000))

    return pass_


def answer(text: str = "We open at nine.", key: str = "k") -> Answer:
    return Answer(version=1, key=key, scope="s", model="m", created_at=5.5, text=text, answered_by="claude")


async def test_an_answer_comes_back_as_it_was_put(store: AnswerStore) -> None:
    assert await store.get("k") is None
    for text in ("We open at nine.", "Ouvert dès neuf heures. 🕘\u2028\x00"):
        await store.put("k", answer(text), ttl_s=60)
        assert await store.get("k") == answer(text)
    assert await store.get("K") is None


async def test_the_last_one_put_counts(store: AnswerStore) -> None:
    await store.put("k", answer("One."), ttl_s=60)
    await store.put("k", answer("Two."), ttl_s=60)
    assert await store.get("k") == answer("Two.")


async def test_its_time_is_over_when_it_says_so(store: AnswerStore, passing: Passing) -> None:
    await store.put("k", answer(), ttl_s=60)
    await store.put("l", answer(key="l"), ttl_s=120)
    passing(59)
    assert await store.get("k") == answer()
    passing(1)
    assert await store.get("k") is None
    assert await store.get("l") == answer(key="l")


async def test_an_answer_put_anew_has_its_whole_time_again(store: AnswerStore, passing: Passing) -> None:
    await store.put("k", answer(), ttl_s=60)
    passing(50)
    await store.put("k", answer(), ttl_s=60)
    passing(50)
    assert await store.get("k") == answer()


async def test_many_may_ask_at_once(store: AnswerStore) -> None:
    await store.put("k", answer(), ttl_s=60)
    assert await asyncio.gather(*(store.get("k") for _ in range(50))) == [answer()] * 50


# -- memory


async def test_memory_holds_so_many_and_forgets_what_nobody_asks_for(clock: Clock) -> None:
    store = MemoryAnswerStore(clock, max_answers=3)
    for key in "abc":
        await store.put(key, answer(key=key), ttl_s=60)
    assert await store.get("a") is not None
    await store.put("d", answer(key="d"), ttl_s=60)
    assert len(store) == 3
    assert await store.get("b") is None
    assert await store.get("a") is not None is not await store.get("c")


async def test_memory_holds_so_many_bytes(clock: Clock) -> None:
    store = MemoryAnswerStore(clock, max_bytes=3 * (OVERHEAD + 100))
    for key in "abc":
        await store.put(key, answer("x" * 100, key=key), ttl_s=60)
    await store.put("c", answer("é" * 50, key="c"), ttl_s=60)
    assert len(store) == 3
    await store.put("d", answer("x" * 101, key="d"), ttl_s=60)
    assert len(store) == 2, "one byte too many costs the oldest two: without them there is room again"
    await store.put("e", answer("x" * 10_000, key="e"), ttl_s=60)
    assert len(store) == 0, "what is larger than all of it has no place"
