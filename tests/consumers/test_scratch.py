"""Scratch folders: a killed process leaves nothing for long, and nobody deletes what is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retell_ws.consumers.scratch import Scratch

HOLDING = """
import pathlib, sys
from retell_ws.consumers.scratch import Scratch
held = Scratch()
pathlib.Path(held.name, "rows.json").write_text("canary")
print(held.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_its_owners_alone_and_goes_with_all_that_is_in_it(folder: Path) -> None:
    scratch = Scratch()
    assert Path(scratch.name).stat().st_mode & 0o777 == 0o700
    Path(scratch.name, "file").write_text("x")
    scratch.cleanup()
    assert list(folder.iterdir()) == []


def test_two_have_folders_of_their_own(folder: Path) -> None:
    one, other = Scratch(), Scratch()
    assert sorted(map(str, folder.iterdir())) == sorted([one.name, other.name])
    one.cleanup()
    assert [str(left) for left in folder.iterdir()] == [other.name]
    other.cleanup()


def test_what_a_killed_process_left_is_deleted_and_not_before(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().decode().strip())
        Scratch().cleanup()
        assert (held / "rows.json").read_text() == "canary"
        process.kill()
    assert held.exists()
    Scratch().cleanup()
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_being_made_is_left_alone(folder: Path) -> None:
    made = folder / "retell_ws-scratch-new"
    made.mkdir()
    Scratch().cleanup()
    assert made.exists()
