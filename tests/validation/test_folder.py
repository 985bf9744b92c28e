"""The folder of a validation: gone at its end, and what one left that was killed is gone after the next one."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from retell_ws.validation.folder import PREFIX, YOUNG_S, own_folder
from tests.processes import start


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(place: Path, name: str = "x", ago_s: float = YOUNG_S + 10) -> Path:
    """Leave a folder, as one does that is killed."""
    folder = place / f"{PREFIX}{name}"
    (folder / "events").mkdir(parents=True)
    (folder / "events" / "journal.db").write_text("x")
    aged(folder, ago_s)
    return folder


def aged(folder: Path, ago_s: float = YOUNG_S + 10) -> None:
    os.utime(folder, (time.time() - ago_s,) * 2)


def test_it_is_gone_at_the_end(place: Path) -> None:
    with own_folder() as folder:
        (folder / "a").write_text("x")
    assert os.listdir(place) == []


def test_what_one_left_that_was_killed_is_deleted(place: Path) -> None:
    old = left(place)
    with own_folder():
        assert not old.exists()


def test_that_of_another_one_that_runs_is_left_alone(place: Path) -> None:
    with own_folder() as other:
        aged(other)
        with own_folder():
            pass
        assert other.is_dir()


def test_one_that_may_just_have_been_made_is_left_alone(place: Path) -> None:
    young = left(place, ago_s=1)
    with own_folder():
        pass
    assert young.is_dir()


def test_what_is_called_so_and_is_no_folder_is_left_alone(place: Path) -> None:
    target = place / "target"
    target.mkdir()
    (place / f"{PREFIX}file").write_text("x")
    (place / f"{PREFIX}link").symlink_to(target)
    for name in (f"{PREFIX}file", f"{PREFIX}link", "target"):
        os.utime(place / name, (0, 0), follow_symlinks=False)
    with own_folder():
        pass
    assert sorted(os.listdir(place)) == [f"{PREFIX}file", f"{PREFIX}link", "target"]


async def test_the_command_does_so(tmp_path: Path) -> None:
    left(tmp_path)
    process = await start("blueprint", "validate", "--only", "settings", TMPDIR=str(tmp_path))
    _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert os.listdir(tmp_path) == []
