"""Redis as a validation sees it: good ones, and every way to be no good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from retell_ws.stores.redis_probe import ProbeError, RedisProbe, version_of
from retell_ws.validation import redis
from retell_ws.validation.line import Line
from retell_ws.validation.run import validate
from tests.machine import free_port
from tests.redis_servers import RedisServer, valkey

from .book import lines_of, setup_of

pytestmark = pytest.mark.usefixtures("clean_loop")

RULES = (
    "+evalsha +eval +script|load +hset +hget +hgetall +hsetnx +hdel +del +expire +time +getrange +set +get "
    "+publish +subscribe +ping"
)
"""What the docstrings of the stores, and the README of the switchboard, say a user needs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that stays up."""
    with RedisServer(valkey(), tmp_path_factory.mktemp("redis"), port=free_port()) as server:
        yield server


async def looked_over(folder: Path, url: str) -> dict[str, Line]:
    return await lines_of("redis", redis.check, setup_of(folder, blueprint="distributed", redis_url=url))


@contextmanager
def configured(server: RedisServer, name: str, value: str) -> Iterator[None]:
    """Have a server with another configuration for a block."""
    _, was = server.told("CONFIG", "GET", name)
    server.told("CONFIG", "SET", name, value)
    try:
        yield
    finally:
        server.told("CONFIG", "SET", name, was.decode())


async def test_a_good_one_passes_in_everything_and_is_left_as_it_was(server: RedisServer, tmp_path: Path) -> None:
    lines = await looked_over(tmp_path, server.url)
    assert {line.outcome for line in lines.values()} == {"pass"}
    assert "valkey" in lines["reachable"].seen
    assert list(lines) == ["reachable", "round trip", "clock", "rights", "memory and disk", "transport"]
    assert server.told("DBSIZE") == 0


async def test_single_has_none(tmp_path: Path) -> None:
    lines = await lines_of("redis", redis.check, setup_of(tmp_path))
    assert [line.outcome for line in lines.values()] == ["skip"]


async def test_one_that_is_not_there_fails_with_the_setting_to_look_at(tmp_path: Path) -> None:
    url = f"redis://user:hunter2-secret@127.0.0.1:{free_port()}"
    lines = await looked_over(tmp_path, url)
    (line,) = lines.values()
    assert line.outcome == "fail" and "--redis-url" in line.advice
    assert "hunter2" not in line.seen + line.advice


async def test_no_url_fails(tmp_path: Path) -> None:
    (line,) = (await looked_over(tmp_path, "http://nonsense")).values()
    assert line.outcome == "fail" and "redis_url" in line.seen.replace("--redis-url", "redis_url")


async def test_memory_that_throws_live_calls_out_fails(server: RedisServer, tmp_path: Path) -> None:
    with configured(server, "maxmemory-policy", "allkeys-lru"):
        line = (await looked_over(tmp_path, server.url))["memory and disk"]
    assert line.outcome == "fail" and "noeviction" in line.advice


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ("~retell_ws:* &retell_ws:server:* " + RULES.replace("+hset ", ""), "+hset"),
        ("~retell_ws:* &retell_ws:server:* " + RULES.replace("+evalsha ", ""), "+evalsha"),
        ("~other:* &retell_ws:server:* " + RULES, "~retell_ws:*"),
        ("~retell_ws:* &other:* " + RULES, "&retell_ws:server:*"),
    ],
)
async def test_a_user_who_may_not_do_it_all_fails_with_the_rule_to_add(
    server: RedisServer, tmp_path: Path, rules: str, missing: str
) -> None:
    server.told("ACL", "SETUSER", "few", "reset", "on", ">few", *rules.split())
    lines = await looked_over(tmp_path, server.url.replace("redis://", "redis://few:few@"))
    assert lines["rights"].outcome == "fail"
    assert missing in lines["rights"].advice


async def test_a_user_who_may_do_what_the_documentation_says_passes(server: RedisServer, tmp_path: Path) -> None:
    server.told(*"ACL SETUSER enough reset on >enough ~retell_ws:* &retell_ws:server:*".split(), *RULES.split())
    lines = await looked_over(tmp_path, server.url.replace("redis://", "redis://enough:enough@"))
    assert lines["rights"].outcome == "pass"
    assert lines["memory and disk"].outcome == "skip"  # which wants INFO


async def test_a_wrong_password_fails_and_is_not_quoted(server: RedisServer, tmp_path: Path) -> None:
    server.told("ACL", "SETUSER", "locked", "reset", "on", ">right", "~*", "+@all")
    (line,) = (await looked_over(tmp_path, server.url.replace("redis://", "redis://locked:wrong-one@"))).values()
    assert line.outcome == "fail" and "password" in line.seen
    assert "wrong-one" not in line.seen + line.advice


@asynccontextmanager
async def fake(hello: bytes) -> AsyncIterator[str]:
    """A server that answers HELLO, and everything else with OK."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2])
            writer.write(hello if words == [b"HELLO"] else b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def hello(**fields: str) -> bytes:
    words = [word for pair in fields.items() for word in pair]
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"server": "redis", "version": "6.2.14", "mode": "standalone", "role": "master"}, "too old"),
        ({"server": "redis", "version": "7.2.4", "mode": "standalone", "role": "replica"}, "replica"),
    ],
)
async def test_one_that_is_too_old_or_takes_no_writes_fails(tmp_path: Path, fields: dict[str, str], word: str) -> None:
    async with fake(hello(**fields)) as url:
        (line,) = (await looked_over(tmp_path, url)).values()
    assert line.outcome == "fail" and word in line.seen


