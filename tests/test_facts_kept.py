"""A server that keeps facts: its calls are in the journal from their start to their transcript, masked."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.buses.journal import JournalSource
from retell_ws.entries import Entry
from retell_ws.errors import AgentError, UsageError
from retell_ws.facts import CallEnded, CallStarted
from retell_ws.settings import Settings
from retell_ws.speech_facts import CallerSaid, CallTranscript
from retell_ws.testing.retell import FakeRetell

from .processes import served


def settings(folder: Path, **others: object) -> Settings:
    return Settings(port=0, http_port=0, model="scripted", data=str(folder), **others)  # type: ignore[arg-type]


async def told(folder: Path) -> list[Entry]:
    async with JournalSource(folder, "test") as source:
        return list(await source.read(1000, 5.0))


@pytest.mark.parametrize("agent", [Agent("You are Ana.", greeting="Hi."), Agent("You are Ana.", mask=str.upper)])
async def test_a_call_is_told_whole_and_masked(tmp_path: Path, agent: Agent) -> None:
    folder = tmp_path / "data"
    async with running(agent, settings(folder)) as server:
        async with FakeRetell(server.url, call_id="call_1") as retell:
            if agent.greeting:
                await retell.greeting()
            assert (await retell.ask("My number is 415 555 0123.")).text
        assert server.statistics()["facts_recorded"] > 3
        metrics = server._measures.text().decode()
        assert 'retell_ws_journal_facts_total{step="recorded"}' in metrics
        assert "retell_ws_bus" not in metrics
    entries = await told(folder)
    assert {one.call_id for one in entries} == {"call_1"}
    assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
    assert isinstance(entries[0].fact, CallStarted)
    facts = [one.fact for one in entries]
    (said,) = [fact for fact in facts if isinstance(fact, CallerSaid)]
    assert said.text == ("My number is [phone]." if agent.mask is None else "MY NUMBER IS 415 555 0123.")
    assert any(isinstance(fact, CallEnded) for fact in facts), "the journal outlives the server's calls"
    (transcript,) = [fact for fact in facts if isinstance(fact, CallTranscript)]
    assert said.text in {line.text for line in transcript.lines}


async def test_no_facts_are_kept_where_nobody_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(Agent("You are Ana."), Settings(port=0, model="scripted")) as server:
        assert not [name for name in server.statistics() if name.startswith("facts_")]
    assert not await asyncio.to_thread(os.listdir, tmp_path)


async def test_a_folder_that_cannot_be_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no journal of facts"):
        async with running(Agent("You are Ana."), settings(tmp_path / "file" / "data")):
            pass


async def test_the_ready_line_says_where_facts_go(tmp_path: Path) -> None:
    async with served("--model", "scripted", "--data", str(tmp_path / "data")) as (_, ready):
        assert ready["facts"] == "journal"


def test_a_mask_is_a_function() -> None:
    with pytest.raises(AgentError, match="mask"):
        Agent("You are Ana.", mask="x")  # type: ignore[arg-type]
