"""`calling` and `Script`, as whoever tests an agent meets them: what they offer, and what they complain of."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import retell_ws.server
import retell_ws.testing.leaks
from retell_ws.agent import Agent
from retell_ws.errors import ModelUnavailable
from retell_ws.handle import Call
from retell_ws.ports import Delta, Rest, Text, no_rest
from retell_ws.request import ModelRequest
from retell_ws.session import Session
from retell_ws.testing import CallEnded, Script, Use, calling
from retell_ws.testing.leaks import nothing_left

ROOT = Path(__file__).parents[2]


def ana(**options: Any) -> Agent:
    agent = Agent("You are Ana.", **{"greeting": "Hello.", **options})

    @agent.tool
    async def book(day: str) -> str:
        """Book."""
        return f"Booked for {day}."

    return agent


BOOK = Use("book", day="Friday")


# -- a test that passes


async def test_the_caller_has_all_that_was_said_and_done() -> None:
    async with calling(ana(), [BOOK, "You are booked.", "Anything else?"]) as caller:
        assert (await caller.says("Book Friday.")).text == "You are booked."
        assert (await caller.asks_again()).text == "Anything else?"
        assert [answer.text for answer in caller.answers] == ["Hello.", "You are booked.", "Anything else?"]
        assert caller.heard == "Hello. You are booked. Anything else?"
        assert caller.tools == [("book", {"day": "Friday"})]
        assert [(run.result, run.successful) for run in caller.runs] == [("Booked for Friday.", True)]
        assert [request.messages[-1].text for request in caller.requests[:2]] == ["Book Friday.", ""]
        assert caller.actions == []


async def test_details_and_settings_are_those_of_the_test() -> None:
    agent = Agent("You are Ana.", greeting=lambda call: f"{call.from_number} {call.to_number} {call.metadata['plan']}")
    details = {"from_number": "+14155550101", "metadata": {"plan": "gold"}}
    async with calling(agent, details=details, path_secret="a-secret-of-the-test") as caller:
        assert caller.heard == "+14155550101 +14155550199 gold"
        assert "a-secret-of-the-test" in caller.retell.url


async def test_an_interruption_ends_what_was_begun() -> None:
    steps = ["This is a long story, and it goes on and on.", "Yes?"]
    async with calling(ana(), steps, speed=10) as caller:
        assert (await caller.begins("Tell me.")).startswith("This is")
        assert (await caller.says("Stop!")).text == "Yes?"
        said = next(message.text for message in caller.requests[1].messages[-2:] if message.role == "assistant")
        assert "on and on" not in said, "the model knows how much was heard"


async def test_a_caller_may_speak_while_a_tool_runs_and_hear_the_answer_then() -> None:
    agent, may_end = Agent("You are Ana.", greeting="Hello."), asyncio.Event()

    @agent.tool(say="One moment.")
    async def book() -> str:
        """Book."""
        await may_end.wait()
        return "Booked."

    async with calling(agent, [Use("book"), "It is done."]) as caller:
        await caller.begins("Book.")
        await caller.speaks("Are you there?")
        may_end.set()
        assert (await caller.hears()).text == "It is done."


async def test_a_call_may_end_in_the_block() -> None:
    async with calling(ana(end_call=True), [Use("end_call", message="Bye.")]) as caller:
        assert (await caller.says("Bye!")).text == "Bye."
        assert await caller.ended() == "agent_hangup"
        with pytest.raises(CallEnded, match="agent_hangup"):
            await caller.says("Wait!")
    async with calling(ana()) as caller:
        await caller.hangs_up()
        assert await caller.ended() == "user_hangup"


async def test_only_a_script_keeps_its_requests() -> None:
    async with calling(ana()) as caller:
        with pytest.raises(TypeError, match=r"only a script keeps its requests: calling\(agent, \[...\]\)"):
            caller.requests  # noqa: B018  # looking it up is the point


async def test_a_script_plays_errors_and_functions_of_the_request() -> None:
    def repeats(request: ModelRequest) -> list[str]:
        return ["You said: ", request.messages[-1].text]

    agent = ana()
    async with calling(agent, [repeats, ModelUnavailable("down"), ["", ValueError("odd")]]) as caller:
        assert (await caller.says("a")).text == "You said: a"
        assert (await caller.says("b")).text == agent.lines.apology
        assert (await caller.says("c")).text == agent.lines.apology


# -- a script that was not played as it is written


async def test_a_request_that_was_not_planned() -> None:
    with pytest.raises(AssertionError) as complaint:
        async with calling(ana(), ["One."]) as caller:
            await caller.says("first")
            await caller.says("second")
    assert str(complaint.value) == (
        "the model was asked 2 times, and the script ends after 1; "
        "the first request too many came after the caller said 'second'"
    )


async def test_a_request_that_was_not_planned_after_a_tool() -> None:
    with pytest.raises(AssertionError, match="came after a tool gave 'Booked for Friday.'$"):
        async with calling(ana(), [BOOK]) as caller:
            await caller.says("Book Friday.")


async def test_a_step_that_was_not_played() -> None:
    with pytest.raises(AssertionError) as complaint:
        async with calling(ana(), ["One.", BOOK, "Three."]) as caller:
            await caller.says("first")
    assert str(complaint.value) == (
        "1 of 3 steps of the script were played; the next one would be Use('book', day='Friday')"
    )


async def test_an_assertion_in_a_step_fails_the_test_as_it_is() -> None:
    def wrong(request: ModelRequest) -> str:
        assert request.max_tokens == 1, "too many"
        return ""

    with pytest.raises(AssertionError, match="^too many"):
        async with calling(ana(), [wrong]) as caller:
            await caller.says("first")


async def test_a_failure_of_pytests_own_in_a_step_counts_too() -> None:
    with pytest.raises(pytest.fail.Exception, match="^not so$"):
        async with calling(ana(), [lambda request: pytest.fail("not so")]) as caller:
            await caller.says("first")


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("Hello.", r"a script is a list of steps: ['Hello.']"),
        ([5], "step 1 of the script holds 5; it may hold words, `Use` and exceptions"),
        (["Hello.", [BOOK, None]], "step 2 of the script holds None;"),
        ([Use], "step 1 of the script holds <class"),
        (BOOK, "Use('book', day='Friday') is no model; a script is a list of steps"),
    ],
)
async def test_what_is_no_script_is_refused_before_the_call(model: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(complaint)):
        async with calling(ana(), model):
            raise AssertionError("never called")


async def test_a_function_that_gives_no_step_is_told() -> None:
    nothing: Any = [lambda request: None]
    with pytest.raises(TypeError, match="step 1 of the script holds None"):
        async with calling(ana(), nothing) as caller:
            await caller.says("first")


# -- an assertion in the block


async def test_an_assertion_in_the_block_comes_out_bare() -> None:
    mine = AssertionError("mine")
    with pytest.raises(AssertionError) as seen:
        async with calling(ana(), ["One.", "never played"]) as caller:
            await caller.says("first")
            raise mine
    assert seen.value is mine
    assert (mine.__cause__, mine.__context__, getattr(mine, "__notes__", [])) == (None, None, [])


async def test_it_says_beside_it_that_the_script_was_too_short() -> None:
    with pytest.raises(AssertionError, match="^mine") as seen:
        async with calling(ana(), []) as caller:
            assert "Booked" in (await caller.says("Book Friday.")).text, "mine"
    assert [note.partition(";")[0] for note in seen.value.__notes__] == [
        "the model was asked 1 times, and the script ends after 0"
    ]


async def test_it_says_beside_it_that_a_step_raised() -> None:
    def wrong(request: ModelRequest) -> str:
        raise LookupError("in the step")

    with pytest.raises(AssertionError, match="^mine") as seen:
        async with calling(ana(), [wrong]) as caller:
            assert "Booked" in (await caller.says("Book Friday.")).text, "mine"
    assert seen.value.__notes__ == ["a step of the script raised LookupError('in the step')"]


class Unclosable:
    """A model that cannot be closed."""

    name = "unclosable"

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        raise ModelUnavailable("down")
        yield Text("Never said.")

    async def warm(self, request: object = None) -> None:
        pass

    async def aclose(self) -> None:
        raise OSError("cannot be closed")


async def test_it_is_not_hidden_by_an_error_of_the_end() -> None:
    mine = AssertionError("mine")
    with pytest.raises(AssertionError) as seen:
        async with calling(ana(), Unclosable()):
            raise mine
    assert seen.value is mine and mine.__context__ is None
    assert mine.__notes__ == ["and when the call was taken down: OSError('cannot be closed')"]
    with pytest.raises(OSError, match="cannot be closed"):
        async with calling(ana(), Unclosable()):
            pass


async def test_a_test_that_is_cancelled_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), calling(ana()):
            await asyncio.Event().wait()


# -- a server, or an agent, that does what it should not


async def test_a_break_of_the_protocol() -> None:
    with pytest.raises(AssertionError, match=r"^the server broke the protocol: .*id 77 while 0 is the latest$"):
        async with calling(ana()) as caller:
            # As if the server had sent it.
            frame = '{"response_type":"response","response_id":77,"content":"Hm.","content_complete":true}'
            caller.retell.rules.receive(frame, 0.0)


async def test_a_tool_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retell_ws.calls, "LASTING_S", 0.1)  # how long the server waits for it when it leaves
    agent = Agent("You are Ana.", greeting="Hello.")

    @agent.tool(say="One moment.")
    async def book() -> None:
        """Book."""
        await asyncio.Event().wait()

    complaint = "no end of the answer within 0.2 s; heard: 'One moment. '; tools that still run: book"
    with pytest.raises(TimeoutError, match=f"^{complaint}$"):
        async with calling(agent, [Use("book")], timeout_s=0.2) as caller:
            await caller.says("Book.")


async def test_a_model_that_hangs() -> None:
    class Silent(Unclosable):
        async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
            await asyncio.Event().wait()
            yield Text("Never said.")

        async def aclose(self) -> None:
            pass

    with pytest.raises(TimeoutError, match="^no answer within 0.2 s; heard: ''; tools that still run: none$"):
        async with calling(ana(), Silent(), timeout_s=0.2) as caller:
            await caller.begins("Book.")


async def test_a_tool_that_raises_is_seen_in_what_came_of_it_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent("You are Ana.", greeting="Hello.")

    @agent.tool
    async def book() -> None:
        """Book."""
        raise ZeroDivisionError

    async with calling(agent, [Use("book"), "Hm."]) as caller:
        await caller.says("Book.")
        assert [run.successful for run in caller.runs] == [False]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert re.search(r"the tool book: failed: ZeroDivisionError at .*test_calling\.py:\d+", record.getMessage())


async def test_an_agent_that_fails_in_its_own_functions_is_seen_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(lambda call: str(1 / 0), greeting="Hello.")
    async with calling(agent, []) as caller:
        assert (await caller.says("Book.")).text == agent.lines.apology
    assert "ZeroDivisionError" in caplog.text


# -- what is left behind


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is not waited for as long as in earnest."""
    monkeypatch.setattr(retell_ws.testing.leaks, "SETTLE_S", 0.1)


