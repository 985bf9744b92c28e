"""Every command of the README is run, by a test that reads the README; `commands.py` says how.

Each block is run as a reader would, in a folder that looks like the project's: one shell for each heading, so that a
server goes on while the next lines are typed, and one folder for each section, so that what was recorded can be
reported. Where the README shows what a command says, that is what it must say, but for its numbers.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import tomllib
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from itertools import groupby
from pathlib import Path
from time import monotonic

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from retell_ws.__main__ import app
from retell_ws.testing import FakeRetell
from tests.kafka_servers import genuine
from tests.project.commands import COMMANDS, FILES, How
from tests.project.readme import README, Block, Command, Section, inline, sections
from tests.project.sandbox import Done, Sandbox, Shell, shell
from tests.redis_servers import RedisServer, valkey

TEXT = README.read_text("utf-8")
SECTIONS = sections(TEXT)
AGENT = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
RULES = re.findall(r"```toml\n(\[\[rule.*?)```", TEXT, re.DOTALL)[0]

pytestmark = pytest.mark.timeout(400)

ELSEWHERE = {"Several servers": "test_several_servers.py"}
"""Who runs the `bash` block under a heading."""

# ------------------------------------------------------------------------ blocks that are not typed


def reads_rules(block: Block, folder: Path) -> None:
    """The rules are rules."""
    from retell_ws.escalating import read_rules

    (folder / "shown.toml").write_text(block.text)
    assert tomllib.loads(block.text)["rule"]
    assert read_rules(folder / "shown.toml")


def asks_duckdb(block: Block, folder: Path) -> None:
    """The question is answered from what the section has recorded."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{folder}'")
        rows = connection.execute(block.text).fetchall()
    assert ("book", "done", 1) in rows


def is_run_elsewhere(block: Block, folder: Path) -> None:
    """Another test runs the block, which it reads from the README, too."""
    text = (Path(__file__).parents[1] / ELSEWHERE[block.heading]).read_text()
    assert "```bash" in text and "README.md" in text


READ: dict[str, Callable[[Block, Path], None]] = {
    "toml": reads_rules,
    "sql": asks_duckdb,
    "bash": is_run_elsewhere,
}
SHOWN = {"python", "json", ""}
"""Languages of what is only shown. The programs are run by `tests/test_readme.py`."""


# ------------------------------------------------------------------------ running a section


AGAIN_S = 45.0
"""Longest wait for what comes after some seconds: consumers read twice a second, figures are written every few."""

CALL = re.compile(r"call_[0-9a-f]{8,}")


def shape(text: str) -> str:
    """What is said, but for its numbers, and for whether there are several of something."""
    plain = re.sub(r"\b(call|turn)s\b", r"\1", text.replace("\u202f", " "))
    return re.sub(r"\d(?:[\d. ]*\d)?", "0", plain).strip()


class Typing:
    """Types the commands of one heading.

    Args:
        shell: Where.
        sandbox: The folder.
        stack: Keeps whoever calls on the line.
        call: The id of a call that was shown before, for commands that name one.
    """

    def __init__(self, shell: Shell, sandbox: Sandbox, stack: AsyncExitStack, call: str) -> None:
        self._shell = shell
        self._sandbox = sandbox
        self._stack = stack
        self.call = call

    async def type(self, heading: str, command: Command) -> None:
        """Run one command, and look at what it shows.

        Raises:
            AssertionError: It fails, or shows something else; or nobody has told how to run it.
        """
        where = f"README line {command.line}: {command.text}"
        how = COMMANDS.get(heading, {}).get(command.text)
        assert how is not None, f"README line {command.line} is run by no test: {command.text!r} under {heading!r}"
        assert bool(how.instead) == bool(how.why), f"{where}: what is run instead needs a reason"
        if how.caller:
            await self._calls(how.caller)
        done = await self._run(how, (how.instead or command.text).removesuffix("&").replace("call_4f1c...", self.call))
        assert done.status == 0, f"{where}: {done}"
        assert re.search(how.shows, done.out + done.err), f"{where}: {done}"
        assert shape(command.shown) in shape(done.out + done.err), f"{where}: {done}"
        assert not how.writes or (self._sandbox.folder / how.writes).exists(), f"{where}: {how.writes} is not written"
        if found := CALL.search(done.out):
            self.call = found[0]

    async def _run(self, how: How, text: str) -> Done:
        text = self._sandbox.moved(text)
        if how.goes_on:
            return await self._shell.start(text, how.shows)
        deadline = monotonic() + AGAIN_S
        while True:
            done = await self._shell.run(text, types=how.types, limit_s=how.limit_s)
            if not how.again or (done.status == 0 and re.search(how.shows, done.out)) or monotonic() > deadline:
                return done
            await asyncio.sleep(0.5)

    async def _calls(self, call_id: str) -> None:
        """Put somebody on the line."""
        url = f"ws://127.0.0.1:{self._sandbox.ports['8080']}/llm-websocket"
        details = {"call_type": "phone_call", "from_number": "+14155550123", "to_number": "+14155550100"}
        await (await self._stack.enter_async_context(FakeRetell(url, call_id=call_id, details=details))).greeting()


