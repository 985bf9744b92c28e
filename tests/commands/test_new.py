"""`retell_ws new`: what it writes can be called, and nothing of anybody's is overwritten."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from retell_ws.__main__ import main
from retell_ws.agent_file import load
from retell_ws.commands.new import Example, new
from retell_ws.errors import UsageError
from retell_ws.testing import Calling

EXAMPLES: tuple[Example, ...] = get_args(Example)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_each_example_is_an_agent_that_answers(example: Example, tmp_path: Path, calling: Calling) -> None:
    assert new(tmp_path, example=example) == 0
    async with calling(load(str(tmp_path / "agent.py"))) as caller:
        assert caller.heard.startswith(("Harbor Clinic", "Northwind Support", "Hello"))


def test_every_example_there_is_may_be_chosen() -> None:
    there = {path.name for path in files("retell_ws.examples").iterdir() if path.name.endswith(".py")}
    assert there - {"__init__.py"} == {f"{example}.py" for example in EXAMPLES}


def test_without_a_choice_it_is_the_receptionist_and_the_folder_is_made(tmp_path: Path) -> None:
    assert new(tmp_path / "a" / "b") == 0
    receptionist = files("retell_ws.examples").joinpath("receptionist.py").read_text("utf-8")
    assert (tmp_path / "a" / "b" / "agent.py").read_text("utf-8") == receptionist


def test_what_to_type_next_is_said_with_what_the_example_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new(tmp_path, example="support")
    said = capsys.readouterr().out
    assert f"chat {tmp_path}/agent.py --from-number +14155550123\n" in said
    assert f"dev {tmp_path}/agent.py\n" in said
    assert "chat agent.py --from-number" in (tmp_path / "agent.py").read_text("utf-8"), "and the copy says it of itself"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("mine")
    with pytest.raises(UsageError, match="agent.py exists; nothing is overwritten"):
        new(tmp_path, example="clinic")
    assert (tmp_path / "agent.py").read_text("utf-8") == "mine"


def test_an_example_there_is_none_of_is_refused_with_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["new", str(tmp_path), "--example", "bakery"])
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert "bakery" in error and all(example in error for example in EXAMPLES)
    assert not (tmp_path / "agent.py").exists()


def test_the_help_names_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new", "--help"])
    said = capsys.readouterr().out
    assert all(example in said for example in EXAMPLES)
