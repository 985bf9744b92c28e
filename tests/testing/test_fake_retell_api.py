"""Our fake of the REST API takes what Retell's client sends, and refuses what the documentation refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_type_hints

import aiohttp
import pytest
from retell.types import AgentCreateParams, AgentUpdateParams

from retell_ws.testing import FakeRetellApi
from retell_ws.testing.fake_retell_agents import AGENT_FIELDS

from ..processes import launched, ready

ENGINE = {"type": "custom-llm", "llm_websocket_url": "wss://ana.example.com/llm-websocket"}
NEW = {"voice_id": "retell-Cimo", "response_engine": ENGINE}


@asynccontextmanager
async def asking(*, bearer: str = "any", **options: Any) -> AsyncIterator[tuple[FakeRetellApi, Any]]:
    async with (
        FakeRetellApi(**options) as api,
        aiohttp.ClientSession(api.url, headers={"authorization": f"Bearer {bearer}"}) as session,
    ):

        async def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            async with session.request(method, path, json=body) as response:
                return response.status, await response.json() if response.content_length else None

        yield api, ask


def test_the_fields_of_an_agent_are_those_of_retells_client() -> None:
    update = set(get_type_hints(AgentUpdateParams)) - {"version"}
    create = set(get_type_hints(AgentCreateParams)) - {"version"}
    assert update | create == AGENT_FIELDS


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"voice_id": "retell-Cimo"}, 400),
        ({"response_engine": ENGINE}, 400),
        (NEW | {"colour": "red"}, 400),
        (NEW | {"voice_id": "x"}, 422),
        (NEW | {"responsiveness": 1.5}, 422),
        (NEW | {"interruption_sensitivity": "high"}, 422),
        (NEW | {"webhook_events": ["call_moon"]}, 422),
        (NEW | {"response_engine": {"type": "moon"}}, 422),
        (NEW | {"response_engine": "custom-llm"}, 422),
        (NEW | {"response_engine": {"type": "custom-llm"}}, 422),
        (NEW | {"response_engine": ENGINE | {"more": 1}}, 422),
        (NEW | {"response_engine": ENGINE | {"llm_websocket_url": "ana.example.com"}}, 422),
    ],
)
async def test_an_agent_that_is_none_is_refused(fields: dict[str, Any], status: int) -> None:
    async with asking() as (api, ask):
        got, said = await ask("POST", "/create-agent", fields)
        assert got == status and said["status"] == "error" and said["message"]
        assert not api.agents.agents


async def test_a_published_version_stays_as_it_is() -> None:
    async with asking() as (_, ask):
        status, agent = await ask("POST", "/create-agent", NEW)
        path = agent["agent_id"]
        assert status == 201 and agent["version"] == 0 and agent["is_published"] is False
        assert await ask("POST", f"/publish-agent-version/{path}", {"version": 0}) == (200, None)
        assert (await ask("POST", f"/publish-agent-version/{path}", {"version": 0}))[0] == 400
        assert (await ask("PATCH", f"/update-agent/{path}", {"agent_name": "Ana"}))[0] == 400
        status, draft = await ask("POST", f"/create-agent-version/{path}", {"base_version": 0})
        assert status == 201 and draft["version"] == 1 and draft["base_version"] == 0 and not draft["is_published"]
        assert (await ask("PATCH", f"/update-agent/{path}?version=1", {"agent_name": "Ana"}))[1]["agent_name"] == "Ana"
        assert "agent_name" not in (await ask("GET", f"/get-agent/{path}?version=0"))[1]
        assert (await ask("GET", f"/get-agent/{path}?version=9"))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/get-agent/agent_x", None, 404),
        ("GET", "/v2/get-call/call_x", None, 404),
        ("GET", "/get-phone-number/+1", None, 404),
        ("GET", "/moon", None, 404),
        ("DELETE", "/list-voices", None, 405),
        ("POST", "/publish-agent/agent_x", {}, 404),
        ("POST", "/v2/list-agents", {"limit": 3}, 400),
        ("POST", "/v2/list-agents?limit=x", {}, 422),
        ("POST", "/v3/list-calls", {"colour": "red"}, 400),
        ("POST", "/v3/list-calls", {"limit": 0}, 422),
        ("POST", "/v3/list-calls", {"pagination_key": "x"}, 422),
        ("POST", "/v3/list-calls", {"filter_criteria": {"colour": {}}}, 400),
        ("POST", "/v3/list-calls", {"filter_criteria": {"call_status": ["error"]}}, 422),
        (
            "POST",
            "/v3/list-calls",
            {"filter_criteria": {"call_status": {"type": "number", "op": "eq", "value": 1}}},
            422,
        ),
    ],
)
async def test_what_it_does_not_know_is_refused(method: str, path: str, body: Any, status: int) -> None:
    async with asking() as (_, ask):
        got, said = await ask(method, path, body)
        assert (got, said["status"]) == (status, "error")


@pytest.mark.parametrize(
    ("criteria", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"call_status": {"type": "enum", "op": "in", "value": ["error", "ended"]}}, [1, 2]),
        ({"start_timestamp": {"type": "number", "op": "ge", "value": 20}}, [1, 2]),
        ({"start_timestamp": {"type": "range", "op": "bt", "value": [5, 20]}}, [2, 3]),
        ({"e2e_latency_p50": {"type": "number", "op": "gt", "value": 800}}, [1]),
        ({"agent": [{"agent_id": "agent_2"}]}, [3]),
        ({"agent": [{"agent_id": "agent_1"}], "call_status": {"type": "enum", "op": "in", "value": ["error"]}}, [2]),
    ],
)
async def test_filters_are_joined_by_and(criteria: dict[str, Any], ids: list[int]) -> None:
    async with asking() as (api, ask):
        api.calls = [
            {
                "call_id": "1",
                "agent_id": "agent_1",
                "call_status": "ended",
                "start_timestamp": 30,
                "latency": {"e2e": {"p50": 900}},
            },
            {
                "call_id": "2",
                "agent_id": "agent_1",
                "call_status": "error",
                "start_timestamp": 20,
                "transcript": "canary",
            },
            {"call_id": "3", "agent_id": "agent_2", "call_status": "ongoing", "start_timestamp": 10},
        ]
        _, found = await ask("POST", "/v3/list-calls", {"filter_criteria": criteria, "sort_order": "ascending"})
        assert [int(call["call_id"]) for call in found["items"]] == ids[::-1]
        assert not any("transcript" in call for call in found["items"])
        assert (await ask("GET", "/v2/get-call/2"))[1]["transcript"] == "canary"


async def test_weights_of_a_number_add_up_to_one() -> None:
    async with asking() as (api, ask):
        api.agents.numbers["+14155550123"] = {"phone_number": "+14155550123"}
        _, agent = await ask("POST", "/create-agent", NEW)
        half = {"agent_id": agent["agent_id"], "weight": 0.5}
        path = "/update-phone-number/+14155550123"
        assert (await ask("PATCH", path, {"inbound_agents": [half]}))[0] == 422
        assert (await ask("PATCH", path, {"inbound_agents": [half | {"agent_id": "agent_x"}, half]}))[0] == 404
        assert (await ask("PATCH", path, {"inbound_agent_id": agent["agent_id"]}))[0] == 400
        assert (await ask("PATCH", path, {"inbound_agents": [half, half]}))[0] == 200


@pytest.mark.parametrize(("bearer", "status"), [("right", 200), ("wrong", 401), ("", 401)])
async def test_a_wrong_key_is_refused(bearer: str, status: int) -> None:
    async with asking(bearer=bearer, key="right") as (_, ask):
        assert (await ask("GET", "/list-voices"))[0] == status


async def test_faults_are_played_as_often_as_was_asked_for() -> None:
    async with asking() as (_, ask):
        fault = {"status": 429, "times": 2, "path": "/list", "retry_after": 0.5, "message": "slow down"}
        assert (await ask("POST", "/control", fault))[0] == 200
        assert (await ask("GET", "/get-agent/x"))[0] == 404
        refused = 429, {"status": "error", "message": "slow down"}
        assert [await ask("GET", "/list-voices") for _ in range(2)] == [refused] * 2
        assert (await ask("GET", "/list-voices"))[0] == 200
        assert (await ask("POST", "/control", {"status": "x"}))[0] == 400
        assert [one["path"] for one in (await ask("GET", "/log"))[1]] == ["/get-agent/x"] + ["/list-voices"] * 3


async def test_as_a_process_it_has_something_to_look_at_and_ends_when_it_is_told() -> None:
    process = await launched("-m", "retell_ws.testing.fake_retell_api", env={})
    async with ready(process) as line:
        async with aiohttp.ClientSession(line["url"], headers={"authorization": "Bearer any"}) as session:
            async with session.post("/v3/list-calls", json={}) as response:
                calls = (await response.json())["items"]
            async with session.get("/get-phone-number/+14155550123") as response:
                assert (await response.json())["inbound_agents"]
        assert len({call["call_status"] for call in calls}) == 4
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
