"""`retell_ws answers warm`: a table of what may be kept, a file for the server, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from retell_ws.__main__ import main
from retell_ws.answer_file import AnswerFile, read
from retell_ws.commands.answers import _show
from retell_ws.warming import Warmed

AGENT = 'from retell_ws import Agent\n\nagent = Agent("You are Ana.", greeting="Harbor Clinic.", cache=True{more})\n'
FAST = ("--model", "scripted", "--scripted-ttft-ms", "0", "--scripted-spacing-ms", "0")


@pytest.fixture
def agent(tmp_path: Path) -> str:
    (tmp_path / "agent.py").write_text(AGENT.replace("{more}", ""))
    return str(tmp_path / "agent.py")


@pytest.fixture
def openings(tmp_path: Path) -> Path:
    return tmp_path / "openings.txt"


def ended(*arguments: object) -> object:
    with pytest.raises(SystemExit) as caught:
        main(["answers", "warm", *map(str, arguments)])
    return caught.value.code


def test_it_shows_each_answer_and_writes_what_a_server_reads(
    agent: str, openings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text('# the usual\nWhat are your hours?\n["Hello", "Bye"]\n')
    out = tmp_path / "ANSWERS.json"
    assert ended(openings, agent, "--out", out, *FAST) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "What are your hours?" in shown and "Hello / Bye" in shown and "We are open" in shown
    assert shown.count("yes") == 3
    found = read(out.read_text("utf-8"), "ANSWERS.json")
    assert isinstance(found, AnswerFile)
    assert [answer.heard[-1] for answer in found.answers] == ["What are your hours?", "Hello", "Bye"]


def test_what_the_model_says_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    words = "Hi \x1b]0;PWNED\x07\x1b[2J\x9b2J there"
    _show([Warmed(opening=(words,), text=words), Warmed(opening=(words,), text=words, why_not=words)], Console())
    told = capsys.readouterr().out
    assert told.count("Hi ]0;PWNED [2J 2J there") == 5
    assert all(line.isprintable() for line in told.split("\n"))


def test_what_may_not_be_kept_is_said_and_counts_as_a_failure(
    agent: str, openings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text("Hello\nMy number is 555\n")
    assert ended(openings, agent, *FAST) == 1
    assert "no: digits were said" in " ".join(capsys.readouterr().out.split())


def test_what_redis_has_not_taken_is_said_and_counts_as_a_failure(
    agent: str, openings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text("Hello\n")
    shared = ("--blueprint", "distributed", "--redis-url", f"unix://{tmp_path}/nobody.sock")
    assert ended(openings, agent, *shared, *FAST) == 1
    assert "not all in Redis, which did not take 1 of them" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "more", "why"),
    [
        ("", "", "holds no openings"),
        ('{"version":1,"answers":[]}', "", "holds answers already"),
        ("Hello", ", call_data=['name']", "no answer of this agent's can be kept: its model is shown data"),
        ("Hello", ", end_call=True", "no answer of this agent's can be kept: it has tools"),
    ],
)
def test_a_mistake_is_one_line(
    text: str, more: str, why: str, openings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text(text)
    (tmp_path / "other.py").write_text(AGENT.replace("{more}", more))
    assert ended(openings, tmp_path / "other.py", *FAST) == 2
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1


def test_a_greeting_that_is_a_function_has_no_text_to_ask_after(
    openings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text("Hello")
    (tmp_path / "other.py").write_text(AGENT.replace('"Harbor Clinic."', "lambda call: 'Hi.'").replace("{more}", ""))
    assert ended(openings, tmp_path / "other.py", *FAST) == 2
    assert "its greeting is a function of the call" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_one_line(
    agent: str, openings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openings.write_text("Hello")
    assert ended(openings, agent, "--out", openings.parent / "no" / "a.json", *FAST) == 2
    assert "cannot write" in capsys.readouterr().err


def test_its_help_stands_beside_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["answers", "--help"])
    assert "Ask the model for the common openings" in " ".join(capsys.readouterr().out.split())
