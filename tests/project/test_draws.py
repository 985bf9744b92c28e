"""What Hypothesis draws in the usual run hangs on the test alone: what passed here passes elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import pathlib
from hypothesis import given, strategies as st

DRAWN = []

{first}
@given(st.text(max_size=8), st.integers())
def test_draws(text, number):
    DRAWN.append((text, number))

def test_writes():
    pathlib.Path("drawn").write_text(repr(DRAWN))
"""


def drawn(folder: Path, first: str) -> str:
    (folder / "test_here.py").write_text(TESTS.format(first=first))
    ours = ("-c", str(Path(__file__).parents[2] / "pyproject.toml"), f"--rootdir={folder}", "-p", "tests.conftest")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ours, "test_here.py")
    path = f"{Path(__file__).parents[2]}:{folder}"
    subprocess.run(command, cwd=folder, env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}, check=True)
    return (folder / "drawn").read_text()


def test_draws_are_the_same_whichever_modules_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(f"WORDS = {[f'word {n}' for n in range(500)]}\n")
    assert drawn(tmp_path, "") == drawn(tmp_path, "import words")
