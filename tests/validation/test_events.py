"""Facts from end to end: what arrives, what does not, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from retell_ws.agent import Agent
from retell_ws.validation import events
from retell_ws.validation.book import Entry
from retell_ws.validation.events import CANARY, masked, room

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
