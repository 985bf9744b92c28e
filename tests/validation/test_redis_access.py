"""Redis over TLS, with certificates and users of its own, and as a cluster: what a validation says of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retell_ws.stores.redis_nodes import Nodes
from retell_ws.stores.redis_probe import RedisProbe
from retell_ws.validation import redis
from retell_ws.validation.line import Line
from tests.certificates import certificate
from tests.machine import free_port
from tests.redis_servers import RedisCluster, RedisServer, cluster, debian_redis

from .book import lines_of, setup_of

pytestmark = pytest.mark.usefixtures("clean_loop")

PASSWORD = "canary-right"
WRONG = "canary-wrong"
TROUBLE = ("Traceback", "Error", "canary")
"""What is in no line: our own insides, and secrets."""


def made(folder: Path) -> Path:
    """Make a certificate, and give its file."""
    folder.mkdir()
    return certificate(folder)[0]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tls") / "theirs")


def secured(folder: Path, ca: Path, clients: str) -> RedisServer:
    """Make a server that speaks TLS on its port, and plainly on a socket.

    Args:
        folder: Where it may write.
        ca: Its certificate.
        clients: Whether they need one: `yes` or `no`.
    """
    files = ("--tls-cert-file", str(ca), "--tls-key-file", str(key_of(ca)), "--tls-ca-cert-file", str(ca))
    options = ("--tls-port", str(free_port()), "--bind", "127.0.0.1", *files, "--tls-auth-clients", clients)
    return RedisServer(debian_redis(), folder, options=options)


def key_of(chain: Path) -> Path:
    return chain.with_name("key.pem")


def at(server: RedisServer, **query: Path) -> str:
    """Give the URL of a server over TLS, with some of its query."""
    said = "&".join(f"{name}={value}" for name, value in query.items())
    return f"rediss://127.0.0.1:{server._options[server._options.index('--tls-port') + 1]}/0?{said}"


@pytest.fixture(scope="module")
def open_to_all(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that asks nobody for a certificate."""
    with secured(tmp_path_factory.mktemp("open"), ca, "no") as server:
        yield server


