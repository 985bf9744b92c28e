"""The machine as a server finds it."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from types import ModuleType

import pytest

from retell_ws.validation.machine import cores, machine


@pytest.mark.parametrize(("limits", "files"), [((1024, 20_000), 20_000), ((1024, resource.RLIM_INFINITY), 2**31)])
def test_the_files_that_count_are_those_a_server_can_allow_itself(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], files: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    assert machine().files == files


@pytest.mark.parametrize("has_api", [True, False])
def test_the_api_of_opentelemetry_alone_sends_no_traces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_api: bool
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    if has_api:  # the client of the model's provider brings it, without the SDK
        api = ModuleType("opentelemetry")
        api.__path__ = []
        monkeypatch.setitem(sys.modules, "opentelemetry", api)
    assert "otel" in machine().missing


def test_all_cores_count_where_nobody_tells_which_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()


def test_what_is_installed_is_not_missing() -> None:
    assert machine().missing == frozenset()
