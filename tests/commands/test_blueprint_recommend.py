"""`blueprint recommend` as it is called: what it prints, and that what it measures is measured."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from retell_ws.__main__ import main
from retell_ws.commands import self_bench
from retell_ws.deploy.machines import Machine
from retell_ws.deploy.needs import NEEDS
from retell_ws.deploy.recommend import Want, advise
from retell_ws.errors import UsageError
from tests.processes import start
from tests.waiting import until


def run(capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> Any:
    with pytest.raises(SystemExit) as caught:
        main(["blueprint", "recommend", *options])
    assert caught.value.code == status
    return capsys.readouterr()


def test_the_matrix_has_a_row_for_each_need_with_its_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    told = run(capsys, "--calls", "50", "--needs", "failover,analytics", "--no-measure").out
    for name in ("failover", "analytics"):
        assert any(line.lstrip().startswith(name) and NEEDS[name].why in line for line in told.splitlines())
    assert "Recommended: events\n" in told and "--kafka HOST:9092" in told
    assert "This machine" not in told


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_in_a_narrow_terminal_each_thing_has_its_line(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = run(capsys, "--calls", "50", "--p95-ms", "500", "--needs", ",".join(NEEDS), "--no-measure").out
    lines = told.splitlines()
    matrix = lines[: lines.index("Recommended: events")]
    assert max(map(len, lines[:-1])) <= columns, "but for the command, which is there to be copied"
    assert not any(line != line.rstrip() for line in lines), "no blanks behind what is said"
    assert "kafka  decides for events" in matrix and "failover" in matrix
    for row in advise(Want(50, 500, tuple(NEEDS))).rows:
        for said in (row.need, row.single, row.distributed, row.events, row.why):
            assert " ".join(said.split()) in " ".join(told.split())
            assert columns < 80 or said == row.why or any(said in line for line in matrix)


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--calls", "12", "--p95-ms", "500", "--no-measure", "--json").out)
    assert found["advice"]["blueprint"] == "distributed" and found["measured"] is found["derived"] is None
    assert [row["decides"] for row in found["advice"]["rows"]] == [True, True]


def test_a_need_that_is_none_is_one_line_with_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = run(capsys, "--calls", "5", "--needs", "uptime", status=2).err.splitlines()
    assert "'uptime'" in line and all(name in line for name in NEEDS)


def test_the_help_names_every_need(capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "--help").out
    assert all(name in told for name in NEEDS)


@pytest.mark.parametrize("needs", [("failover,kafka",), ("failover, kafka",), ("failover", "kafka")])
def test_needs_are_said_with_commas_or_blanks(needs: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--calls", "5", "--no-measure", "--json", "--needs", *needs).out)
    assert found["want"]["needs"] == ["failover", "kafka"]


def test_what_was_measured_and_what_was_derived_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def known(progress: object) -> Machine:
        return Machine(cores=4, turns=160, cpu_ms=5.0, first_frame_ms=1.25)

    monkeypatch.setattr("retell_ws.commands.blueprint_recommend.measured", known)
    monkeypatch.setenv("COLUMNS", "200")
    told = run(capsys, "--calls", "5000").out
    assert "measured: 5.00 ms of processor time for a turn (160 turns); first frame 1.2 ms after the model's" in told
    assert "derived: 1000 calls a core, 4000 on 4 cores" in told
    assert "derived: 5000 calls at once need 3 such machines, one of them to spare" in told


async def test_a_turn_of_a_real_server_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("CALLS", 2), ("TURNS", 3)):
        monkeypatch.setattr(self_bench, name, number)
    monkeypatch.setenv("RETELL_WS_PATH_SECRET", "somebody-s-own-settings")  # are none of its business
    turns = 0

    def progress() -> None:
        nonlocal turns
        turns += 1

    machine = await self_bench.measured(progress)
    assert (machine.turns, turns) == (6, 6)
    assert machine.cores >= 1 and machine.cpu_ms > 0 and machine.first_frame_ms is not None


def test_where_no_processor_time_is_told_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nowhere)
    with pytest.raises(UsageError, match="--no-measure"):
        self_bench._cpu_s(1)


async def test_a_signal_ends_all_it_started() -> None:
    process = await start("blueprint", "recommend", "--calls", "5")
    ours = psutil.Process(process.pid)
    await until(lambda: any("serve" in child.cmdline() for child in ours.children(recursive=True)))
    children = ours.children(recursive=True)
    process.terminate()
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode == 130
    await until(lambda: not any(child.is_running() for child in children))
