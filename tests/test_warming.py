"""Answers asked ahead: as a call would ask, kept as a call would find them, and again before they grow old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.answer_file import AnswerFile, KeptAnswer, write
from retell_ws.answers import scope_of
from retell_ws.blueprints import recalling, running
from retell_ws.cache import Cache
from retell_ws.errors import ModelUnavailable, SettingsError, UsageError
from retell_ws.models.scripted import ScriptedModel
from retell_ws.ports import Delta, End, Model, Rest, Text, no_rest
from retell_ws.request import ModelRequest
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import FakeRetell
from retell_ws.warming import AT_ONCE, Warmed, Warming

from .puppet import Puppet

pytestmark = pytest.mark.usefixtures("clean_loop")

SETTINGS = Settings(port=0)


def ana(**options: Any) -> Agent:
    return Agent("You are Ana.", **{"greeting": "Harbor Clinic.", "cache": Cache(utterances=3), **options})


class Asked(ScriptedModel):
    """The scripted model at once, and what it was asked; it fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        super().__init__(ttft_ms=0, spacing_ms=0)
        self.requests: list[ModelRequest] = []
        self.news = asyncio.Condition()
        self.failures = failures

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        async with self.news:
            self.requests.append(request)
            self.news.notify_all()
        if self.failures:
            self.failures -= 1
            raise ModelUnavailable("no connection")
        async for delta in super().stream(request, rest):
            yield delta

    async def asked(self, times: int) -> None:
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(lambda: len(self.requests) >= times)


def warming(agent: Agent, model: Model) -> Warming:
    return Warming(recalling(agent, model, SETTINGS), agent, SETTINGS)


async def test_what_leads_up_to_an_opening_is_asked_once_and_stands_before_it() -> None:
    model, told = Asked(), list[Warmed]()
    openings = [("Hello", "What are your hours?"), ("Hello", "I need an appointment."), ("Hello",)]
    found = await warming(ana(), model).ask(openings, told.append)
    assert [one.opening for one in found] == [("Hello",), *openings[:2]]
    assert [one.heard for one in found][1] == ("Hello", "Hello! How can I help you today?", "What are your hours?")
    assert all(one.text and one.tokens and not one.why_not for one in found)
    assert len(model.requests) == 3 == len(told)
    assert [message.text for message in model.requests[0].messages] == ["(The call begins.)", "Harbor Clinic.", "Hello"]


async def test_a_call_asks_what_was_asked_ahead_though_the_model_wrote_for_the_eye() -> None:
    class Markdown(Asked):
        async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
            self.requests.append(request)
            yield Text("**Gladly!**  See [this](https://example.com), for")
            yield Text(" a day.\n\n* Monday\n* Tuesday")
            yield End()

    agent, model = ana(), Markdown()
    recall = recalling(agent, model, SETTINGS)
    await Warming(recall, agent, SETTINGS).ask([("Book me in.", "Which days?", "Monday then.")])
    assert len(model.requests) == 3
    async with Server(agent, recall, MemoryCallStore(lambda: 0.0), SETTINGS) as server:
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            for said in ("Book me in", "Which days?", "monday then"):
                assert "Gladly!" in (await retell.ask(said)).text
    assert len(model.requests) == 3, "all three were hits"


async def test_what_may_not_be_kept_is_not_asked_and_what_follows_from_it_neither() -> None:
    model = Asked()
    found = await warming(ana(), model).ask([("My number is 555", "Hello"), ("a", "b", "c", "d")])
    assert {one.opening: one.why_not for one in found if one.why_not} == {
        ("My number is 555",): "digits were said",
        ("My number is 555", "Hello"): "the answer before it is not kept",
        ("a", "b", "c", "d"): "the call has gone on",
    }
    assert len(model.requests) == 3


async def test_a_model_that_fails_costs_its_answer_alone() -> None:
    found = await warming(ana(), Asked(failures=1)).ask([("Hello", "Bye"), ("Hours?",)])
    assert [one.is_failure for one in found] == [True, False, True]
    assert found[0].why_not == "the model failed: no connection"


async def test_a_model_that_says_nothing_is_not_waited_for_for_ever() -> None:
    agent, puppet = ana(), Puppet()
    settings = Settings(port=0, turn_s=0.05)
    recall = recalling(agent, puppet, settings)
    (one,) = await Warming(recall, agent, settings).ask([("Hello",)])
    assert one.is_failure and one.why_not == "the model failed: it took too long"
    assert recall.statistics().flights == 0
    await recall.aclose()


async def test_callers_come_first() -> None:
    puppet = Puppet()
    asking = asyncio.create_task(warming(ana(), puppet).ask([(f"question {'x' * n}",) for n in range(20)]))
    for number in range(1, 21):
        stream = await puppet.asked(number)
        assert sum(not one.closed.is_set() for one in puppet.streams) <= AT_ONCE
        stream.say("Yes.")
        stream.end()
    assert len(await asking) == 20


# ---------------------------------------------------------------------------- answers that were found before


