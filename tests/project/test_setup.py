"""What the scripts say while they set up."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

SAYS = ("bash", "-c", ". scripts/setup.sh; say Installing, once")
ROOT = Path(__file__).resolve().parents[2]


def test_through_a_pipe_words_have_no_colour() -> None:
    done = subprocess.run(SAYS, cwd=ROOT, capture_output=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == (b"", b"Installing, once\n")


def test_on_a_terminal_they_have() -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(SAYS, cwd=ROOT, stderr=theirs, timeout=30, check=True)
        assert os.read(ours, 100).strip() == b"\x1b[2mInstalling, once\x1b[0m"
    finally:
        os.close(ours)
        os.close(theirs)
