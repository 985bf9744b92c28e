"""Answers in Redis while Redis fails, and when somebody else has written there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from retell_ws.answers import Answer
from retell_ws.stores.redis_answers import MAX_BYTES, RedisAnswerStore
from retell_ws.testing import Latency, ToxicProxy
from tests.redis_servers import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

ANSWER = Answer(version=1, key="k", scope="s", model="m", created_at=5.5, text="We open at nine.")


@pytest.fixture
async def store(server: RedisServer, prefix: str) -> AsyncIterator[RedisAnswerStore]:
    async with RedisAnswerStore(server.url, prefix=prefix) as store:
        yield store


POISON = {
    "nothing": b"{}",
    "no JSON": b"\xff\xfe",
    "of another shape": b'{"version":1,"key":"k","scope":"s","model":"m","created_at":"now","text":"Canary."}',
    "a list": b'["Canary."]',
    "deep": b"[" * 20_000,
    "another key's": msgspec.json.encode(msgspec.structs.replace(ANSWER, key="other", text="Canary.")),
    "too long": msgspec.json.encode(msgspec.structs.replace(ANSWER, text="Canary." * MAX_BYTES)),
}


@pytest.mark.parametrize("kind", POISON)
async def test_what_is_no_answer_of_its_key_is_taken_away(
    server: RedisServer, store: RedisAnswerStore, prefix: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.told("SET", f"{prefix}answer:k", POISON[kind])
    assert await store.get("k") is None
    assert server.told("EXISTS", f"{prefix}answer:k") == 0
    assert len(caplog.records) == 1
    assert "taken away" in caplog.text and "Canary" not in caplog.text
    await store.put("k", ANSWER, ttl_s=60)
    assert await store.get("k") == ANSWER


async def test_a_value_of_another_type_is_taken_away(server: RedisServer, store: RedisAnswerStore, prefix: str) -> None:
    server.told("HSET", f"{prefix}answer:k", "a", "b")
    assert await store.get("k") is None
    assert server.told("EXISTS", f"{prefix}answer:k") == 0


async def test_an_answer_of_another_version_is_left_to_its_servers(
    server: RedisServer, store: RedisAnswerStore, prefix: str
) -> None:
    server.told("SET", f"{prefix}answer:k", msgspec.json.encode(msgspec.structs.replace(ANSWER, version=2)))
    assert await store.get("k") is None
    assert server.told("EXISTS", f"{prefix}answer:k") == 1


async def test_what_is_too_long_is_not_kept(server: RedisServer, store: RedisAnswerStore, prefix: str) -> None:
    await store.put("k", msgspec.structs.replace(ANSWER, text="x" * MAX_BYTES), ttl_s=60)
    await store.put("k", msgspec.structs.replace(ANSWER, text="\ud800"), ttl_s=60)
    assert server.told("KEYS", f"{prefix}*") == []


async def test_a_redis_that_is_gone_costs_a_caller_nothing(frail: RedisServer, prefix: str) -> None:
    async with RedisAnswerStore(frail.url, prefix=prefix) as store:
        await store.put("k", ANSWER, ttl_s=60)
        assert await store.get("k") == ANSWER
        frail.kill()
        began = time.monotonic()
        for _ in range(100):
            assert await store.get("k") is None
        await store.put("k", ANSWER, ttl_s=60)
        assert time.monotonic() - began < 0.2


async def test_it_counts_what_other_servers_do_not_have(frail: RedisServer, prefix: str) -> None:
    async with RedisAnswerStore(frail.url, prefix=prefix) as store:
        await store.secret()
        await store.put("k", ANSWER, ttl_s=60)
        assert store.missed == 0
        frail.told("SET", f"{prefix}answer:secret", "short")
        await store.secret()
        await store.put("k", ANSWER, ttl_s=60)
        assert store.missed == 1, "nobody else has the secret of its key"
        frail.kill()
        await store.put("k", ANSWER, ttl_s=60)
        assert store.missed == 2


async def test_a_master_that_became_a_replica_is_left_for_the_new_one(
    frail: RedisServer, server: RedisServer, prefix: str
) -> None:
    async with (
        ToxicProxy("127.0.0.1", frail.port) as proxy,
        RedisAnswerStore(f"redis://{proxy.address}/0", prefix=prefix) as store,
    ):
        await store.secret()
        frail.told("REPLICAOF", "127.0.0.1", 1)
        proxy.target = ("127.0.0.1", server.port)
        await store.put("k", ANSWER, ttl_s=60)
        assert store.missed == 1
        await until(lambda: proxy.accepted == 2)
        async with asyncio.timeout(15):
            while await store.get("k") is None:
                await store.put("k", ANSWER, ttl_s=60)
        assert server.told("EXISTS", f"{prefix}answer:k") == 1


async def test_a_redis_that_does_not_answer_costs_little_and_then_nothing(server: RedisServer, prefix: str) -> None:
    async with (
        ToxicProxy("127.0.0.1", server.port) as proxy,
        RedisAnswerStore(f"redis://{proxy.address}/0", prefix=prefix) as store,
    ):
        await store.put("k", ANSWER, ttl_s=60)
        proxy.add(Latency(0.1))
        began = time.monotonic()
        assert await store.get("k") is None
        assert time.monotonic() - began < 0.1
        for _ in range(10):
            await store.get("k")
        began = time.monotonic()
        for _ in range(100):
            assert await store.get("k") is None
        assert time.monotonic() - began < 0.05, "it is not asked for a while"


async def test_all_servers_have_one_secret(server: RedisServer, prefix: str) -> None:
    async with (
        RedisAnswerStore(server.url, prefix=prefix) as one,
        RedisAnswerStore(server.url, prefix=prefix) as two,
        RedisAnswerStore(server.url, prefix=f"{prefix}2:") as else_where,
    ):
        secrets = await asyncio.gather(one.secret(), two.secret(), one.secret())
        assert len(set(secrets)) == 1 and len(secrets[0]) == 32
        assert await else_where.secret() not in secrets


@pytest.mark.parametrize("poison", [b"", b"short", b"x" * 33])
async def test_a_secret_that_can_be_none_is_not_used(
    server: RedisServer, store: RedisAnswerStore, prefix: str, poison: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server.told("SET", f"{prefix}answer:secret", poison)
    secret = await store.secret()
    assert len(secret) == 32 and secret != await store.secret()
    assert "shared secret" in caplog.text


async def test_without_redis_a_server_has_a_secret_of_its_own(
    frail: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    frail.kill()
    caplog.set_level(logging.WARNING)
    async with RedisAnswerStore(frail.url, prefix=prefix) as store:
        assert len(await store.secret()) == 32
    assert "shared secret" in caplog.text
