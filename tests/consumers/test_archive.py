"""The archive as a consumer: exactly one transcript of each call, though it is killed, and though there are two."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from retell_ws.consumers.archive import Archive
from retell_ws.consumers.parts import connect, place
from retell_ws.consumers.shelf import Shelf
from retell_ws.consumers.transcripts import Row
from retell_ws.entries import Entry, decode, encode
from retell_ws.errors import UsageError

from ..processes import launched
from .s3_server import Bucket
from .s3_server import bucket as bucket
from .s3_server import s3_endpoint as s3_endpoint
from .talks import MIDNIGHT, call_id, expected, mixed, retell, row, socket

pytestmark = pytest.mark.usefixtures("clean_loop")

DAY_S = 86_400.0
NOON = MIDNIGHT + DAY_S / 2


def raw(folder: Path) -> list[str]:
    """Read the calls of all rows there are, as any other program would."""
    files = [str(file) for file in folder.rglob("*.parquet")]
    if not files:
        return []
    with closing(duckdb.connect()) as db:
        return sorted(one for (one,) in db.execute("SELECT call_id FROM read_parquet(?)", [files]).fetchall())


def kept(where: str) -> dict[str, tuple[str, str, int | None]]:
    """Read day, text and turns of each call, while others may be writing."""
    with Shelf(place(where)) as shelf, closing(connect()) as db:
        shelf.read(db, "found")
        found = db.execute("SELECT call_id, day::VARCHAR, text, turns FROM found").fetchall()
    rows = {one: (day, text, turns) for one, day, text, turns in found}
    assert len(rows) == len(found)
    return rows


def wanted(rows: dict[str, Row]) -> dict[str, tuple[str, str, int | None]]:
    return {one: (found.day, found.text, found.turns) for one, found in rows.items()}


async def keeper(entries: Path, where: str, offset: Path, size: int, **env: str) -> Process:
    arguments = "-m", "tests.consumers.archive_keeper", str(entries), where, str(offset), str(size)
    return await launched(*arguments, env=env, stderr=asyncio.subprocess.DEVNULL)


def written(folder: Path, entries: Sequence[Entry]) -> Path:
    file = folder / "entries"
    file.write_bytes(b"\n".join(map(encode, entries)))
    return file


async def test_transcripts_are_kept_and_other_facts_passed_over(tmp_path: Path) -> None:
    entries = mixed(30)
    async with Archive(str(tmp_path)) as archive:
        assert archive.name == "archive"
        await archive.handle(entries)
        await archive.handle([])
        await archive.handle([entry for entry in entries if entry.kind == "call_started"])
        await archive.idle()
    assert await asyncio.to_thread(kept, str(tmp_path)) == wanted(expected(entries))


async def test_what_is_too_old_is_not_taken_and_goes_when_its_time_is_over(tmp_path: Path) -> None:
    now = NOON
    async with Archive(str(tmp_path), keep_days=7, clock=lambda: now) as archive:
        await archive.handle([socket(1, NOON - 8 * DAY_S), socket(2, NOON - 7 * DAY_S), socket(3)])
        assert await asyncio.to_thread(raw, tmp_path) == [call_id(2), call_id(3)]
        now += DAY_S
        await archive.idle()
        assert await asyncio.to_thread(raw, tmp_path) == [call_id(3)]
        now += DAY_S
        await archive.handle([socket(2, NOON - 7 * DAY_S)])
        assert await asyncio.to_thread(raw, tmp_path) == [call_id(3)]


async def test_idle_looks_at_what_is_old_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    async with Archive(str(tmp_path)) as archive:
        assert archive._shelf is not None
        monkeypatch.setattr(archive._shelf, "tidy", lambda *_, **__: asked.append("tidy"))
        monkeypatch.setattr(archive._shelf, "mend", lambda *_: len([asked.append("mend")]))  # type: ignore[func-returns-value]
        clock = time.monotonic()
        monkeypatch.setattr("retell_ws.consumers.archive.time.monotonic", lambda: clock)
        for _ in range(7300):
            await archive.idle()
            clock += 1
    assert (asked.count("tidy"), asked.count("mend")) == (3, 122)


async def test_a_place_that_is_none_is_said() -> None:
    with pytest.raises(UsageError, match="nowhere://"):
        async with Archive("nowhere://secret"):
            pass


async def test_it_is_used_as_a_context() -> None:
    with pytest.raises(AssertionError, match="async with"):
        await Archive("anywhere").idle()


async def killed_at_random(entries: list[Entry], folder: Path, where: str, chance: random.Random, **env: str) -> int:
    """Archive entries with processes that are killed again and again; returns how often."""
    file, offset = await asyncio.to_thread(written, folder, entries), folder / "offset"
    kills = 0
    while True:
        process = await keeper(file, where, offset, 23, **env)
        assert process.stdout is not None
        await process.stdout.readline()  # a first batch is in, or all are
        # Less and less in a hurry, so that it comes to its end.
        try:
            async with asyncio.timeout(chance.uniform(0, 0.15 + kills * 0.02)):
                await process.stdout.read()
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.communicate()
            kills += 1
            done = int(await asyncio.to_thread(offset.read_text)) if await asyncio.to_thread(offset.exists) else 0
            have = await asyncio.to_thread(kept, where)
            assert expected(entries[:done]).keys() <= have.keys()
            continue
        await process.communicate()
        assert status == 0
        return kills


@pytest.mark.timeout(240)
async def test_killed_at_random_it_has_each_call_exactly_once(tmp_path: Path) -> None:
    entries, archive = mixed(200), tmp_path / "archive"
    kills = await killed_at_random(entries, tmp_path, str(archive), random.Random(5))
    assert kills >= 5
    want = expected(entries)
    assert await asyncio.to_thread(kept, str(archive)) == wanted(want)
    assert await asyncio.to_thread(raw, archive) == sorted(want)
    assert not await asyncio.to_thread(lambda: [one for one in archive.rglob("*") if "#" in one.name and one.is_dir()])


@pytest.mark.timeout(240)
async def test_two_at_once_on_one_folder_have_each_call_exactly_once(tmp_path: Path) -> None:
    entries, archive = mixed(200), tmp_path / "archive"
    file = await asyncio.to_thread(written, tmp_path, entries)
    both = [await keeper(file, str(archive), tmp_path / f"offset{n}", size) for n, size in enumerate((17, 31))]
    for process in both:
        await process.communicate()
        assert process.returncode == 0
    want = expected(entries)
    assert await asyncio.to_thread(kept, str(archive)) == wanted(want)
    assert await asyncio.to_thread(raw, archive) == sorted(want)


@pytest.mark.timeout(240)
async def test_two_at_once_on_s3_show_each_call_once_and_have_it_once_after_a_look(
    tmp_path: Path, bucket: Bucket
) -> None:
    entries = mixed(100)
    file = await asyncio.to_thread(written, tmp_path, entries)
    both = [
        await keeper(file, bucket.where, tmp_path / f"offset{n}", size, **bucket.environment)
        for n, size in enumerate((17, 31))
    ]
    for process in both:
        await process.communicate()
        assert process.returncode == 0
    want = expected(entries)
    assert await asyncio.to_thread(kept, bucket.where) == wanted(want)
    await asyncio.to_thread(mend, bucket.where)
    await asyncio.to_thread(copy, bucket.where, tmp_path / "copy")
    assert await asyncio.to_thread(raw, tmp_path / "copy") == sorted(want)


@pytest.mark.timeout(240)
async def test_killed_at_random_on_s3_it_has_each_call_exactly_once(tmp_path: Path, bucket: Bucket) -> None:
    entries = mixed(60)
    await killed_at_random(entries, tmp_path, bucket.where, random.Random(6), **bucket.environment)
    want = expected(entries)
    assert await asyncio.to_thread(kept, bucket.where) == wanted(want)
    await asyncio.to_thread(mend, bucket.where)
    await asyncio.to_thread(copy, bucket.where, tmp_path / "copy")
    assert await asyncio.to_thread(raw, tmp_path / "copy") == sorted(want)


def mend(where: str) -> None:
    with Shelf(place(where)) as shelf:
        shelf.mend(MIDNIGHT)


def copy(where: str, folder: Path) -> None:
    store = place(where)
    for page in store.list():
        for number, one in enumerate(page):
            folder.mkdir(exist_ok=True)
            suffix = Path(one["path"]).suffix
            (folder / f"{number}{suffix}").write_bytes(bytes(store.get(one["path"]).bytes()))


@pytest.mark.timeout(120)
async def test_ten_thousand_calls_take_no_more_time_or_memory_than_a_batch(tmp_path: Path) -> None:
    async with Archive(str(tmp_path)) as archive:

        async def handled(entries: list[Entry]) -> float:
            began = time.perf_counter()
            await archive.handle(entries)
            return time.perf_counter() - began

        times = [await handled([socket(n, NOON) for n in range(s, s + 500)]) for s in range(0, 10_000, 500)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times += [await handled([retell(n, NOON) for n in range(s, s + 500)]) for s in range(0, 10_000, 500)]
        again = [await handled([retell(n, NOON) for n in range(s, s + 500)]) for s in range(0, 10_000, 500)]
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert await asyncio.to_thread(raw, tmp_path) == sorted(map(call_id, range(10_000)))
    # Generous, for a machine that does other things: measured are 0.06, 0.2 and 0.1 s, and 30 MB.
    assert max(times) < 5 and max(again) < 5
    assert grown_mb < 200


async def test_what_was_masked_before_is_in_no_byte_of_the_archive(tmp_path: Path) -> None:
    masking = pytest.importorskip("retell_ws.masking", reason="facts are not masked yet")
    mask: Callable[[str], str] = masking.mask
    number, spoken = "4111 1111 1111 1111", "four one one one one one one one one one one one one one one one"
    words = f"it is {number}, or {spoken}"
    planted = [socket(1, words=words), retell(2, words=words)]
    masked = [decode(encode(entry).replace(words.encode(), mask(words).encode())) for entry in planted]
    async with Archive(str(tmp_path)) as archive:
        await archive.handle(masked)
    files = await asyncio.to_thread(lambda: [file for file in tmp_path.rglob("*") if file.is_file()])
    with closing(duckdb.connect()) as db:
        text = str(db.execute("SELECT * FROM read_parquet(?)", [[str(f) for f in files if f.suffix]]).fetchall())
    assert text.count("[card]") == 8  # both numbers, in a line of each call and in its text
    for data in (text, *(file.read_bytes().decode("latin-1") for file in files)):
        assert "1111" not in data and "one one one" not in data


def test_the_row_of_a_call_is_what_the_archive_gives_back(tmp_path: Path) -> None:
    with Shelf(place(tmp_path)) as shelf:
        shelf.put([row(socket(1), retell(1))])
        assert shelf.find(call_id(1)) == row(retell(1), socket(1))
    assert os.listdir(tmp_path) == ["transcripts"]
