"""What stands in the log: one line a record, whatever the record holds, and never what a caller has said."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.handle import Call
from retell_ws.log import configure
from retell_ws.log_lines import MAX_EVENT, MAX_EXCEPTION, MAX_VALUE, JsonLines, TextLines
from retell_ws.settings import Settings
from retell_ws.testing import Use
from retell_ws.testing.retell import FakeRetell
from retell_ws.testing.script import Script

from .processes import served

SPEECH = "my pin is Zanzibarquux"

BREAKERS = {
    "a line end": "\n2026-11-28T10:00:00.000Z ERROR   all calls are lost",
    "a carriage return": "\rall is well",
    "a colour": "\x1b[31mred\x1b[0m",
    "a title of the terminal": "\x1b]0;owned\x07",
    "a line separator": "\u2028all calls are lost",
    "a paragraph separator": "\u2029all calls are lost",
    "a next line": "\x85all calls are lost",
    "a bell, a NUL, a delete": "\x07\x00\x7f",
    "an eight-bit control": "\x9b31m",
    "right to left": "\u202eslevart",
    "half a surrogate": "\ud800",
    "the end of a value": '", "level": "debug"}\n{',
}


@pytest.fixture
def package() -> Iterator[logging.Logger]:
    loggers = logging.getLogger("retell_ws"), logging.getLogger()
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield loggers[0]
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


def record(event: str = "it happened", *args: Any, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("retell_ws.x").makeRecord(
        "retell_ws.x", logging.WARNING, __file__, 1, event, args, extra.pop("exc_info", None), extra=extra
    )


def raised(exc: BaseException) -> Any:
    try:
        raise exc
    except BaseException as caught:
        return type(caught), caught, caught.__traceback__


# ---------------------------------------------------------------------------- nothing breaks a line


@pytest.mark.parametrize("breaker", BREAKERS.values(), ids=BREAKERS)
@pytest.mark.parametrize("place", ["event", "argument", "call_id", "value", "name", "list"])
def test_nothing_breaks_its_line(breaker: str, place: str) -> None:
    made = {
        "event": lambda: record(f"it {breaker}"),
        "argument": lambda: record("it %s", breaker),
        "call_id": lambda: record(call_id=breaker),
        "value": lambda: record(fact={"fact": "tool_started", "tool": breaker}),
        "name": lambda: record(fact={breaker: 1}),
        "list": lambda: record(fact={"kinds": [breaker]}),
    }[place]()
    text, line = TextLines().format(made), JsonLines().format(made)
    assert text.isprintable()
    assert line.isascii() and line.isprintable()
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("warning", "retell_ws.x")
    json.dumps(told, ensure_ascii=False).encode()  # no half of a surrogate is left


def test_the_lines_of_an_exception_are_set_in_and_cannot_pass_for_a_record() -> None:
    exc = raised(ValueError("no\n2026-11-28T10:00:00.000Z ERROR   all calls are lost\x1b[2J"))
    head, *rest = TextLines(quotes=True).format(record(exc_info=exc)).split("\n")
    assert head.endswith("it happened")
    assert rest and all(line.startswith("    ") and line.isprintable() for line in rest)
    told = json.loads(JsonLines(quotes=True).format(record(exc_info=exc)))
    assert told["exception"].startswith("Traceback") and "all calls are lost\x1b[2J" in told["exception"]


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.floats() | st.none() | st.binary()))
def test_any_record_is_one_line_that_json_readers_take(event: str, call_id: str, fact: dict[str, Any]) -> None:
    made = record("%s", event, call_id=call_id, fact=fact)
    assert TextLines("0").format(made).isprintable()
    told = json.loads(JsonLines("0").format(made), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert told["process"] == "0"


def test_nothing_is_longer_than_its_bound() -> None:
    exc = raised(ValueError("x" * 10 * MAX_EXCEPTION))
    made = record("%s", "e" * 99_999, call_id="c" * 99_999, fact={"why": "f" * 99_999}, exc_info=exc)
    told = json.loads(JsonLines(quotes=True).format(made))
    assert len(told["event"]) == MAX_EVENT + 1 and len(told["call_id"]) == len(told["fact"]["why"]) == MAX_VALUE + 1
    assert len(told["exception"]) == MAX_EXCEPTION
    assert len(TextLines(quotes=True).format(made)) < MAX_EVENT + MAX_EXCEPTION + 3 * MAX_VALUE


def test_a_record_as_json_and_as_a_line() -> None:
    made = record(
        "%s", "turn_failed", call_id="call_1", fact={"fact": "turn_failed", "why": "stall", "done_s": 0.12345}
    )
    made.created, made.msecs = 1_790_000_000.5, 500.0
    assert json.loads(JsonLines("analytics").format(made)) == {
        "time": "2026-09-21T14:13:20.500Z",
        "level": "warning",
        "logger": "retell_ws.x",
        "event": "turn_failed",
        "call_id": "call_1",
        "process": "analytics",
        "fact": {"fact": "turn_failed", "why": "stall", "done_s": 0.123},
    }
    assert TextLines("0").format(made) == (
        "2026-09-21T14:13:20.500Z WARNING [0] turn_failed why=stall done_s=0.123 call=call_1"
    )


# ---------------------------------------------------------------------------- nothing of speech


def test_an_exception_is_told_by_its_place_and_not_by_its_text() -> None:
    try:
        try:
            raise KeyError(SPEECH)
        except KeyError as exc:
            raise ExceptionGroup(SPEECH, [ValueError(SPEECH), OSError(5, SPEECH)]) from exc
    except ExceptionGroup as group:
        made = record(exc_info=(type(group), group, group.__traceback__))
    told = json.loads(JsonLines().format(made))["exception"]
    for word in ("KeyError", "ValueError", "OSError", "ExceptionGroup", "test_log.py"):
        assert word in told
    for lines in (TextLines(), JsonLines()):
        assert "Zanzibar" not in lines.format(made)


def test_a_chain_without_an_end_has_one() -> None:
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    told = json.loads(JsonLines().format(record(exc_info=(ValueError, first, None))))["exception"]
    assert told == "ValueError\nKeyError"
    last: BaseException = ValueError()
    for _ in range(1000):
        each = KeyError()
        each.__cause__, last = last, each
    assert json.loads(JsonLines().format(record(exc_info=(KeyError, last, None))))["exception"].count("KeyError") < 20


def test_what_the_loop_says_of_a_task_is_told_without_the_task() -> None:
    made = record(f"Task exception was never retrieved\nfuture: <Task exception=ValueError({SPEECH!r})>")
    made.name = "asyncio"
    assert TextLines().format(made).endswith("Task exception was never retrieved")
    assert SPEECH in TextLines(quotes=True).format(made)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_the_loop_says_of_a_callback_is_told_without_its_arguments(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(words: str) -> None:
        raise ValueError(words)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(fails, SPEECH)
        loop.call_soon(partial(fails, SPEECH))
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    told = "\n".join(map(TextLines().format, caplog.records))
    assert told.count("Exception in callback") == told.count(" in fails\n") == 2
    assert SPEECH not in told


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_a_loop_under_test_says_of_a_slow_task_is_told_without_its_result(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture, *, quotes: bool
) -> None:
    async def hears() -> str:
        await asyncio.sleep(0)
        return SPEECH

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = -1.0  # whatever runs is slow
        loop.call_soon(print, SPEECH)
        await asyncio.create_task(hears())

    with asyncio.Runner(loop_factory=new_loop, debug=True) as runner:
        runner.run(main())
    slow = [each for each in caplog.records if each.getMessage().startswith("Executing")]
    assert any(SPEECH in each.getMessage() for each in slow)
    for each in slow:
        text = TextLines(quotes=quotes).format(each)
        assert re.search(r" Executing … took \d+\.\d{3} seconds$", text), text
        assert SPEECH not in JsonLines(quotes=quotes).format(each)


def test_nothing_else_that_the_loop_executes_is_shown() -> None:
    for text in (f"Executing {SPEECH}", f"Executing {SPEECH} took {SPEECH}", f"Executing a took 0.1 s\n{SPEECH}"):
        made = record(text)
        made.name = "asyncio"
        assert TextLines().format(made).endswith(" Executing …")


def test_what_the_loop_says_of_a_task_is_masked_where_it_is_told() -> None:
    made = record("Task exception was never retrieved\nfuture: <Task exception=ValueError('4111 1111 1111 1111')>")
    made.name = "asyncio"
    told = TextLines(quotes=True).format(made)
    assert "[card]" in told and "4111" not in told


def test_what_a_function_of_the_agents_has_raised_is_masked(
    package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("debug")
    try:
        int("4111 1111 1111 1111 of ana@example.com")
    except ValueError:
        package.debug("the tool failed", exc_info=True, extra={"call_id": "call_1"})
    told = capsys.readouterr().err
    assert "the tool failed call=call_1" in told and "ValueError: invalid literal" in told
    assert "[card]" in told and "[email]" in told
    assert "4111" not in told and "ana@" not in told


def test_a_line_that_cannot_be_written_shows_none_of_its_arguments(
    package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", form="json")
    package.warning("%d calls", SPEECH)
    told = json.loads(capsys.readouterr().err)
    assert told["event"].startswith("a line of the log cannot be written: test_log.py:")


def test_the_warnings_of_others_in_the_process_come_in_the_same_form(
    package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody = logging.getLogger()
    everybody.handlers[:] = []
    configure("info")
    configure("info", form="json")
    logging.getLogger("somebody.else").warning("two\nlines")
    logging.getLogger("somebody.else").info("no warning")
    package.info("one")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("somebody.else", "two\nlines"),
        ("retell_ws", "one"),
    ]


def test_whoever_has_said_where_logs_go_is_left_alone(package: logging.Logger) -> None:
    everybody, theirs = logging.getLogger(), logging.NullHandler()
    everybody.handlers[:] = [theirs]
    configure("info", form="json")
    assert everybody.handlers == [theirs]


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_call_in_which_everything_fails_leaves_no_word_of_it(
    form: Any, package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = Agent("You are Ana.", greeting="Hello.")

    @agent.tool(side_effect=False)
    async def look_up(call: Call, words: str) -> str:
        """Look something up."""
        raise RuntimeError(f"nothing of the kind: {words}, {SPEECH}")

    @agent.before_model
    def refuse(call: Call, request: Any) -> Any:
        if SPEECH in str(request.messages[-1:]):
            raise ValueError(f"{SPEECH}: {request}")
        return request

    @agent.on_end
    def ended(call: Call) -> None:
        raise KeyError(SPEECH)

    logging.getLogger().handlers[:] = []
    configure("info", form=form)
    async with (
        running(agent, Settings(port=0, grace_s=0.05), model=Script([Use("look_up", words=SPEECH), "No."])) as server,
        FakeRetell(server.url, call_id="call_1") as retell,
    ):
        await retell.greeting()
        assert (await retell.ask(SPEECH)).text
        assert (await retell.ask("Look it up, please.")).text == "No."
    told = capsys.readouterr().err
    assert "Zanzibar" not in told
    for what in ("a turn failed: ValueError", "the tool look_up: failed: RuntimeError", "the hook on_end"):
        assert what in told
    if form == "json":
        lines = [json.loads(line) for line in told.splitlines()]
        assert {"call_started", "turn_failed", "call_ended"} <= {line["event"] for line in lines}
        assert {line["call_id"] for line in lines if "call_id" in line} == {"call_1"}
        assert next(line for line in lines if line["event"] == "call_ended")["fact"]["turns"] == 2
    else:
        assert "call_ended turns=2" in told


async def test_all_that_a_server_and_what_it_starts_say_is_json(tmp_path: Path) -> None:
    flags = ("--log-format", "json", "--log-level", "debug", "--grace-s", "0.1", "--data", str(tmp_path / "data"))
    async with served(*flags) as (process, ready):
        async with FakeRetell(ready["ws"], call_id="call_1") as retell:
            await retell.greeting()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"call_started", "call_ended"} <= {line["event"] for line in lines}
    assert all(line["time"].endswith("Z") for line in lines)
