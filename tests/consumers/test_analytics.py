"""What happened in calls is counted once, whoever is killed when."""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from retell_ws.consumers.analytics import FIGURES, Analytics
from retell_ws.consumers.parts import Parts, connect, place
from retell_ws.entries import Entry, encode
from retell_ws.errors import UsageError
from retell_ws.facts import CallEnded, CallStarted, TurnMeasured
from retell_ws.speech_facts import CallerSaid

from ..report.synthetic import entries
from .s3_server import Bucket
from .s3_server import bucket as bucket
from .s3_server import s3_endpoint as s3_endpoint

NOW = 1_795_867_200.0
DAY_S = 86_400.0


def told(number: int, fact: Any, at: float = NOW) -> Entry:
    return Entry(id=f"e{number}", call_id="c1", epoch=1, seq=number, at=at, server="web-1", fact=fact)


def asked(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Parts(place(folder), FIGURES) as parts, closing(connect()) as db:
        parts.read(db, "figures")
        return db.execute(sql).fetchall()


async def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(asked, folder, sql)


async def days(folder: Path) -> dict[str, int]:
    def look() -> dict[str, int]:
        with Parts(place(folder), FIGURES) as parts:
            return {str(day): len(ones) for day, ones in parts.days().items()}

    return await asyncio.to_thread(look)


@pytest.mark.usefixtures("clean_loop")
async def test_facts_are_there_when_they_are_handled(tmp_path: Path) -> None:
    async with Analytics(tmp_path) as figures:
        await figures.handle([told(1, CallStarted()), told(2, CallEnded(3, 4.5)), told(3, CallerSaid(1, "response"))])
        found = await query(tmp_path, "SELECT id, fact, turns, duration_s FROM figures ORDER BY id")
    assert found == [("e1", "call_started", None, None), ("e2", "call_ended", 3, 4.5)]


@pytest.mark.usefixtures("clean_loop")
async def test_what_is_delivered_twice_is_counted_once(tmp_path: Path) -> None:
    first, second = told(1, CallStarted()), told(2, CallEnded(3, 4.5))
    async with Analytics(tmp_path) as figures, Analytics(tmp_path) as other:
        await figures.handle([first, second, first])
        await other.handle([second])
        await other.handle([first, second])
        assert await query(tmp_path, "SELECT count(*), sum(turns) FROM figures") == [(2, 3)]


@pytest.mark.usefixtures("clean_loop")
async def test_facts_are_filed_under_the_day_they_happened(tmp_path: Path) -> None:
    async with Analytics(tmp_path) as figures:
        await figures.handle([told(1, CallStarted(), NOW - 3 * DAY_S), told(2, CallStarted())])
    assert await days(tmp_path) == {"2026-11-25": 1, "2026-11-28": 1}


@pytest.mark.usefixtures("clean_loop")
async def test_old_days_go_and_small_files_are_merged(tmp_path: Path) -> None:
    later = [NOW]
    async with Analytics(tmp_path, keep_days=2, clock=lambda: later[0]) as figures:
        await figures.handle([told(1, CallStarted(), NOW - 3 * DAY_S)])
        for number in range(40):
            await figures.handle([told(10 + number, CallStarted())])
        await figures.idle()
        assert await days(tmp_path) == {"2026-11-28": 1}
        later[0] += 10 * DAY_S
        await figures.idle()
        assert await days(tmp_path) == {"2026-11-28": 1}  # it has looked a moment ago
        assert await query(tmp_path, "SELECT count(*) FROM figures") == [(40,)]


@pytest.mark.usefixtures("clean_loop")
async def test_a_folder_that_cannot_be_tidied_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Analytics(tmp_path) as figures:
        await figures.handle([told(1, CallStarted())])
        (tmp_path / "figures" / ".tidying").mkdir()
        with caplog.at_level(logging.WARNING):
            await figures.idle()
        assert "could not be tidied" in caplog.text
        await figures.handle([told(2, CallStarted())])
    assert await query(tmp_path, "SELECT count(*) FROM figures") == [(2,)]


@pytest.mark.usefixtures("clean_loop")
async def test_an_entry_of_no_day_is_an_error_and_leaves_the_others_to_be_tried_alone(tmp_path: Path) -> None:
    async with Analytics(tmp_path) as figures:
        with pytest.raises(ValueError):
            await figures.handle([told(1, CallStarted()), told(2, CallStarted(), 1e300)])
        await figures.handle([told(1, CallStarted())])
    assert await query(tmp_path, "SELECT id FROM figures") == [("e1",)]


@pytest.mark.usefixtures("clean_loop")
async def test_a_batch_without_figures_writes_nothing(tmp_path: Path) -> None:
    async with Analytics(tmp_path) as figures:
        await figures.handle([told(1, CallerSaid(1, "response", "hello"))])
        await figures.handle([])
    assert await days(tmp_path) == {}


@pytest.mark.usefixtures("clean_loop")
async def test_a_place_that_is_none_stops_the_start() -> None:
    with pytest.raises(UsageError):
        async with Analytics("nowhere://x"):
            pass


@pytest.mark.usefixtures("clean_loop")
async def test_figures_in_a_bucket_are_written_merged_and_read(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.consumers.parts.MANY", 3)
    facts = [told(number, CallEnded(number, 1.0)) for number in range(9)]
    async with Analytics(bucket.where) as figures:
        for begin in range(0, 9, 3):
            await figures.handle(facts[begin : begin + 3])
        await figures.handle(facts[:4])

        def look() -> tuple[int, list[tuple[Any, ...]]]:
            with Parts(place(bucket.where), FIGURES) as parts, closing(connect()) as db:
                parts.read(db, "figures")
                count = sum(len(ones) for ones in parts.days().values())
                return count, db.execute("SELECT count(*), sum(turns) FROM figures").fetchall()

        assert await asyncio.to_thread(look) == (4, [(9, 36)])
        await figures.idle()
        assert await asyncio.to_thread(look) == (1, [(9, 36)])


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(2))
def test_the_totals_are_right_after_consumers_were_killed_at_random(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = list(entries(seed, 60, days=2))
    told += chance.sample(told, 200)  # the bus itself may deliver twice
    file, folder = tmp_path / "entries.jsonl", tmp_path / "data"
    folder.mkdir()
    file.write_bytes(b"\n".join(map(encode, told)))
    kills = 0
    while True:
        command = [sys.executable, "-m", "tests.consumers.figure_keeper", str(file), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 9)):
                process.stdout.readline()
            threading.Event().wait(chance.random() * 0.03)  # anywhere in a batch
            process.kill()
            kills += process.wait() != 0
        if int((folder / "offset").read_text()) == len(told):
            break
    assert kills >= 5

    once = {entry.id: entry for entry in told}.values()
    kinds = Counter(entry.kind for entry in once if not isinstance(entry.fact, CallerSaid))
    assert dict(asked(folder, "SELECT fact, count(*) FROM figures GROUP BY fact")) == kinds
    turns = [entry.fact for entry in once if isinstance(entry.fact, TurnMeasured)]
    sums = "sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), count(first_sentence_s), sum(attempts)"
    assert asked(folder, f"SELECT {sums} FROM figures WHERE fact = 'turn_measured'") == [
        (
            sum(turn.input_tokens for turn in turns),
            sum(turn.output_tokens for turn in turns),
            sum(turn.cache_read_tokens for turn in turns),
            sum(turn.first_sentence_s is not None for turn in turns),
            sum(turn.attempts for turn in turns),
        )
    ]
