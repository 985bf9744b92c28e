"""One body of tests for every implementation of `ports.CallStore`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from retell_ws.ports import CallStore, Effect
from retell_ws.stores.memory import MAX_CALLS, MAX_EFFECTS, TTL_S, MemoryCallStore

pytestmark = pytest.mark.usefixtures("clean_loop")

STORES: dict[str, Callable[[], CallStore]] = {"memory": lambda: MemoryCallStore(lambda: 0.0)}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> CallStore:
    return STORES[request.param]()


async def test_a_side_effect_is_claimed_once(store: CallStore) -> None:
    claims = await asyncio.gather(*(store.claim("call_1", "book") for _ in range(20)))
    assert claims.count(None) == 1
    assert claims.count(Effect("begun")) == 19


async def test_what_came_of_it_is_told_to_whoever_claims_it_again(store: CallStore) -> None:
    assert await store.claim("call_1", "book") is None
    await store.settle("call_1", "book", Effect("done", "Booked."))
    assert await store.claim("call_1", "book") == Effect("done", "Booked.")


async def test_a_released_claim_may_be_taken_anew(store: CallStore) -> None:
    await store.claim("call_1", "book")
    await store.release("call_1", "book")
    assert await store.claim("call_1", "book") is None
    await store.release("call_1", "never claimed")


async def test_what_was_done_may_be_forgotten_by_tool(store: CallStore) -> None:
    for key in ("book:1", "book:2", "book:3", "booking:1"):
        await store.claim("call_1", key)
        await store.settle("call_1", key, Effect("unknown" if key == "book:3" else "done"))
    await store.claim("call_1", "book:4")
    await store.claim("call_2", "book:1")
    await store.forget("call_1", "book:")
    assert [await store.claim("call_1", key) for key in ("book:1", "book:2")] == [None, None]
    assert await store.claim("call_1", "book:3") == Effect("unknown"), "nobody knows of it, so it is not done anew"
    assert await store.claim("call_1", "book:4") == Effect("begun")
    assert await store.claim("call_1", "booking:1") == Effect("done")
    assert await store.claim("call_2", "book:1") == Effect("begun")


async def test_calls_and_side_effects_do_not_mix(store: CallStore) -> None:
    assert await store.claim("call_1", "book") is None
    assert await store.claim("call_2", "book") is None
    assert await store.claim("call_1", "cancel") is None
    await store.save("call_1", b"1")
    assert await store.load("call_2") is None


async def test_the_state_is_the_last_one_written(store: CallStore) -> None:
    assert await store.load("call_1") is None
    await store.save("call_1", b"{}")
    await store.save("call_1", b'{"name":"Bo"}')
    assert await store.load("call_1") == b'{"name":"Bo"}'


# -- memory


async def test_memory_forgets_a_call_some_hours_after_its_last_write() -> None:
    now = 0.0
    store = MemoryCallStore(lambda: now)
    await store.claim("call_1", "book")
    now = TTL_S / 2
    await store.save("call_1", b"1")
    await store.save("call_2", b"2")
    now = TTL_S
    assert await store.claim("call_1", "book") == Effect("begun"), "written to since"
    now = 1.6 * TTL_S
    assert await store.load("call_2") is None and await store.load("call_1") == b"1"
    assert len(store) == 1


async def test_memory_is_bounded() -> None:
    store = MemoryCallStore(lambda: 0.0)
    for number in range(MAX_CALLS + 5):
        await store.save(f"call_{number}", b"")
    assert len(store) == MAX_CALLS
    for number in range(MAX_EFFECTS + 1):
        await store.claim("call_1", str(number))
    assert await store.claim("call_1", "0") is None, "the oldest went"
    assert await store.claim("call_1", str(MAX_EFFECTS)) == Effect("begun")
