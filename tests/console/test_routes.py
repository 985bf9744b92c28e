"""The console's routes: what they tell, to whom, and how a browser is to treat it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.console.files import TYPES
from retell_ws.control import Status
from retell_ws.facts import TurnMeasured
from retell_ws.server import Server
from retell_ws.testing.retell import FakeRetell
from retell_ws.views import MAX_LIVE, CallView, ServerView, TimedTurn
from tests.http_client import TOKEN, ask, http, status
from tests.puppet import GREETING, Puppet, serving

from .browser import Ticket, closed_with, heard, opened, ticket, upgraded

pytestmark = pytest.mark.usefixtures("clean_loop")

PHONE = "415-555-0123"


def ana(**options: Any) -> Agent:
    return Agent("You are Ana.", greeting=GREETING, transfers={"billing": "+14155550100"}, **options)


@asynccontextmanager
async def console(agent: Agent | None = None, **settings: Any) -> AsyncIterator[tuple[Server, Puppet]]:
    settings = {"http_port": 0, "admin_token": TOKEN, **settings}
    async with serving(agent=agent or ana(), **settings) as (server, puppet):
        yield server, puppet


async def viewed(server: Server, call_id: str = "call_1") -> CallView:
    told = await ask(server, "GET", f"/calls/{call_id}/view")
    assert told.status == 200
    return msgspec.convert(told.body, CallView)


# ---------------------------------------------------------------------------- the page


async def test_the_page_is_files_for_anybody_and_its_headers_are_strict() -> None:
    async with console() as (server, _):
        told = await http(server.http_address, "/console")
        assert status(told) == 200 and told.split("\r\n\r\n")[1].lower().startswith("<!doctype html>")
        for header in (
            "Content-Type: text/html; charset=utf-8",
            "Cache-Control: no-cache",
            "Referrer-Policy: no-referrer",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
            "data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        ):
            assert f"\r\n{header}\r\n" in told
        assert "Server:" not in told


@pytest.mark.parametrize("path", ["/console/", "/console/index.html"])
async def test_other_ways_to_the_page_lead_to_the_one_its_files_are_found_from(path: str) -> None:
    async with console() as (server, _):
        told = await http(server.http_address, f"{path}?next=//elsewhere")
        assert status(told) == 308 and "\r\nLocation: ../console\r\n" in told, "a prefix of a proxy's stays, too"
        async with aiohttp.ClientSession() as browser, browser.get(f"{server.http_address}{path}") as found:
            assert (found.status, found.url.path) == (200, "/console")


@pytest.mark.parametrize(
    "path",
    ["/console/nothing.js", "/console/routes.py", "/console/..%2froutes.py", "/consol"],
)
async def test_what_is_no_file_of_the_page_is_not_found(path: str) -> None:
    async with console() as (server, _):
        assert await ask(server, "GET", path, token=None) == (404, "not found\n")


async def test_the_page_has_nothing_a_browser_would_not_know() -> None:
    assert all(kind.startswith(("text/", "image/", "application/json")) for kind in TYPES.values())


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/index.html", "/console/socket/try_12345678"])
async def test_without_an_admin_token_there_is_no_console(path: str) -> None:
    async with console(admin_token="") as (server, _):
        for token in (None, TOKEN):
            assert await ask(server, "GET", path, token=token) == (404, "not found\n")


# ---------------------------------------------------------------------------- who may

GUARDED = [
    ("GET", "/servers"),
    ("GET", "/directory"),
    ("GET", "/calls/call_1/view"),
    ("POST", "/console/try"),
    ("GET", "/console/try"),
    ("OPTIONS", "/servers"),
    ("GET", "/%73ervers"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_nothing_is_told_without_the_token(method: str, path: str) -> None:
    async with console() as (server, _):
        for token in (None, "", TOKEN[:-1], TOKEN + "x"):
            assert await ask(server, method, path, token=token) == (401, {"error": "unauthorized"})
    async with console(admin_token="") as (server, _):
        assert await ask(server, method, path) == (403, {"error": "nobody may: set admin_token"})


@pytest.mark.parametrize("path", ["/servers", "/directory", "/calls/call_1/view"])
async def test_what_is_told_is_kept_by_no_browser_and_taken_for_json_alone(path: str) -> None:
    async with console() as (server, _):
        told = await http(server.http_address, path, f"Authorization: Bearer {TOKEN}")
        assert "\r\nCache-Control: no-store\r\n" in told and "\r\nX-Content-Type-Options: nosniff\r\n" in told
        assert "\r\nContent-Type: application/json\r\n" in told
        assert "Access-Control" not in told


# ---------------------------------------------------------------------------- servers


async def test_a_server_tells_how_it_is_doing() -> None:
    async with console(max_calls=7, budget_ms=650, speculate=True) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            asked = await retell.request("hello?")
            stream = await puppet.asked(1)
            stream.say("We are open. ", "Always.")
            stream.end()
            await retell.answer(asked)
            await puppet.facts.wait("turn_measured", 1)
            fleet = (await ask(server, "GET", "/servers")).body
        assert fleet["complete"] is True
        (told,) = (msgspec.convert(each, ServerView) for each in fleet["servers"])
        assert (told.blueprint, told.model, told.calls, told.max_calls) == ("single", "puppet", 1, 7)
        assert (told.budget_ms, told.speculates, told.draining) == (650, True, False)
        assert told.name and told.version and told.started_at > 1e9
        (live,) = told.live
        assert (live.id, live.attached, live.turn) == ("call_1", True, "idle")
        first = told.first_sentences
        assert len(first.counts) == len(first.bounds_ms) + 1 and sum(first.counts) == first.within == 1
        assert 650 in first.bounds_ms and first.over == 0
        assert first.p50_ms is not None and first.p50_ms == first.p95_ms == first.p99_ms
        server.move_calls()
        (drained,) = (await ask(server, "GET", "/servers")).body["servers"]
        assert drained["draining"] is True


async def test_the_newest_calls_are_told_first_and_not_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_LIVE == 100
    monkeypatch.setattr("retell_ws.management.MAX_LIVE", 2)
    async with console() as (server, _):
        async with (
            FakeRetell(server.url, call_id="call_1") as first,
            FakeRetell(server.url, call_id="call_2") as second,
            FakeRetell(server.url, call_id="call_3") as third,
        ):
            for retell in (first, second, third):
                await retell.greeting()
            (told,) = (await ask(server, "GET", "/servers")).body["servers"]
            listed = (await ask(server, "GET", "/calls")).body["calls"]
    assert told["calls"] == 3 and set(told["live"][0]) == set(Status.__struct_fields__)
    expected = sorted((call["since_s"], call["id"]) for call in listed)
    assert [call["id"] for call in told["live"]] == [call_id for _, call_id in expected[:2]]


async def test_an_agent_may_speculate_where_the_server_does_not() -> None:
    async with console(agent=ana(speculate=True)) as (server, _):
        (told,) = (await ask(server, "GET", "/servers")).body["servers"]
        assert told["speculates"] is True


async def test_the_directory_tells_names_and_no_numbers() -> None:
    async with console() as (server, _):
        assert await ask(server, "GET", "/directory") == (200, {"labels": ["billing"]})
    async with console(agent=Agent("You are Ana.")) as (server, _):
        assert await ask(server, "GET", "/directory") == (200, {"labels": []})


# ---------------------------------------------------------------------------- a look at a call


async def test_a_call_is_seen_as_it_goes_on() -> None:
    async with console() as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            assert (await viewed(server)).turns == ()
            asked = await retell.request(f"I am at {PHONE}.")
            stream = await puppet.asked(1)
            stream.say("We are open ")
            await retell.piece(asked)
            view = await viewed(server)
            assert [(line.role, line.text) for line in view.lines][-1] == ("user", "I am at [phone].")
            assert view.status.turn == "answering"
            assert view.speaking is not None and (view.speaking.response_id, view.speaking.text) == (
                asked,
                "We are open ",
            )
            stream.say("until six.")
            stream.end()
            await retell.answer(asked)
            await puppet.facts.wait("turn_measured", 1)
            (turn,) = (await viewed(server)).turns
            assert (turn.response_id, turn.outcome) == (asked, "finished")
            assert turn.at > 1e9 and turn.first_sentence_s is not None
            raw = (await ask(server, "GET", "/calls/call_1/view")).body
    assert set(raw) == {"server", "status", "lines", "speaking", "turns"}
    assert set(raw["turns"][0]) == {"at", *TurnMeasured.__struct_fields__} == set(TimedTurn.__struct_fields__)
    assert all(set(line) == {"role", "text", "name"} for line in raw["lines"])


async def test_a_call_is_seen_while_retell_redials_and_no_more_when_it_is_over() -> None:
    async with console() as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1", redials=False) as retell:
            await retell.greeting()
            await retell.drop()
            await puppet.facts.wait("detached")
            assert not (await viewed(server)).status.attached
            await retell.redial()
            assert (await viewed(server)).status.attached
            await retell.hang_up()
            await puppet.facts.wait("detached", 2)
        unknown = await ask(server, "GET", "/calls/call_1/view")
        assert unknown == (404, {"error": "no server has this call: it is over, or its id is wrong"})


async def test_a_mask_of_the_agents_own_is_used_and_one_that_fails_shows_nothing() -> None:
    def own(text: str) -> str:
        if "fail" in text:
            raise ValueError(text)
        return text.replace("Ana", "[name]")

    async with console(agent=ana(mask=own)) as (server, _):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            await retell.request("Ana, are you there?")
            assert (await viewed(server)).lines[-1].text == "[name], are you there?"
            await retell.request("Ana, fail.")
            assert (await viewed(server)).lines[-1].text == "[masked]"


async def test_without_an_admin_token_a_call_keeps_nothing_to_be_seen() -> None:
    async with serving(agent=ana()) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            asked = await retell.request("Hello?")
            stream = await puppet.asked(1)
            stream.say("Hi.")
            stream.end()
            await retell.answer(asked)
            await puppet.facts.wait("turn_measured", 1)
            session = server._calls.get("call_1")
            assert session is not None
            glimpse = session.glimpse()
            assert glimpse.heard is None and glimpse.turns == ()


# ---------------------------------------------------------------------------- try it


async def test_a_browser_plays_retell_through_the_console() -> None:
    async with console(path_secret="secret-of-the-path-0123") as (server, puppet):
        shown = await ticket(server)
        async with opened(server, shown) as socket:
            assert socket.protocol == f"retell_ws.{shown.ticket}"
            assert (await heard(socket))["response_type"] == "config"
            assert (await heard(socket))["content"] == GREETING
            await socket.send_json({"interaction_type": "ping_pong", "timestamp": 7})
            assert (await heard(socket)) == {"response_type": "ping_pong", "timestamp": 7}
            transcript = [{"role": "user", "content": "Hello?"}]
            await socket.send_json(
                {"interaction_type": "response_required", "response_id": 1, "transcript": transcript}
            )
            stream = await puppet.asked(1)
            stream.say("Hi.")
            assert (await heard(socket))["content"] == "Hi."
            assert (await viewed(server, shown.call_id)).lines[0].text == "Hello?"
            await ask(server, "POST", f"/calls/{shown.call_id}/end", {"message": "Bye."})
            assert (await ask(server, "GET", f"/calls/{shown.call_id}")).body["turn"] == "leaving"


async def test_a_call_is_dialled_again_with_another_ticket() -> None:
    async with console() as (server, puppet):
        shown = await ticket(server)
        async with opened(server, shown) as socket:
            assert (await heard(socket))["response_type"] == "config"
            await socket.close(code=4006)
        await puppet.facts.wait("detached")
        again = await ticket(server, shown.call_id)
        assert again.call_id == shown.call_id and again.ticket != shown.ticket
        async with opened(server, again) as socket:
            assert (await heard(socket))["response_type"] == "config"
        assert puppet.facts.seen["call_started"] == 1 and puppet.facts.seen["reattached"] == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"call_id": "call_1"}, "Expected `str` matching regex"),
        ({"call_id": "try_12345678\n"}, "Expected `str` matching regex"),
        ({"call_id": f"try_{'x' * 65}"}, "Expected `str` matching regex"),
        ({"call_id": 7}, "Expected `str`, got `int`"),
        ({"call": "try_12345678"}, "Object contains unknown field `call`"),
        (b"\xff", "the body is no JSON object"),
        (b"[" * 10_000, "Expected `object`, got `array`"),
    ],
)
async def test_there_are_no_tickets_for_the_calls_of_others(body: Any, why: str) -> None:
    async with console() as (server, _):
        refused = await ask(server, "POST", "/console/try", body)
        assert refused.status == 400 and refused.body["error"].startswith(why)


async def refusal(server: Server, shown: Ticket, **options: Any) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with opened(server, shown, **options):
            pass
    return caught.value.status


async def test_a_ticket_is_spent_whatever_comes_of_it() -> None:
    async with console() as (server, _):
        shown = await ticket(server)
        async with opened(server, shown):
            assert await refusal(server, shown) == 403
        stolen = await ticket(server)
        assert await refusal(server, Ticket("try_12345678", stolen.ticket)) == 403
        assert await refusal(server, stolen) == 403


async def test_a_ticket_that_waited_too_long_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.console.tickets.VALID_S", -1.0)
    async with console() as (server, _):
        assert await refusal(server, await ticket(server)) == 403


@pytest.mark.parametrize("shown", ["", "x", "é"])
async def test_what_is_no_ticket_opens_nothing(shown: str) -> None:
    async with console() as (server, puppet):
        made = await ticket(server)
        offered = f"Sec-WebSocket-Protocol: retell_ws.{shown}"
        path, origin = f"/console/socket/{made.call_id}", "Origin: http://x"
        for headers in ((offered, origin), (origin,), (f"Sec-WebSocket-Protocol: {made.ticket}", origin)):
            assert await upgraded(server, path, *headers) == 403
        offered = f"Sec-WebSocket-Protocol: other, retell_ws.{made.ticket}"
        assert await upgraded(server, path, offered, origin) == 403
        assert puppet.facts.seen["call_started"] == 0


@pytest.mark.parametrize(
    "origin", ["", "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:1", "file://", "http://[", "x"]
)
async def test_the_page_of_another_server_opens_no_socket_and_costs_no_ticket(origin: str) -> None:
    async with console() as (server, puppet):
        shown = await ticket(server)
        assert await refusal(server, shown, origin=origin) == 403
        without = f"Sec-WebSocket-Protocol: retell_ws.{shown.ticket}"
        assert await upgraded(server, f"/console/socket/{shown.call_id}", without) == 403
        assert puppet.facts.seen["call_started"] == 0
        async with opened(server, shown) as socket:
            assert (await heard(socket))["response_type"] == "config"


async def test_behind_tls_the_page_s_own_origin_is_the_host_the_proxy_passes_on() -> None:
    async with console() as (server, _):
        async with opened(server, await ticket(server), origin="https://Calls.example", host="calls.example") as socket:
            assert (await heard(socket))["response_type"] == "config"


async def test_what_is_no_socket_is_told_so_and_costs_no_ticket() -> None:
    async with console() as (server, _):
        shown = await ticket(server)
        headers = ("Origin: http://x", f"Sec-WebSocket-Protocol: retell_ws.{shown.ticket}")
        assert status(await http(server.http_address, f"/console/socket/{shown.call_id}", *headers)) == 400
        for path in ("/console/socket/call_1", "/console/socket/try_1", "/console/socket/"):
            assert await upgraded(server, path, *headers) == 404
        async with opened(server, shown):
            pass


async def test_sockets_of_browsers_are_bounded_and_one_that_ends_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.console.routes.MAX_WINDOWS", 1)
    async with console() as (server, puppet):
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"
            assert await refusal(server, await ticket(server)) == 503
            await socket.close()
        await puppet.facts.wait("detached")
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"


async def test_a_server_that_takes_no_calls_takes_none_from_a_browser() -> None:
    async with console() as (server, _):
        server.move_calls()
        async with opened(server, await ticket(server)) as socket:
            assert await closed_with(socket) == (4503, "503")


async def test_the_port_of_calls_goes_on_refusing_browsers() -> None:
    async with console() as (server, _):
        address = server.address.replace("ws://", "http://").removesuffix("/llm-websocket")
        told = await http(address, "/llm-websocket/try_12345678", f"Origin: {server.http_address}", upgrade=True)
        assert status(told) == 403


@pytest.mark.parametrize(("host", "dialled"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
async def test_a_server_that_listens_everywhere_is_dialled_here(host: str, dialled: str) -> None:
    async with console(host=host) as (server, _):
        assert server._dialled.startswith(f"ws://{dialled}:")
        async with opened(server, await ticket(server)) as socket:
            assert (await heard(socket))["response_type"] == "config"
