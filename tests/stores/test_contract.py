"""One body of tests for every implementation of `ports.CallStore`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from retell_ws.ports import CallStore, Effect, Kept
from retell_ws.stores.limits import MAX_EFFECTS, TTL_S
from retell_ws.stores.memory import MAX_CALLS, MemoryCallStore
from retell_ws.stores.redis import RedisCallStore

from .conftest import ServerOf, fresh_prefix
from .kept import taken

pytestmark = pytest.mark.usefixtures("clean_loop")

KINDS = ("memory", "valkey", "redis", "cluster")

Opening = Callable[[str], Awaitable[CallStore]]
"""Opens the store of one server, by its name; all of a test's share their calls."""


@pytest.fixture(params=KINDS)
async def opening(request: pytest.FixtureRequest, server_of: ServerOf) -> AsyncIterator[Opening]:
    kind: str = request.param
    async with AsyncExitStack() as stack:
        prefix = fresh_prefix()
        first: list[MemoryCallStore] = []

        async def open_(name: str) -> CallStore:
            if kind == "memory":
                first.append(MemoryCallStore(lambda: 0.0, name=name, beside=first[0] if first else None))
                return first[-1]
            return await stack.enter_async_context(RedisCallStore(server_of(kind).url, name=name, prefix=prefix))

        yield open_


@pytest.fixture
async def store(opening: Opening) -> CallStore:
    return await opening("a")


@pytest.fixture
async def other(store: CallStore, opening: Opening) -> CallStore:
    return await opening("b")


class Lost:
    """Counts how often a server was told that it has lost a call."""

    def __init__(self) -> None:
        self._times = 0
        self._first = asyncio.Event()

    def __call__(self) -> None:
        self._times += 1
        self._first.set()

    def times(self) -> int:
        return self._times

    async def told(self) -> None:
        async with asyncio.timeout(5):
            await self._first.wait()


def nothing() -> None:
    """Be told of nothing."""


# -- side effects


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


# -- where a call stands


async def test_a_call_nobody_had_is_empty(store: CallStore) -> None:
    assert await store.owner("call_1") is None
    assert await taken(store.attach("call_1", nothing)) == Kept()
    assert await store.owner("call_1") == "a"
    assert await store.owner("call_2") is None


async def test_whoever_takes_a_call_is_given_what_was_written(store: CallStore, other: CallStore) -> None:
    await store.attach("call_1", nothing)
    store.write("call_1", {"call": b"\x00\xff{}", "turn": b"1"})
    store.say("call_1", "Hello ")
    store.say("call_1", "thére. \U0001f600")
    await store.save("call_1", b"state")
    assert await store.claim("call_1", "book") is None
    await store.settle("call_1", "book", Effect("done", "Booked."))
    assert await store.claim("call_1", "pay") is None
    assert await taken(other.attach("call_1", nothing)) == Kept(
        has_moved=True,
        parts={"call": b"\x00\xff{}", "turn": b"1"},
        said="Hello thére. \U0001f600",
        effects={"book": Effect("done", "Booked."), "pay": Effect("begun")},
    )
    assert await other.load("call_1") == b"state"
    assert await other.owner("call_1") == await store.owner("call_1") == "b"


async def test_whoever_takes_a_call_has_it_under_a_greater_epoch(store: CallStore, other: CallStore) -> None:
    first = await store.attach("call_1", nothing)
    second = await other.attach("call_1", nothing)
    third = await store.attach("call_1", nothing)
    if store.is_shared:
        assert 0 < first.epoch < second.epoch < third.epoch
    else:  # nobody else is there to be told apart
        assert first.epoch == second.epoch == third.epoch == 0


async def test_a_write_replaces_the_parts_it_names_and_what_was_said(store: CallStore, other: CallStore) -> None:
    await store.attach("call_1", nothing)
    store.write("call_1", {"call": b"1", "turn": b"1"})
    store.say("call_1", "Hello.")
    store.write("call_1", {"turn": b"2"})
    kept = await other.attach("call_1", nothing)
    assert (kept.parts, kept.said) == ({"call": b"1", "turn": b"2"}, "")


async def test_a_redial_to_the_same_server_is_no_move(store: CallStore, other: CallStore) -> None:
    await store.attach("call_1", nothing)
    store.write("call_1", {"turn": b"1"})
    assert await taken(store.attach("call_1", nothing)) == Kept(parts={"turn": b"1"})
    await other.attach("call_1", nothing)
    assert (await store.attach("call_1", nothing)).has_moved
    store.write("call_1", {"turn": b"2"})
    assert (await store.attach("call_1", nothing)).parts == {"turn": b"2"}


