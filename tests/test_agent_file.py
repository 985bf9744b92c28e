"""Every way to name an agent, and the one line each mistake gets."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retell_ws import serve
from retell_ws.agent import Agent
from retell_ws.agent_file import load, offer
from retell_ws.commands.serve import EXAMPLE
from retell_ws.errors import AgentError

IMPORTS = "from retell_ws import Agent, serve\n"
ONE = f"{IMPORTS}ana = Agent('You are Ana.')\n"
TWO = f"{ONE}ben = Agent('You are Ben.')\n"

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file into an empty working directory; modules loaded from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    modules, path = dict(sys.modules), list(sys.path)

    def writing(name: str, text: str) -> str:
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
        importlib.invalidate_caches()
        return name

    yield writing
    sys.path[:] = path
    for name in [name for name in sys.modules if name not in modules]:
        del sys.modules[name]
    sys.modules.update(modules)


def refused(target: str) -> str:
    with pytest.raises(AgentError) as caught:
        load(target)
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---------------------------------------------------------------------------- ways to name one


@pytest.mark.parametrize("target", ["file.py:ben", "file:ben"])
def test_an_agent_can_be_named(target: str, write: Write) -> None:
    write("file.py", TWO)
    assert load(target).instructions == "You are Ben."


@pytest.mark.parametrize("target", ["file.py", "file"])
def test_the_only_agent_needs_no_name(target: str, write: Write) -> None:
    write("file.py", ONE)
    assert load(target).instructions == "You are Ana."


def test_the_same_agent_under_two_names_is_still_the_only_one(write: Write) -> None:
    write("file.py", f"{ONE}also = ana\n")
    assert load("file.py").instructions == "You are Ana."


@pytest.mark.parametrize("target", ["file.py", "file"])
def test_the_agent_called_agent_is_meant_among_several(target: str, write: Write) -> None:
    write("file.py", f"{TWO}agent = Agent('You are Cleo.')\n")
    assert load(target).instructions == "You are Cleo."


@pytest.mark.parametrize("target", ["file.py", "file"])
def test_the_agent_given_to_serve_is_meant_before_the_one_called_agent(target: str, write: Write) -> None:
    write("file.py", f"{TWO}agent = Agent('You are Cleo.')\nserve(ben, port=0)\n")
    assert load(target).instructions == "You are Ben."


def test_a_name_beats_the_agent_given_to_serve(write: Write) -> None:
    write("file.py", f"{TWO}serve(ben)\n")
    assert load("file.py:ana").instructions == "You are Ana."


def test_an_agent_that_only_serve_holds_is_found(write: Write) -> None:
    write("file.py", f"{IMPORTS}serve(Agent('You are Dora.'))\n")
    assert load("file.py").instructions == "You are Dora."


def test_a_file_may_stand_anywhere_and_import_its_neighbours(write: Write, tmp_path: Path) -> None:
    write("deep/down/words.py", "WORDS = 'You are Ana.'\n")
    write("deep/down/file.py", f"{IMPORTS}from words import WORDS\nana = Agent(WORDS)\n")
    assert load("deep/down/file.py").instructions == "You are Ana."
    assert load(str(tmp_path / "deep" / "down" / "file.py:ana")).instructions == "You are Ana."


def test_a_module_inside_a_package_is_named_with_dots(write: Write) -> None:
    write("desk/__init__.py", "")
    write("desk/night.py", TWO)
    assert load("desk.night:ben").instructions == "You are Ben."


def test_a_package_may_hold_the_agent_itself(write: Write) -> None:
    write("desk/__init__.py", ONE)
    assert load("desk").instructions == "You are Ana."
    assert load("desk:ana").instructions == "You are Ana."


def test_the_example_that_is_served_when_none_is_named_can_be_loaded() -> None:
    assert str(load(EXAMPLE).instructions).strip()


def test_code_guarded_by_main_does_not_run(write: Write) -> None:
    write("file.py", f"{ONE}if __name__ == '__main__':\n    raise SystemExit(9)\n")
    assert load("file.py").instructions == "You are Ana."


def test_a_file_saved_anew_is_loaded_anew(write: Write) -> None:
    write("file.py", ONE)
    assert load("file.py").instructions == "You are Ana."
    write("file.py", ONE.replace("Ana", "Berta the second"))
    assert load("file.py").instructions == "You are Berta the second."


# ---------------------------------------------------------------------------- serve, while loading


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Agent]:
    """The agents for which a server was started; none really is."""
    agents: list[Agent] = []

    def run(agent: Agent, settings: dict[str, Any]) -> int:
        agents.append(agent)
        return int(settings.get("status", 0))

    monkeypatch.setattr("retell_ws.run.run", run)
    return agents


def test_serve_in_a_loaded_file_starts_nothing_and_returns(write: Write, started: list[Agent]) -> None:
    write("file.py", f"{ONE}serve(ana)\nREACHED = True\n")
    load("file.py")
    assert started == []
    assert sys.modules["retell_ws_agent_file"].__dict__["REACHED"] is True


def test_serve_serves_once_loading_is_over(write: Write, started: list[Agent]) -> None:
    write("file.py", f"{ONE}serve(ana)\n")
    agent = load("file.py")
    assert not offer(agent)
    serve(agent)
    assert started == [agent]


def test_serve_serves_again_after_a_file_that_failed(write: Write) -> None:
    write("file.py", f"{ONE}serve(ana)\nraise ValueError\n")
    refused("file.py")
    assert not offer(Agent("You are Ana."))


def test_a_server_that_cannot_start_ends_with_its_status(started: list[Agent]) -> None:
    with pytest.raises(SystemExit) as caught:
        serve(Agent("You are Ana."), status=2)
    assert len(started) == 1
    assert caught.value.code == 2


# ---------------------------------------------------------------------------- mistakes


NEW = "`retell_ws new DIR` writes an agent.py to begin with"


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("none.py", f"there is no file none.py; {NEW}"),
        ("none.py:ana", f"there is no file none.py; {NEW}"),
        ("deep/none.py", f"there is no file deep/none.py; {NEW}"),
        ("none", "there is no file or module 'none'"),
        ("none.deep:ana", "there is no file or module 'none.deep'"),
        ("json.none", "there is no file or module 'json.none'"),
        ("notes.txt", "notes.txt is no Python file"),
        ("folder.py", f"there is no file folder.py; {NEW}"),
    ],
)
def test_a_target_that_is_not_there_is_named(target: str, line: str, write: Write) -> None:
    write("notes.txt", "hello")
    write("folder.py/inside", "")
    assert refused(target) == line


@pytest.mark.parametrize("target", ["", ":ana", ".", "..", ".file", "file..deep", "a b", "-"])
def test_a_target_that_can_be_nothing_is_one_line_too(target: str, write: Write) -> None:
    refused(target)


@pytest.mark.parametrize("place", ["file.py", "file"])
def test_a_name_that_is_no_agent_is_named(place: str, write: Write) -> None:
    write("file.py", f"{ONE}number = 5\n")
    assert refused(f"{place}:bob") == f"{place} has no Agent called 'bob'"
    assert refused(f"{place}:number") == f"{place} has no Agent called 'number'"
    assert refused(f"{place}:Agent") == f"{place} has no Agent called 'Agent'"


def test_a_file_without_an_agent_says_so(write: Write) -> None:
    write("file.py", IMPORTS)
    assert refused("file.py") == "file.py holds no Agent"


def test_a_file_with_several_agents_asks_for_a_name(write: Write) -> None:
    write("file.py", TWO)
    assert refused("file.py") == "file.py holds 2 agents; name one: file.py:NAME"


@pytest.mark.parametrize("target", ["file.py", "file"])
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("Agent('')", "AgentError: an agent needs instructions: Agent('You are ...')"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
    ],
)
def test_what_goes_wrong_in_the_file_is_told_with_its_line(
    statement: str, told: str, target: str, write: Write
) -> None:
    write("file.py", f"{IMPORTS}\n\n{statement}\n")
    assert refused(target) == f"file.py:4: {told}"


def test_the_line_told_is_the_users_even_when_it_broke_elsewhere(write: Write) -> None:
    write("file.py", f"{IMPORTS}import json\njson.loads('')\n")
    assert refused("file.py").startswith("file.py:3: JSONDecodeError: ")


def test_the_line_told_is_where_in_the_file_it_broke(write: Write) -> None:
    write("file.py", f"{IMPORTS}def made():\n    return Agent(' ')\n\n\nana = made()\n")
    assert refused("file.py").startswith("file.py:3: AgentError: ")


@pytest.mark.parametrize("target", ["file.py", "file"])
def test_a_syntax_error_is_told_with_its_line(target: str, write: Write) -> None:
    write("file.py", f"{IMPORTS}\nana = Agent(\n")
    assert re.match(r"file\.py:3: .*'\(' was never closed", refused(target))


@pytest.mark.parametrize("target", ["file.py", "file"])
def test_a_syntax_error_in_an_imported_file_names_that_file(target: str, write: Write) -> None:
    write("words.py", "\n\n\n\nWORDS = (\n")
    write("file.py", f"{IMPORTS}import words\n")
    assert re.search(r"\bwords\.py:5: ", refused(target))


def test_a_file_that_is_no_text_is_one_line(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file.py").write_bytes(b"ana = '\x00'\n")
    assert refused("file.py").startswith("file.py")
    (tmp_path / "other.py").write_bytes(b"ana = '\xff'\n")
    assert refused("other.py").startswith("other.py")


def test_an_interrupt_while_loading_is_not_swallowed(write: Write) -> None:
    write("file.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load("file.py")


async def test_a_function_may_import_its_neighbours_when_it_is_called(write: Write) -> None:
    write("neighbour_of_lazy.py", "NAME = 'Dana'\n")
    write(
        "lazy.py",
        f"{IMPORTS}def greet(call):\n    from neighbour_of_lazy import NAME\n    return NAME\n"
        "agent = Agent('You are Ana.', greeting=greet)\n",
    )
    greeting: Any = load("lazy.py").greeting
    assert greeting(None) == "Dana"