async def test_answers_of_another_agent_model_or_opening_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    agent, model = ana(), Asked()
    scope = scope_of(agent, SETTINGS.model_name)
    good = KeptAnswer(heard=("Hello",), text="Hi.", scope=scope, model="scripted/claude-haiku-5-5", created_at=0)
    change = msgspec.structs.replace
    wrong = (
        change(good, scope=scope_of(ana(greeting="Other."), SETTINGS.model_name)),
        change(good, model="anthropic/claude-haiku-5-5"),
        change(good, heard=("My number is 555",)),
        change(good, heard=("Hello", "Hi.")),
        change(good, text=" "),
    )
    assert await warming(agent, model).put(AnswerFile(version=1, answers=(*wrong, good))) == 1
    assert "5 of 6 answers in the file are of another agent or model" in caplog.text
    assert "Hello" not in caplog.text and not model.requests


async def test_what_is_written_is_what_is_kept() -> None:
    agent, model = ana(), Asked()
    made = warming(agent, model)
    found = made.to_keep(await made.ask([("Hello", "Hours?"), ("My number is 555",)]), 12.5)
    assert [one.heard[::2] for one in found] == [("Hello",), ("Hello", "Hours?")]
    assert {(one.scope, one.model, one.created_at) for one in found} == {
        (scope_of(agent, SETTINGS.model_name), "scripted/claude-haiku-5-5", 12.5)
    }


# ---------------------------------------------------------------------------- beside a server


async def hears(server: Server, said: str) -> str:
    async with FakeRetell(server.url) as retell:
        await retell.greeting()
        return (await retell.ask(said)).text


class Ready(logging.Handler):
    """Waits until the server says that its answers are ready."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.times = asyncio.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if "are ready in the cache" in record.getMessage():
            self.times.release()

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.times.acquire()


@pytest.fixture
def ready() -> Any:
    handler, log = Ready(), logging.getLogger("retell_ws.warming")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


async def test_a_server_asks_the_openings_of_its_file_and_answers_with_them(tmp_path: Path, ready: Ready) -> None:
    file = tmp_path / "openings.txt"
    await asyncio.to_thread(file.write_text, "Hello\nWhat are your hours?\n")
    model = Asked()
    async with running(ana(), Settings(port=0, answers_file=str(file)), model=model) as server:
        await ready.wait()
        assert len(model.requests) == 2
        assert (await hears(server, "what are your hours")).startswith("We are open")
        assert len(model.requests) == 2
        await hears(server, "Something else")
        assert len(model.requests) == 3


async def test_a_server_gives_the_answers_of_its_file_and_asks_nobody(tmp_path: Path, ready: Ready) -> None:
    agent, model = ana(), Asked()
    kept = KeptAnswer(
        heard=("Hello",),
        text="Looked over.",
        scope=scope_of(agent, SETTINGS.model_name),
        model="scripted/claude-haiku-5-5",
        created_at=0,
    )
    file = tmp_path / "ANSWERS.json"
    await asyncio.to_thread(file.write_bytes, write([kept]))
    async with running(agent, Settings(port=0, answers_file=str(file)), model=model) as server:
        await ready.wait()
        assert await hears(server, "hello!") == "Looked over."
    assert not model.requests


async def test_openings_are_asked_again_before_their_answers_grow_old(tmp_path: Path) -> None:
    file = tmp_path / "openings.txt"
    await asyncio.to_thread(file.write_text, "Hello\n")
    model = Asked()
    async with running(ana(cache=Cache(ttl_s=0.05)), Settings(port=0, answers_file=str(file)), model=model):
        await model.asked(3)


async def test_what_failed_is_tried_again_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("retell_ws.warming.AGAIN_S", 0.01)
    file = tmp_path / "openings.txt"
    await asyncio.to_thread(file.write_text, "Hello\n")
    model = Asked(failures=1)
    async with running(ana(), Settings(port=0, answers_file=str(file)), model=model):
        await model.asked(2)
    assert "1 × an answer is not kept ahead: the model failed: no connection" in caplog.text


async def test_leaving_ends_what_is_being_asked(tmp_path: Path) -> None:
    file = tmp_path / "openings.txt"
    await asyncio.to_thread(file.write_text, "Hello\n")
    puppet = Puppet()
    async with running(ana(), Settings(port=0, answers_file=str(file)), model=puppet):
        stream = await puppet.asked(1)
    assert stream.closed.is_set()


@pytest.mark.parametrize(
    ("text", "agent", "why"),
    [
        (None, ana(), "cannot read"),
        (b"\xff", ana(), "no text in UTF-8"),
        (b"# none", ana(), "holds no openings"),
        (b"{}", ana(), "holds no answers"),
        (b"Hello", Agent("You are Ana."), r"answers_file: .* cache=True"),
        (b"Hello", ana(greeting=lambda call: "Hi."), "answers_file: .* greeting is a function"),
    ],
)
async def test_a_file_that_is_of_no_use_stops_the_start(
    text: bytes | None, agent: Agent, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "openings.txt"
    if text is not None:
        await asyncio.to_thread(file.write_bytes, text)
    with pytest.raises(UsageError, match=why):
        async with running(agent, Settings(port=0, answers_file=str(file)), model=Asked()):
            pass


async def test_the_kill_switch_leaves_the_file_alone(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(port=0, answers_file="/nowhere", answer_cache=False)
    async with running(ana(), settings, model=Asked()) as server:
        assert await hears(server, "Hello")
    assert "answers_file is left out: the answer cache is off" in caplog.text


async def test_a_model_of_an_agent_that_does_not_allow_it_recalls_nothing() -> None:
    with pytest.raises(SettingsError, match=r"cache=True"):
        recalling(Agent("You are Ana."), Asked(), SETTINGS)