@pytest.fixture
def door() -> Iterator[tuple[str, int]]:
    """Somewhere to connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@pytest.mark.usefixtures("hasty")
async def test_a_task_that_is_left_behind() -> None:
    agent = Agent("You are Ana.", greeting="Hello.")
    left: list[asyncio.Task[bool]] = []

    async def wait_for_ever() -> bool:
        return await asyncio.Event().wait()

    @agent.on_start
    async def start(call: Call) -> None:
        left.append(asyncio.create_task(wait_for_ever()))

    with pytest.raises(AssertionError, match=r"wait_for_ever \(test_calling\.py:\d+\) > Event\.wait"):
        async with calling(agent):
            pass
    left[0].cancel()


@pytest.mark.usefixtures("hasty")
async def test_a_socket_that_is_left_behind(door: tuple[str, int]) -> None:
    with pytest.raises(AssertionError, match=rf"^sockets left behind: 127\.0\.0\.1:\d+ to 127\.0\.0\.1:{door[1]}$"):
        async with calling(ana()):
            left = socket.create_connection(door)
    left.close()


async def test_a_call_that_somebody_holds_on_to() -> None:
    with pytest.raises(AssertionError, match="^calls that are over but still in memory: 1; something refers to them$"):
        async with calling(ana()):
            held = [thing for thing in gc.get_objects() if type(thing) is Session]
    assert len(held) == 1


@pytest.mark.usefixtures("hasty")
async def test_a_socket_that_is_connected_to_nothing_is_told_by_its_name() -> None:
    with pytest.raises(AssertionError, match=r"^sockets left behind: socket:\[\d+\]$"):
        async with nothing_left():
            left = socket.socket()
    left.close()


async def test_an_agent_may_keep_what_it_opened_when_the_test_says_so(door: tuple[str, int]) -> None:
    async with calling(ana(), leaves_nothing=False):
        left = socket.create_connection(door)
    left.close()


# -- in whoever's tests


def pytest_in(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of tests, with the plugin named: where it is installed, pytest finds it by itself."""
    (folder / "test_it.py").write_text(dedent(text))
    plugins = ("-p", "pytest_asyncio.plugin", "-p", "retell_ws.testing.plugin", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "-o", "asyncio_mode=auto", *options, "test_it.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_the_fixture_is_there_for_whoever_loads_the_plugin(tmp_path: Path) -> None:
    done = pytest_in(
        tmp_path,
        """
        from retell_ws import Agent

        agent = Agent("You are Ana.", greeting="Hello.")

        async def test_it_greets(calling):
            async with calling(agent) as caller:
                assert caller.heard == "Hello."

        async def test_it_says_hello(calling):
            async with calling(agent, ["Yes?"]) as caller:
                assert (await caller.says("Hello?")).text == "No?"
        """,
    )
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "AssertionError: assert 'Yes?' == 'No?'" in done.stdout
    assert "During handling" not in done.stdout and "ExceptionGroup" not in done.stdout


def test_the_plugin_loads_nothing_before_it_is_used(tmp_path: Path) -> None:
    done = pytest_in(
        tmp_path,
        """
        import sys

        def test_what_is_loaded():
            ours = {name for name in sys.modules if name.partition(".")[0] == "retell_ws"}
            assert ours == {"retell_ws", "retell_ws.testing", "retell_ws.testing.plugin"}
            assert not {"msgspec", "websockets", "uvloop"} & set(sys.modules)
        """,
    )
    assert done.returncode == 0, done.stdout


def test_pytest_is_told_of_the_plugin_where_the_package_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert hasattr(import_module(module), "calling")


def test_the_names_for_tests_are_those_things_whatever_was_imported_before() -> None:
    import retell_ws.testing as testing

    for path in (ROOT / "retell_ws" / "testing").glob("*.py"):
        assert path.stem not in testing.__all__, f"importing {path.name} would put a module in the place of a name"
    assert testing.calling is calling and testing.Script is Script and testing.Use is Use
