"""`retell_ws report` as a user runs it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from retell_ws.consumers.analytics import Analytics
from retell_ws.report.figures import Figures

from ..machine import free_port
from ..processes import refused, start
from ..report.markup import parse
from ..report.synthetic import entries

pytestmark = pytest.mark.usefixtures("clean_loop")


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    async with Analytics(tmp_path / "data") as figures:
        await figures.handle(list(entries(5, 20, start=time.time() - 7200, days=0.05)))
    return tmp_path / "data"


async def run(*arguments: str, **env: str) -> tuple[int | None, bytes, str]:
    process = await start("report", *arguments, **env)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out, err.decode()


async def read(path: Path) -> str:
    return await asyncio.to_thread(path.read_text, "utf-8")


async def test_it_writes_a_page_and_says_the_figures_people_ask_for_first(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    status, stdout, stderr = await run("--data", str(data), "--out", str(out))
    assert (status, stdout) == (0, b"")
    assert stderr.startswith("20 calls, ")
    assert "within 300 ms" in stderr
    assert "First sentence over time" in parse(await read(out)).text
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.glob(".*")))] == []


async def test_json_is_the_figures_by_their_names_and_nothing_else(data: Path) -> None:
    status, stdout, stderr = await run("--data", str(data), "--json", "--since", "3h")
    assert (status, stderr) == (0, "")
    found: dict[str, Any] = orjson.loads(stdout)
    assert tuple(found) == Figures.__struct_fields__
    figures = msgspec.json.decode(stdout, type=Figures)
    assert figures.calls.count == 20
    assert msgspec.to_builtins(figures) == found
    assert figures.until - figures.since == pytest.approx(3 * 3600)


async def test_json_and_a_page_go_together(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    status, stdout, _ = await run("--data", str(data), "--json", "--out", str(out))
    assert status == 0 and orjson.loads(stdout)["calls"]["count"] == 20
    parse(await read(out))


@pytest.mark.parametrize(
    ("flags", "env", "budget_ms"),
    [
        ((), {}, 300),
        (("--blueprint", "single"), {}, 800),
        (("--budget-ms", "450"), {}, 450),
        ((), {"RETELL_WS_BUDGET_MS": "650"}, 650),
        (("--blueprint", "distributed"), {"RETELL_WS_BUDGET_MS": "650"}, 500),
    ],
)
async def test_the_budget_is_the_one_that_was_asked_for(
    data: Path, flags: tuple[str, ...], env: dict[str, str], budget_ms: float
) -> None:
    _, stdout, _ = await run("--data", str(data), "--json", *flags, **env)
    assert orjson.loads(stdout)["budget_ms"] == budget_ms


async def test_the_folder_may_come_from_the_settings(data: Path) -> None:
    for env in ({"RETELL_WS_DATA": str(data)}, {"RETELL_WS_ARCHIVE": str(data), "RETELL_WS_DATA": "elsewhere"}):
        status, stdout, _ = await run("--json", **env)
        assert status == 0 and orjson.loads(stdout)["calls"]["count"] == 20


async def test_a_folder_without_figures_is_no_error_of_anybody_s(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        status, stdout, stderr = await run("--data", str(folder), "--json")
        assert (status, stdout) == (1, b"")
        assert stderr.startswith(f"retell_ws: no figures in {folder} since 1d; servers write some")
        assert len(stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()  # once


async def test_older_figures_are_pointed_out(tmp_path: Path) -> None:
    async with Analytics(tmp_path) as figures:
        await figures.handle(list(entries(5, 3)))
    status, _, stderr = await run("--data", str(tmp_path), "--since", "1h")
    assert status == 1
    assert "; the latest are of 2026-11-1" in stderr


async def test_what_cannot_be_done_is_said_in_a_line(data: Path, tmp_path: Path) -> None:
    assert "is no time" in await refused("report", "--data", str(data), "--since", "yesterday")
    assert "--budget-ms is at least 1" in await refused("report", "--data", str(data), "--budget-ms", "0")
    assert "cannot write" in await refused("report", "--data", str(data), "--out", str(tmp_path / "no" / "page.html"))
    assert "cannot open nowhere://bucket" in await refused("report", "--data", "nowhere://bucket")


async def test_a_broken_file_of_figures_is_named_and_the_others_are_reported(data: Path) -> None:
    (whole,) = await asyncio.to_thread(lambda: list(data.rglob("part-*.parquet")))
    await asyncio.to_thread(whole.with_name("part-00.parquet").write_bytes, b"no Parquet")
    status, stdout, stderr = await run("--data", str(data), "--json")
    assert (status, len(stderr.splitlines())) == (0, 1)
    assert stderr.rstrip().endswith("part-00.parquet.damaged")
    assert msgspec.json.decode(stdout, type=Figures).calls.count == 20
    assert (await run("--data", str(data), "--json"))[2] == ""
    await asyncio.to_thread(whole.write_bytes, b"")
    status, stdout, stderr = await run("--data", str(data))
    assert (status, stdout) == (1, b"")
    damaged, none = stderr.splitlines()
    assert damaged.endswith(f"{whole.name}.damaged") and none.startswith(f"retell_ws: no figures in {data} since ")


async def test_a_bucket_that_cannot_be_reached_is_said_in_a_line_that_holds_no_key() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_REGION": "us-east-1"}
    nobody = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ALLOW_HTTP": "true"}
    status, stdout, stderr = await run("--data", "s3://calls/figures", **keys, **nobody)
    assert (status, stdout, len(stderr.splitlines())) == (1, b"", 1)
    assert stderr.startswith("retell_ws: cannot read s3://calls/figures: ")
    assert "canary" not in stderr
