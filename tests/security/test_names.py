"""Ids and names that others choose: in Redis, in paths, in SQL and on a terminal they are only what they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from retell_ws.__main__ import main
from retell_ws.buses.journal import JournalSource
from retell_ws.consumers.parts import place
from retell_ws.consumers.shelf import Shelf
from retell_ws.consumers.transcripts import row_of
from retell_ws.entries import Entry
from retell_ws.errors import UsageError
from retell_ws.journal import NAME, Journal
from retell_ws.speech_facts import CallTranscript, Line
from retell_ws.stores.redis import RedisCallStore
from retell_ws.webhooks import HEADER, signature
from tests.http_client import http, status
from tests.machine import free_port
from tests.puppet import serving
from tests.redis_servers import RedisServer, valkey

NAMES = (
    "a}{b\r\nFLUSHALL",
    "a}{b\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    "*",
    "{}",
    "}{",
    "a\x00b",
    "a' OR '1'='1",
    "'; DROP TABLE entries; --",
    "../../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "day=2026-11-28/part-x.parquet",
    "\x1b[2J\x1b]0;title\x07",
    "\u2028\u202e",
    "é" * 200,
    "x" * 500,
)
"""Ids no server of ours takes from a socket or a webhook; from a bus others may write to they can come."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(valkey(), tmp_path_factory.mktemp("redis"), port=free_port()) as server:
        yield server


def nothing() -> None:
    """Be told of nothing."""


@pytest.mark.usefixtures("clean_loop")
async def test_a_name_is_a_key_in_redis_and_no_command(redis: RedisServer) -> None:
    redis.told("SET", "another", "untouched")
    async with RedisCallStore(redis.url, name="a", prefix="p:") as store:
        for name in NAMES:
            assert (await store.attach(name, nothing)).is_known
            store.write(name, {"turn": b"1"})
            await store.claim(name, name)
            assert (await store.attach(name, nothing)).is_known
    keys = set(redis.told("KEYS", "*")) - {b"another"}
    assert redis.told("GET", "another") == b"untouched"
    assert len(keys) >= len(NAMES) and all(key.startswith(b"p:{") for key in keys)


@pytest.mark.usefixtures("clean_loop")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_such_a_name_is_no_call_on_any_port(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETELL_API_KEY", "key_1")
    quoted = name.encode().hex("%").join(("%", "")) if name.isascii() else "%C3%A9"
    body = msgspec.json.encode({"event": "call_ended", "call": {"call_id": name}})
    async with serving(http_port=0, admin_token="0123456789abcdef-admin") as (server, _):
        assert status(await http(server.address, f"/llm-websocket/{quoted}", upgrade=True)) == 404
        headers = {HEADER: signature(body, b"key_1", int(time.time() * 1000))}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{server.http_address}/webhook", data=body, headers=headers) as answer,
        ):
            assert answer.status == 400
            assert name not in await answer.text()
        token = "Authorization: Bearer 0123456789abcdef-admin"
        assert status(await http(server.http_address, f"/calls/{quoted}", token)) in (400, 404)


def told_of(name: str) -> Entry:
    return Entry(
        id=name,
        call_id=name,
        epoch=1,
        seq=1,
        at=time.time() - 60,
        server=name,
        fact=CallTranscript((Line("user", f"I am {name}"),), 60.0, 1, from_number=name),
    )


def test_a_name_in_the_archive_is_a_value_and_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Shelf(place(folder)) as shelf:
        shelf.put([found for name in NAMES if (found := row_of(told_of(name)))])
        for name in NAMES:
            row = shelf.find(name)
            assert row is not None and row.call_id == name
        for name in NAMES[::2]:
            assert shelf.forget(name)
            assert shelf.find(name) is None
        assert [name for name in NAMES if shelf.find(name)] == list(NAMES[1::2])
    assert [path for path in tmp_path.rglob("*") if folder not in (path, *path.parents)] == []


@pytest.mark.parametrize("command", ["show", "forget"])
@pytest.mark.parametrize("name", ["../../../../../etc/passwd", "/etc/passwd", "*", "' OR 1=1 --", "[red]x[/]"])
def test_a_name_on_the_command_line_finds_the_call_of_that_name_only(
    tmp_path: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Shelf(place(tmp_path)) as shelf:
        shelf.put([found for one in ("call_1", "call_2") if (found := row_of(told_of(one)))])
    with pytest.raises(SystemExit) as ended:
        main(["transcripts", command, "--archive", str(tmp_path), name])
    out, err = capsys.readouterr()
    assert ended.value.code == 1 and "root:" not in out + err and "I am" not in out
    with Shelf(place(tmp_path)) as shelf:
        assert shelf.find("call_1") and shelf.find("call_2")


# ---------------------------------------------------------------------------- links


@pytest.mark.parametrize("file", [NAME, "journal.lock"])
def test_a_link_in_the_place_of_the_journal_is_not_followed(tmp_path: Path, file: str) -> None:
    other = tmp_path / "another's"
    other.write_text("precious")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / file).symlink_to(other)
    with pytest.raises(UsageError, match="no journal of facts"):
        Journal(folder)
    assert other.read_text() == "precious"


async def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "not there"
    folder = tmp_path / "data"
    Journal(folder).close()
    (folder / "archive.lock").symlink_to(other)
    with pytest.raises((UsageError, OSError)):
        async with JournalSource(folder, "archive"):
            pass
    assert not other.exists()
