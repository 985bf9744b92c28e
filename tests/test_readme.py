"""The README tells the truth: its settings are all settings, its agent runs, its commands exist.

`python -m tests.test_readme` writes the settings table anew, `python -m bench.harness.summary` the table of figures.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from msgspec import Meta

from bench.harness.summary import ahead, capacity, facts, survives, table
from retell_ws.__main__ import app
from retell_ws.agent_file import load
from retell_ws.facts import TurnMeasured
from retell_ws.measures import Measures
from retell_ws.outbox import Outbox
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=<!-- settings:begin -->\n).*?(?=<!-- settings:end -->)", re.DOTALL)


def settings_table() -> str:
    defaults = Settings()
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        about = next(meta.description for meta in get_args(hint) if isinstance(meta, Meta) and meta.description)
        default = getattr(defaults, name)
        rows.append(f"| `{name}` | {'' if default in ('', None) else f'`{default}`'} | {about} |")
    return "\n".join(rows) + "\n"


def test_the_settings_table_is_that_of_the_settings() -> None:
    found = TABLE.search(README.read_text("utf-8"))
    assert found is not None
    assert found[0] == settings_table()


def blocks() -> list[str]:
    """The README's programs: the agent, its test, the test of the server."""
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_a_booking_agent_and_its_test_are_short() -> None:
    agent, its_test, _ = blocks()
    assert "@agent.tool" in agent and len(agent.splitlines()) < 25
    assert "calling" in its_test and len(its_test.splitlines()) < 15


def test_the_figures_are_those_of_the_latest_results() -> None:
    assert f"<!-- bench:begin -->\n{table()}\n<!-- bench:end -->" in README.read_text("utf-8")
    assert f"<!-- ahead:begin -->\n{ahead()}\n<!-- ahead:end -->" in README.read_text("utf-8")
    assert f"<!-- capacity:begin -->\n{capacity()}\n<!-- capacity:end -->" in README.read_text("utf-8")
    assert f"<!-- facts:begin -->\n{facts()}\n<!-- facts:end -->" in README.read_text("utf-8")
    assert f"<!-- survives:begin -->\n{survives()}\n<!-- survives:end -->" in README.read_text("utf-8")


async def test_the_tests_in_the_readme_pass(tmp_path: Path) -> None:
    agent, *tests = blocks()
    (tmp_path / "agent.py").write_text(agent)
    for number, text in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(text)
    assert load(str(tmp_path / "agent.py")).tools
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"),
        *("-p", "pytest_asyncio.plugin", "-p", "retell_ws.testing.plugin"),  # found by itself where it is installed
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert b"2 passed" in out


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "dev",
        "chat",
        "new",
        "check",
        "proxy",
        "bench",
        "answers",
        "consume",
        "report",
        "transcripts",
        "facts",
        "kubernetes",
        "register",
        "calls",
        "completion",
        "blueprint",
        "monitoring",
    ],
)
def test_every_command_of_the_readme_exists(command: str) -> None:
    assert f"| `{command}" in README.read_text("utf-8")
    assert command in app


def test_every_metric_of_the_readme_is_shown() -> None:
    readme = README.read_text("utf-8")
    store = MemoryCallStore(lambda: 0.0, is_shared=True)
    outbox = dict.fromkeys(re.findall(r"`(\w+)`", Outbox.figures.__doc__ or ""), 0.0)
    spans = dict.fromkeys(("sent", "failed", "dropped"), 0.0)
    made = Measures(0.8, lambda: 0, store=store.figures, outbox=lambda: outbox, traces=lambda: spans)
    shown = made.text().decode()
    named = set(re.findall(r"`(retell_ws_[a-z_]+)`", readme))
    assert len(named) > 10
    assert [name for name in sorted(named) if f"# TYPE {name} " not in shown] == []


def test_the_stages_of_a_turn_in_the_readme_are_those_of_its_record() -> None:
    (said,) = re.findall(r"`turn_measured`.*?\n\n", README.read_text("utf-8"), re.DOTALL)
    assert set(re.findall(r"`(\w+_s)`", said)) <= set(TurnMeasured.__struct_fields__)


def test_the_version_is_that_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    assert f"\n## {version[1]}" in changelog


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: settings_table(), README.read_text("utf-8")), "utf-8")
