"""Calls are listed and moved over the second port: a real server, Retell's side of a call, and HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.server import Server
from retell_ws.testing.acceptance import Action
from retell_ws.testing.retell import FakeRetell

from .http_client import TOKEN, Answer, ask, connected, http, status
from .puppet import GREETING, Puppet, serving

pytestmark = pytest.mark.usefixtures("clean_loop")

PHONE = {"call_type": "phone_call", "direction": "inbound", "from_number": "+14155550123", "to_number": "+14155550199"}

ID = "call_1"


def ana() -> Agent:
    return Agent("You are Ana.", greeting=GREETING, transfers={"billing": "+14155550100"})


@asynccontextmanager
async def calling(
    *, details: dict[str, Any] | None = None, agent: Agent | None = None, **settings: Any
) -> AsyncIterator[tuple[Server, Puppet, FakeRetell]]:
    """A server with one call that was greeted."""
    settings = {"http_port": 0, "admin_token": TOKEN, **settings}
    async with serving(agent=agent or ana(), **settings) as (server, puppet):
        async with FakeRetell(server.url, call_id=ID, details=details, redials=False) as retell:
            await retell.greeting()
            yield server, puppet, retell


def interruption(retell: FakeRetell) -> str | None:
    return None if retell.rules.interrupt is None else retell.rules.interrupt.text


async def interrupted(retell: FakeRetell, text: str) -> None:
    await retell.until(lambda: interruption(retell) == text, timeout_s=5)


# ---------------------------------------------------------------------------- who may


CLOSED = [
    ("GET", "/calls"),
    ("GET", "/calls/call_1"),
    ("POST", "/calls/call_1/say"),
    ("POST", "/calls/call_1/end"),
    ("POST", "/calls/call_1/shout"),
    ("DELETE", "/calls"),
    ("POST", "/drain"),
    ("DELETE", "/drain"),
    ("GET", "/calls/%0A"),
    ("GET", "/%63alls"),
]


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_a_token_set_nobody_may(method: str, path: str) -> None:
    async with calling(admin_token="") as (server, _, retell):
        for token in (None, "", TOKEN):
            refused = await ask(server, method, path, {"text": "Hi."}, token=token)
            assert refused == (403, {"error": "nobody may: set admin_token"})
        assert (await ask(server, "GET", "/livez", token=None)).status == 200
        assert interruption(retell) is None and retell.is_open


@pytest.mark.parametrize(("method", "path"), CLOSED)
async def test_without_the_token_nothing_is_told(method: str, path: str) -> None:
    async with calling() as (server, _, retell):
        for token in (None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"):
            refused = await ask(server, method, path, {"text": "Hi."}, token=token)
            assert refused == (401, {"error": "unauthorized"})
        assert interruption(retell) is None and retell.is_open


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN},{TOKEN}", 401),
        (f"Bearer {TOKEN} {TOKEN}", 401),
    ],
)
async def test_the_token_comes_as_bearer(header: str, expected: int) -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, _):
        told = await http(server.http_address, "/calls", f"Authorization: {header}")
        assert status(told) == expected
        assert ("WWW-Authenticate: Bearer" in told) == (expected == 401)


async def test_what_there_is_not_is_not_found() -> None:
    async with calling() as (server, _, __):
        for method, path in (
            ("GET", "/calls/"),
            ("POST", "/calls/call_1/shout"),
            ("POST", "/calls/call_1/say/x"),
            ("GET", "/calls/a%20b"),
            ("GET", f"/calls/{'x' * 129}"),
            ("GET", "/callsign"),
        ):
            assert await ask(server, method, path) == (404, "not found\n")
        assert await ask(server, "GET", "/calls/call_1/say") == (405, "only POST\n")
        assert await ask(server, "GET", "/drain") == (405, "only DELETE, POST\n")


# ---------------------------------------------------------------------------- what there is


async def test_calls_are_listed_without_a_word_of_what_was_said() -> None:
    async with calling() as (server, puppet, retell):
        listed = await ask(server, "GET", "/calls")
        assert listed.status == 200
        (call,) = listed.body["calls"]
        assert call.pop("since_s") >= 0
        assert call == {"id": ID, "attached": True, "turn": "idle"}
        await retell.request("My card is 4111.")
        stream = await puppet.asked(1)
        seen = await ask(server, "GET", "/calls/call_1")
        assert (seen.status, seen.body["turn"], seen.body["id"]) == (200, "answering", ID)
        stream.end()
        await retell.drop()
        await puppet.facts.wait("detached")
        away = await ask(server, "GET", "/calls/call_1")
        assert (away.status, away.body["attached"]) == (200, False)
    assert set(call) | {"since_s"} == set(seen.body)


async def test_a_call_there_is_not_is_unknown() -> None:
    async with calling() as (server, _, __):
        assert (await ask(server, "GET", "/calls/call_2")).status == 404
        unknown = await ask(server, "POST", "/calls/call_2/say", {"text": "Hi."})
        assert unknown == (404, {"error": "no server has this call: it is over, or its id is wrong"})


async def test_a_call_the_caller_has_left_is_none() -> None:
    async with calling() as (server, puppet, retell):
        await retell.hang_up()
        await puppet.facts.wait("detached")
        assert await ask(server, "GET", "/calls") == (200, {"calls": []})
        assert (await ask(server, "GET", "/calls/call_1")).status == 404
        assert (await ask(server, "POST", "/calls/call_1/end")).status == 404


# ---------------------------------------------------------------------------- say


async def test_what_is_said_to_an_idle_call_interrupts() -> None:
    async with calling() as (server, _, retell):
        assert await ask(server, "POST", "/calls/call_1/say", {"text": "We close in a minute."}) == (
            200,
            {"done": True},
        )
        await interrupted(retell, "We close in a minute.")
        assert await ask(server, "POST", "/calls/call_1/say", {"text": "Really."}) == (200, {"done": True})
        await interrupted(retell, "Really.")
        assert not retell.report.faults


async def test_what_is_said_into_an_answer_comes_after_it_once() -> None:
    async with calling() as (server, puppet, retell):
        asked = await retell.request("hello?")
        stream = await puppet.asked(1)
        stream.say("We are open ")
        await retell.piece(asked)
        told = await ask(server, "POST", "/calls/call_1/say", {"text": "By the way, it rains."})
        assert told == (202, {"done": False, "waits_for": "answer"})
        stream.say("until six.")
        stream.end()
        assert (await retell.answer(asked)).text == "We are open until six. By the way, it rains."
        assert (await ask(server, "GET", "/calls/call_1")).body["turn"] == "idle"
        assert interruption(retell) is None
        assert not retell.report.faults


async def test_what_is_said_to_a_call_without_a_socket_waits_for_the_redial() -> None:
    async with calling() as (server, puppet, retell):
        await retell.drop()
        await puppet.facts.wait("detached")
        told = await ask(server, "POST", "/calls/call_1/say", {"text": "Are you there?"})
        assert told == (202, {"done": False, "waits_for": "redial"})
        await retell.redial()
        await interrupted(retell, "Are you there?")


# ---------------------------------------------------------------------------- end, transfer, update


@pytest.mark.parametrize(
    ("body", "said"), [(b"", "Goodbye."), ({}, "Goodbye."), ({"message": "Good night."}, "Good night.")]
)
async def test_a_call_is_ended(body: Any, said: str) -> None:
    async with calling() as (server, _, retell):
        assert await ask(server, "POST", "/calls/call_1/end", body) == (200, {"done": True})
        assert await retell.ended() == "agent_hangup"
        assert interruption(retell) == said


async def test_a_call_is_ended_in_the_middle_of_an_answer() -> None:
    async with calling() as (server, puppet, retell):
        asked = await retell.request("hello?")
        stream = await puppet.asked(1)
        stream.say("We are ")
        await retell.piece(asked)
        assert (await ask(server, "POST", "/calls/call_1/end", {"message": "We have to close."})).status == 200
        assert await retell.ended() == "agent_hangup"
        assert interruption(retell) == "We have to close."
        assert not retell.report.faults


@pytest.mark.parametrize("to", ["billing", "Billing ", "+1 (415) 555-0100"])
async def test_a_call_is_transferred(to: str) -> None:
    async with calling(details=PHONE) as (server, puppet, retell):
        body = {"to": to, "message": "Connecting you.", "show_caller": True}
        assert await ask(server, "POST", "/calls/call_1/transfer", body) == (200, {"done": True})
        assert await retell.ended() == "call_transfer"
        assert interruption(retell) == "Connecting you."
        assert retell.rules.interrupt is not None
        assert retell.rules.interrupt.action == Action("transfer_number", "+14155550100")


@pytest.mark.parametrize("to", ["sales", "+19005550000", "911"])
async def test_a_target_that_is_not_in_the_directory_is_refused(to: str) -> None:
    async with calling(details=PHONE) as (server, _, retell):
        refused = await ask(server, "POST", "/calls/call_1/transfer", {"to": to})
        assert refused.status == 422
        assert "not in the directory and is not dialled; choose one of: billing" in refused.body["error"]
        assert retell.is_open and interruption(retell) is None


async def test_a_web_call_cannot_be_transferred() -> None:
    async with calling(details={"call_type": "web_call"}, agent=waiting_for_details()) as (server, _, __):
        refused = await ask(server, "POST", "/calls/call_1/transfer", {"to": "billing"})
        assert refused.status == 409 and "web call" in refused.body["error"]


def waiting_for_details() -> Agent:
    """An agent whose greeting tells that the details have come."""
    return Agent("You are Ana.", greeting=lambda call: GREETING, transfers={"billing": "+14155550100"})


async def test_how_the_agent_behaves_is_changed() -> None:
    frames: list[dict[str, Any]] = []
    async with serving(agent=ana(), http_port=0, admin_token=TOKEN) as (server, _):
        collect = lambda frame: frames.append(msgspec.json.decode(frame))  # noqa: E731
        async with FakeRetell(server.url, call_id=ID, on_frame=collect) as retell:
            await retell.greeting()
            body = {"responsiveness": 0.4, "reminder_trigger_ms": 20_000}
            assert await ask(server, "POST", "/calls/call_1/update", body) == (200, {"done": True})
            await retell.ping()
    assert [frame["agent_config"] for frame in frames if frame["response_type"] == "update_agent"] == [body]


async def test_an_agent_that_is_leaving_does_nothing_more() -> None:
    async with calling() as (server, puppet, retell):
        retell._voice._acts = False
        assert (await ask(server, "POST", "/calls/call_1/end")).status == 200
        assert (await ask(server, "GET", "/calls/call_1")).body["turn"] == "leaving"
        commands: tuple[tuple[str, Any], ...] = (
            ("say", {"text": "Hi."}),
            ("end", {}),
            ("transfer", {"to": "billing"}),
            ("update", UPDATE),
        )
        for path, body in commands:
            refused = await ask(server, "POST", f"/calls/call_1/{path}", body)
            assert refused == (409, {"error": "the agent is leaving the call already"})
        assert not retell.report.faults
        await retell.drop()
        await puppet.facts.wait("detached")
        for path, body in commands:
            assert (await ask(server, "POST", f"/calls/call_1/{path}", body)).status == 409


UPDATE = {"responsiveness": 1}


# ---------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("say", b"", "Object missing required field `text`"),
        ("say", {"text": " "}, "`text` is blank"),
        ("say", {"text": "x" * 2001}, "Expected `str` of length <= 2000 - at `$.text`"),
        ("say", b"text=Hi.", "the body is no JSON object"),
        ("end", {"text": "x"}, "Object contains unknown field `text`"),
        ("transfer", {}, "Object missing required field `to`"),
        ("update", {"responsiveness": 2}, "Expected `float` <= 1.0 - at `$.responsiveness`"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(path: str, body: Any, why: str) -> None:
    async with calling() as (server, _, retell):
        assert await ask(server, "POST", f"/calls/call_1/{path}", body) == (400, {"error": why})
        assert interruption(retell) is None


async def test_a_body_that_is_too_long_is_not_read() -> None:
    async with calling() as (server, _, __):
        answer = await ask(server, "POST", "/calls/call_1/say", b"x" * (64 * 1024 + 1))
        assert answer == (413, f"{HTTPStatus(413).phrase.lower()}\n")  # which Python 3.13 calls by its newer name
        answer = await ask(server, "POST", "/calls/call_1/say", b" " * (60 * 1024) + b'{"text":"Hi."}')
        assert answer.status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.admin.BODY_S", 0.05)
    async with calling() as (server, _, __):
        headers = (f"Authorization: Bearer {TOKEN}", "Content-Length: 10")
        answer = await http(server.http_address, "/calls/call_1/say", *headers, method="POST")
        assert status(answer) == 408 and answer.endswith("the body is late\n")


async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.http.PATIENCE_S", 0.05)
    async with serving(http_port=0) as (server, _):
        for begun in (b"", b"GET /livez HTTP/1.1\r\nHost:"):
            reader, writer = await connected(server.http_address)
            writer.write(begun)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()


@pytest.mark.parametrize("rubbish", [b"\0\1\2\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n"])
async def test_rubbish_gets_400_and_costs_nobody_else_anything(rubbish: bytes) -> None:
    async with serving(http_port=0) as (server, _):
        reader, writer = await connected(server.http_address)
        writer.write(rubbish)
        async with asyncio.timeout(5):
            answer = (await reader.read()).decode()
        writer.close()
        assert status(answer) == 400
        assert "Traceback" not in answer
        assert (await ask(server, "GET", "/livez")).status == 200


# ---------------------------------------------------------------------------- drain by hand


async def test_a_server_is_drained_by_hand_and_taken_back() -> None:
    async with calling(drain_delay_s=30) as (server, _, retell):
        assert await ask(server, "POST", "/drain") == (202, {"draining": True, "calls": 1})
        assert await ask(server, "GET", "/readyz", token=None) == (503, "draining\n")
        assert status(await http(server.address, "/llm-websocket/call_2", upgrade=True)) == 503
        assert retell.is_open
        assert (await ask(server, "POST", "/calls/call_1/say", {"text": "Still here."})).status == 200
        await interrupted(retell, "Still here.")
        assert await ask(server, "DELETE", "/drain") == (200, {"draining": False, "calls": 1})
        assert await ask(server, "GET", "/readyz", token=None) == (200, "ok\n")


async def test_a_server_that_leaves_for_good_is_not_taken_back() -> None:
    async with calling(drain_s=30) as (server, _, retell):
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0)
        refused = await ask(server, "DELETE", "/drain")
        assert refused == (409, {"error": "the server is leaving for good"})
        await retell.hang_up()
        await draining


# ---------------------------------------------------------------------------- the rest


async def test_a_bug_is_told_to_the_log_and_not_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    async with calling() as (server, _, __):
        server._calls._sessions["call_2"] = None  # type: ignore[assignment]
        answer: Answer = await ask(server, "GET", "/calls")
        del server._calls._sessions["call_2"]
        assert answer == (500, "this is a bug\n")
        assert "a request failed" in caplog.text


async def test_aiohttp_is_loaded_for_a_second_port_alone() -> None:
    program = """
import asyncio, sys
from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.settings import Settings

async def main(**settings):
    async with running(Agent("You are Ana."), Settings(port=0, model="scripted", **settings)):
        return "aiohttp" in sys.modules, "redis" in sys.modules

print(asyncio.run(main()), asyncio.run(main(http_port=0)))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().strip() == "(False, False) (True, False)"
