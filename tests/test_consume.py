"""The consumers beside a server, as processes: on the journal, with no Kafka and no Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import orjson
import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.consume import run
from retell_ws.settings import Settings
from retell_ws.testing.retell import FakeRetell

from .processes import ready, refused, served, start
from .waiting import until

pytestmark = pytest.mark.timeout(120)

RULES = """
[[rule]]
name = "asks for a human"
when = { phrases = ["speak to a human"] }
then = [ { action = "say", say = "I am getting somebody." } ]
"""

EVENTS = (
    *("--blueprint", "events", "--http-port", "0", "--model", "scripted", "--scripted-ttft-ms", "20"),
    *("--grace-s", "0.2"),
)


def consumers_of(server: Process) -> list[int]:
    try:
        children = psutil.Process(server.pid).children()
        return [child.pid for child in children if "consume" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def is_there(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


async def call(url: str, call_id: str, *sayings: str) -> None:
    """Make a call, hear it out, and hang up."""
    async with FakeRetell(url, call_id=call_id) as retell:
        await retell.greeting()
        for saying in sayings:
            await retell.ask(saying)


async def told(*arguments: str, data: Path) -> Any:
    """Run one of the commands that read what the consumers have written, and read its JSON."""
    process = await start(*arguments, "--data", str(data), "--json")
    out, err = await process.communicate()
    return orjson.loads(out) if process.returncode == 0 else err.decode()


async def archived(data: Path) -> list[str]:
    listed = await told("transcripts", "list", data=data)
    return sorted(row["call_id"] for row in listed) if isinstance(listed, list) else []


async def ended(process: Process) -> str:
    """Stop a server as a service manager does; give what it said."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return err.decode()


async def test_what_happened_in_a_call_is_there_when_the_server_has_ended(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with served(*EVENTS, "--data", str(data)) as (server, line):
        assert line["facts"] == "journal"
        await call(line["ws"], "call_1", "What are your hours?", "Thanks.")
        log = await ended(server)
    assert await archived(data) == ["call_1"]
    shown = await told("transcripts", "show", "call_1", data=data)
    assert "What are your hours?" in orjson.dumps(shown).decode()
    assert "What are your hours?" not in log
    report = await told("report", data=data)
    assert report["calls"]["ended"] == 1


async def test_nobody_else_may_look_into_a_folder_that_was_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    async with served(*EVENTS, "--data", str(data)) as (server, line):
        await call(line["ws"], "call_1", "Hello.")
        await ended(server)
    made = {path: path.stat().st_mode & 0o077 for path in data.rglob("*")}
    assert any(path.suffix == ".parquet" for path in made)
    assert [path for path, others in made.items() if others] == []


async def test_rules_that_are_taken_away_leave_no_reader_to_wait_for(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    data = tmp_path / "data"
    async with served(*EVENTS, "--data", str(data), "--rules", str(tmp_path / "rules.toml")) as (server, line):
        await call(line["ws"], "call_1", "Hello.")
        await ended(server)
    async with served(*EVENTS, "--data", str(data)) as (server, line):
        await call(line["ws"], "call_2", "Hello.")
        await until(lambda: readers(data) == {"analytics", "archive"})
        await ended(server)
    assert await archived(data) == ["call_1", "call_2"]


def readers(data: Path) -> set[str]:
    with closing(sqlite3.connect(data / "journal.db")) as db:
        return {name for (name,) in db.execute("SELECT consumer FROM cursors")}


async def test_consumers_that_die_are_started_anew_and_lose_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with served(*EVENTS, "--data", str(data)) as (server, line):
        await until(lambda: bool(consumers_of(server)))
        (first,) = consumers_of(server)
        os.kill(first, signal.SIGKILL)
        await call(line["ws"], "call_1", "Hello.")
        await until(lambda: bool(consumers_of(server)) and consumers_of(server) != [first])
        await ended(server)
    assert await archived(data) == ["call_1"]


async def test_consumers_do_not_outlive_their_server_and_the_next_one_has_what_they_left(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with served(*EVENTS, "--data", str(data)) as (server, line):
        await until(lambda: bool(consumers_of(server)))
        (pid,) = consumers_of(server)
        await call(line["ws"], "call_1", "Hello.")
        await asyncio.sleep(0.5)  # the grace time, and a beat of the journal
        server.kill()
        await until(lambda: not is_there(pid))
    async with served(*EVENTS, "--data", str(data)) as (server, _):
        await ended(server)
    assert await archived(data) == ["call_1"]


async def test_a_rule_is_followed_while_the_call_lasts(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    flags = (*EVENTS, "--data", str(tmp_path / "data"), "--rules", str(tmp_path / "rules.toml"))
    async with served(*flags) as (server, line):
        await until(lambda: bool(consumers_of(server)))
        async with FakeRetell(line["ws"], call_id="call_1") as retell:
            await retell.ask("I want to speak to a human.")
            await retell.until(lambda: "I am getting somebody." in str(retell.conversation.items))
        await ended(server)
    report = await told("report", data=tmp_path / "data")
    assert "asks for a human" in orjson.dumps(report).decode()


async def test_another_process_may_consume(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with served(*EVENTS, "--no-consume", "--data", str(data)) as (server, line):
        assert consumers_of(server) == []
        consuming = await start("consume", "archive", "--data", str(data))
        async with ready(consuming) as said:
            assert said == {"ready": True, "consumers": ["archive"], "facts": "journal"}
            await call(line["ws"], "call_1", "Hello.")
            while await archived(data) != ["call_1"]:  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.1)
            consuming.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await consuming.wait() == 0
        await ended(server)


async def test_rules_that_cannot_be_meant_are_said_before_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.replace("phrases", "phrasing"))
    said = await refused("serve", *EVENTS, "--data", str(tmp_path / "data"), "--rules", str(rules))
    assert "asks for a human" in said and "phrasing" in said


async def test_escalation_without_a_way_to_the_calls_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    flags = ("--model", "scripted", "--data", str(tmp_path / "data"), "--rules", str(tmp_path / "rules.toml"))
    assert "--http-port" in await refused("serve", "--port", "0", *flags)


async def test_there_is_nothing_to_consume_where_nothing_is_kept() -> None:
    assert "--blueprint events, or --data" in await refused("consume", "archive")


async def test_whoever_names_kafka_need_not_name_the_blueprint(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    async def consume(names: Sequence[str], settings: Settings, *, is_ours: bool) -> None:
        seen.append(settings)

    monkeypatch.setattr("retell_ws.consume._consume", consume)
    status = await asyncio.to_thread(
        run, ["escalation"], {"kafka_bootstrap": "127.0.0.1:9092", "redis_url": "redis://127.0.0.1:6379"}
    )
    # By Redis, as its servers are, and with their budget.
    assert (status, seen[0].is_shared(), seen[0].budget_s()) == (0, True, 0.3)
