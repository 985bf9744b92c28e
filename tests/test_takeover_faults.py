"""Calls whose lines are cut again and again, and which another server goes on with while the old one still runs.

Two servers in one process share a store. A proxy stands where the balancer would: it cuts every line and sends the
redials to the other server. Everything that was heard is judged by the fault bench's own checker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bench.harness.faults.calls import Callers, Habits
from bench.harness.faults.checks import Verdict, heard_in, judge
from bench.harness.faults.figures import cut_turns, first_frames, redials, summary, takeovers
from bench.harness.faults.history import read_rows
from bench.harness.faults.model import NumberedModel
from bench.harness.faults.server import agent_of
from retell_ws.blueprints import running
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import BlackHole, ToxicProxy

from .machine import place_of

pytestmark = pytest.mark.usefixtures("clean_loop")

TTFT_MS = 60


@asynccontextmanager
async def two_servers(folder: Path, *, speculate: bool) -> AsyncIterator[tuple[Server, Server]]:
    settings = Settings(port=0, speculate=speculate, log_level="error")
    loop = asyncio.get_running_loop()
    first = MemoryCallStore(loop.time, name="s1", is_shared=True)
    stores = {"s1": first, "s2": MemoryCallStore(loop.time, name="s2", beside=first)}
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                running(
                    agent_of(name, folder / "effects.jsonl"),
                    settings,
                    model=NumberedModel(ttft_ms=TTFT_MS, spacing_ms=15),
                    store=store,
                )
            )
            for name, store in stores.items()
        ]
        yield servers[0], servers[1]


@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nothing_is_said_or_done_twice_when_lines_are_cut_and_go_on_elsewhere(
    tmp_path: Path, seed: int, speculate: bool
) -> None:
    habits = Habits(shortest_s=2.5, longest_s=3.0, pause_s=0.2, words=20)
    async with (
        two_servers(tmp_path, speculate=speculate) as servers,
        ToxicProxy(*place_of(servers[0].address)) as balancer,
    ):
        async with Callers(f"ws://{balancer.address}/llm-websocket", 8, seed=seed, habits=habits) as callers:
            await callers.full()
            for number in range(4):
                await callers.pause(0.6)
                callers.note("fault", "", "cut")
                balancer.target = place_of(servers[(number + 1) % 2].address)
                balancer.cut()
    verdict = judged(callers, tmp_path)
    assert verdict.counts["sockets"] > 2 * 8
    assert verdict.counts["effects"] > 0
    told(verdict, callers)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_server_whose_callers_have_gone_without_a_word_says_and_does_nothing_twice(
    tmp_path: Path, seed: int
) -> None:
    """The network between Retell and one server falls silent: that server goes on as if somebody heard it."""
    habits = Habits(shortest_s=4.0, longest_s=5.0, pause_s=0.2, words=40, ping_s=0.2, pong_limit_s=0.6)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(two_servers(tmp_path, speculate=False))
        first, second = [await stack.enter_async_context(ToxicProxy(*place_of(server.address))) for server in servers]
        balancer = await stack.enter_async_context(ToxicProxy("127.0.0.1", first.port))
        async with Callers(f"ws://{balancer.address}/llm-websocket", 8, seed=seed, habits=habits) as callers:
            await callers.full()
            for silent, other in ((first, second), (second, first)):
                await callers.pause(0.7)
                callers.note("fault", "", "cut")
                balancer.target = ("127.0.0.1", other.port)
                with silent.having(BlackHole()):
                    await callers.pause(1.2)  # all have been given up, and redialled
    verdict = judged(callers, tmp_path)
    assert verdict.counts["sockets"] >= 2 * 8
    assert verdict.counts["takeovers"] > 0


def judged(callers: Callers, folder: Path) -> Verdict:
    effects = folder / "effects.jsonl"
    verdict = judge([*callers.rows, *(read_rows(effects) if effects.exists() else [])])
    assert not verdict.violations, "\n".join(map(str, verdict.violations))
    return verdict


def told(verdict: Verdict, callers: Callers) -> None:
    """The figures of the bench come out of such a history."""
    calls = heard_in(callers.rows)
    taken = takeovers(calls.values(), TTFT_MS)
    assert verdict.counts["takeovers"] > 0
    assert taken
    assert all(one.silent_ms >= one.redial_ms for one in taken)
    assert len(redials(calls.values())) == sum(len(heard.gone) for heard in calls.values())
    assert cut_turns(calls.values()) > 0
    assert all(ms > 0 for ms in first_frames(calls.values(), 0, float("inf")))
    assert summary(calls, TTFT_MS)["lost_calls"] == 0
