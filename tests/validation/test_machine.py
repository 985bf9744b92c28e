"""The machine as a server finds it."""

from __future__ import annotations

import resource

import pytest

from retell_ws.validation.machine import machine


@pytest.mark.parametrize(("limits", "files"), [((1024, 20_000), 20_000), ((1024, resource.RLIM_INFINITY), 2**31)])
def test_the_files_that_count_are_those_a_server_can_allow_itself(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], files: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    assert machine().files == files