@pytest.mark.parametrize("section", [one for one in SECTIONS if one.blocks], ids=lambda one: one.title)
async def test_the_commands_of_a_section_do_what_it_says(section: Section, tmp_path: Path) -> None:
    files = {"agent.py": AGENT, "rules.toml": RULES, "openings.txt": "What are your hours?\n"}
    folder = tmp_path / "project"
    folder.mkdir()
    sandbox = Sandbox(folder, files)
    call = ""
    with ExitStack() as servers:
        typed = " ".join(block.text for block in section.blocks if block.language == "console")
        if "127.0.0.1:6379" in typed and "redis-server" not in typed:
            servers.enter_context(RedisServer(valkey(), tmp_path / "redis", port=sandbox.ports["6379"]))
        if "scripts/kafka" in typed:
            genuine()
        for heading, blocks in groupby(section.blocks, key=lambda block: block.heading):
            told = tmp_path / re.sub(r"\W", "-", heading)
            told.mkdir()
            if heading in FILES:
                (folder / "agent.py").write_text(FILES[heading])
            async with AsyncExitStack() as stack:
                typing = Typing(await stack.enter_async_context(shell(sandbox, told)), sandbox, stack, call)
                for block in blocks:
                    if block.language == "console":
                        for command in block.commands():
                            await typing.type(heading, command)
                    elif block.language not in SHOWN:
                        assert block.language in READ, f"README line {block.line}: {block.language} is read by no test"
                        READ[block.language](block, folder)
                call = typing.call


def test_no_command_is_kept_that_the_readme_no_longer_has() -> None:
    there = {
        (block.heading, command.text)
        for section in SECTIONS
        for block in section.blocks
        if block.language == "console"
        for command in block.commands()
    }
    assert {(heading, text) for heading, commands in COMMANDS.items() for text in commands} - there == set()


# ------------------------------------------------------------------------ commands within sentences


def tokens(span: str) -> list[str] | None:
    """Give a command's words; None for what is no command, or one with a word to fill in."""
    words = re.sub(r"^([A-Z_]+=\S+ )*(scripts/run|retell_ws) ", "", span).split()
    is_ours = span != " ".join(words) or (len(words) > 1 and words[0] in app)
    if not is_ours or any(re.fullmatch(r"\[?[A-Z]+\]?|.*\\\|.*|.*\.\.\.", word) for word in words):
        return None
    return shlex.split(" ".join(words))


@pytest.mark.parametrize("span", sorted({span for span in inline(TEXT) if tokens(span)}))
def test_a_command_within_a_sentence_is_understood(span: str) -> None:
    words = tokens(span)
    assert words
    try:
        app.parse_args(words, exit_on_error=False, print_error=False)
    except MissingArgumentError:
        pass  # a sentence need not say it all
    except CycloptsError as exc:
        raise AssertionError(f"`{span}`: {exc}") from None
