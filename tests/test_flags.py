"""The command line: every setting is a flag, help is there, and a mistake is one line and status 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from retell_ws.__main__ import main
from retell_ws.agent import Agent
from retell_ws.commands import serve as serve_command
from retell_ws.commands.flags import Flags, given
from retell_ws.settings import Settings

COMMANDS = ["serve", "dev", "chat", "new", "check", "proxy", "bench", "answers"]
NOT_DEFAULTS: dict[str, Any] = {
    "blueprint": "single",
    "model": "scripted",
    "log_level": "debug",
    "log_format": "json",
    "path_secret": "abcdefgh-IJKLMNOP_0123",
    "details_wait_ms": 7,
    "speculate": True,
    "consume": True,
    "http_port": 9,
    "workers": 1,  # more need the other blueprint
    "drain_delay_s": 2.5,
    "admin_token": "abcdefgh-IJKLMNOP_4567",
}


def test_a_default_that_ends_in_a_mark_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert 'Default: "retell_ws.".' in told and 'Default: "retell_ws:".' in told
    assert "Default: 127.0.0.1." in told


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def value(name: str) -> Any:
    """One of the setting's type, within its range, and not its default."""
    if name in NOT_DEFAULTS:
        return NOT_DEFAULTS[name]
    default = getattr(Settings(), name)
    if isinstance(default, bool):
        return not default
    return f"{default}x" if isinstance(default, str) else default + 1


def words(name: str) -> list[str]:
    """The setting on the command line: a truth, and its opposite, is a flag without a value."""
    match value(name):
        case True:
            return [flag(name)]
        case False:
            return [f"--no-{flag(name)[2:]}"]
        case text:
            return [flag(name), str(text)]


def ended(arguments: list[str]) -> Any:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Agent, dict[str, Any], Path | None]]:
    """What `serve` would have run; nothing listens."""
    runs: list[tuple[Agent, dict[str, Any], Path | None]] = []

    def run(agent: Agent, flags: dict[str, Any], *, config: Path | None) -> int:
        runs.append((agent, flags, config))
        return 0

    monkeypatch.setattr(serve_command, "run", run)
    return runs


Served = list[tuple[Agent, dict[str, Any], Path | None]]


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_a_flag_of_its_type(name: str, served: Served) -> None:
    assert ended(["serve", *words(name)]) == 0
    ((_, flags, _),) = served
    assert flags == {name: value(name)}
    assert type(flags[name]) is type(value(name))


@pytest.mark.parametrize("name", ["speculate", "hedge", "warm_cache", "answer_cache", "verify_calls"])
def test_a_truth_can_be_given_either_way(name: str, served: Served) -> None:
    assert ended(["serve", flag(name)]) == 0
    assert ended(["serve", f"--no-{flag(name)[2:]}"]) == 0
    assert [flags for _, flags, _ in served] == [{name: True}, {name: False}]


@pytest.mark.parametrize("arguments", [["--fallback-model", ""], ["--fallback-model="]])
def test_an_empty_text_is_a_text(arguments: list[str], served: Served) -> None:
    assert ended(["serve", *arguments]) == 0
    assert served[0][1] == {"fallback_model": ""}


def test_all_flags_may_stand_together_and_make_settings(served: Served) -> None:
    arguments = [word for name in Settings.__struct_fields__ for word in words(name)]
    assert ended(["serve", *arguments]) == 0
    ((_, flags, _),) = served
    assert msgspec.convert(flags, Settings) == Settings(**{name: value(name) for name in Settings.__struct_fields__})


def test_flags_that_were_not_given_are_left_to_the_other_sources(served: Served) -> None:
    assert ended(["serve"]) == 0
    ((agent, flags, config),) = served
    assert (flags, config) == ({}, None)
    assert str(agent.instructions).strip()
    assert given(None) == {} and given(Flags()) == {}


def test_the_agent_and_the_file_of_settings_are_passed_on(served: Served, tmp_path: Path) -> None:
    place = tmp_path / "desk_of_ana.py"
    place.write_text("from retell_ws import Agent\nana = Agent('You are Ana.')\n")
    assert ended(["serve", f"{place}:ana", "--config", "server.toml", "--port", "0"]) == 0
    ((agent, flags, config),) = served
    assert (agent.instructions, flags, config) == ("You are Ana.", {"port": 0}, Path("server.toml"))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--help"]) == 0
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([name, "--help"]) == 0
    captured = capsys.readouterr()
    assert f"retell_ws {name}" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("name", ["serve", "dev"])
def test_help_of_a_server_names_every_setting(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert ended([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert [setting for setting in Settings.__struct_fields__ if flag(setting) not in out] == []


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert ended(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("retell_ws")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--colour", "red"], "--colour"),
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "--port"], "--port"),
        (["serve", "--log-level", "loud"], "loud"),
        (["serve", "--model", "gpt"], "gpt"),
        (["serve", "one.py", "two.py"], "two.py"),
        (["serve", "none.py"], "there is no file none.py"),
        (["serve", "no_such_module"], "no_such_module"),
        (["sevre"], "sevre"),
        (["--colour"], "--colour"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], told: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("retell_ws: ") and captured.err.endswith("\n")
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert served == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["blueprint", "recommend", "--needs", "foo"], "blueprint recommend: --calls is missing."),
        (
            ["blueprint", "recommend", "--cals", "5"],
            "blueprint recommend: --calls is missing. Did you mean --calls instead of --cals?",
        ),
        (["transcripts", "show"], "transcripts show: CALL_ID is missing."),
        (["check"], "check: URL is missing."),
        (["serve", "--port"], 'Command "serve" parameter --port requires an argument.'),
    ],
)
def test_what_was_not_given_is_missing_and_a_flag_without_its_value_lacks_that(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(arguments) == 2
    assert capsys.readouterr().err == f"retell_ws: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "70000"], "--port: expected `int` <= 65535"),
        (["--path-secret", "short"], "--path-secret: a secret needs"),
        (["--config", "none.toml"], "cannot read none.toml"),
    ],
)
def test_a_setting_out_of_range_is_one_line_and_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ended(["serve", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"retell_ws: {told}")
    assert captured.err.count("\n") == 1
