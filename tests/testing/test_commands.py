"""`check` and `chat`, as a shell runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from retell_ws.commands.caller import HELP
from retell_ws.testing import FakeRetell

from .servers import GREETING, PIECES, Scripted

ANSWER = "".join(PIECES)


async def _retell_ws(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "retell_ws", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        async with asyncio.timeout(50):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


async def test_check_prints_a_table_and_exits_with_0() -> None:
    async with Scripted().running() as url:
        status, out, _ = await _retell_ws("check", url, "--only", "a-reminder-is-answered")
    assert status == 0
    assert "a-reminder-is-answered" in out and "pass" in out
    assert "This server speaks Retell's protocol: 1 passed" in out


async def test_check_exits_with_1_when_a_check_fails_and_says_what_was_seen() -> None:
    async with Scripted("completes_twice").running() as url:
        status, out, _ = await _retell_ws("check", url, "--json", "--only", "an-id-is-completed-once")
    document = json.loads(out)
    assert status == 1
    assert document["conformant"] is False and document["counts"]["fail"] == 1
    [result] = document["results"]
    assert (result["name"], result["outcome"], result["section"]) == ("an-id-is-completed-once", "fail", "§4.3.5")
    assert result["seen"] == "id 1 was completed 2 times"


async def test_nothing_is_said_of_a_server_of_which_nothing_could_be_checked() -> None:
    async with Scripted("only_talks").running() as url:
        status, out, _ = await _retell_ws("check", url, "--only", "tools")
        as_json, document, _ = await _retell_ws("check", url, "--json", "--only", "tools")
    assert status == as_json == 1
    assert "Nothing could be checked: 0 passed" in out and "speaks Retell's protocol" not in out
    counts = json.loads(document)["counts"]
    assert json.loads(document)["conformant"] is False and counts["pass"] == counts["fail"] == 0 < counts["skip"]


async def test_a_warning_does_not_fail_the_suite() -> None:
    async with Scripted("unnamed").running() as url:
        status, out, _ = await _retell_ws("check", url, "--only", "response-type-is-named")
    assert status == 0 and "1 warned" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("check", "ws://127.0.0.1:1/llm"), "no connection"),
        (("check", "127.0.0.1:8080"), "has to look like ws://host:8080/llm-websocket"),
        (("check", "ws://127.0.0.1:1/llm", "--only", "nonsense"), "no check and no topic is called 'nonsense'"),
        (("chat", "ws://127.0.0.1:1/llm"), "no connection"),
        (("chat", "no_such_agent.py"), "no_such_agent.py"),
        (("chat", "--speed", "0"), "--speed"),
        (("chat", "--var", "Dana"), "NAME=VALUE"),
        (("chat", "ws://127.0.0.1:1/llm", "--model", "scripted"), "the server's affair"),
    ],
)
async def test_what_cannot_be_done_is_one_line_and_exit_2(arguments: tuple[str, ...], line: str) -> None:
    status, out, err = await _retell_ws(*arguments)
    assert (status, out) == (2, "")
    assert line in err and err.count("\n") == 1


async def test_chat_reads_turns_from_a_pipe() -> None:
    server = Scripted()
    async with server.running() as url:
        status, out, err = await _retell_ws(
            "chat", url, stdin="Hello.\n/silence\n/drop\n/fly\nTuesday.\n/quit\nnever said\n"
        )
    assert (status, err) == (0, "")
    said = [line for line in out.splitlines() if not line.startswith(" ")]
    assert all("first sentence" in line for line in out.splitlines() if line.startswith(" "))
    assert said == [
        f"agent: {GREETING}",
        "you: Hello.",
        f"agent: {ANSWER}",
        f"agent: {ANSWER}",
        "(the line was cut and redialled)",
        f"(/fly is no command. {HELP})",
        "you: Tuesday.",
        f"agent: {ANSWER}",
    ]
    kinds = [m["interaction_type"] for m in server.received if m["interaction_type"].endswith("required")]
    assert kinds == ["response_required", "reminder_required", "response_required"]


async def test_chat_calls_an_agent_with_variables_and_settings(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(
        "from retell_ws import Agent\n"
        "def greet(call):\n"
        "    return f'Hello {call.variables[\"name\"]}, {call.from_number}.'\n"
        "agent = Agent('You are Ana.', greeting=greet)\n"
    )
    caller = ("--var", "name=Dana", "--from-number", "+14155550101")
    status, out, err = await _retell_ws("chat", str(file), *caller, "--scripted-ttft-ms", "1", stdin="Bye.\n")
    assert (status, err) == (0, "")
    assert out.startswith("agent: Hello Dana, +14155550101.\nyou: Bye.\nagent: Thank you. Goodbye!\n")


async def test_a_reader_that_goes_away_ends_a_command_quietly() -> None:
    async with Scripted().running() as url:
        command = f"yes Hello. | {sys.executable} -m retell_ws chat {url} | head -n 1"
        process = await asyncio.create_subprocess_shell(command, stdout=PIPE, stderr=PIPE)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    assert out.decode() == f"agent: {GREETING}\n"
    assert b"Traceback" not in err


async def test_chat_ends_when_the_server_hangs_up_in_an_answer() -> None:
    async with Scripted("hangs_up").running() as url:
        status, out, err = await _retell_ws("chat", url, stdin="Hello.\nStill there?\n")
    assert status == 1 and "the call ended: agent_hangup" in err
    assert "Still there" in out or "Hello." in out


async def test_names_are_loaded_one_by_one() -> None:
    code = "import sys, retell_ws.testing as t; t.Finding; print('websockets' in sys.modules, 'msgspec' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
    out, _ = await process.communicate()
    assert out.split() == [b"False", b"True"]
    assert FakeRetell.__module__ == "retell_ws.testing.retell"


def test_every_exported_name_exists() -> None:
    import retell_ws.testing as testing

    for name in testing.__all__:
        if name not in ("FakeAnthropicProcess", "Calling"):  # what needs a vendor, and a type alias
            assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018  # looking it up is the point
