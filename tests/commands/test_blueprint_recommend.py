"""`blueprint recommend` as it is called: what it prints, and that what it measures is measured."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
from retell_ws.settings import Settings, load
from retell_ws.validation.spare import Spare, started
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
    commands = [line for line in lines if line.startswith(("Next: ", "  $ "))]
    assert len(commands) == 2, "they are there to be copied"
    assert max(len(line) for line in lines if line not in commands) <= columns
    assert not any(line != line.rstrip() for line in lines), "no blanks behind what is said"
    assert "kafka  decides for events" in matrix and "failover" in matrix
    for row in advise(Want(50, 500, tuple(NEEDS))).rows:
        for said in (row.need, row.single, row.distributed, row.events, row.why):
            assert " ".join(said.split()) in " ".join(told.split())
            assert columns < 80 or said == row.why or any(said in line for line in matrix)


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--calls", "12", "--p95-ms", "500", "--no-measure", "--json").out)
    assert found["advice"]["blueprint"] == "distributed" and found["measured"] is found["derived"] is None
    assert [row["decides"] for row in found["advice"]["rows"]] == [True, False]


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


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A machine that was measured; what a test puts here is different."""
    found: dict[str, Any] = {"cores": 4, "turns": 160, "cpu_ms": 5.0, "first_frame_ms": 1.25}

    async def measured(progress: object, *, keeps_facts: bool, speculates: bool) -> Machine:
        return Machine(**found)

    monkeypatch.setattr("retell_ws.commands.blueprint_recommend.measured", measured)
    monkeypatch.setenv("COLUMNS", "240")
    return found


def test_what_was_measured_and_what_was_derived_is_said(
    capsys: pytest.CaptureFixture[str], known: dict[str, Any]
) -> None:
    told = run(capsys, "--calls", "5000").out
    assert "measured: 5.00 ms of processor time for a turn (160 turns, its facts in a journal); first frame 1.2" in told
    assert "derived: 1000 calls a core, 4000 on 4 cores, a process on each" in told
    assert "derived: 5000 calls at once need 3 such machines, one of them to spare" in told
    for left_out in ("keeping calls in Redis", "handing facts on to Kafka", "the consumers of facts"):
        assert left_out in told.partition("not in it: ")[2]


def test_one_process_has_one_core_and_is_measured_as_it_runs(
    capsys: pytest.CaptureFixture[str], known: dict[str, Any]
) -> None:
    known["cpu_ms"] = 2.5
    told = run(capsys, "--calls", "1").out
    assert "measured: 2.50 ms of processor time for a turn (160 turns); first" in told
    assert "derived: 2000 calls a core, 1000 in the one process, half busy" in told
    assert "max_calls is 1000" in told
    assert "derived: 1 call at once needs one such machine\n" in told
    assert "not in it: the model provider's limits, the network, the balancer\n" in told


def test_a_machine_that_is_too_slow_for_the_only_process_is_no_two_machines(
    capsys: pytest.CaptureFixture[str], known: dict[str, Any]
) -> None:
    known["cpu_ms"] = 1000.0
    told = run(capsys, "--calls", "9").out
    assert "derived: 9 calls at once need a faster machine" in told


@pytest.mark.parametrize(
    ("options", "wrong"),
    [(("--calls", "9.9"), "--calls: '9.9'"), (("--calls", "5", "--p95-ms", "0.5"), "--p95-ms: '0.5'")],
)
def test_a_number_that_is_not_whole_is_refused(
    options: tuple[str, ...], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = run(capsys, *options, "--no-measure", status=2).err.splitlines()
    assert f"{wrong} is no whole number" in line


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (("--p95-ms", "300"), {"speculate": True, "budget_ms": 300}),
        (("--needs", "speculation,workers"), {"speculate": None, "workers": "cores"}),
        (("--needs", "workers,escalation"), {"blueprint": "events", "workers": "cores", "rules": "DIR/rules.toml"}),
    ],
)
def test_what_is_told_to_do_next_turns_on_what_is_needed(
    options: tuple[str, ...], settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys, "--calls", "5", *options, "--no-measure").out
    (applying,) = [line for line in told.splitlines() if line.startswith("Next: ")]
    (turning_on,) = [line for line in told.splitlines() if line.startswith("  $ ")]
    words = applying.removeprefix("Next: retell_ws ").replace("DIR", str(tmp_path)).split()
    with pytest.raises(SystemExit) as caught:
        main([*words, "--yes"])
    assert caught.value.code == 0
    subprocess.run(["bash", "-c", turning_on[4:].replace("DIR", str(tmp_path))], check=True, timeout=20)
    found = load(environment={}, config=tmp_path / "retell_ws.toml")
    cores = len(os.sched_getaffinity(0))
    for name, value in settings.items():
        wanted = {"cores": cores, "DIR/rules.toml": str(tmp_path / "rules.toml")}.get(value, value)
        assert getattr(found, name) == wanted
    assert found.speculates() and (not found.rules or Path(found.rules).is_file())


@pytest.mark.parametrize("keeps_facts", [False, True])
async def test_a_turn_of_a_real_server_is_measured(
    keeps_facts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, number in (("CALLS", 2), ("TURNS", 3)):
        monkeypatch.setattr(self_bench, name, number)
    monkeypatch.setenv("RETELL_WS_PATH_SECRET", "somebody-s-own-settings")  # are none of its business
    turns = 0

    def progress() -> None:
        nonlocal turns
        turns += 1

    served = []

    @asynccontextmanager
    async def watched(*words: str, settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Spare]:
        async with started(*words, settings=settings, environment=environment) as server:
            yield server
            served.append((settings, bool(settings.data) and len(os.listdir(settings.data)) > 0))

    monkeypatch.setattr(self_bench, "started", watched)
    machine = await self_bench.measured(progress, keeps_facts=keeps_facts, speculates=True)
    ((settings, has_written),) = served
    assert (settings.blueprint == "events") == has_written == keeps_facts and settings.speculates()
    assert os.listdir(tmp_path) == [], "nothing stays behind"
    assert (machine.turns, turns) == (6, 6)
    assert machine.cores == len(os.sched_getaffinity(0)) and machine.cpu_ms > 0 and machine.first_frame_ms is not None


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
