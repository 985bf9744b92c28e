"""`scripts/test`: what fails in it is its failure, and nothing outlives it. Its tools are short stand-ins."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.waiting import until

SCRIPT = Path(__file__).parents[2] / "scripts" / "test"

TOOLS = {name: "exit 0" for name in ("ruff", "mypy", "lint-imports", "python", "coverage")}

SETUP = "say() { :; }; setup() { :; }; setup_servers() { :; }; setup_kafka() { :; }\n"


async def ran(folder: Path, **tools: str) -> int:
    """Run it in a folder with nothing but these tools; gives its exit status."""
    for name in ("scripts", ".venv/bin"):
        (folder / name).mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "scripts")
    (folder / "scripts/setup.sh").write_text(SETUP)
    for name, line in {**TOOLS, **tools}.items():
        tool = folder / ".venv/bin" / name
        tool.write_text(f"#!/usr/bin/env bash\n{line}\n")
        tool.chmod(0o755)
    # No pipes: what outlives it would keep them open.
    process = await asyncio.create_subprocess_exec(
        *("bash", "scripts/test"), cwd=folder, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    async with asyncio.timeout(30):
        return await process.wait()


async def test_it_passes_when_all_do(tmp_path: Path) -> None:
    assert await ran(tmp_path) == 0


@pytest.mark.parametrize("tool", list(TOOLS))
async def test_it_fails_when_one_does(tmp_path: Path, tool: str) -> None:
    assert await ran(tmp_path, **{tool: "exit 3"}) != 0


@pytest.mark.parametrize("step", ["run", "report"])
async def test_it_fails_when_a_step_beside_the_others_does(tmp_path: Path, step: str) -> None:
    assert await ran(tmp_path, coverage=f'[ "$1" != {step} ]') != 0


async def test_what_runs_beside_ends_with_it(tmp_path: Path) -> None:
    # Once it runs, the first of the others fails.
    beside = "echo $$ >../pid.new; mv ../pid.new ../pid; exec sleep 60"
    folder = tmp_path / "checkout"
    assert await ran(folder, coverage=beside, ruff="until [ -s ../pid ]; do sleep 0.01; done; exit 3") != 0
    pid = int((tmp_path / "pid").read_text())
    try:
        await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    finally:
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
