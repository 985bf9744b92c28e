"""A check that raises or hangs is a line, and none can leave without one."""

from __future__ import annotations

import asyncio

import pytest

from retell_ws.errors import SettingsError
from retell_ws.validation.book import Book, Unchecked
from retell_ws.validation.line import Line
from retell_ws.validation.spare import SpareError

SECRET = "redis://user:hunter2@host"


async def line_of(raised: BaseException | None, *, limit_s: float = 5.0) -> Line:
    lines: list[Line] = []
    async with Book("redis", lines.append).line("x", limit_s=limit_s, advice="do this"):
        if raised is not None:
            raise raised
    (line,) = lines
    return line


async def test_what_we_raise_ourselves_is_told_in_its_words() -> None:
    line = await line_of(SettingsError("redis_url is none"))
    assert (line.outcome, line.seen, line.advice) == ("fail", "redis_url is none", "do this")


async def test_a_spare_that_does_not_start_says_why_and_is_no_bug() -> None:
    line = await line_of(SpareError("a spare `serve` does not start: pip install it"))
    assert line.outcome == "fail" and "pip install it" in line.seen
    assert line.advice != "do this" and "serve" in line.advice


async def test_of_what_others_raise_only_the_type_is_told() -> None:
    line = await line_of(OSError(SECRET))
    assert line.outcome == "fail" and "OSError" in line.seen and "hunter2" not in line.seen + line.advice


async def test_what_is_missing_is_no_failure() -> None:
    line = await line_of(Unchecked("no key", "export it"))
    assert line.outcome == "skip" and line.seen == "could not be checked: no key" and line.advice == "export it"


async def test_a_check_that_says_nothing_has_failed() -> None:
    assert (await line_of(None)).outcome == "fail"


async def test_a_check_that_hangs_fails_at_its_deadline() -> None:
    lines: list[Line] = []
    async with Book("redis", lines.append).line("x", limit_s=0.01, advice="do this"):
        await asyncio.Event().wait()
    assert lines[0].outcome == "fail" and "0.01 s" in lines[0].seen


async def test_a_cancel_is_no_finding() -> None:
    lines: list[Line] = []
    with pytest.raises(asyncio.CancelledError):
        async with Book("redis", lines.append).line("x", limit_s=5.0):
            raise asyncio.CancelledError
    assert not lines


@pytest.mark.parametrize(("raised", "told"), [(SettingsError("pip install it"), "pip"), (KeyError(SECRET), "KeyError")])
async def test_what_a_topic_raises_between_its_lines_is_a_line(raised: Exception, told: str) -> None:
    async def check() -> None:
        raise raised

    lines: list[Line] = []
    await Book("redis", lines.append).take(check)
    assert lines[0].outcome == "fail" and told in lines[0].seen and "hunter2" not in lines[0].seen


async def test_the_latest_word_counts() -> None:
    lines: list[Line] = []
    async with Book("redis", lines.append).line("x", limit_s=5.0) as entry:
        entry.fails("a", "b")
        entry.warns("c", "d")
        entry.passes("e")
    assert (lines[0].outcome, lines[0].seen, lines[0].advice) == ("pass", "e", "")
