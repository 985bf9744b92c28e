"""Failover as a validation judges it: a pair of real servers, and servers that do it wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from retell_ws.validation import draining, failover
from retell_ws.validation.book import Entry
from retell_ws.validation.failover import Crash, judge, watch
from retell_ws.validation.hearing import Heard, compared
from retell_ws.validation.probe import GREETING, QUESTION
from retell_ws.validation.spare import Spare
from tests.machine import free_port
from tests.redis_servers import RedisServer, valkey

from .book import lines_of, setup_of

WHOLE = f"You said: {QUESTION}. Is that right?"
WORDS = [f"{word} " for word in WHOLE.split()]
CUT = 8
"""Words that are said before the crash."""


def said(response_id: int, content: str, complete: bool) -> str:
    fields: dict[str, Any] = {"response_type": "response", "response_id": response_id, "content": content}
    return orjson.dumps({**fields, "content_complete": complete}).decode()


class Pair:
    """A server that breaks off in the middle of an answer when it is killed, and goes on at the next dial.

    Args:
        back: Words it says again then.
        greets_again: Whether it does then.
    """

    def __init__(self, *, back: int = 0, greets_again: bool = False) -> None:
        self._back = back
        self._greets_again = greets_again
        self._dials = 0
        self.killed = asyncio.Event()

    async def __call__(self, ws: ServerConnection) -> None:
        self._dials += 1
        await ws.send(orjson.dumps({"response_type": "config", "config": {"auto_reconnect": True}}).decode())
        if self._dials == 1:
            await ws.send(said(0, GREETING, True))
        else:
            await ws.send(said(0, f" {GREETING}" if self._greets_again else "", True))
            for word in WORDS[CUT - self._back :]:
                await ws.send(said(1, word, False))
            await ws.send(said(1, "", True))
        async for data in ws:
            message = orjson.loads(data)
            if message["interaction_type"] == "response_required" and self._dials == 1:
                for word in WORDS[:CUT]:
                    await ws.send(said(1, word, False))
                await self.killed.wait()
                ws.transport.abort()


@asynccontextmanager
async def serving(pair: Pair) -> AsyncIterator[str]:
    async with serve(pair, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def judged(pair: Pair) -> Entry:
    entry = Entry()
    async with serving(pair) as url:
        judge(entry, await watch(url, "validate_x", WHOLE, pair.killed.set))
    return entry


async def test_a_server_that_goes_on_with_the_next_word_passes() -> None:
    entry = await judged(Pair())
    assert entry.outcome == "pass", entry.seen


@pytest.mark.parametrize("back", [1, 3])
async def test_a_server_that_says_words_twice_fails(back: int) -> None:
    entry = await judged(Pair(back=back))
    assert entry.outcome == "fail" and "twice" in entry.seen and entry.advice


NOTHING = Heard((), ())


@pytest.mark.parametrize(
    ("crash", "outcome", "word"),
    [
        (Crash(GREETING, NOTHING, 0.05, ()), "pass", "50 ms"),
        (Crash(GREETING, Heard(("one",), ()), 0.05, ()), "pass", "lost"),
        (Crash(f"{GREETING} {GREETING}", NOTHING, 0.05, ()), "fail", "greeted 2 times"),
        (Crash("", NOTHING, 0.05, ()), "fail", "greeted 0 times"),
        (Crash(GREETING, compared("a b c", "a b b c"), 0.05, ()), "fail", "twice"),
        (Crash(GREETING, Heard(("one", "two"), ()), 0.05, ()), "fail", "never heard"),
        (Crash(GREETING, NOTHING, 0.05, ("stale",)), "fail", "stale"),
        (Crash(GREETING, NOTHING, 3.0, ()), "warn", "3.0 s"),
        (Crash(GREETING, Heard(tuple("abc"), ()), None, ()), "fail", "did not go on"),
    ],
)
def test_each_way_to_go_wrong_has_its_words(crash: Crash, outcome: str, word: str) -> None:
    entry = Entry()
    judge(entry, crash)
    assert entry.outcome == outcome
    assert word in entry.seen


async def test_single_is_told_why_it_cannot(tmp_path: Path) -> None:
    (line,) = (await lines_of("failover", failover.check, setup_of(tmp_path))).values()
    assert line.outcome == "skip" and "greeted again" in line.seen and "--blueprint distributed" in line.advice


async def test_two_real_servers_pass(tmp_path: Path) -> None:
    with RedisServer(valkey(), tmp_path / "redis", port=free_port()) as server:
        setup = setup_of(tmp_path, blueprint="distributed", redis_url=server.url)
        (line,) = (await lines_of("failover", failover.check, setup)).values()
    assert line.outcome == "pass", line.seen


async def test_a_server_that_is_told_to_stop_lets_its_call_end(tmp_path: Path) -> None:
    (line,) = (await lines_of("draining", draining.check, setup_of(tmp_path))).values()
    assert line.outcome == "pass", line.seen


async def test_a_server_that_does_not_wait_is_not_made_to(tmp_path: Path) -> None:
    (line,) = (await lines_of("draining", draining.check, setup_of(tmp_path, drain_s=0.0))).values()
    assert line.outcome == "skip" and line.advice


async def test_a_server_that_cuts_its_call_off_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spare, "leave", Spare.kill)
    (line,) = (await lines_of("draining", draining.check, setup_of(tmp_path))).values()
    assert line.outcome == "fail", line.seen


async def test_a_server_that_goes_on_taking_calls_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spare, "leave", lambda spare: None)
    monkeypatch.setattr(draining, "LIMIT_S", 5.0)
    (line,) = (await lines_of("draining", draining.check, setup_of(tmp_path))).values()
    assert line.outcome == "fail", line.seen
