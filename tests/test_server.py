"""Who may open a socket, and how the server leaves: plain HTTP requests and real calls on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from http import HTTPStatus
from pathlib import Path

import pytest

from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.errors import UsageError
from retell_ws.facts import TurnMeasured
from retell_ws.handle import Call
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing.dial import DialError, DialPolicy
from retell_ws.testing.retell import FakeRetell

from .http_client import connected, http, status
from .machine import place_of
from .puppet import GREETING, Puppet, serving, single
from .waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

OLD, NEW = "0123456789abcdef-old", "0123456789abcdef-new"


# ---------------------------------------------------------------------------- health


async def test_health_is_answered_on_the_call_port() -> None:
    async with serving() as (server, _):
        assert status(await http(server.address, "/livez")) == 200
        assert status(await http(server.address, "/livez?from=balancer")) == 200
        assert status(await http(server.address, "/readyz")) == 200


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
async def test_only_get_is_answered(method: str) -> None:
    async with serving() as (server, _):
        assert status(await http(server.address, "/livez", method=method)) == 405


async def test_a_plain_request_to_a_call_is_told_to_upgrade() -> None:
    async with serving() as (server, _):
        assert status(await http(server.address, "/llm-websocket/call_1")) == 426


# ---------------------------------------------------------------------------- who may come in


async def test_with_a_secret_only_its_path_leads_to_a_call() -> None:
    async with serving(path_secret=f"{NEW},{OLD}") as (server, _):
        assert NEW in server.url
        assert NEW not in server.address
        for secret in (NEW, OLD):
            async with FakeRetell(f"{server.address}/{secret}") as retell:
                assert await retell.greeting() == GREETING


@pytest.mark.parametrize(
    "path",
    [
        "/llm-websocket/call_1",
        "/llm-websocket/wrong/call_1",
        f"/llm-websocket/{NEW.upper()}/call_1",
        f"/llm-websocket/{NEW}/{OLD}/call_1",
        f"/llm-websocket/{NEW}/",
        f"/llm-websocket/{NEW}/call 1",
        f"/llm-websocket/{NEW}/{'x' * 129}",
        f"/llm-websocket/{NEW}/../call_1",
        f"/llm-websocket//{NEW}/call_1",
        "/llm-websocket/%30123456789abcdef-new/call_1",
        "/elsewhere",
        "/",
    ],
)
async def test_every_wrong_path_gets_the_same_bytes(path: str) -> None:
    async with serving(path_secret=NEW) as (server, _):
        unknown = await http(server.address, "/nothing-here", upgrade=True)
        assert status(unknown) == 404
        assert await http(server.address, path.replace(" ", "%20"), upgrade=True) == unknown


async def test_a_browser_is_refused() -> None:
    async with serving() as (server, _):
        refused = await http(server.address, "/llm-websocket/call_1", "Origin: https://example.org", upgrade=True)
        assert status(refused) == 403


async def test_beyond_the_cap_a_new_call_is_told_to_come_back_and_a_known_one_is_let_in() -> None:
    async with serving(max_calls=1) as (server, puppet), FakeRetell(server.url, call_id="call_1") as known:
        await known.greeting()
        refused = await http(server.address, "/llm-websocket/call_2", upgrade=True)
        assert status(refused) == 503
        assert "Retry-After: " in refused
        assert status(await http(server.address, "/readyz")) == 503
        assert status(await http(server.address, "/livez")) == 200
        assert status(await http(server.address, "/livez?from=balancer")) == 200
        await known.redial()
        asked = await known.request("still there?")
        stream = await puppet.asked(1)
        stream.say("Yes.")
        stream.end()
        assert (await known.answer(asked)).text == "Yes."


async def test_a_call_that_ended_makes_room() -> None:
    async with serving(max_calls=1) as (server, puppet):
        async with FakeRetell(server.url) as first:
            await first.greeting()
        await puppet.facts.wait("detached")
        async with FakeRetell(server.url) as second:
            assert await second.greeting() == GREETING


# ---------------------------------------------------------------------------- how the server leaves


async def test_a_draining_server_finishes_its_calls_and_takes_no_new_ones() -> None:
    async with serving(drain_s=30) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            draining = asyncio.create_task(server.drain())
            asked = await retell.request("hello?")
            stream = await puppet.asked(1)
            assert status(await http(server.address, "/readyz")) == 503
            assert status(await http(server.address, "/llm-websocket/call_2", upgrade=True)) == 503
            stream.say("Hello.")
            stream.end()
            assert (await retell.answer(asked)).text == "Hello."
            assert not draining.done()
        await asyncio.wait_for(draining, 5)


async def test_when_the_time_is_over_a_call_is_dropped_between_its_turns() -> None:
    async with serving(drain_s=0.05) as (server, puppet):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            asked = await retell.request("hello?")
            stream = await puppet.asked(1)
            stream.say("Hel")
            draining = asyncio.create_task(server.drain())
            await retell.quiet(0.2)
            assert not draining.done()
            assert retell.is_open
            stream.say("lo.")
            stream.end()
            assert (await retell.answer(asked)).text == "Hello."
            await asyncio.wait_for(draining, 5)
            await retell.ended()
            assert retell.close_code == 1006


async def test_a_barge_in_while_leaving_is_answered_before_the_call_is_dropped() -> None:
    async with serving(drain_s=0.05) as (server, puppet):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            await retell.request("hello?")
            await puppet.asked(1)
            draining = asyncio.create_task(server.drain())
            await retell.quiet(0.2)
            asked = await retell.request("hello, anyone?", grow=True)
            stream = await puppet.asked(2)
            assert not draining.done()
            stream.say("Yes.")
            stream.end()
            assert (await retell.answer(asked)).text == "Yes."
            await asyncio.wait_for(draining, 5)


async def test_a_draining_server_waits_for_the_redial_of_a_broken_line() -> None:
    async with serving(drain_s=30) as (server, puppet):
        async with FakeRetell(server.url, call_id="call_1") as retell:
            await retell.greeting()
            asked = await retell.request("hello?")
            stream = await puppet.asked(1)
            await retell.drop()
            await puppet.facts.wait("detached")
            draining = asyncio.create_task(server.drain())
            await retell.redial()
            stream.say("Hello.")
            stream.end()
            assert (await retell.answer(asked)).text == "Hello."
            assert not draining.done()
        await asyncio.wait_for(draining, 5)


async def test_a_moved_call_is_dropped_between_its_turns_and_finds_no_way_back_until_calls_are_taken_again() -> None:
    async with serving(shares=True, drain_s=30) as (server, puppet):
        async with (
            FakeRetell(server.url, call_id="call_1", redials=False) as idle,
            FakeRetell(server.url, call_id="call_2", redials=False) as speaking,
        ):
            await idle.greeting()
            await speaking.greeting()
            asked = await speaking.request("hello?")
            stream = await puppet.asked(1)
            stream.say("Hel")
            server.move_calls()
            server.move_calls()
            assert status(await http(server.address, "/readyz")) == 503
            await idle.ended()
            assert idle.close_code == 1006
            await speaking.quiet(0.2)
            assert speaking.is_open
            stream.say("lo.")
            stream.end()
            assert (await speaking.answer(asked)).text == "Hello."
            await speaking.ended()
            assert speaking.close_code == 1006
            for call_id in ("call_1", "call_2", "call_3"):
                assert status(await http(server.address, f"/llm-websocket/{call_id}", upgrade=True)) == 503
            assert server.is_draining
            server.take_calls()
            assert status(await http(server.address, "/readyz")) == 200
        async with FakeRetell(server.url) as retell:
            assert await retell.greeting() == GREETING


async def test_calls_that_have_not_left_stay_when_calls_are_taken_again() -> None:
    async with serving(shares=True) as (server, puppet):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            asked = await retell.request("hello?")
            stream = await puppet.asked(1)
            server.move_calls()
            await retell.quiet(0.1)
            server.take_calls()
            stream.say("Hello.")
            stream.end()
            assert (await retell.answer(asked)).text == "Hello."
            asked = await retell.request("and tomorrow?")
            stream = await puppet.asked(2)
            stream.say("Yes.")
            stream.end()
            assert (await retell.answer(asked)).text == "Yes."


async def test_without_other_servers_a_server_that_steps_aside_keeps_its_calls() -> None:
    async with serving() as (server, puppet), FakeRetell(server.url) as retell:
        await retell.greeting()
        server.move_calls()
        assert status(await http(server.address, "/llm-websocket/call_9", upgrade=True)) == 503
        asked = await retell.request("hello?")
        stream = await puppet.asked(1)
        stream.say("Hello.")
        stream.end()
        assert (await retell.answer(asked)).text == "Hello."
        await retell.drop()
        await retell.redial()
        await retell.quiet(0.1)
        assert retell.is_open, "a redial gets in, there is nowhere else"


async def test_from_leaving_for_good_there_is_no_way_back() -> None:
    async with serving(drain_s=30) as (server, _), FakeRetell(server.url, redials=False) as retell:
        await retell.greeting()
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0)
        server.take_calls()
        assert status(await http(server.address, "/readyz")) == 503
        await retell.hang_up()
        await asyncio.wait_for(draining, 5)


async def test_a_call_is_not_moved_while_a_side_effect_runs_that_nobody_waits_for() -> None:
    began, done = asyncio.Event(), asyncio.Event()
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.tool(side_effect=True, background=True)
    async def book() -> str:
        """Book."""
        began.set()
        await done.wait()
        return "Booked."

    async with serving(shares=True, agent=agent) as (server, puppet):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            asked = await retell.request("book it")
            stream = await puppet.asked(1)
            stream.call("book")
            stream.end("tool_use")
            stream = await puppet.asked(2)
            stream.say("Under way.")
            stream.end()
            assert (await retell.answer(asked)).text == "Under way."
            await asyncio.wait_for(began.wait(), 5)
            server.move_calls()
            await retell.quiet(0.2)
            assert retell.is_open
            done.set()
            await retell.ended()
            assert retell.close_code == 1006


async def test_a_side_effect_that_takes_too_long_does_not_let_a_turn_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.calls.LAST_TURN_S", 0.4)
    done = asyncio.Event()
    agent = Agent("You are Ana.", greeting=GREETING)

    @agent.tool(side_effect=True, background=True)
    async def book() -> str:
        """Book."""
        await done.wait()
        return "Booked."

    async with serving(shares=True, agent=agent) as (server, puppet):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            asked = await retell.request("book it")
            stream = await puppet.asked(1)
            stream.call("book")
            stream.end("tool_use")
            stream = await puppet.asked(2)
            server.move_calls()
            await retell.quiet(0.5)
            assert retell.is_open
            stream.say("Under way.")
            stream.end()
            assert (await retell.answer(asked)).text == "Under way."
            await retell.ended()
        done.set()


async def test_calls_leave_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.calls.PACE_S", 0.2)
    async with serving(drain_s=0) as (server, _), contextlib.AsyncExitStack() as stack:
        retells = [await stack.enter_async_context(FakeRetell(server.url, redials=False)) for _ in range(5)]
        for retell in retells:
            await retell.greeting()
        left: list[float] = []

        async def end(retell: FakeRetell) -> None:
            await retell.ended()
            left.append(time.monotonic())

        async with asyncio.TaskGroup() as ends:
            for retell in retells:
                ends.create_task(end(retell))
            await server.drain()
        assert left[-1] - left[0] > 0.4  # of 0.8: a busy machine may be late to see the first one go


async def test_balancers_have_time_to_look_before_a_call_is_dropped() -> None:
    async with serving(drain_s=0, drain_delay_s=0.4) as (server, _):
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            began = time.monotonic()
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            assert status(await http(server.address, "/readyz")) == 503
            await retell.ended()
            assert time.monotonic() - began > 0.35
            await draining
    async with serving(drain_delay_s=60) as (server, _):
        await asyncio.wait_for(server.drain(), 1)  # without a call there is nothing to wait for


async def test_a_call_that_another_server_had_is_taken_beyond_the_cap_up_to_a_tenth() -> None:
    loop = asyncio.get_running_loop()
    store = MemoryCallStore(loop.time, name="ours", is_shared=True)
    other = MemoryCallStore(loop.time, name="theirs", beside=store)
    for number in (1, 2):
        await other.attach(f"theirs_{number}", lambda: None)
    settings = Settings(port=0, max_calls=1)
    async with Server(Agent("You are Ana.", greeting=GREETING), single(Puppet()), store, settings) as server:
        async with FakeRetell(server.url) as first:
            await first.greeting()
            assert status(await http(server.address, "/llm-websocket/new_1", upgrade=True)) == 503
            async with FakeRetell(server.url, call_id="theirs_1") as taken:
                await taken.greeting()
                assert status(await http(server.address, "/llm-websocket/theirs_2", upgrade=True)) == 503


async def test_a_function_that_swallows_its_cancel_does_not_hold_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.calls.CLOSE_S", 0.1)
    released = asyncio.Event()

    async def greet(call: Call) -> str:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()
        return "never"

    async with serving(greeting=greet, details_wait_ms=0) as (server, puppet):
        async with FakeRetell(server.url, redials=False):
            await puppet.facts.wait("turn_started")
            async with asyncio.timeout(2):
                await server.__aexit__(None, None, None)
    released.set()
    await asyncio.sleep(0)


async def test_leaving_without_draining_drops_the_calls_for_a_redial() -> None:
    async with serving() as (server, _):
        retell = await FakeRetell(server.url, redials=False).__aenter__()
        await retell.greeting()
    await retell.ended()
    assert retell.close_code == 1006
    await retell.__aexit__(None, None, None)


async def test_an_address_in_use_is_the_operators_error() -> None:
    async with serving() as (server, _):
        port = place_of(server.address)[1]
        taken = running(Agent("You are Ana."), Settings(port=port), model=Puppet())
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with taken:
                pass


async def test_the_statistics_count_calls_and_facts() -> None:
    async with serving() as (server, _):
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            counted = server.statistics()
            assert (counted["calls"], counted["sessions"], counted["call_started"]) == (1, 1, 1)


# ---------------------------------------------------------------------------- the second port


async def test_by_default_there_is_no_second_port() -> None:
    async with serving() as (server, _):
        assert server.http_address is None
        assert status(await http(server.address, "/metrics")) == 404, "never on the port that anybody may reach"


async def test_the_second_port_tells_how_the_calls_are_while_they_last() -> None:
    async with serving(http_port=0) as (server, _):
        address = server.http_address or ""
        assert address.startswith("http://127.0.0.1:")
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            told = await http(address, "/metrics?now=1")
        assert status(told) == 200
        assert "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in told
        assert told.count("Content-Type") == 1
        for line in ("retell_ws_calls 1.0", 'retell_ws_facts_total{fact="call_started"} 1.0'):
            assert f"\n{line}\n" in told


async def test_a_call_whose_redial_is_awaited_is_live_without_being_attached() -> None:
    async with serving(http_port=0) as (server, _):
        address = server.http_address or ""
        async with FakeRetell(server.url) as retell:
            await retell.greeting()
            await retell.drop()
            await until(lambda: server.statistics()["calls"] == 0)
            told = await http(address, "/metrics")
            assert "\nretell_ws_calls 0.0\n" in told and "\nretell_ws_live_calls 1.0\n" in told
            await retell.redial()
            await retell.hang_up()
        await until(lambda: server.live() == 0)
        assert "\nretell_ws_live_calls 0.0\n" in await http(address, "/metrics")


async def test_the_second_port_answers_health_and_nothing_else() -> None:
    async with serving(http_port=0) as (server, _):
        address = server.http_address or ""
        assert status(await http(address, "/livez")) == status(await http(address, "/readyz")) == 200
        for path in ("/", "/metrics/", "/llm-websocket/call_1", "/livez/x"):
            unknown = await http(address, path)
            assert status(unknown) == 404 and unknown.endswith("\r\nnot found\n")
        for method in ("POST", "PUT", "DELETE"):
            refused = await http(address, "/metrics", method=method)
            assert status(refused) == 405 and "\r\nAllow: GET, HEAD\r\n" in refused
        assert "Server: " not in await http(address, "/livez")
        assert (await http(address, "/livez", method="HEAD")).endswith("\r\n\r\n")
        assert status(await http(address, "/livez", method="HEAD")) == 200


async def test_the_second_port_sees_a_leaving_server_to_its_end() -> None:
    async with serving(http_port=0, drain_s=30) as (server, _):
        address = server.http_address or ""
        async with FakeRetell(server.url, redials=False) as retell:
            await retell.greeting()
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            refused = await http(address, "/readyz")
            assert status(refused) == 503 and refused.endswith("draining\n")
            assert status(await http(address, "/livez")) == status(await http(address, "/metrics")) == 200
        await draining
    with pytest.raises(OSError):
        await http(address, "/livez")


async def test_a_second_port_in_use_is_the_operators_error_and_leaves_nothing_open() -> None:
    async with serving(http_port=0) as (server, _):
        port = place_of(server.http_address or "")[1]
        taken = running(Agent("You are Ana."), Settings(port=0, http_port=port), model=Puppet())
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with taken:
                pass
        # And the other way round: the call port is taken, and the second one is free again afterwards.
        calls = place_of(server.address)[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{calls}"):
            async with running(Agent("You are Ana."), Settings(port=calls, http_port=0), model=Puppet()):
                pass


async def test_whoever_says_nothing_on_the_second_port_is_not_waited_for() -> None:
    async with serving(http_port=0) as (server, _):
        reader, writer = await connected(server.http_address)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


# ---------------------------------------------------------------------------- measures


async def test_measured_turns_are_in_the_statistics_and_the_metrics() -> None:
    async with serving(http_port=0, budget_ms=500) as (server, _):
        for number, seconds in enumerate((0.1, 0.2, 0.9), start=1):
            server._recorder.record("call_1", 1, number, TurnMeasured(number, "finished", first_sentence_s=seconds))
        counted = server.statistics()
        assert (counted["turns"], counted["turn_measured"]) == (3, 3)
        assert counted["within_budget"] == pytest.approx(2 / 3)
        assert (counted["first_sentence_p50_s"], counted["first_sentence_p99_s"]) == (0.2, 0.9)
        told = await http(server.http_address, "/metrics")
        assert "\nretell_ws_budget_seconds 0.5\n" in told
        assert '\nretell_ws_budgeted_turns_total{budget="over"} 1.0\n' in told


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the library reads Linux's /proc")
async def test_what_the_process_takes_is_among_the_metrics() -> None:
    async with serving(http_port=0, max_calls=7) as (server, _):
        told = await http(server.http_address, "/metrics")
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
            assert f"\nprocess_{name} " in told
        assert '\nretell_ws_build_info{blueprint="single",model="puppet",version="' in told
        assert "\nretell_ws_max_calls 7.0\n" in told and "\nretell_ws_draining 0.0\n" in told
        server.move_calls()
        assert "\nretell_ws_draining 1.0\n" in await http(server.http_address, "/metrics")


async def test_a_loop_that_stands_still_is_measured_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(http_port=0) as (server, _):
        asyncio.get_running_loop().call_soon(time.sleep, 0.8)
        stood, seconds = re.compile(r"^retell_ws_loop_stall_seconds_sum (.+)$", re.MULTILINE), 0.0
        while seconds < 0.4:  # each look is a request of its own, so this gives way
            found = stood.search(await http(server.http_address, "/metrics"))
            assert found is not None
            seconds = float(found[1])
    assert "the event loop stood still for" in caplog.text


async def test_a_server_that_ends_takes_no_new_call() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def greet(call: Call) -> str:
        entered.set()
        while not go_on.is_set():
            with contextlib.suppress(asyncio.CancelledError):  # as an agent's function may
                await go_on.wait()
        return "Hello."

    async with serving(greeting=greet, details_wait_ms=0) as (server, _):
        url = server.url
        async with FakeRetell(url, redials=False):
            await entered.wait()
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            await asyncio.sleep(0)
            with pytest.raises(DialError) as refused:
                async with FakeRetell(url, dial_policy=DialPolicy(attempts=1)):
                    pass
            assert refused.value.status == HTTPStatus.SERVICE_UNAVAILABLE
            go_on.set()
            await ending