async def test_what_is_left_behind_is_swept_away_and_nothing_else(server: RedisServer, tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="distributed", redis_url=server.url)
    for number in range(700):
        server.told("SET", f"{setup.redis_prefix}{number}", "1")
    server.told("SET", "retell_ws:{call_1}", "1")
    await redis.sweep(setup)
    assert server.told("KEYS", "*") == [b"retell_ws:{call_1}"]
    server.told("FLUSHALL")


async def test_a_prefix_is_taken_literally(server: RedisServer) -> None:
    server.told("SET", "a[b]*:1", "1")
    server.told("SET", "ab:1", "1")
    async with RedisProbe(server.url) as probe:
        assert await probe.sweep("a[b]*:") == 1
    assert server.told("KEYS", "*") == [b"ab:1"]
    server.told("FLUSHALL")


async def test_one_that_goes_away_meanwhile_is_told(tmp_path: Path) -> None:
    with RedisServer(valkey(), tmp_path / "redis", port=free_port()) as frail:
        async with RedisProbe(frail.url) as probe:
            await probe.round_trips()
            frail.kill()
            with pytest.raises(ProbeError):
                await probe.round_trips()


def test_versions_are_compared_by_their_numbers() -> None:
    assert version_of("7.2.4") > version_of("7.0") > version_of("6.2.14")
    assert version_of("") == ()


async def test_a_user_whose_name_has_a_word_of_errors_in_it_is_told_the_right_rule(
    server: RedisServer, tmp_path: Path
) -> None:
    rules = RULES.replace("+hset ", "")
    server.told(
        "ACL", "SETUSER", "monkey", "reset", "on", ">few", "~retell_ws:*", "&retell_ws:server:*", *rules.split()
    )
    lines = await looked_over(tmp_path, server.url.replace("redis://", "redis://monkey:few@"))
    assert lines["rights"].advice == "ACL SETUSER … +hset"


async def test_one_that_takes_no_writes_fails(server: RedisServer, tmp_path: Path) -> None:
    with configured(server, "min-replicas-to-write", "1"):
        line = (await looked_over(tmp_path, server.url))["rights"]
    assert line.outcome == "fail" and "NOREPLICAS" in line.seen


async def test_one_whose_memory_is_full_fails(server: RedisServer, tmp_path: Path) -> None:
    with configured(server, "maxmemory", "1"):
        line = (await looked_over(tmp_path, server.url))["rights"]
    assert line.outcome == "fail" and "OOM" in line.seen


async def test_one_that_does_not_say_what_it_is_is_too_old(tmp_path: Path) -> None:
    async with fake(b"-ERR unknown command 'HELLO'\r\n") as url:
        (line,) = (await looked_over(tmp_path, url)).values()
    assert line.outcome == "fail" and "too old" in line.seen and "7.0" in line.advice


async def test_a_url_that_is_none_is_left_unswept_and_the_rest_is_reported(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, blueprint="distributed", redis_url="http://nonsense")
    report = await validate(setup, only=("redis",))
    assert [line.outcome for line in report.lines] == ["fail"]
    assert "redis-url" in report.lines[0].seen
