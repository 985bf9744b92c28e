"""The archive that the settings name: tried as consumers use it, and left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from retell_ws.consumers.places import place
from retell_ws.validation import events
from retell_ws.validation.archive import tried
from retell_ws.validation.book import Entry
from retell_ws.validation.line import Line
from tests.consumers.s3_server import Bucket
from tests.consumers.s3_server import bucket as bucket
from tests.consumers.s3_server import s3_endpoint as s3_endpoint

from .book import lines_of, setup_of


def entry_of(where: str) -> Entry:
    entry = Entry()
    tried(entry, where, "validate_0")
    return entry


def test_a_folder_is_written_and_left_as_it_was(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not" / "there"):
        entry = entry_of(str(folder))
        assert entry.outcome == "pass" and str(folder) in entry.seen
        assert list(tmp_path.iterdir()) == []


async def line_of(folder: Path, where: str) -> Line:
    """Follow a call beside an archive. It does not begin: only the archive is on trial."""
    setup = setup_of(folder / "spare", target="none.py", data=str(folder / "real"), archive=where)
    lines = await lines_of("events", events.check, setup)
    assert lines["a call's facts"].outcome == "fail"
    return lines["the archive"]


@pytest.mark.parametrize("where", ["/proc/retell_ws", "/dev/null/retell_ws", "gopher://x"])
async def test_a_place_that_cannot_be_written_fails(tmp_path: Path, where: str) -> None:
    line = await line_of(tmp_path, where)
    assert line.outcome == "fail" and "--archive" in line.advice


async def test_a_bucket_is_written_and_left_as_it_was(tmp_path: Path, bucket: Bucket) -> None:
    line = await line_of(tmp_path, bucket.where)
    assert line.outcome == "pass" and bucket.where in line.seen
    assert list(place(bucket.where).list()) == []


async def test_a_bucket_that_is_not_there_fails(tmp_path: Path, bucket: Bucket) -> None:
    line = await line_of(tmp_path, "s3://user:hunter2@no-such-bucket-0142/x")
    assert line.outcome == "fail" and "writing to the archive" in line.seen
    assert "hunter2" not in line.seen + line.advice
