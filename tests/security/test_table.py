"""The table of attacks is true: each test in it is there, and SECURITY.md speaks of each row."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.attacks import ATTACKS

from .table import ROWS

ROOT = Path(__file__).parent.parent.parent
POLICY = (ROOT / "SECURITY.md").read_text("utf-8")


@cache
def defined_in(file: Path) -> frozenset[str]:
    """Give the names of the tests that a file has."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(one.name for one in ast.parse(file.read_text("utf-8")).body if isinstance(one, functions))


@pytest.mark.parametrize("row", ROWS)
def test_each_test_in_the_table_is_there(row: str) -> None:
    assert ROWS[row]
    for test in ROWS[row]:
        file, _, name = test.partition("::")
        assert name.startswith("test_") and name in defined_in(ROOT / file), test


def test_each_attack_of_this_folder_is_in_the_table() -> None:
    named = {test for tests in ROWS.values() for test in tests}
    made = {
        f"tests/security/{file.name}::{name}"
        for file in Path(__file__).parent.glob("test_*.py")
        if file != Path(__file__)
        for name in defined_in(file)
        if name.startswith("test_")
    }
    assert made - named <= {"tests/security/test_canary.py::test_no_canary_is_in_another"}


def test_security_md_speaks_of_each_row_and_of_no_other() -> None:
    table = POLICY.partition("<!-- attacks:begin -->")[2].partition("<!-- attacks:end -->")[0]
    head, _, *told = [line.split("|")[1].strip() for line in table.split("\n") if line]
    assert head == "attack" and told == list(ROWS)


def test_security_md_counts_the_corpus_and_leads_to_headings_that_are_there() -> None:
    assert f"{len(ATTACKS)} attacks on a model that always obeys" in POLICY
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in (ROOT / "README.md").read_text("utf-8").splitlines()
        if line.startswith("#")
    }
    links = re.findall(r"README\.md#([a-z0-9-]+)", POLICY)
    assert links and set(links) <= headings
