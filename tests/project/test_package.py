"""The wheel that users get, installed with hashes and nothing but the base, away from the checkout: it answers a call.

One environment serves all these tests. It is made with what pip is configured to ask; without that they are skipped.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from retell_ws.extras import PACKAGES
from retell_ws.testing import FakeRetell
from tests.processes import ready

ROOT = Path(__file__).resolve().parents[2]
NO_INDEX = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|--no-index")
HEAVY = {
    "aiohttp", "anthropic", "asyncio", "confluent_kafka", "duckdb", "httptools", "httpx2", "msgspec", "opentelemetry",
    "orjson", "prometheus_client", "prompt_toolkit", "redis", "rich.markdown", "ssl", "uvloop", "watchfiles",
    "websockets",
}  # fmt: skip
"""What takes time to import, and says nothing about which commands there are."""

pytestmark = pytest.mark.timeout(300)  # the first test waits for the index


def run(*argv: str | Path, cwd: Path) -> str:
    """Run a program that must succeed, and give what it says."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=240, check=False, env=bare(cwd))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def bare(home: Path) -> dict[str, str]:
    """An environment that knows nothing of the checkout."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout, nor of an older build in the wheel."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "retell_ws", source / "retell_ws", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it with the locked base, each file checked against its hash; give the environment."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        home / "bin/python",
        "install",
        "--quiet",
        "--no-input",
    ]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # pip would find the checkout
    done = subprocess.run(
        [*pip, "--retries", "1", "--only-binary", ":all:", "--require-hashes", "-r", ROOT / "scripts/locks/base.txt"],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip("there is no package index to install from")
    assert done.returncode == 0, done.stderr
    subprocess.run([*pip, "--no-deps", wheel], env=env, check=True, timeout=60)
    return home


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "retell_ws").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert wanted - names == set(), "[tool.setuptools.package-data] leaves them out"
    assert "retell_ws/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"retell_ws", "retell_ws-0.1.0.dist-info"}


def test_it_needs_no_package_of_an_extra(installed: Path) -> None:
    brought = {name for names in PACKAGES.values() for name in names}
    found = run(installed / "bin/python", "-c", FIND, *sorted(brought), cwd=installed)
    assert found.split() == []  # OpenTelemetry's API alone comes with the client of the model's provider
    run(installed / "bin/python", "-c", "import retell_ws, retell_ws.testing", cwd=installed)


FIND = """
import sys
from importlib.util import find_spec
def is_there(name):
    try:
        return find_spec(name)
    except ModuleNotFoundError:
        return False
print(*filter(is_there, sys.argv[1:]))
"""


def test_it_says_which_extra_the_settings_need(installed: Path) -> None:
    command: list[str | Path] = [installed / "bin/retell_ws", "blueprint", "validate", "--traces", "--only", "settings"]
    env = bare(installed)
    done = subprocess.run(command, cwd=installed, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 1, done.stderr
    assert "pip install 'retell-ws[otel]'" in done.stdout


def test_its_dependencies_are_complete(installed: Path) -> None:
    assert "No broken" in run(sys.executable, "-m", "pip", "--python", installed / "bin/python", "check", cwd=installed)


def test_it_tells_of_itself_without_importing_what_it_runs(installed: Path) -> None:
    assert "Usage: retell_ws" in run(installed / "bin/retell_ws", "--help", cwd=installed)
    assert run(installed / "bin/retell-ws", "--version", cwd=installed) == "0.1.0\n"
    imported = run(installed / "bin/python", "-c", IMPORTED, cwd=installed).split("|")[-1].split()
    assert "cyclopts" in imported
    assert set(imported) & HEAVY == set()


IMPORTED = """
import sys
from retell_ws.__main__ import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
print("|", *sys.modules)
"""


async def test_it_answers_a_call_with_the_example_it_brings(installed: Path) -> None:
    home = installed / "agent"
    home.mkdir()
    run(installed / "bin/retell_ws", "new", "--example", "clinic", cwd=home)
    (agent,) = home.glob("*.py")
    async with served(installed, agent) as line:
        async with FakeRetell(line["ws"]) as retell:
            assert await retell.greeting()
            assert (await retell.ask("What are your hours?")).text
            assert not retell.report.faults


def test_what_needs_an_extra_says_which(installed: Path) -> None:
    for flags, extra in (
        (("serve", "--blueprint", "distributed", "--redis-url", "redis://127.0.0.1:1"), "redis"),
        (("report",), "analytics"),
    ):
        done = subprocess.run(
            [installed / "bin/retell_ws", *flags],
            cwd=installed,
            env={**bare(installed), "ANTHROPIC_API_KEY": "any"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2
        (said,) = done.stderr.splitlines()
        assert said.endswith(f"pip install 'retell-ws[{extra}]'")


@asynccontextmanager
async def served(installed: Path, agent: Path) -> AsyncIterator[dict[str, Any]]:
    """Serve an agent on a free port; give the ready line."""
    process = await asyncio.create_subprocess_exec(
        *(installed / "bin/retell_ws", "serve", agent, "--port", "0"),
        cwd=agent.parent,
        env=bare(installed),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with ready(process) as line:
        yield line