async def test_an_older_owner_is_refused_and_told_once(store: CallStore, other: CallStore) -> None:
    lost = Lost()
    await store.attach("call_1", lost)
    store.write("call_1", {"turn": b"1"})
    await other.attach("call_1", nothing)
    other.write("call_1", {"turn": b"2"})
    other.say("call_1", "Hello")
    for _ in range(3):
        store.write("call_1", {"turn": b"old"})
        store.say("call_1", "old")
    assert lost.times() == 0, "later, not in the middle of it"
    await lost.told()
    assert await store.claim("call_1", "book") == Effect("refused")
    await store.save("call_1", b"old")
    await store.settle("call_1", "pay", Effect("done", "old"))
    await store.release("call_1", "pay")
    await store.forget("call_1", "")
    kept = await other.attach("call_1", nothing)
    assert (kept.parts, kept.said, kept.effects) == ({"turn": b"2"}, "Hello", {})
    assert await other.load("call_1") is None
    assert lost.times() == 1
    assert store.figures()["refused"] >= 6
    assert other.figures()["refused"] == 0


async def test_a_claim_of_an_older_owner_is_refused(store: CallStore, other: CallStore) -> None:
    lost = Lost()
    await store.attach("call_1", lost)
    await other.attach("call_1", nothing)
    assert await store.claim("call_1", "book") == Effect("refused")
    await lost.told()
    assert await other.claim("call_1", "book") is None


async def test_a_side_effect_is_claimed_once_by_all_servers(store: CallStore, other: CallStore) -> None:
    await store.attach("call_1", nothing)
    assert await store.claim("call_1", "book") is None
    await other.attach("call_1", nothing)
    assert await other.claim("call_1", "book") == Effect("begun")
    await other.release("call_1", "book")
    await store.attach("call_1", nothing)
    assert await store.claim("call_1", "book") is None


async def test_calls_are_taken_one_by_one(store: CallStore, other: CallStore) -> None:
    lost = Lost()
    await store.attach("call_1", lost)
    await other.attach("call_2", nothing)
    other.write("call_2", {"turn": b"2"})
    store.write("call_1", {"turn": b"1"})
    assert (await store.attach("call_1", lost)).parts == {"turn": b"1"}
    assert lost.times() == 0


async def test_what_was_written_outlives_its_session(store: CallStore, other: CallStore) -> None:
    lost = Lost()
    await store.attach("call_1", lost)
    store.write("call_1", {"turn": b"1"})
    assert await store.claim("call_1", "book") is None
    store.detach("call_1")
    await store.settle("call_1", "book", Effect("done", "Booked."))
    kept = await other.attach("call_1", nothing)
    assert (kept.parts, kept.effects) == ({"turn": b"1"}, {"book": Effect("done", "Booked.")})
    await store.save("call_1", b"late")
    assert await other.load("call_1") is None
    assert lost.times() == 0, "nobody is there to be told"


async def test_odd_ids_are_calls_of_their_own(store: CallStore, other: CallStore) -> None:
    ids = ["", "}", "{", "a}{b\r\nFLUSHALL", "*", "\x00", "\ud800", "é", "x" * 300, "call_1}", "{call_1"]
    for number, call_id in enumerate(ids):
        await store.attach(call_id, nothing)
        store.write(call_id, {"\ud800:} é": b"%d" % number})
        assert await store.claim(call_id, f"e:{call_id}") is None
        await store.settle(call_id, f"e:{call_id}", Effect("done", "\u2028 \x00"))
    for number, call_id in enumerate(ids):
        kept = await other.attach(call_id, nothing)
        assert kept.parts == {"\ud800:} é": b"%d" % number}
        assert kept.effects == {f"e:{call_id}": Effect("done", "\u2028 \x00")}


async def test_it_counts(store: CallStore) -> None:
    await store.attach("call_1", nothing)
    assert store.figures()["degraded"] == 0
    before = store.figures()["written"]
    store.write("call_1", {"turn": b"1"})
    store.say("call_1", "Hello")
    await store.save("call_1", b"")
    assert await store.owner("call_1") == "a"
    assert store.figures()["written"] - before == 3
    assert store.figures()["failed"] == 0


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


async def test_a_call_of_which_nothing_was_written_takes_no_room_once_it_is_let_go_of() -> None:
    store = MemoryCallStore(lambda: 0.0)
    await store.attach("call_0", lambda: None)
    await store.claim("call_0", "book:{}")
    store.detach("call_0")
    for number in range(1, MAX_CALLS + 2):
        await store.attach(f"call_{number}", lambda: None)
        store.detach(f"call_{number}")
    assert len(store) == 1
    assert await store.claim("call_0", "book:{}") == Effect()
