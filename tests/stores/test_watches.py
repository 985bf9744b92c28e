"""One contract for where escalation keeps what it knows: SQLite, Valkey, Redis, a cluster. And what each may lose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from retell_ws.errands import Errand
from retell_ws.errors import SettingsError, SinkError
from retell_ws.rules import Say, Webhook
from retell_ws.stores import redis_watches, sqlite_watches
from retell_ws.stores.redis_watches import RedisWatchStore
from retell_ws.stores.sqlite_watches import SqliteWatchStore
from retell_ws.watch_store import Known, WatchStore
from tests.redis_servers import RedisServer
from tests.waiting import until

from .conftest import ServerOf, fresh_prefix

pytestmark = pytest.mark.usefixtures("clean_loop")

Open = Callable[[], Awaitable[WatchStore]]

LEASE_S = 0.3


@pytest.fixture(params=["sqlite", "valkey", "redis", "cluster"])
async def store_of(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    """Give what opens the same store again and again, as several processes would."""
    monkeypatch.setattr(redis_watches, "LEASE_S", LEASE_S)
    monkeypatch.setattr(sqlite_watches, "LEASE_S", LEASE_S)
    prefix = fresh_prefix()
    async with AsyncExitStack() as stack:

        async def opened() -> WatchStore:
            if request.param == "sqlite":
                return await stack.enter_async_context(SqliteWatchStore(tmp_path / "data" / "watches.sqlite"))
            server_of: ServerOf = request.getfixturevalue("server_of")
            return await stack.enter_async_context(RedisWatchStore(server_of(request.param).url, prefix=prefix))

        yield opened


def errand(number: int, call_id: str = "call_1") -> Errand:
    action = Webhook("https://example.com/") if number % 2 else Say("Hello.")
    return Errand(id=f"esc_{call_id}_{number}", call_id=call_id, rule="one", action=action, at=1.0, made=2.0)


FIRST = Known(b"v1", b"state 1")


async def taken(store: WatchStore, limit: int = 100) -> list[Errand]:
    return sorted(await store.take(limit), key=lambda each: each.id)


async def test_what_was_saved_is_there_for_others(store_of: Open) -> None:
    one, other = await store_of(), await store_of()
    assert await one.load("call_1") is None
    assert await one.save("call_1", FIRST, [], over=b"")
    assert await other.load("call_1") == FIRST and await other.load("call_2") is None
    assert await other.save("call_1", Known(b"v2", b"\x00\xff"), [], over=b"v1")
    assert await one.load("call_1") == Known(b"v2", b"\x00\xff")


async def test_over_another_version_nothing_is_written(store_of: Open) -> None:
    store = await store_of()
    assert not await store.save("call_1", FIRST, [errand(1)], over=b"v0")
    assert await store.save("call_1", FIRST, [], over=b"")
    for over in (b"", b"v0"):
        assert not await store.save("call_1", Known(b"v2", b""), [errand(1)], over=over)
    assert await store.load("call_1") == FIRST
    await asyncio.sleep(LEASE_S * 1.5)  # the lease of what was not written
    assert await taken(store) == []


async def test_of_many_who_save_over_the_same_version_one_does(store_of: Open) -> None:
    stores = [await store_of() for _ in range(3)]
    said = await asyncio.gather(
        *(store.save("call_1", Known(b"v%d" % n, b""), [], over=b"") for n, store in enumerate(stores * 5))
    )
    assert sum(said) == 1


async def test_an_errand_belongs_to_who_has_made_it_and_then_to_who_takes_it(store_of: Open) -> None:
    one, other = await store_of(), await store_of()
    errands = [errand(1), errand(2)]
    assert await one.save("call_1", FIRST, errands, over=b"")
    assert await other.save("call_2", FIRST, [errand(1, "call_2")], over=b"")
    assert await taken(other) == []
    await asyncio.sleep(LEASE_S * 1.2)
    both = await asyncio.gather(other.take(100), one.take(100))
    assert sorted((each for found in both for each in found), key=lambda each: each.id) == [
        *errands,
        errand(1, "call_2"),
    ]
    assert await taken(one) == [], "they are somebody's again"
    await asyncio.sleep(LEASE_S * 1.2)  # and of those who took them nobody has to live
    assert len(await taken(one, 1)) == 1


async def test_what_is_settled_is_never_taken(store_of: Open) -> None:
    store = await store_of()
    assert await store.save("call_1", FIRST, [errand(1), errand(2)], over=b"")
    await store.settle(errand(1))
    await store.settle(errand(1))
    await store.postpone(errand(1), 0.0)
    await store.postpone(errand(2), 0.0)
    assert await taken(store) == [errand(2)]
    assert await store.load("call_1") == FIRST


async def test_what_is_postponed_is_as_it_was_written_last_and_due_then(store_of: Open) -> None:
    store = await store_of()
    assert await store.save("call_1", FIRST, [errand(1)], over=b"")
    tried = Errand(**{name: getattr(errand(1), name) for name in Errand.__struct_fields__ if name != "tries"}, tries=3)
    await store.postpone(tried, 60.0)
    await asyncio.sleep(LEASE_S * 1.5)  # the lease it had
    assert await taken(store) == []
    await store.postpone(tried, 0.0)
    assert await taken(store) == [tried]


async def test_calls_with_odd_ids_are_told_apart(store_of: Open) -> None:
    store = await store_of()
    for call_id in ("a b", "}{", "é", "a"):
        assert await store.load(call_id) is None
        assert await store.save(call_id, Known(b"v", call_id.encode()), [], over=b"")
    for call_id in ("a b", "}{", "é", "a"):
        assert await store.load(call_id) == Known(b"v", call_id.encode())


# ---------------------------------------------------------------------------- SQLite


async def test_a_file_that_cannot_be_opened_is_the_operators_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path):
        with pytest.raises(SettingsError, match="cannot keep escalations in"):
            async with SqliteWatchStore(path):
                pass


def put_aside(folder: Path) -> list[Path]:
    return list(folder.glob("escalation.sqlite.damaged-*"))


@pytest.mark.parametrize("damage", [b"x" * 8192, b"SQLite format 3\0" + b"\xff" * 8176], ids=["another file", "torn"])
async def test_a_damaged_file_is_put_aside_and_another_one_begun(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "escalation.sqlite"
    path.write_bytes(damage)
    async with AsyncExitStack() as stack:
        # At once, as processes that start together: none puts aside what another one has begun.
        stores = await asyncio.gather(*(stack.enter_async_context(SqliteWatchStore(path)) for _ in range(4)))
        assert await stores[0].save("call_1", FIRST, [], over=b"")
        assert [await store.load("call_1") for store in stores] == [FIRST] * 4
    (aside,) = put_aside(tmp_path)
    assert aside.read_bytes() == damage
    assert [str(aside) in record.getMessage() for record in caplog.records] == [True]
    async with SqliteWatchStore(path) as store:
        assert await store.load("call_1") == FIRST


async def test_calls_are_forgotten_in_the_end(tmp_path: Path) -> None:
    now = 1000.0
    async with SqliteWatchStore(tmp_path / "watches.sqlite", lambda: now) as store:
        await store.save("call_1", FIRST, [], over=b"")
        now += 7000
        await store.save("call_2", FIRST, [], over=b"")
        assert await store.load("call_1") == FIRST
        now += 1000
        await store.save("call_3", FIRST, [], over=b"")
        assert await store.load("call_1") is None and await store.load("call_2") == FIRST


async def test_an_errand_nobody_can_read_is_forgotten(tmp_path: Path) -> None:
    async with SqliteWatchStore(tmp_path / "watches.sqlite") as store:
        await store._do(lambda: store._now.execute("INSERT INTO errand VALUES ('x', 0, x'00')"))
        assert await store.take(10) == []
        assert await store._do(lambda: store._now.execute("SELECT * FROM errand").fetchall()) == []


# ---------------------------------------------------------------------------- Redis


async def test_with_redis_gone_it_says_so_and_then_goes_on(frail: RedisServer) -> None:
    async with RedisWatchStore(frail.url) as store:
        assert await store.save("call_1", FIRST, [], over=b"")
        frail.kill()
        for trial in (
            lambda: store.load("call_1"),
            lambda: store.save("call_1", FIRST, [errand(1)], over=b"v1"),
            lambda: store.take(10),
            lambda: store.postpone(errand(1), 1.0),
            lambda: store.settle(errand(1)),
        ):
            with pytest.raises(SinkError):
                await trial()
        await asyncio.to_thread(frail.start)
        await until(lambda: not store._nodes.is_degraded())
        assert await store.load("call_1") is None, "it came back empty"
        assert await store.save("call_1", FIRST, [], over=b"")


async def test_keys_expire_begin_with_the_prefix_and_their_user_is_not_told(frail: RedisServer) -> None:
    async with RedisWatchStore(frail.url, prefix="x:") as store:
        await store.save("call_1", FIRST, [errand(1)], over=b"")
        assert sorted(frail.told("KEYS", "*")) == [b"x:errands", b"x:watch:{call_1}"]
        assert 7000 < frail.told("TTL", "x:watch:{call_1}") <= 7800
        assert frail.url not in repr(store)


async def test_what_others_have_put_there_is_an_error_and_no_crash(frail: RedisServer) -> None:
    frail.told("SET", "retell_ws:watch:{call_1}", "x")
    async with RedisWatchStore(frail.url) as store:
        with pytest.raises(SinkError, match="WRONGTYPE"):
            await store.load("call_1")
        frail.told("ZADD", "retell_ws:errands", 0, b"nonsense", 0, b"call_2 esc_1")
        frail.told("HSET", "retell_ws:watch:{call_2}", "e:esc_1", "{}")
        assert await store.take(10) == []
        assert frail.told("ZCARD", "retell_ws:errands") == 0
