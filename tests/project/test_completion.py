"""What the shells complete, asked of real ones where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ASK = """
source "$SCRIPT"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
$(complete -p retell_ws | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Bash does this when the tab key is pressed after the words it is given."""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "retell_ws", "completion", shell],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=50,
        )
        (folder / shell).write_bytes(done.stdout)
    return folder


def completed(scripts: Path, *words: str) -> set[str]:
    """What bash offers."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", "retell_ws", *words],
        env={"PATH": os.environ["PATH"], "SCRIPT": str(scripts / "bash")},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return {line.strip() for line in done.stdout.splitlines()}


def test_commands_are_completed_also_those_of_commands(scripts: Path) -> None:
    assert {"serve", "chat", "transcripts"} <= completed(scripts, "")
    assert completed(scripts, "se") == {"serve"}
    assert completed(scripts, "transcripts", "") >= {"list", "show", "export", "forget"}


def test_the_flags_of_a_command_are_completed(scripts: Path) -> None:
    assert completed(scripts, "serve", "--max-c") == {"--max-calls"}
    assert "--max-calls" not in completed(scripts, "new", "--")


def test_the_choices_of_a_flag_are_completed(scripts: Path) -> None:
    assert completed(scripts, "serve", "--blueprint", "") == {"single", "distributed", "events"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_another_shell_can_read_what_is_written_for_it(shell: str, scripts: Path) -> None:
    text = (scripts / shell).read_text()
    assert "retell_ws" in text and "max-calls" in text
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([program, "--no-execute", scripts / shell], check=True, timeout=20)


def test_a_shell_that_is_none_of_them_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "retell_ws", "completion", "tcsh"], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "tcsh" in line and "bash" in line
