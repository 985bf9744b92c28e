"""The locks name what the project needs, at the versions of the tests, with hashes, and no place to get it from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([\w.-]+)==([\w.]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
LOCKS = {"base": (), "all": ("all",)}


def pins(name: str) -> dict[str, tuple[str, str]]:
    """Each package of a lock, with its version and hashes."""
    _, _, text = (ROOT / "scripts" / "locks" / f"{name}.txt").read_text("utf-8").partition("\n")
    found = PIN.findall(text)
    assert "".join(f"{package}=={version}{hashes}\n" for package, version, hashes in found) == text, "not only pins"
    return {canonicalize_name(package): (version, hashes) for package, version, hashes in found}


def needed(package: str, extras: Iterable[str], found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What is installed with a package here, and with what of its extras, all the way down."""
    for extra in ("", *extras):
        if (package, extra) in found:
            continue
        found.add((package, extra))
        for line in requires(package) or ():
            requirement = Requirement(line)
            if requirement.marker is None and not extra:
                needed(canonicalize_name(requirement.name), requirement.extras, found)
            elif requirement.marker is not None and requirement.marker.evaluate({"extra": extra}):
                needed(canonicalize_name(requirement.name), requirement.extras, found)
    return found


def of_pyproject(extras: Iterable[str]) -> set[str]:
    """What pyproject.toml says the project itself needs, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = list(project["dependencies"])
    waiting = list(extras)
    while waiting:
        for line in project["optional-dependencies"][waiting.pop()]:
            requirement = Requirement(line)
            if requirement.name == "retell-ws":
                waiting += requirement.extras
            else:
                lines.append(line)
    found: set[tuple[str, str]] = set()
    for line in lines:
        requirement = Requirement(line)
        needed(canonicalize_name(requirement.name), requirement.extras, found)
    return {package for package, _ in found}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_all_that_is_needed_and_nothing_else(name: str) -> None:
    assert pins(name).keys() == of_pyproject(LOCKS[name]), "run scripts/lock"


@pytest.mark.parametrize("name", LOCKS)
def test_its_versions_are_those_of_the_constraints(name: str) -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    constraints = dict(line.split("==") for line in lines if "==" in line)
    tested = {canonicalize_name(package): version for package, version in constraints.items()}
    assert {package: version for package, (version, _) in pins(name).items()}.items() <= tested.items()


def test_the_base_is_the_same_in_both() -> None:
    assert pins("base").items() <= pins("all").items()


def test_what_has_wheels_for_platforms_has_hashes_for_all_of_them() -> None:
    for package in ("uvloop", "msgspec", "orjson", "httptools", "aiohttp"):
        _, hashes = pins("base")[package]
        assert hashes.count("sha256:") > 20, f"{package} is locked for few platforms"
