"""How Redis is reached: over TLS, as a user who may do little, as a cluster whose slots move."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from retell_ws.answers import Answer
from retell_ws.ports import Effect
from retell_ws.stores.redis import RedisCallStore
from retell_ws.stores.redis_answers import RedisAnswerStore
from retell_ws.stores.redis_nodes import Nodes
from tests.machine import free_port
from tests.redis_servers import RedisCluster, RedisServer, cluster, debian_redis
from tests.waiting import until

from .conftest import ServerOf

pytestmark = pytest.mark.usefixtures("clean_loop")

ANSWER = Answer(version=1, key="k", scope="s", model="m", created_at=5.5, text="We open at nine.")

CALL_COMMANDS = "+evalsha +eval +script|load +hset +hget +hgetall +hsetnx +hdel +del +expire +time".split()
ANSWER_COMMANDS = "+getrange +set +get +del".split()


def nothing() -> None:
    """Be told of nothing."""


# -- TLS


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, str, Path]]:
    """Give a server, its address for TLS, and the certificate of who vouches for it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate")
    directory = tmp_path_factory.mktemp("tls")

    def run(*arguments: str) -> None:
        subprocess.run((openssl, *arguments), cwd=directory, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA")
    run("req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    run("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
    port = free_port()
    files = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem")
    options = ("--tls-port", str(port), *files, "--tls-auth-clients", "no", "--bind", "127.0.0.1")
    with RedisServer(debian_redis(), directory, options=options) as server:
        yield server, f"127.0.0.1:{port}/0", directory / "ca.pem"


async def test_over_tls(secured: tuple[RedisServer, str, Path], prefix: str) -> None:
    server, address, ca = secured
    url = f"rediss://{address}?ssl_ca_certs={ca}"
    async with RedisCallStore(url, name="a", prefix=prefix) as store, RedisAnswerStore(url, prefix=prefix) as answers:
        for number in range(20):
            assert (await store.attach(f"call_{number}", nothing)).is_known
        for number in range(20):
            store.write(f"call_{number}", {"turn": b"1"})
            store.say(f"call_{number}", "Hello.")
        # The loop stands still from here on, as it does for a process that was killed.
        found: list[object] = []
        for _ in range(1000):
            found = server.told("HMGET", f"{prefix}{{call_19}}", "p:turn", "said")
            if found == [b"1", b"Hello."]:
                break
        assert found == [b"1", b"Hello."]
        await answers.put("k", ANSWER, ttl_s=60)
        assert await answers.get("k") == ANSWER


async def test_a_server_nobody_vouches_for_is_told_nothing(
    secured: tuple[RedisServer, str, Path], prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, address, _ = secured
    async with RedisCallStore(f"rediss://user:s3cr3t@{address}", name="a", prefix=prefix) as store:
        assert not (await store.attach("call_1", nothing)).is_known
    assert server.told("KEYS", f"{prefix}*") == []
    assert "cannot be reached" in caplog.text
    assert "s3cr3t" not in caplog.text


# -- a user who may do little


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_a_user_needs_no_more_than_is_written_down(
    server_of: ServerOf, prefix: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = server_of(kind)
    assert isinstance(server, RedisServer)
    server.told("ACL", "SETUSER", "calls", "reset", "on", ">s3:cr@t/", f"~{prefix}*", *CALL_COMMANDS)
    server.told("ACL", "SETUSER", "answers", "reset", "on", ">s3:cr@t/", f"~{prefix}*", *ANSWER_COMMANDS)
    url = server.url.replace("unix://", "unix://{}:s3%3Acr%40t%2F@")
    async with (
        RedisCallStore(url.format("calls"), name="a", prefix=prefix) as store,
        RedisCallStore(url.format("calls"), name="b", prefix=prefix) as other,
        RedisAnswerStore(url.format("answers"), prefix=prefix) as answers,
    ):
        assert (await store.attach("call_1", nothing)).is_known
        store.write("call_1", {"turn": b"1"})
        store.say("call_1", "Hello")
        assert await store.claim("call_1", "book") is None
        await store.settle("call_1", "book", Effect("done"))
        await store.forget("call_1", "book")
        await store.save("call_1", b"1")
        assert await store.owner("call_1") == "a"
        assert (await other.attach("call_1", nothing)).said == "Hello"
        server.told("DEL", f"{prefix}{{call_1}}")
        other.say("call_1", " there")
        await until(lambda: bool(server.told("HGET", f"{prefix}{{call_1}}", "said") == b"Hello there"))
        await answers.put("k", ANSWER, ttl_s=60)
        assert await answers.get("k") == ANSWER
        assert len(await answers.secret()) == 32
        assert store.figures()["failed"] == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_user_who_may_not_write_is_a_redis_that_is_not_there(
    server_of: ServerOf, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = server_of("valkey")
    assert isinstance(server, RedisServer)
    server.told("ACL", "SETUSER", "reader", "reset", "on", ">s3cr3t", "~elsewhere:*", *CALL_COMMANDS)
    url = server.url.replace("unix://", "unix://reader:s3cr3t@")
    async with RedisCallStore(url, name="a", prefix=prefix) as store:
        assert not (await store.attach("call_1", nothing)).is_known
        for number in range(50):
            store.write("call_1", {"turn": b"%d" % number})
        assert await store.claim("call_1", "book") == Effect("refused")
        assert await store.owner("call_1") is None
        server.told("ACL", "SETUSER", "reader", f"~{prefix}*")
        await until(lambda: bool(server.told("HGET", f"{prefix}{{call_1}}", "p:turn") == b"49"))
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1 and "NOPERM" in told[0]


# -- a cluster


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[RedisCluster]:
    """Give a cluster that the test may change."""
    with cluster(debian_redis(), tmp_path) as servers:
        yield servers


async def test_a_slot_that_moves_takes_its_calls_along(moving: RedisCluster, prefix: str) -> None:
    key = f"{prefix}{{call_1}}"
    slot = Nodes.slot_of(key.encode())
    source = moving.owner_of(slot)
    target = next(server for server in moving.servers if server is not source)
    ids = dict(zip(moving.servers, moving.ids(), strict=True))
    async with (
        RedisCallStore(moving.url, name="a", prefix=prefix) as store,
        RedisCallStore(moving.url, name="b", prefix=prefix) as other,
    ):
        for number in range(30):
            assert (await store.attach(f"call_{number}", nothing)).is_known
            store.write(f"call_{number}", {"turn": b"1"})
        assert await store.owner("call_1") == "a"
        target.told("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        source.told("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        source.told("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

        kept = await other.attach("call_1", nothing)
        assert (kept.is_known, kept.parts) == (True, {"turn": b"1"}), "where it is going to"
        assert await other.claim("call_1", "book") is None
        other.say("call_1", "Hello")
        for server in moving.servers:
            server.told("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        other.say("call_1", " there")
        await until(lambda: bool(target.told("HGET", key, "said") == b"Hello there"))
        assert await store.claim("call_1", "book") == Effect("refused")
        kept = await store.attach("call_1", nothing)
        assert (kept.said, kept.effects) == ("Hello there", {"book": Effect("begun")})
        assert await other.owner("call_1") == "a"


async def test_one_server_of_a_cluster_that_is_gone_costs_the_others_nothing(moving: RedisCluster, prefix: str) -> None:
    lost: list[str] = []
    async with RedisCallStore(moving.url, name="a", prefix=prefix) as store:
        calls = [f"call_{number}" for number in range(20)]
        for call_id in calls:
            await store.attach(call_id, lambda: lost.append("call"))
            store.write(call_id, {"turn": b"1"})
        gone = moving.servers[2]
        there = [call_id for call_id in calls if moving.owner_of(_slot(prefix, call_id)) is not gone]
        assert 0 < len(there) < len(calls)
        gone.pause()
        await until(lambda: store.figures()["degraded"] == 0)
        for call_id in calls:
            store.say(call_id, "Hello")
        await until(lambda: store.figures()["degraded"] == 1)
        assert all([await store.owner(call_id) == "a" for call_id in there])
        gone.resume()
        for call_id in calls:
            where = moving.owner_of(_slot(prefix, call_id))
            await until(lambda where=where, key=f"{prefix}{{{call_id}}}": where.told("HGET", key, "said") == b"Hello")  # type: ignore[misc]
        await until(lambda: store.figures()["degraded"] == 0)
    assert not lost


def _slot(prefix: str, call_id: str) -> int:
    return Nodes.slot_of(f"{prefix}{{{call_id}}}".encode())
