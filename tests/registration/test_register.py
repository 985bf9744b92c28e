"""An agent is made, changed, published and bound through Retell's own client, against our fake of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retell_ws.errors import RetellApiError, SettingsError, UsageError
from retell_ws.registration.addresses import Address
from retell_ws.registration.api import NotThere, RetellRest
from retell_ws.registration.plan import Wish
from retell_ws.registration.register import Outcome, apply, prepare
from retell_ws.testing import FakeRetellApi
from retell_ws.testing.fake_retell_server import Fault

from .odd_api import answering

pytestmark = pytest.mark.usefixtures("clean_loop")

KEY = "key_canary_0123456789"
SECRET = "canary-0123456789_abcdef"
URL = f"wss://ana.example.com/llm-websocket/{SECRET}"
WISH = Wish(address=Address(URL), name="Ana", voice_id="cimo")
NUMBER = "+14155550123"


@asynccontextmanager
async def asking(key: str = KEY, **options: Any) -> AsyncIterator[tuple[FakeRetellApi, RetellRest]]:
    async with FakeRetellApi(key=KEY, **options) as api:
        # Making one reads certificates, and the client's modules, from the disk.
        async with await asyncio.to_thread(RetellRest, key, api.url, secrets=[SECRET]) as rest:
            yield api, rest


async def register(rest: RetellRest, wish: Wish = WISH, **more: Any) -> Outcome | None:
    """What the command does, with everybody agreed."""
    found = await prepare(rest, wish, **({"agent_id": None, "create": True} | more))
    return None if found.is_nothing() else await apply(rest, found)


def asked(api: FakeRetellApi) -> list[str]:
    """What was to change something, since the last time."""
    paths = [f"{one.method} {one.path.partition('/agent_')[0]}" for one in api.writes()]
    api.log.clear()
    return paths


async def test_an_agent_is_made_once() -> None:
    async with asking() as (api, rest):
        outcome = await register(rest)
        assert outcome is not None and outcome.version == 0 and not outcome.is_published
        assert asked(api) == ["POST /create-agent"]
        (agent,) = api.agents.agents[outcome.agent_id]
        assert agent["response_engine"] == {"type": "custom-llm", "llm_websocket_url": URL}
        assert (agent["agent_name"], agent["voice_id"]) == ("Ana", "retell-Cimo")
        assert await register(rest) is None
        assert asked(api) == []
        assert len(api.agents.agents) == 1


async def test_an_agent_of_another_kind_or_of_nearly_the_name_is_not_taken_for_it() -> None:
    async with asking() as (api, rest):
        engine = {"type": "retell-llm", "llm_id": "llm_1"}
        api.agents.create({"agent_name": "Ana", "voice_id": "retell-Cimo", "response_engine": engine})
        api.agents.create({"agent_name": "Ana Maria", "voice_id": "retell-Cimo", "response_engine": engine})
        assert await register(rest) is not None
        assert await register(rest) is None
        assert len(api.agents.agents) == 3


async def test_an_agent_is_found_on_a_later_page() -> None:
    async with asking() as (api, rest):
        engine = {"type": "custom-llm", "llm_websocket_url": "wss://other.example.com/x"}
        for number in range(230):
            api.agents.create({"agent_name": f"Anna {number}", "voice_id": "retell-Cimo", "response_engine": engine})
        made = api.agents.create({"agent_name": "Anna", "voice_id": "retell-Cimo", "response_engine": engine})
        outcome = await register(rest, Wish(address=Address(URL), name="Anna"))
        assert outcome is not None and outcome.agent_id == made["agent_id"]
        assert sum(one.path == "/v2/list-agents" for one in api.log) == 3


async def test_two_agents_of_the_name_are_for_the_operator_to_choose_from() -> None:
    async with asking() as (api, rest):
        engine = {"type": "custom-llm", "llm_websocket_url": URL}
        ids = [
            api.agents.create({"agent_name": "Ana", "voice_id": "retell-Cimo", "response_engine": engine})["agent_id"]
            for _ in range(2)
        ]
        with pytest.raises(UsageError, match=f"2 agents named 'Ana'.*--agent-id: {ids[0]}, {ids[1]}"):
            await register(rest)
        assert asked(api) == []


async def test_a_draft_is_changed_and_a_published_version_gets_a_new_one() -> None:
    async with asking() as (api, rest):
        made = await register(rest)
        assert made is not None
        changed = await register(
            rest, Wish(address=Address(URL), responsiveness=0.5), agent_id=made.agent_id, create=False
        )
        assert changed == Outcome(made.agent_id, 0, False)
        published = await register(rest, publish=True)
        assert published == Outcome(made.agent_id, 0, True)
        assert asked(api) == ["POST /create-agent", "PATCH /update-agent", "POST /publish-agent-version"]
        assert await register(rest, publish=True) is None

        moved = Wish(address=Address("wss://new.example.com/llm-websocket"), name="Ana")
        assert await register(rest, moved) == Outcome(made.agent_id, 1, False)
        assert asked(api) == ["POST /create-agent-version", "PATCH /update-agent"]
        old, new = api.agents.agents[made.agent_id]
        assert old["response_engine"]["llm_websocket_url"] == URL
        assert new["response_engine"]["llm_websocket_url"] == "wss://new.example.com/llm-websocket"
        assert new["responsiveness"] == 0.5
        assert await register(rest, moved, publish=True) == Outcome(made.agent_id, 1, True)
        assert await register(rest, publish=True) == Outcome(made.agent_id, 2, True)


async def test_an_api_that_publishes_as_an_earlier_one_did_is_published_with() -> None:
    async with asking(publishes_by_version=False) as (api, rest):
        made = await register(rest, publish=True)
        assert made is not None and made.is_published and made.version == 0
        assert asked(api) == ["POST /create-agent", "POST /publish-agent-version", "POST /publish-agent"]
        # Its next draft is there already.
        moved = Wish(address=Address("wss://new.example.com/llm-websocket"), name="Ana")
        assert await register(rest, moved) == Outcome(made.agent_id, 1, False)
        assert asked(api) == ["PATCH /update-agent"]


async def test_what_retell_has_not_taken_over_is_an_error() -> None:
    async with asking() as (api, rest):
        assert await register(rest) is not None
        api.agents.ignored = {"responsiveness", "response_engine"}
        wish = Wish(address=Address("wss://new.example.com/llm-websocket"), name="Ana", responsiveness=0.5)
        with pytest.raises(RetellApiError, match="not taken over response_engine, responsiveness"):
            await register(rest, wish)
        api.agents.ignored = set()
        assert await register(rest, wish) is not None


async def test_a_version_that_is_not_published_though_it_was_said_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking() as (api, rest):
        monkeypatch.setattr(api.agents, "publish", lambda *_: None)
        with pytest.raises(RetellApiError, match="version 0 of agent .* is not published"):
            await register(rest, publish=True)


async def test_numbers_are_bound_to_it_alone() -> None:
    async with asking() as (api, rest):
        api.agents.numbers[NUMBER] = {"phone_number": NUMBER, "inbound_agents": None}
        made = await register(rest, publish=True, numbers=[NUMBER])
        assert made is not None
        bound = api.agents.numbers[NUMBER]["inbound_agents"]
        assert bound == [{"agent_id": made.agent_id, "weight": 1, "agent_version": "latest_published"}]
        assert await register(rest, numbers=[NUMBER]) is None


async def test_a_number_that_is_not_the_accounts_stops_it_before_anything_is_changed() -> None:
    async with asking() as (api, rest):
        with pytest.raises(NotThere, match=r"number \+14155550123"):
            await register(rest, numbers=[NUMBER])
        assert asked(api) == []


async def test_a_number_that_retell_has_not_bound_is_an_error() -> None:
    async with asking() as (api, rest):
        api.agents.numbers[NUMBER] = {"phone_number": NUMBER, "inbound_agents": []}
        api.agents.ignored = {"inbound_agents"}
        with pytest.raises(RetellApiError, match=r"not bound \+14155550123"):
            await register(rest, numbers=[NUMBER])


async def test_a_voice_is_needed_for_a_new_agent_and_must_be_there() -> None:
    async with asking() as (api, rest):
        with pytest.raises(UsageError, match="needs a --voice; some are retell-Cimo"):
            await register(rest, Wish(address=Address(URL), name="Ana"))
        with pytest.raises(UsageError, match="no voice 'retell-Cima'; the closest are retell-Cimo"):
            await register(rest, Wish(address=Address(URL), name="Ana", voice_id="retell-Cima"))
        assert asked(api) == []


async def test_a_key_that_retell_does_not_know_is_said_in_one_line() -> None:
    async with asking(key="key_of_another") as (_, rest):
        with pytest.raises(SettingsError, match="does not know the key in RETELL_API_KEY") as caught:
            await register(rest)
        assert "key_of_another" not in str(caught.value)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_what_failed_for_the_moment_is_asked_again(status: int) -> None:
    async with asking() as (api, rest):
        made = await register(rest)
        assert made is not None
        api.faults = [Fault(status=status, times=2, path="/update-agent", retry_after=0.01)]
        wish = Wish(address=Address(URL), name="Ana", responsiveness=0.5)
        assert await register(rest, wish) == made
        assert [one.path.partition("/agent_")[0] for one in api.writes()].count("/update-agent") == 3


async def test_an_agent_is_not_made_twice_because_an_answer_was_lost() -> None:
    async with asking() as (api, rest):
        api.faults = [Fault(status=500, path="/create-agent", retry_after=0.01)]
        with pytest.raises(RetellApiError, match="the new agent: Retell's API answered 500: played"):
            await register(rest)
        assert asked(api) == ["POST /create-agent"]
        assert await register(rest) is not None
        assert len(api.agents.agents) == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "answered 400: llm_websocket_url wss://ana.example.com/llm-websocket/••• is odd"),
        (402, "answered 402: "),
        (403, "answered 403: "),
        (404, "there is none"),
        (412, "answered 412: "),
        (422, "answered 422: llm_websocket_url wss://ana.example.com/llm-websocket/••• is odd"),
        (429, "too many requests"),
        (302, "answered 302: "),
    ],
)
async def test_a_refusal_is_one_line_in_retells_words_without_secrets(status: int, says: str) -> None:
    async with asking() as (api, rest):
        message = f"llm_websocket_url {URL} is odd,\nand so is {KEY}"
        api.faults = [Fault(status=status, times=9, path="/create-agent", message=message)]
        with pytest.raises(RetellApiError) as caught:
            await register(rest)
        line = str(caught.value)
        assert says in line and "\n" not in line
        assert SECRET not in line and KEY not in line


async def test_nobody_at_the_url_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.registration.api.RETRIES", 0)
    async with FakeRetellApi() as api:
        url = api.url
    async with await asyncio.to_thread(RetellRest, KEY, url) as rest:
        with pytest.raises(RetellApiError, match=f"agent agent_1: {url} cannot be reached"):
            await rest.agent("agent_1")


async def test_who_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.registration.api.RETRIES", 0)
    monkeypatch.setattr("retell_ws.registration.api.ANSWER_S", 0.05)
    async with answering(None) as url, await asyncio.to_thread(RetellRest, KEY, url) as rest:
        with pytest.raises(RetellApiError, match="did not answer within 0.05 s"):
            await rest.voices()


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b"\xff", b'{"items": 3}'])
async def test_an_answer_that_cannot_be_read_is_one_line(answer: bytes) -> None:
    async with answering(answer) as url, await asyncio.to_thread(RetellRest, KEY, url) as rest:
        with pytest.raises(RetellApiError, match="cannot be read"):
            await rest.agents_named("Ana")


async def test_an_agent_without_a_version_is_refused() -> None:
    async with asking() as (api, rest):
        made = await register(rest)
        assert made is not None
        del api.agents.agents[made.agent_id][0]["version"]
        with pytest.raises(RetellApiError, match="without a version"):
            await register(rest)


async def test_the_environment_of_other_programs_leads_the_key_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeRetellApi() as elsewhere, asking() as (api, _):
        monkeypatch.setenv("RETELL_BASE_URL", elsewhere.url)
        monkeypatch.setenv("RETELL_CUSTOM_HEADERS", "Authorization: Bearer key_of_another\nHost: elsewhere.example.com")
        monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
        async with await asyncio.to_thread(RetellRest, KEY, api.url) as rest:
            assert await register(rest) is not None
        assert not elsewhere.log


async def test_a_redirect_is_not_followed() -> None:
    async with FakeRetellApi() as elsewhere:
        there = f"location: {elsewhere.url}/list-voices\r\n"
        async with answering(b"", status=307, headers=there) as url:
            async with await asyncio.to_thread(RetellRest, KEY, url) as rest:
                with pytest.raises(RetellApiError, match="answered 307"):
                    await rest.voices()
        assert not elsewhere.log


@pytest.mark.parametrize(
    ("key", "url", "says"),
    [
        ("", "https://api.example.com", "RETELL_API_KEY is not set"),
        ("key 1", "https://api.example.com", "holds no key"),
        ("ключ", "https://api.example.com", "holds no key"),
        (KEY, "http://api.example.com", "begin with https://"),
        (KEY, "api.example.com", "begin with https://"),
    ],
)
async def test_a_key_or_url_that_cannot_be_used_is_said(key: str, url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        RetellRest(key, url)
    assert KEY not in str(caught.value)