@pytest.fixture(scope="module")
def choosy(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that wants a certificate of its clients."""
    with secured(tmp_path_factory.mktemp("choosy"), ca, "yes") as server:
        yield server


async def looked_over(folder: Path, url: str) -> dict[str, Line]:
    return await lines_of("redis", redis.check, setup_of(folder, blueprint="distributed", redis_url=url))


async def refused(folder: Path, url: str, caplog: pytest.LogCaptureFixture) -> Line:
    """Give the one line there is of a server that cannot be reached."""
    (line,) = (await looked_over(folder, url)).values()
    assert line.outcome == "fail" and "--redis-url" in line.advice
    for word in TROUBLE:
        assert word not in line.seen + line.advice + caplog.text
    return line


async def test_over_tls_everything_passes(open_to_all: RedisServer, ca: Path, tmp_path: Path) -> None:
    lines = await looked_over(tmp_path, at(open_to_all, ssl_ca_certs=ca))
    assert {line.outcome for line in lines.values()} == {"pass"}
    assert lines["transport"].seen == "TLS"


async def test_over_tls_with_a_client_s_certificate_everything_passes(
    choosy: RedisServer, ca: Path, tmp_path: Path
) -> None:
    lines = await looked_over(tmp_path, at(choosy, ssl_ca_certs=ca, ssl_certfile=ca, ssl_keyfile=key_of(ca)))
    assert {line.outcome for line in lines.values()} == {"pass"}


async def test_a_certificate_nobody_vouches_for_is_told(
    open_to_all: RedisServer, stranger: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for url in (at(open_to_all), at(open_to_all, ssl_ca_certs=stranger)):
        line = await refused(tmp_path, url, caplog)
        assert "vouches for its certificate" in line.seen and "ssl_ca_certs=FILE" in line.seen


async def test_a_certificate_of_another_host_is_told(
    open_to_all: RedisServer, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = at(open_to_all, ssl_ca_certs=ca).replace("127.0.0.1", "0.0.0.0")
    assert "another host" in (await refused(tmp_path, url, caplog)).seen


async def test_a_file_that_is_not_there_is_told(
    open_to_all: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = at(open_to_all, ssl_ca_certs=tmp_path / "none.pem")
    assert "a file that the URL names is not there" in (await refused(tmp_path, url, caplog)).seen


async def test_a_file_that_is_no_certificate_is_told(
    open_to_all: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    line = await refused(tmp_path, at(open_to_all, ssl_ca_certs=nonsense), caplog)
    assert "has no certificate" in line.seen


async def test_a_client_s_certificate_that_is_missing_or_wrong_is_told(
    choosy: RedisServer, ca: Path, stranger: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = await refused(tmp_path, at(choosy, ssl_ca_certs=ca), caplog)
    assert "wants a certificate of ours" in line.seen and "ssl_certfile=FILE&ssl_keyfile=FILE" in line.seen
    theirs = {"ssl_certfile": stranger, "ssl_keyfile": key_of(stranger)}
    line = await refused(tmp_path, at(choosy, ssl_ca_certs=ca, **theirs), caplog)
    assert "does not trust our certificate" in line.seen
    mixed = {"ssl_certfile": ca, "ssl_keyfile": key_of(stranger)}
    line = await refused(tmp_path, at(choosy, ssl_ca_certs=ca, **mixed), caplog)
    assert "do not belong together" in line.seen


async def test_tls_and_none_that_meet_are_told(
    open_to_all: RedisServer, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plainly = at(open_to_all).replace("rediss://", "redis://")
    line = await refused(tmp_path, plainly, caplog)
    assert "hangs up" in line.seen and "`rediss://`" in line.advice
    with RedisServer(debian_redis(), tmp_path / "plain", port=free_port()) as plain:
        url = plain.url.replace("redis://", "rediss://") + f"?ssl_ca_certs={ca}"
        line = await refused(tmp_path, url, caplog)
    assert "does not answer in time" in line.seen and "`redis://`" in line.advice


async def test_over_tls_a_wrong_password_and_a_missing_one_are_told(
    choosy: RedisServer, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = "~retell_ws:* &retell_ws:server:* +@all"
    choosy.told("ACL", "SETUSER", "ana", "reset", "on", f">{PASSWORD}", *rules.split())
    url = at(choosy, ssl_ca_certs=ca, ssl_certfile=ca, ssl_keyfile=key_of(ca))
    lines = await looked_over(tmp_path, url.replace("://", f"://ana:{PASSWORD}@"))
    assert {line.outcome for line in lines.values()} == {"pass"}
    assert "password" in (await refused(tmp_path, url.replace("://", f"://ana:{WRONG}@"), caplog)).seen
    assert "password" in (await refused(tmp_path, url.replace("://", f"://nobody:{PASSWORD}@"), caplog)).seen
    with RedisServer(
        *(debian_redis(), tmp_path / "locked"),
        port=free_port(),
        options=("--requirepass", PASSWORD),
        admin={"password": PASSWORD},
    ) as locked:
        assert "password" in (await refused(tmp_path, locked.url, caplog)).seen


async def test_a_user_who_may_not_choose_the_database_is_told_the_rule(
    open_to_all: RedisServer, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_to_all.told("ACL", "SETUSER", "ana", "reset", "on", f">{PASSWORD}", "~*", "&*", "+@all", "-select")
    url = at(open_to_all, ssl_ca_certs=ca).replace("://", f"://ana:{PASSWORD}@")
    assert {line.outcome for line in (await looked_over(tmp_path, url)).values()} == {"pass"}
    assert "+select" in (await refused(tmp_path, url.replace("/0?", "/3?"), caplog)).seen
    open_to_all.told("ACL", "SETUSER", "ana", "+select")
    assert "no database of that number" in (await refused(tmp_path, url.replace("/0?", "/9999?"), caplog)).seen


async def test_a_user_who_may_do_nothing_is_told_the_rules_in_each_line(
    open_to_all: RedisServer, ca: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_to_all.told("ACL", "SETUSER", "ana", "reset", "on", f">{PASSWORD}")
    url = at(open_to_all, ssl_ca_certs=ca).replace("://", f"://ana:{PASSWORD}@")
    lines = await looked_over(tmp_path, url)
    for name, rule in (("round trip", "+ping"), ("clock", "+time"), ("rights", "+evalsha")):
        assert lines[name].outcome == "fail" and rule in lines[name].seen
    for line in lines.values():
        for word in TROUBLE:
            assert word not in line.seen + line.advice + caplog.text


# -- a cluster


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Give a cluster that stays up."""
    with cluster(debian_redis(), tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


def keys_of(servers: RedisCluster) -> list[list[bytes]]:
    return [server.told("KEYS", "*") for server in servers.servers]


def put(servers: RedisCluster, key: str) -> None:
    servers.owner_of(Nodes.slot_of(key.encode())).told("SET", key, "1")


async def test_a_cluster_is_swept_whole(several: RedisCluster, tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="distributed", redis_url=several.url)
    for number in range(30):
        put(several, f"{setup.redis_prefix}{{call_{number}}}")
    put(several, "retell_ws:{call_1}")
    assert all(keys_of(several))
    await redis.sweep(setup)
    assert sum(keys_of(several), []) == [b"retell_ws:{call_1}"]
    several.owner_of(Nodes.slot_of(b"retell_ws:{call_1}")).told("FLUSHALL")


async def test_a_part_of_a_cluster_that_is_not_there_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    with cluster(debian_redis(), tmp_path) as servers:
        for number in range(30):
            put(servers, f"a:{{call_{number}}}")
        for server in servers.servers:
            server.told("CONFIG", "SET", "cluster-require-full-coverage", "no")
        gone = servers.servers[1]
        left = len(gone.told("KEYS", "*"))
        gone.kill()
        async with RedisProbe(servers.url) as probe:
            assert await probe.sweep("a:") == 30 - left
        assert [servers.servers[number].told("DBSIZE") for number in (0, 2)] == [0, 0]


async def test_a_cluster_passes_in_everything_and_is_left_as_it_was(several: RedisCluster, tmp_path: Path) -> None:
    lines = await looked_over(tmp_path, several.url)
    assert {line.outcome for line in lines.values()} == {"pass"}
    assert "cluster" in lines["reachable"].seen
    assert not any(keys_of(several))


async def test_a_cluster_that_has_no_place_for_our_keys_fails(tmp_path: Path) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with RedisServer(debian_redis(), tmp_path / "alone", port=free_port(), options=options) as server:
        line = (await looked_over(tmp_path, server.url))["rights"]
    assert line.outcome == "fail" and "CLUSTERDOWN" in line.seen and "cluster" in line.advice
