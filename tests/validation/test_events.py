"""Facts from end to end: what arrives, what does not, and what must not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from retell_ws.agent import Agent
from retell_ws.validation import events
from retell_ws.validation.book import Entry
from retell_ws.validation.events import CANARY, masked, room
from retell_ws.validation.setup import Setup

from .book import lines_of, setup_of


async def test_without_a_folder_no_facts_are_kept(tmp_path: Path) -> None:
    (line,) = (await lines_of("events", events.check, setup_of(tmp_path))).values()
    assert line.outcome == "skip" and "--blueprint events" in line.advice


LEAKY = """
from retell_ws import Agent
agent = Agent("You are Ana.", mask=lambda text: text)
"""


async def test_a_mask_that_lets_numbers_through_fails(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(LEAKY)
    agent = Agent("You are Ana.", mask=lambda text: text)
    setup = setup_of(tmp_path / "spare", target=str(tmp_path / "agent.py"), agent=agent, data=str(tmp_path / "real"))
    line = (await lines_of("events", events.check, setup))["a call's facts"]
    assert line.outcome == "fail" and "phone number" in line.seen and "mask" in line.advice


async def test_an_archive_without_what_was_said_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_transcript", lambda folder, call_id: "agent: This is a spare server.")
    line = (await lines_of("events", events.check, setup_of(tmp_path / "spare", data=str(tmp_path / "real"))))[
        "a call's facts"
    ]
    assert line.outcome == "fail" and "not what was said" in line.seen


class Brokers:
    """Stands in for `KafkaProbe`: makes one topic, and then waits, or refuses the next one."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        self.is_making, self.may_go_on = threading.Event(), threading.Event()
        self.there: list[str] = []

    def brokers(self) -> list[str]:
        return ["a", "b", "c"]

    def make(self) -> str:
        self.is_making.set()
        self.may_go_on.wait(10)
        self.there.append("facts")
        return self.why

    def drop(self, groups: Sequence[str]) -> None:
        self.there.clear()


@pytest.fixture
def of_kafka(tmp_path: Path) -> Setup:
    return setup_of(tmp_path / "spare", blueprint="events", data=str(tmp_path / "real"), kafka_bootstrap="127.0.0.1:9")


async def test_topics_are_deleted_when_it_is_stopped_while_they_are_made(
    of_kafka: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers = Brokers()
    monkeypatch.setattr(events, "probe_of", lambda settings: brokers)
    check = asyncio.create_task(lines_of("events", events.check, of_kafka))
    await asyncio.to_thread(brokers.is_making.wait, 10)
    check.cancel()
    brokers.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert brokers.is_making.is_set() and brokers.there == []


async def test_topics_are_deleted_when_another_one_is_refused(of_kafka: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = Brokers("no rights")
    brokers.may_go_on.set()
    monkeypatch.setattr(events, "probe_of", lambda settings: brokers)
    line = (await lines_of("events", events.check, of_kafka))["a call's facts"]
    assert line.outcome == "skip" and "no rights" in line.seen
    assert brokers.there == []


def entry_of(folder: Path, wanted_mb: int = 8) -> Entry:
    entry = Entry()
    room(entry, folder, wanted_mb)
    return entry


def test_a_folder_that_is_not_there_yet_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    assert entry_of(tmp_path / "a" / "b").outcome == "pass"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails() -> None:
    entry = entry_of(Path("/proc/retell_ws"))  # which root cannot write either
    assert entry.outcome == "fail" and "--data" in entry.advice


def test_a_disk_without_room_is_told(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, wanted_mb=10**12)
    assert entry.outcome == "warn" and "--journal-mb" in entry.advice


@pytest.mark.parametrize("written", [CANARY, CANARY.replace(" ", ""), "415 555 0142"])
def test_the_number_is_found_wherever_it_stands(tmp_path: Path, written: str) -> None:
    assert masked(tmp_path, f"user: it is {written}") == "the archive"
    (tmp_path / "journal.db").write_bytes(b"\0" + written.encode() + b"\0")
    assert masked(tmp_path, "user: it is [phone]") == "journal.db"


def test_a_masked_number_is_found_nowhere(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("[phone]")
    assert masked(tmp_path, "user: it is [phone]") == ""
