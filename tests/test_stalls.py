"""A loop that stands still is noticed, measured and told, with the place where it stood."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws import stalls
from retell_ws.stalls import DEPTH, LONG_S, REPORT_S, LoopWatch, Reports, late_by, where

pytestmark = pytest.mark.usefixtures("clean_loop")

# ---------------------------------------------------------------------------- pure


@pytest.mark.parametrize(("due", "now", "late"), [(1.0, 1.0, 0.0), (1.0, 1.25, 0.25), (1.0, 0.999, 0.0)])
def test_a_visit_is_late_by_what_it_comes_after_its_time(due: float, now: float, late: float) -> None:
    assert late_by(due, now) == late


def test_short_standstills_are_not_told() -> None:
    assert Reports().of(LONG_S - 0.001, 100.0) is None


def test_a_report_tells_of_those_left_out_before_it() -> None:
    reports = Reports()
    assert reports.of(0.3, 100.0) == 0
    assert reports.of(0.3, 101.0) is None
    assert reports.of(0.1, 102.0) is None
    assert reports.of(9.0, 109.9) is None
    assert reports.of(0.3, 110.0) == 2
    assert reports.of(0.3, 121.0) == 0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.05, 8)), max_size=60))
@example([(0.0, 8.0), (0.0, 8.0), (1.0, 2.2), (0.0, 5.0), (1.0, 5.0)])  # 118.2 + 10 is 128.2, but 128.2 - 118.2 is less
def test_every_long_standstill_is_told_or_counted_and_reports_are_rare(visits: list[tuple[float, float]]) -> None:
    reports, now, told = Reports(), 100.0, []
    long_ones = left_out = 0
    for late, pause in visits:
        now += pause
        long_ones += late >= LONG_S
        answer = reports.of(late, now)
        assert answer is None or late >= LONG_S
        if answer is not None:
            told.append(now)
            left_out += answer
            assert len(told) + left_out == long_ones, "a report tells of all that came before it"
        else:
            assert late < LONG_S or now < told[-1] + REPORT_S
    assert all(later >= earlier + REPORT_S for earlier, later in pairwise(told))


def outer() -> str:
    return inner()


def inner() -> str:
    secret = "my card is 4111"
    return where(sys._getframe()) if secret else ""


def test_a_place_is_file_line_and_function_from_the_innermost_out() -> None:
    first, second, *_ = outer().split(" < ")
    assert first == f"tests/test_stalls.py:{inner.__code__.co_firstlineno + 2}:inner"
    assert second == f"tests/test_stalls.py:{outer.__code__.co_firstlineno + 1}:outer"
    assert "4111" not in outer()


def deep(depth: int) -> str:
    return deep(depth - 1) if depth else where(sys._getframe())


def test_a_place_is_bounded_and_there_is_one_for_a_thread_that_is_gone() -> None:
    assert len(deep(100).split(" < ")) == DEPTH
    assert where(None) == "an unknown place"


async def test_a_place_ends_where_the_loop_begins() -> None:
    places: list[str] = []
    asyncio.get_running_loop().call_soon(lambda: places.append(where(sys._getframe())))
    await asyncio.sleep(0)
    (place,) = places
    assert "asyncio" not in place and place.split(" < ")[0].endswith("<lambda>")


# ---------------------------------------------------------------------------- on a real loop


def a_function_that_does_not_give_way(seconds: float) -> None:
    time.sleep(seconds)


class Lateness:
    """What the watch tells, to wait for."""

    def __init__(self) -> None:
        self.heard: list[float] = []
        self._news = asyncio.Event()

    def __call__(self, seconds: float) -> None:
        self.heard.append(seconds)
        self._news.set()

    async def visits(self, number: int) -> None:
        """Wait for so many more visits."""
        until = len(self.heard) + number
        async with asyncio.timeout(5):
            while len(self.heard) < until:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watched() -> AsyncIterator[Lateness]:
    late = Lateness()
    with LoopWatch(late) as watch:
        await late.visits(1)
        yield late
    await asyncio.to_thread(watch._thread.join, 5)
    assert not watch._thread.is_alive(), "it ends with its owner"
    heard = len(late.heard)
    assert watch._timer is not None and watch._timer.cancelled()
    assert len(late.heard) == heard


async def test_a_loop_that_gives_way_is_not_late(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as late:
        await late.visits(3)
    assert min(late.heard) < 0.05
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_standstill_is_measured_and_its_place_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "REPORT_S", 0.0)  # the machine of the test may stand still at other times
    async with watched() as late:
        asyncio.get_running_loop().call_soon(a_function_that_does_not_give_way, 1.5)
        await late.visits(2)
    assert max(late.heard) >= 1.5 - stalls.EVERY_S
    (told,) = [record for record in caplog.records if "a_function" in record.getMessage()]
    assert (told.name, told.levelno) == ("retell_ws.stalls", logging.WARNING)
    line = a_function_that_does_not_give_way.__code__.co_firstlineno + 1
    # The innermost function is blockbuster's, which stands in for `time.sleep`; without it this one would be.
    assert f"tests/test_stalls.py:{line}:a_function_that_does_not_give_way" in told.getMessage()


async def test_the_coroutine_that_stands_still_is_named_with_those_that_wait_for_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "REPORT_S", 0.0)

    async def tool() -> None:
        a_function_that_does_not_give_way(1.5)

    async def turn() -> None:
        await tool()

    async with watched() as late:
        await asyncio.create_task(turn())
        await late.visits(1)
    (told,) = [record.getMessage() for record in caplog.records if "a_function" in record.getMessage()]
    tool_place, turn_place = told.split(" < ")[-2:]
    assert tool_place.endswith("<locals>.tool") and turn_place.endswith("<locals>.turn")


async def test_a_second_standstill_soon_after_is_measured_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as late:
        for _ in range(2):
            a_function_that_does_not_give_way(0.6)
            await late.visits(2)
    assert len([seconds for seconds in late.heard if seconds >= LONG_S]) >= 2
    assert caplog.text.count("stood still") == 1


async def test_a_loop_that_does_not_come_back_is_told_by_the_thread(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "HUNG_S", 0.3)
    told = threading.Event()
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: told.set()  # type: ignore[method-assign]
    stalls.logger.addHandler(handler)
    try:
        async with watched() as late:
            assert told.wait(5), "said while the loop stands still, for nobody knows whether it comes back"
            await late.visits(1)
    finally:
        stalls.logger.removeHandler(handler)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and "threading.py" in errors[0] and "tests/test_stalls.py" in errors[0]
