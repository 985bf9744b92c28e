"""Calls are listed page by page, and the figures that are missing asked for, a few at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from retell_ws.errors import RetellApiError
from retell_ws.registration.api import RetellRest
from retell_ws.registration.listing import AT_ONCE, listed
from retell_ws.registration.recent import Split, filters
from retell_ws.testing.fake_retell_calls import sample_calls
from retell_ws.testing.fake_retell_server import Fault

from .odd_api import answering
from .test_register import asking

pytestmark = pytest.mark.usefixtures("clean_loop")

NOW_MS = 1_790_000_000_000


def many(number: int) -> list[dict[str, Any]]:
    return [
        sample_calls(NOW_MS)[1] | {"call_id": f"call_{place}", "start_timestamp": NOW_MS - place}
        for place in range(number)
    ]


async def test_calls_come_latest_first_as_many_as_wanted_over_pages() -> None:
    async with asking() as (api, rest):
        api.calls = many(250)
        rows = await listed(rest, {}, 230)
        assert [row.call_id for row in rows] == [f"call_{place}" for place in range(230)]
        assert [one.body["limit"] for one in api.log] == [100, 100, 30]
        assert len(await listed(rest, {}, 1000)) == 250
        assert await listed(rest, filters(agent_id="agent_of_another"), 10) == []


@pytest.mark.parametrize("odd", [{"call_id": ""}, {"call_id": None}, {"call_id": 5}, {}])
async def test_a_call_without_an_id_is_listed_and_not_asked_for(odd: dict[str, Any]) -> None:
    async with asking() as (api, rest):
        api.calls = [{"call_status": "ended", "duration_ms": 10, **odd}]
        (row,) = await listed(rest, {}, 5)
        assert (row.call_id, row.duration_ms) == ("?", 10)
        assert len(api.log) == 1


async def test_filters_are_retells_work() -> None:
    async with asking() as (api, rest):
        api.calls = sample_calls(NOW_MS)
        failed = await listed(rest, filters(failed=True), 100)
        assert failed and {row.status for row in failed} == {"error"}
        since = await listed(rest, filters(since_ms=NOW_MS - 3_600_000), 100)
        assert [row.call_id for row in since] == [call["call_id"] for call in api.calls[:3]]


async def test_figures_that_the_list_has_not_are_asked_for_call_by_call() -> None:
    async with asking() as (api, rest):
        api.calls = sample_calls(NOW_MS)
        answered = [call["call_id"] for call in api.calls if "latency" in call]
        complete = await listed(rest, {}, 100)
        api.log.clear()
        api.without_latency = set(answered)
        assert await listed(rest, {}, 100) == complete
        asked_for = {one.path.rpartition("/")[2] for one in api.log if one.method == "GET"}
        assert asked_for >= set(answered)
        # That nobody answered, or that goes on, has none; the one without a word was asked for.
        assert len(asked_for) == len(answered) + 1


async def test_a_call_that_has_no_figures_or_is_gone_is_listed_without() -> None:
    async with asking() as (api, rest):
        api.calls = many(2)
        api.without_latency = {"call_0", "call_1"}
        del api.calls[0]["latency"]
        api.faults = [Fault(status=404, path="/v2/get-call/call_1")]
        assert [row.split for row in await listed(rest, {}, 10)] == [Split(), Split()]


async def test_no_more_than_a_few_are_asked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking() as (api, rest):
        api.calls = many(40)
        api.without_latency = {call["call_id"] for call in api.calls}
        now, most = 0, 0
        genuine = rest.latency

        async def counted(call_id: str) -> Any:
            nonlocal now, most
            now += 1
            most = max(most, now)
            try:
                return await genuine(call_id)
            finally:
                now -= 1

        monkeypatch.setattr(rest, "latency", counted)
        assert len(await listed(rest, {}, 40)) == 40
        assert 1 < most <= AT_ONCE


async def test_a_refusal_ends_it_in_one_line() -> None:
    async with asking() as (api, rest):
        api.calls = many(3)
        api.without_latency = {call["call_id"] for call in api.calls}
        api.faults = [Fault(status=403, times=3, path="/v2/get-call")]
        with pytest.raises(RetellApiError, match="call call_.: Retell's API answered 403: played"):
            await listed(rest, {}, 10)


async def test_a_list_that_never_ends_is_left() -> None:
    endless = b'{"items": [], "has_more": true, "pagination_key": "same"}'
    async with answering(endless) as url, await asyncio.to_thread(RetellRest, "key", url) as rest:
        assert await listed(rest, {}, 10) == []
        assert await rest.agents_named("Ana") == []
