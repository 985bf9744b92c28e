"""`retell_ws blueprint validate` as a user says it: whole runs, its documents, its exit codes, and what it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.testing import FakeRetellApi
from tests.machine import free_port
from tests.processes import refused, start
from tests.redis_servers import RedisServer, valkey
from tests.waiting import until

PASSWORD = "hunter2-canary"
SECRET = "canary-IJKLMNOP_0123"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a Redis with a password."""
    admin = {"password": PASSWORD}
    options = ("--requirepass", PASSWORD)
    folder = tmp_path_factory.mktemp("redis")
    with RedisServer(valkey(), folder, port=free_port(), options=options, admin=admin) as server:
        yield server


def url_of(server: RedisServer) -> str:
    return server.url.replace("redis://", f"redis://:{PASSWORD}@")


async def validated(*arguments: str, limit_s: float = 220.0, **env: str) -> tuple[int | None, dict[str, Any], str]:
    process = await start("blueprint", "validate", "--json", *arguments, **env)
    async with asyncio.timeout(limit_s):
        out, err = await process.communicate()
    return process.returncode, orjson.loads(out), err.decode()


def outcomes(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(line["topic"], line["name"]): line["outcome"] for line in document["lines"]}


@pytest.mark.timeout(240)
async def test_a_set_up_of_events_is_proved_and_left_alone(server: RedisServer, tmp_path: Path) -> None:
    page, data, temporary = tmp_path / "out.html", tmp_path / "real", tmp_path / "tmp"
    temporary.mkdir()
    async with FakeRetellApi(key=SECRET) as api:
        status, document, err = await validated(
            *("--blueprint", "events", "--data", str(data), "--http-port", "0", "--report", str(page)),
            *("--budget-ms", "5000"),  # other tests may run beside this one
            RETELL_WS_REDIS_URL=url_of(server),
            RETELL_WS_PATH_SECRET=SECRET,
            RETELL_WS_RETELL_URL=api.url,
            RETELL_API_KEY=SECRET,
            TMPDIR=str(temporary),
        )
    assert status == 0, document
    assert document["proved"] is True
    assert document["counts"]["fail"] == 0
    found = outcomes(document)
    proved = [
        ("keys", "RETELL_API_KEY"),
        ("redis", "rights"),
        ("conformance", "the protocol"),
        ("latency", "first sentence"),
        ("failover", "the next word follows"),
        ("draining", "a live call ends"),
        ("events", "a call's facts"),
        ("webhooks", "signatures"),
    ]
    assert {place: found[place] for place in proved} == dict.fromkeys(proved, "pass")
    assert found["cache", "the same question twice"] == "skip"  # the receptionist allows none
    assert document["latency"]["sentences_ms"]
    assert {"redis_url", "path_secret"} <= set(document["settings"])
    told = orjson.dumps(document).decode() + page.read_text() + err
    assert PASSWORD not in told and SECRET not in told
    assert page.read_text().startswith("<!doctype html>")
    assert not data.exists()
    assert os.listdir(temporary) == []
    assert server.told("DBSIZE") == 0


@pytest.mark.timeout(120)
async def test_a_set_up_of_distributed_is_proved_as_a_table(server: RedisServer) -> None:
    process = await start(
        *("blueprint", "validate", "--blueprint", "distributed", "--model", "scripted"),
        *("--only", "settings", "redis", "failover"),
        RETELL_WS_REDIS_URL=url_of(server),
    )
    out, _ = await process.communicate()
    told = out.decode()
    assert process.returncode == 0, told
    assert "every word heard once" in told or "the one under way lost" in told
    assert "latency" not in told
    assert "passed" in told.splitlines()[-1]
    assert server.told("DBSIZE") == 0


async def test_a_set_up_that_does_not_work_fails_and_goes_on_with_the_rest(tmp_path: Path) -> None:
    status, document, _ = await validated(
        *("--blueprint", "distributed", "--redis-url", f"redis://127.0.0.1:{free_port()}", "--host", "0.0.0.0"),
        *("--only", "settings", "redis", "cache"),
    )
    assert status == 1
    found = outcomes(document)
    assert found["redis", "reachable"] == "fail"
    assert found["settings", "who may call"] == "fail"
    assert found["cache", "the same question twice"] == "skip"
    assert document["verdict"] == "2 things do not work"


async def test_a_page_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    status, _, _ = await validated("--only", "settings", "--report", str(page))
    assert status == 0
    assert os.listdir(tmp_path) == ["out.html"]
    assert page.read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--only", "nonsense"), '"nonsense" for --only'),
        (("--url", "ftp://x"), "not the URL of a server"),
        (("--url", f"htps://x.org/llm-websocket/{SECRET}"), "'htps://x.org' is not the URL of a server"),
        (("none.py",), "there is no file none.py"),
        (("--blueprint", "distributed"), "--redis-url"),
        (("--report", "/nowhere/out.html"), "there is no folder"),
        (("--report", "/proc"), "it is a folder"),
        (("--callers", "0"), "callers"),
    ],
)
async def test_what_was_asked_for_wrongly_is_one_line(arguments: tuple[str, ...], word: str) -> None:
    assert word in await refused("blueprint", "validate", *arguments)


async def test_a_terminal_without_arrows_gets_the_table_as_well() -> None:
    process = await start("blueprint", "validate", "--only", "settings", PYTHONIOENCODING="ascii")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "? say --http-port 8081" in out.decode("ascii")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_all_it_started(tmp_path: Path, number: signal.Signals) -> None:
    process = await start("blueprint", "validate", "--only", "latency", TMPDIR=str(tmp_path))
    ours = psutil.Process(process.pid)
    await until(lambda: any("serve" in child.cmdline() for child in ours.children(recursive=True)))
    children = ours.children(recursive=True)
    os.kill(process.pid, number)
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode == 130
    await until(lambda: not any(child.is_running() for child in children))
    assert os.listdir(tmp_path) == []
