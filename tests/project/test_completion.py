"""What the shells complete, asked of real ones where they are installed."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retell_ws.deploy.needs import NEEDS
from retell_ws.validation.line import TOPICS

ROOT = Path(__file__).resolve().parents[2]

ASK = """
source "$SCRIPT"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
$(complete -p retell_ws | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Bash does this when the tab key is pressed after the words it is given."""

BEGINS = {
    "bash": (["--norc", "--noprofile", "-i"], "source SCRIPT"),
    "zsh": (["-f", "-i"], "bindkey -e; setopt noautoremoveslash; autoload compinit; compinit -u -D; source SCRIPT"),
}
"""How a shell is started at a terminal, and what it is told first."""


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody is who has written an agent."""
    (tmp_path / "agent.py").write_text("")
    (tmp_path / "some rules.toml").write_text("")
    (tmp_path / "openings").mkdir()
    return tmp_path


def installed(shell: str) -> str:
    """Where a shell is; whoever has none is told that it was not asked."""
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    return program


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


class Terminal:
    """A shell at a terminal, in which somebody presses the tab key."""

    def __init__(self, shell: str, scripts: Path, folder: Path) -> None:
        arguments, first = BEGINS[shell]
        self._ours, theirs = pty.openpty()
        self._heard = ""
        self._shell = subprocess.Popen(
            [installed(shell), *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "INPUTRC": os.devnull},
            start_new_session=True,
        )
        os.close(theirs)
        self._type(f"{first.replace('SCRIPT', str(scripts / shell))}; printf '%s: %s\\n' now ready\n")
        self._until(r"now: ready")

    def tab(self, line: str) -> str:
        """Type a line, press the tab key, and give what the line has become."""
        self._type(f"{line}\t\x01printf '%s: %s|\\n' now \"\x05\"\n")  # to its beginning and to its end, and show it
        return self._until(r"now: (retell[^|]*)\|").strip()

    def _type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def _until(self, pattern: str) -> str:
        ends = time.monotonic() + 20
        while (found := re.search(pattern, self._heard)) is None:
            if not select.select([self._ours], [], [], max(0.0, ends - time.monotonic()))[0]:
                raise AssertionError(f"it did not say {pattern}: {self._heard[-500:]}")
            self._heard += os.read(self._ours, 65_536).decode("utf-8", "replace")
        self._heard = self._heard[found.end() :]
        return found[found.lastindex or 0]

    def close(self) -> None:
        """Leave it."""
        self._shell.kill()
        self._shell.wait(timeout=20)
        os.close(self._ours)


def test_commands_are_completed_also_those_of_commands(scripts: Path) -> None:
    assert {"serve", "chat", "transcripts"} <= completed(scripts, "")
    assert completed(scripts, "se") == {"serve"}
    assert completed(scripts, "transcripts", "") >= {"list", "show", "export", "forget"}


def test_the_flags_of_a_command_are_completed(scripts: Path) -> None:
    assert completed(scripts, "serve", "--max-c") == {"--max-calls"}
    assert "--max-calls" not in completed(scripts, "new", "--")


def test_the_choices_of_a_flag_are_completed(scripts: Path) -> None:
    assert completed(scripts, "serve", "--blueprint", "") == {"single", "distributed", "events"}
    assert completed(scripts, "blueprint", "validate", "--only", "") == set(TOPICS)
    assert completed(scripts, "blueprint", "recommend", "--needs", "") == set(NEEDS)


@pytest.mark.parametrize("shell", BEGINS)
def test_the_tab_key_completes_the_names_of_files(shell: str, scripts: Path, folder: Path) -> None:
    terminal = Terminal(shell, scripts, folder)
    try:
        for command in (
            *("serve", "dev", "chat", "blueprint validate", "answers warm openings"),
            *("serve --config", "serve --port 1 --rules", "monitoring alerts --out"),
        ):
            assert terminal.tab(f"retell_ws {command} ag") == f"retell_ws {command} agent.py"
        assert terminal.tab("retell_ws serve --config some") == r"retell_ws serve --config some\ rules.toml"
        assert terminal.tab("retell_ws answers warm op") == "retell_ws answers warm openings/"
        assert terminal.tab("retell_ws chat --ra") == "retell_ws chat --raw"
    finally:
        terminal.close()


@pytest.mark.parametrize("shell", BEGINS)
def test_the_other_name_of_the_command_is_completed_as_well(shell: str, scripts: Path, folder: Path) -> None:
    terminal = Terminal(shell, scripts, folder)
    try:
        assert terminal.tab("retell-ws serve --max-c") == "retell-ws serve --max-calls"
        assert terminal.tab("retell-ws transc") == "retell-ws transcripts"
    finally:
        terminal.close()


def test_fish_completes_names_of_files_choices_and_both_commands(scripts: Path, folder: Path) -> None:
    program = installed("fish")

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            [program, "--no-config", "-c", f"source {scripts / 'fish'}; complete -C '{line}'"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        return [each.partition("\t")[0] for each in done.stdout.splitlines()]

    assert "agent.py" in offered("retell_ws serve ag")
    assert "agent.py" in offered("retell_ws serve --config ag")
    assert offered("retell_ws blueprint validate --only fail") == ["failover"]
    assert "--max-calls" in offered("retell-ws serve --max-c")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_another_shell_can_read_what_is_written_for_it(shell: str, scripts: Path) -> None:
    text = (scripts / shell).read_text()
    assert "retell_ws" in text and "max-calls" in text
    subprocess.run([installed(shell), "-n", scripts / shell], check=True, timeout=20)


def test_zsh_finds_it_in_a_folder_of_completions(scripts: Path, folder: Path) -> None:
    installed("zsh")
    (folder / "_retell_ws").write_bytes((scripts / "zsh").read_bytes())
    (folder / "zsh").write_text("fpath=($PWD $fpath); compinit -u -D\n")
    terminal = Terminal("zsh", folder, folder)
    try:
        for _ in range(2):  # the first time it is only read then
            assert terminal.tab("retell_ws serve --max-c") == "retell_ws serve --max-calls"
        assert terminal.tab("retell-ws serve ag") == "retell-ws serve agent.py"
    finally:
        terminal.close()


def test_a_shell_that_is_none_of_them_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "retell_ws", "completion", "tcsh"], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "tcsh" in line and "bash" in line
