"""A package that is not installed is said in the words of pip; any other missing module is a bug, and stays one."""

from __future__ import annotations

from pathlib import Path

import pytest

from retell_ws.errors import SettingsError
from retell_ws.extras import PACKAGES, needing


def test_what_is_there_is_imported() -> None:
    with needing("redis", "calls in Redis"):
        import redis  # noqa: F401


def test_what_is_missing_is_said_with_the_extra_that_brings_it() -> None:
    with pytest.raises(SettingsError, match=r"archive needs .* pip install 'retell-ws\[analytics\]'"):
        with needing("analytics", "archive"):
            raise ModuleNotFoundError("No module named 'duckdb.x'", name="duckdb.x")


@pytest.mark.parametrize("name", ["opentelemetry.sdk", "opentelemetry"])
def test_a_part_of_a_package_is_missing_as_the_whole_is(name: str) -> None:
    with pytest.raises(SettingsError, match=r"retell-ws\[otel\]"):
        with needing("otel", "sending traces"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("name", ["json_that_is_not_there", None])
def test_another_missing_module_is_none_of_it(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError):
        with needing("analytics", "archive"):
            raise ModuleNotFoundError("it is missing", name=name)


def test_the_first_script_brings_what_any_of_them_needs() -> None:
    # `scripts/run serve --blueprint events` and `scripts/run register` are all one has to say, on a machine that has
    # nothing but Python.
    script = Path(__file__).parent.parent.joinpath("scripts", "run").read_text()
    assert "setup '[all]'" in script
    assert all(f"has {first.replace('.', '/')}" in script for first, *_ in PACKAGES.values())
