"""What models are told of the project is there: the files, the commands, the names."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import retell_ws
from retell_ws.__main__ import app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "llms.txt").read_text("utf-8")
LINKS = re.findall(r"^- \[[^]]+\]\(([^)]+)\)", TEXT, re.MULTILINE)
CODE = re.findall(r"`([^`]+)`", TEXT)


def test_it_has_the_form_of_llmstxt() -> None:
    title, summary, *_ = TEXT.split("\n\n")
    assert title == "# retell_ws"
    assert all(line.startswith("> ") for line in summary.splitlines())
    for section in TEXT.split("\n## ")[1:]:
        _, _, links = section.partition("\n\n")
        assert all(line.startswith("- [") for line in links.strip().splitlines())
    assert len(TEXT.splitlines()) < 80


@pytest.mark.parametrize("link", LINKS)
def test_each_link_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).is_file()


@pytest.mark.parametrize("path", [word for word in CODE if re.fullmatch(r"retell_ws/[\w/]+\.\w+", word)])
def test_each_path_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`retell_ws (\w+)", TEXT))))
def test_each_command_is_there(command: str) -> None:
    assert command in app


@pytest.mark.parametrize("module", re.findall(r"`python -m ([\w.]+)", TEXT))
def test_each_module_is_there(module: str) -> None:
    assert find_spec(module)


def test_the_names_it_uses_are_there() -> None:
    assert {"Agent", "ToolError"} <= set(retell_ws.__all__)
    assert hasattr(retell_ws.Agent("x"), "tool")
    assert import_module("retell_ws.settings").Settings().rules == ""
